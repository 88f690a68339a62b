//! Two nodes on loopback that pair, and others that would like to.

use std::{net::Ipv4Addr, sync::Arc};

use tokio::time::Instant;

use super::*;

/// Far longer than anything takes.
const LONG: Duration = Duration::from_secs(60);

async fn endpoint(key: SecretKey) -> Endpoint {
    let builder = Endpoint::builder()
        .secret_key(key)
        .bind_addr((Ipv4Addr::LOCALHOST, 0).into())
        .alpns([ALPN])
        .port_mapping(false)
        .lan_discovery(false);
    builder.bind().await.unwrap()
}

fn card(seed: u8, name: &str) -> Card {
    Card::new(SecretKey::from_seed(&[seed; 32]).id().into(), name)
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

/// As [`type_in`] does it once it has found who waits.
async fn type_at(waits: &Endpoint, code: &Code, ours: &Card) -> Result<Card, PairError> {
    let types = endpoint(SecretKey::generate().unwrap()).await;
    let connection = types.connect(waits.ticket(), ALPN).await?;
    let party = Party::new(Role::Types, code, connection.peer(), types.id());
    let theirs = ask(party, &connection, ours).await?;
    connection.close(0, b"paired");
    Ok(theirs)
}

#[tokio::test]
async fn two_who_have_the_same_code_know_each_other_afterwards() {
    let shown = code("7k3m-q9x2f");
    let waits = endpoint(shown.rendezvous()).await;
    let (ours, theirs) = (card(1, "attic"), card(2, "laptop"));
    let typed = type_at(&waits, &shown, &theirs);
    let both = async { tokio::join!(wait(&waits, &shown, &ours), typed) };
    let (waited, typed) = timeout(LONG, both).await.unwrap();
    assert_eq!((waited.unwrap().card, typed.unwrap()), (theirs, ours));
}

#[tokio::test]
async fn what_follows_goes_by_the_link_on_which_the_code_was_shown_to_be_right() {
    let shown = code("7k3m-q9x2f");
    let waits = endpoint(shown.rendezvous()).await;
    let types = endpoint(SecretKey::generate().unwrap()).await;
    let (ours, theirs) = (card(1, "attic"), card(2, "laptop"));
    let typed = async {
        let connection = types.connect(waits.ticket(), ALPN).await.unwrap();
        let party = Party::new(Role::Types, &shown, connection.peer(), types.id());
        ask(party, &connection, &theirs).await.unwrap();
        connection
    };
    let both = async { tokio::join!(wait(&waits, &shown, &ours), typed) };
    let (waited, typed) = timeout(LONG, both).await.unwrap();
    let met = waited.unwrap();
    let mut send = met.connection.open_uni().await.unwrap();
    send.write_all(b"a letter").await.unwrap();
    send.finish().unwrap();
    let following = async {
        let mut recv = typed.accept_uni().await.unwrap();
        recv.read_to_end(64).await.unwrap()
    };
    assert_eq!(timeout(LONG, following).await.unwrap(), b"a letter");
}

#[tokio::test]
async fn who_waits_knows_the_other_as_soon_as_that_has_all_though_its_goodbye_is_lost() {
    let shown = code("7k3m-q9x2f");
    let waits = endpoint(shown.rendezvous()).await;
    let types = endpoint(SecretKey::generate().unwrap()).await;
    let (ours, theirs) = (card(1, "attic"), card(2, "laptop"));
    let typed = async {
        let connection = types.connect(waits.ticket(), ALPN).await.unwrap();
        let party = Party::new(Role::Types, &shown, connection.peer(), types.id());
        ask(party, &connection, &theirs).await.unwrap();
        (connection, Instant::now())
    };
    let waited = async {
        let met = wait(&waits, &shown, &ours).await;
        (met, Instant::now())
    };
    let both = async { tokio::join!(waited, typed) };
    let ((met, known), (_connection, told)) = timeout(LONG, both).await.unwrap();
    assert_eq!(met.unwrap().card, theirs);
    let late = known.saturating_duration_since(told);
    assert!(late < GOODBYE, "{late:?} after the other one");
}

#[tokio::test]
async fn a_wrong_code_gets_nothing_and_is_the_last_to_be_tried() {
    let shown = code("7k3m-q9x2f");
    let waits = endpoint(shown.rendezvous()).await;
    let ours = card(1, "attic");
    let stranger = card(3, "stranger");
    // The place is right, one letter of the password is not.
    let guess = code("7k3m-q9x2g");
    let typed = type_at(&waits, &guess, &stranger);
    let both = async { tokio::join!(wait(&waits, &shown, &ours), typed) };
    let (waited, typed) = timeout(LONG, both).await.unwrap();
    assert!(matches!(waited, Err(PairError::WrongGuess)), "{waited:?}");
    assert!(matches!(typed, Err(PairError::WrongCode)), "{typed:?}");
}

#[tokio::test]
async fn who_calls_and_says_nothing_or_nonsense_takes_the_code_from_nobody() {
    let shown = code("7k3m-q9x2f");
    let waits = endpoint(shown.rendezvous()).await;
    let noisy = endpoint(SecretKey::generate().unwrap()).await;
    let mut silent = Vec::new();
    for said in [&b""[..], &[9; 1 + MESSAGE_LEN]] {
        let connection = noisy.connect(waits.ticket(), ALPN).await.unwrap();
        let (mut send, _) = connection.open_bi().await.unwrap();
        send.write_all(said).await.unwrap();
        silent.push((connection, send));
    }
    let (ours, theirs) = (card(1, "attic"), card(2, "laptop"));
    let typed = type_at(&waits, &shown, &theirs);
    let both = async { tokio::join!(wait(&waits, &shown, &ours), typed) };
    let (waited, typed) = timeout(LONG, both).await.unwrap();
    assert_eq!((waited.unwrap().card, typed.unwrap()), (theirs, ours));
}

/// Somebody who got hold of the meeting place, and passes on what each side says.
#[test]
fn who_stands_between_two_makes_them_differ() {
    let shown = code("7k3m-q9x2f");
    let [waits, types, between] = [1, 2, 3].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
    let honest = Party::new(Role::Waits, &shown, waits, between);
    let other = Party::new(Role::Types, &shown, between, types);
    let (said, answered) = (honest.message().to_vec(), other.message().to_vec());
    let (honest, other) = (
        honest.finish(&answered).unwrap(),
        other.finish(&said).unwrap(),
    );
    assert!(!honest.is_right(&other.ours) && !other.is_right(&honest.ours));
}

#[test]
fn neither_side_takes_its_own_proof_for_the_others() {
    let shown = code("7k3m-q9x2f");
    let [waits, types] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
    let one = Party::new(Role::Waits, &shown, waits, types);
    let other = Party::new(Role::Types, &shown, waits, types);
    let (said, answered) = (one.message().to_vec(), other.message().to_vec());
    let (one, other) = (one.finish(&answered).unwrap(), other.finish(&said).unwrap());
    assert!(one.is_right(&other.ours) && other.is_right(&one.ours));
    assert!(!one.is_right(&one.ours));
}

/// Each costs a whole exchange, after which who waits has another code.
#[test]
fn ten_thousand_wrong_codes_yield_nothing() {
    let [waits, types] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
    let shown = code("7k3m-00000");
    let mut right = 0;
    for guess in 1..=10_000 {
        let guess = code(&format!("7k3m-{guess:05}"));
        let one = Party::new(Role::Waits, &shown, waits, types);
        let other = Party::new(Role::Types, &guess, waits, types);
        let (said, answered) = (one.message().to_vec(), other.message().to_vec());
        let (one, other) = (one.finish(&answered).unwrap(), other.finish(&said).unwrap());
        right += u32::from(one.is_right(&other.ours) || other.is_right(&one.ours));
    }
    assert_eq!(right, 0);
}

#[test]
fn a_computer_that_was_found_is_not_said_to_wait_no_more() {
    let reason = Arc::new(std::io::Error::other("its router is closed"));
    let said = |error: ConnectError| PairError::from(error).to_string();
    let found = said(ConnectError::CalledInVain {
        reason: reason.clone(),
    });
    assert!(found.contains("was found"), "{found}");
    let unknown = said(ConnectError::NotFound { reason });
    assert!(unknown.starts_with("nobody waits"), "{unknown}");
}

#[test]
fn what_is_too_long_of_a_name_is_cut_off() {
    assert_eq!(card(1, &"ä".repeat(100)).name.chars().count(), 64);
}
