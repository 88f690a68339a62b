use ed25519_dalek::{Signature, VerifyingKey};
use peerway::{DiscoverySecret, PeerId, RelayUrl, SecretKey};
use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_800_000_000;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn secret(byte: u8) -> DiscoverySecret {
    DiscoverySecret::from_bytes([byte; 16])
}

fn relay(seed: u8, host: &str) -> RelayUrl {
    RelayUrl::new(key(seed).id(), host, 4433).unwrap()
}

fn record() -> Record {
    let relays = [relay(8, "relay.example.org"), relay(9, "192.0.2.7")];
    Record::new(NOW, &relays, &["192.0.2.1:5000".parse().unwrap()])
}

/// The record of peer 1 for those who have secret 2.
fn sealed() -> Item {
    let period = Period::at(key(1).id(), NOW);
    record().seal(&key(1), secret(2), period).unwrap()
}

fn open(item: &Item, now: u64) -> Result<Record, OpenError> {
    let id = key(1).id();
    Record::open(id, secret(2), Period::at(id, NOW), item, now)
}

/// What the peer itself may store under its blinded key, broken as it likes.
fn stored(plaintext: &[u8], seq: i64) -> Item {
    let id = key(1).id();
    let lock = blind::Lock::new(id, secret(2), Period::at(id, NOW));
    let blinded = blind::BlindedKey::new(&key(1), &lock);
    let value = lock.encrypt(blinded.id(), seq, plaintext, [0; 12]);
    item::signed(&blinded, seq, value)
}

#[test]
fn who_has_the_id_and_the_secret_reads_what_was_written() {
    let item = sealed();
    assert_eq!(open(&item, NOW), Ok(record()));
    assert_eq!(sealed(), item, "no randomness is needed");
    let ticket = record().ticket(key(1).id());
    assert_eq!(ticket.relays(), record().relays);
    assert_eq!(ticket.addrs(), record().addrs);
}

#[test]
fn what_nodes_of_the_dht_see_is_a_signed_item_of_a_key_that_is_nobodys() {
    let item = sealed();
    let id = key(1).id();
    assert_ne!(item.key, *id.as_bytes());
    let signed = format!("3:seqi{NOW}e1:v{}:", item.value.len());
    let signed = [signed.as_bytes(), &item.value].concat();
    let key = VerifyingKey::from_bytes(&item.key).unwrap();
    let signature = Signature::from_bytes(&item.signature);
    key.verify_strict(&signed, &signature).unwrap();
    let shows = |needle: &[u8]| item.value.windows(needle.len()).any(|it| it == needle);
    assert!(!shows(id.as_bytes()) && !shows(b"relay.example.org"));
}

#[test]
fn another_secret_peer_or_day_has_another_key() {
    let id = key(1).id();
    let (today, tomorrow) = (Period::at(id, NOW), Period::at(id, NOW + 24 * 3600));
    let keys = [
        super::key(id, secret(2), today),
        super::key(id, secret(2), tomorrow),
        super::key(id, secret(3), today),
        super::key(id, DiscoverySecret::PUBLIC, today),
        super::key(key(2).id(), secret(2), today),
    ];
    assert_eq!(keys[0], Some(sealed().key));
    for (index, one) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(one), "{index}");
    }
    let wrong = Record::open(id, secret(3), today, &sealed(), NOW);
    assert_eq!(wrong, Err(OpenError::Forged));
}

#[test]
fn an_item_that_was_changed_anywhere_is_refused() {
    let item = sealed();
    for index in 0..item.value.len() {
        let mut changed = item.clone();
        changed.value[index] ^= 1;
        assert_eq!(open(&changed, NOW), Err(OpenError::Forged));
    }
    let mut older = item.clone();
    older.seq -= 1;
    assert_eq!(open(&older, NOW), Err(OpenError::Forged));
    let mut other = item;
    other.signature[3] ^= 1;
    assert_eq!(open(&other, NOW), Err(OpenError::Forged));
}

#[test]
fn who_could_forge_the_blinded_signature_could_still_not_forge_a_peer() {
    let id = key(1).id();
    let lock = blind::Lock::new(id, secret(2), Period::at(id, NOW));
    let forged = body::write(&record(), &key(3), &lock, NOW as i64).unwrap();
    assert_eq!(
        open(&stored(&forged, NOW as i64), NOW),
        Err(OpenError::Forged)
    );
    // An authentic body under a later number: a record that is replayed as a new one.
    let authentic = body::write(&record(), &key(1), &lock, NOW as i64).unwrap();
    let replayed = stored(&authentic, NOW as i64 + 60);
    assert_eq!(open(&replayed, NOW + 60), Err(OpenError::Forged));
}

#[test]
fn yesterdays_record_is_no_record_of_today() {
    let id = key(1).id();
    let tomorrow = Period::at(id, NOW + 24 * 3600);
    let replayed = Record::open(id, secret(2), tomorrow, &sealed(), NOW + 60);
    assert_eq!(replayed, Err(OpenError::Forged));
}

#[test]
fn an_old_record_says_how_old_it_is_and_one_of_the_future_by_how_much() {
    assert_eq!(open(&sealed(), NOW + VALID_FOR - 1), Ok(record()));
    let old = open(&sealed(), NOW + VALID_FOR).unwrap_err();
    assert_eq!(old, OpenError::Expired { age: VALID_FOR });
    assert!(old.to_string().contains("3 h old"), "{old}");
    assert_eq!(open(&sealed(), NOW - MAX_SKEW), Ok(record()));
    let ahead = MAX_SKEW + 1;
    let early = open(&sealed(), NOW - ahead);
    assert_eq!(early, Err(OpenError::Future { ahead }));
}

#[test]
fn a_record_that_wants_to_be_good_for_longer_is_refused() {
    let mut lasting = record();
    lasting.valid_until += 1;
    let period = Period::at(key(1).id(), NOW);
    let item = lasting.seal(&key(1), secret(2), period).unwrap();
    assert!(matches!(open(&item, NOW), Err(OpenError::Malformed(_))));
}

#[test]
fn what_is_oversized_truncated_or_of_another_version_is_refused() {
    let long = Item::new(sealed().key, 1, vec![1; MAX_VALUE + 1], [0; 64]);
    assert_eq!(
        open(&long, NOW),
        Err(OpenError::TooLong { len: MAX_VALUE + 1 })
    );
    let id = key(1).id();
    let lock = blind::Lock::new(id, secret(2), Period::at(id, NOW));
    let blinded = blind::BlindedKey::new(&key(1), &lock);
    for len in 0..29 {
        let short = item::signed(&blinded, NOW as i64, vec![1; len]);
        assert!(matches!(
            open(&short, NOW),
            Err(OpenError::Malformed(_) | OpenError::Sealed)
        ));
    }
    let mut newer = sealed().value;
    newer[0] = 2;
    let newer = item::signed(&blinded, NOW as i64, newer);
    assert_eq!(open(&newer, NOW), Err(OpenError::Version(2)));
    for plaintext in [&[][..], &[0], &[0, 9], &[0xff; 200], &[0; 200]] {
        assert!(open(&stored(plaintext, NOW as i64), NOW).is_err());
    }
}

#[test]
fn the_largest_record_has_877_bytes_and_what_is_too_much_is_left_out() {
    let host = |letter: char| [letter; MAX_HOST].iter().collect::<String>();
    let longest = |letter: char| {
        let mut host = host(letter);
        host.replace_range(31..32, ".");
        relay(8, &host)
    };
    let too_long = relay(8, &format!("a.{}", host('b').replacen("bb", "b.", 20)));
    let relays = [
        too_long,
        longest('a'),
        longest('b'),
        longest('c'),
        longest('d'),
    ];
    let addrs = ["[2001:db8::1]:5000".parse().unwrap(); 9];
    let full = Record::new(NOW, &relays, &addrs);
    assert_eq!(
        (full.relays.len(), full.addrs.len()),
        (MAX_RELAYS, MAX_ADDRS)
    );
    assert!(full.relays.iter().all(|it| it.host().len() == MAX_HOST));
    let period = Period::at(key(1).id(), NOW);
    let item = full.seal(&key(1), secret(2), period).unwrap();
    assert!(item.value.len() <= 877 && item.value.len() <= MAX_VALUE);
    assert_eq!(open(&item, NOW), Ok(full));
}

#[test]
fn the_length_does_not_tell_how_many_relays_there_are() {
    let period = Period::at(key(1).id(), NOW);
    let len = |relays: &[RelayUrl]| {
        let record = Record::new(NOW, relays, &[]);
        record.seal(&key(1), secret(2), period).unwrap().value.len()
    };
    let one = relay(8, "192.0.2.7");
    assert_eq!(len(&[]), len(std::slice::from_ref(&one)));
    assert_eq!(len(&[]), 192 + 29);
}

#[test]
fn around_the_turn_of_the_day_two_records_are_published_and_peers_turn_at_other_times() {
    let day = 24 * 3600;
    let turn = |id: PeerId| {
        let turns = |hour: &u64| Period::at(id, NOW + hour) != Period::at(id, NOW + hour + 1);
        (0..day).find(turns).unwrap()
    };
    let id = key(1).id();
    let at = NOW + turn(id);
    let two = [Period::at(id, at), Period::at(id, at + 1)];
    for now in [at - 4499, at, at + 1, at + 4500] {
        assert_eq!(Period::to_publish(id, now), two, "{now}");
    }
    assert_eq!(Period::to_publish(id, at - 4501), two[..1]);
    assert_eq!(Period::to_publish(id, at + 4501), two[1..]);
    assert_ne!(turn(id), turn(key(2).id()));
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", secret(2)), "DiscoverySecret");
}

fn records() -> impl Strategy<Value = Record> {
    let host = prop_oneof!["[a-z]{1,20}\\.[a-z]{2,40}", "192\\.0\\.2\\.[1-9]"];
    let relay = (any::<u8>(), host, 1u16..)
        .prop_map(|(seed, host, port)| RelayUrl::new(key(seed).id(), &host, port).unwrap());
    let addr = (any::<std::net::IpAddr>(), 1u16..).prop_map(Into::into);
    let (relays, addrs) = (
        proptest::collection::vec(relay, 0..=MAX_RELAYS),
        proptest::collection::vec(addr, 0..=MAX_ADDRS),
    );
    (0u64..4_000_000_000, relays, addrs)
        .prop_map(|(now, relays, addrs)| Record::new(now, &relays, &addrs))
}

#[test]
fn every_file_of_the_corpus_passes_the_harness() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/record");
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| fuzzing::record(&std::fs::read(file.unwrap().path()).unwrap()));
    assert!(files.count() > 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_is_read_as_it_was_written(
        record in records(), seed: u8, discovery: [u8; 16],
    ) {
        let (key, now) = (key(seed), record.written_at);
        let secret = DiscoverySecret::from_bytes(discovery);
        let period = Period::at(key.id(), now);
        let item = record.seal(&key, secret, period).unwrap();
        prop_assert!(item.value.len() <= MAX_VALUE);
        prop_assert_eq!(Record::open(key.id(), secret, period, &item, now), Ok(record));
    }

    #[test]
    fn no_bytes_pass_for_a_record(data in proptest::collection::vec(any::<u8>(), 0..1000)) {
        fuzzing::record(&data);
    }
}

#[test]
fn addresses_to_call_come_out_as_they_went_in_and_records_that_end_before_them_have_none() {
    let to_call = ["192.0.2.7:4000".parse().unwrap()];
    let record = Record::new(NOW, &[], &[]).to_call(&to_call);
    assert!(!record.is_empty());
    let period = Period::at(key(1).id(), NOW);
    let item = record.seal(&key(1), secret(2), period).unwrap();
    assert_eq!(open(&item, NOW), Ok(record));
    let lock = blind::Lock::new(key(1).id(), secret(2), period);
    let older = postcard::to_allocvec(&(NOW as u32 + 60, [0_u8; 2])).unwrap();
    let plaintext = body::signed(&older, &key(1), &lock, NOW as i64);
    let older = open(&stored(&plaintext, NOW as i64), NOW).unwrap();
    assert!(older.is_empty());
}
