//! `peerway pair`: two computers that know nothing of each other get into each other's address book by a code of nine letters.

use std::{io::IsTerminal, time::Duration};

use peerway::{
    Builder, PeerId, RelayUrl, Ticket,
    services::pair::{self, Card, Code},
};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    args::{Globals, Pair},
    failure::Failure,
    node::Node,
    out,
    state::StateDir,
    ticket,
};
use crate::book::{Book, Draft, EditError, Name, Trust};

/// How long a code is shown.
pub(super) const VALID: Duration = Duration::from_secs(600);

pub(super) async fn run(globals: &Globals, args: &Pair) -> Result<(), Failure> {
    let ticket = ticket::own(globals).await?;
    let relays = ticket.relays().to_vec();
    let ours = Card::new(ticket, &args.called.clone().unwrap_or_else(host_name));
    let theirs = match args.code()? {
        None => show(globals, &relays, &ours).await?,
        Some(code) => type_in(globals, &relays, &code, &ours).await?,
    };
    let name = keep(&StateDir::open(globals)?, &theirs)?;
    tell(globals, &name, &theirs.ticket)
}

/// Shows a code and waits for who types it.
async fn show(globals: &Globals, relays: &[RelayUrl], ours: &Card) -> Result<Card, Failure> {
    let code = Code::generate()?;
    let builder = globals.builder().secret_key(code.rendezvous());
    let node = meeting(globals, builder, relays).await?;
    let body = async {
        if !relays.is_empty() {
            node.reachable().await?;
        }
        print_code(globals, &code)?;
        say_where(relays);
        let waiting = timeout(VALID, pair::wait(&node.endpoint, &code, ours));
        Ok(waiting.await.map_err(|_| Failure::CodeExpired)??)
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

/// Where a code that is shown can be typed, unless that is anywhere.
pub(super) fn say_where(relays: &[RelayUrl]) {
    if relays.is_empty() {
        out::hint(
            "without a relay the other computer has to be on this network: with --relay URL on both it may be anywhere",
        );
    }
}

async fn type_in(
    globals: &Globals,
    relays: &[RelayUrl],
    code: &Code,
    ours: &Card,
) -> Result<Card, Failure> {
    let node = meeting(globals, globals.builder().visits(true), relays).await?;
    let body = async {
        node.settled().await;
        Ok(pair::type_in(&node.endpoint, relays, code, ours).await?)
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

/// A node to meet with, which is gone afterwards.
pub(super) async fn meeting(
    globals: &Globals,
    builder: Builder,
    relays: &[RelayUrl],
) -> Result<Node, Failure> {
    let builder = builder
        .relays(relays.to_vec())
        .alpns([pair::ALPN])
        .port_mapping(false);
    Node::passing(globals, builder).await
}

/// Puts the other one into the address book, by the name that it wishes if that is one and free.
fn keep(state: &StateDir, theirs: &Card) -> Result<Name, Failure> {
    let id = theirs.ticket.id();
    if state.is_own(id)? {
        return Err(Failure::OwnPeer);
    }
    Ok(state.peers().book().change(|draft| {
        let known = draft.book().of(id).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| free_name(draft.book(), &theirs.name, id));
        add(draft, &name, &theirs.ticket)?;
        Ok(name)
    })?)
}

fn add(draft: &mut Draft, name: &Name, ticket: &Ticket) -> Result<(), EditError> {
    draft.add(name, ticket, None)?;
    let is_kept_out = draft
        .book()
        .get(name.as_str())
        .is_some_and(|entry| entry.trust != Trust::Allow);
    if is_kept_out {
        draft.trust(ticket, Trust::Allow)?;
    }
    Ok(())
}

/// The wish, or as near to it as may be. A group's name is not free: `expose --allow` takes either.
pub(super) fn free_name(book: &Book, wish: &str, id: PeerId) -> Name {
    let short: String = wish.chars().take(Name::MAX_CHARS - 3).collect();
    let numbered = (2..100).map(|number| format!("{short}-{number}"));
    let whole = wish.chars().take(Name::MAX_CHARS).collect();
    let mut names = std::iter::once(whole)
        .chain(numbered)
        .filter_map(|name| name.parse().ok());
    let free = names.find(|name: &Name| !book.has_name(name) && !book.shares(name));
    free.unwrap_or_else(|| Name::short(id))
}

fn print_code(globals: &Globals, code: &Code) -> Result<(), Failure> {
    if globals.json {
        let code = code.to_string();
        return Ok(out::json(&Record::Code { code })?);
    }
    if std::io::stdout().is_terminal() {
        out::text(ticket::qr(&code.to_string().to_ascii_uppercase())?)?;
    }
    out::text(format!(
        "on the other computer, within ten minutes: peerway pair {code}"
    ))?;
    Ok(())
}

fn tell(globals: &Globals, name: &Name, ticket: &Ticket) -> Result<(), Failure> {
    if globals.json {
        let (name, id) = (name.as_str(), ticket.id());
        return Ok(out::json(&Record::Paired { name, id, ticket })?);
    }
    out::text(format!("paired with {name} ({})", ticket.id().short()))?;
    out::hint(format!(
        "try `peerway up` on one of the two, and `peerway ping` with its name on the other; here it is {name}"
    ));
    Ok(())
}

/// What this computer is called among its owner's.
pub(super) fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name = name.split('.').next().unwrap_or_default();
    if name.is_empty() { "computer" } else { name }.to_owned()
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record<'a> {
    Code {
        code: String,
    },
    Paired {
        name: &'a str,
        id: PeerId,
        ticket: &'a Ticket,
    },
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;
    use tempfile::TempDir;

    use super::{super::documented::assert_keys, *};

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn state(folder: &TempDir) -> StateDir {
        let globals = Globals {
            state_dir: Some(folder.path().to_owned()),
            ..Globals::default()
        };
        StateDir::open(&globals).unwrap()
    }

    #[test]
    fn who_paired_is_called_as_it_wishes_unless_another_is_or_the_wish_is_no_name() {
        let folder = TempDir::new().unwrap();
        let state = state(&folder);
        let keep = |seed, wish: &str| keep(&state, &Card::new(id(seed).into(), wish)).unwrap();
        assert_eq!(keep(1, "laptop").as_str(), "laptop");
        assert_eq!(keep(2, "laptop").as_str(), "laptop-2");
        assert_eq!(
            keep(1, "attic").as_str(),
            "laptop",
            "who is known keeps its name"
        );
        assert_eq!(keep(3, "\u{1b}[2J").as_str(), id(3).short());
        assert_eq!(keep(4, "").as_str(), id(4).short());
        assert_eq!(keep(5, &"x".repeat(64)).as_str(), "x".repeat(32));
        assert_eq!(
            keep(6, &"x".repeat(64)).as_str(),
            format!("{}-2", "x".repeat(29))
        );
    }

    #[test]
    fn who_was_blocked_and_is_paired_with_is_let_in_again() {
        let folder = TempDir::new().unwrap();
        let state = state(&folder);
        let card = Card::new(id(1).into(), "laptop");
        keep(&state, &card).unwrap();
        let book = state.peers();
        book.book()
            .change(|draft| draft.trust(&card.ticket, Trust::Block))
            .unwrap();
        keep(&state, &card).unwrap();
        assert_eq!(
            book.book().read().unwrap().get("laptop").unwrap().trust,
            Trust::Allow
        );
    }

    #[test]
    fn the_keys_of_the_lines_are_documented() {
        let ticket = Ticket::from(id(1));
        assert_keys(
            "pair",
            &Record::Code {
                code: String::new(),
            },
        );
        let (name, id) = ("laptop", ticket.id());
        assert_keys(
            "pair",
            &Record::Paired {
                name,
                id,
                ticket: &ticket,
            },
        );
    }
}
