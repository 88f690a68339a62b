//! `peerway accept`: who asks to be let in, and lets them in.

use std::time::Duration;

use peerway::{Caller, PeerId, Ticket};
use serde::Serialize;

use super::{
    args::{Accept, Globals, PeerName, is_start_of_id},
    attach, book,
    failure::Failure,
    out,
    peers::{Peers, list},
    state::StateDir,
};
use crate::{
    book::{Book, Draft, EditError, Name, Trust},
    dash::format::age,
};

pub(super) async fn run(globals: &Globals, args: &Accept) -> Result<(), Failure> {
    match &args.peer {
        Some(peer) => accept(globals, peer, args.name.as_ref()).await,
        None => print(globals).await,
    }
}

/// Those who called the node that runs here and were not let in, the latest first, but for whom the book blocks.
async fn print(globals: &Globals) -> Result<(), Failure> {
    let snapshot = attach::needed(globals).await?.status().await?;
    let book = StateDir::open(globals)?.names();
    let asking = snapshot.turned_away.iter();
    let asking: Vec<_> = asking.filter(|it| book.blocked(it.id).is_none()).collect();
    if asking.is_empty() && !globals.json {
        return Ok(out::text(
            "nobody who is not let in has called within the last hour",
        )?);
    }
    for Caller { id, at_ms, .. } in asking {
        let name = book.of(*id).map(|(name, _)| name.as_str());
        if globals.json {
            out::json(&Line {
                id: *id,
                name,
                trust: book.trust(*id).word(),
                at_ms: *at_ms,
            })?;
        } else {
            let ago = age(Duration::from_millis(snapshot.at_ms.saturating_sub(*at_ms)));
            let name = name.map_or_else(String::new, |name| format!("  {name}"));
            out::text(format!("{}  called {ago} ago{name}", id.short()))?;
        }
    }
    Ok(())
}

async fn accept(globals: &Globals, peer: &PeerName, name: Option<&Name>) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let asking = match attach::running(globals).await? {
        Some(node) => node.status().await?.turned_away,
        None => Vec::new(),
    };
    let ticket = meant(&peers, peer, &peers.book().read()?, &asking)?;
    if state.is_own(ticket.id())? {
        return Err(Failure::OwnPeer);
    }
    let (name, book) = peers.book().change(|draft| {
        let name = let_in(draft, &ticket, name)?;
        Ok((name, draft.book().clone()))
    })?;
    attach::reread_book(globals).await?;
    let line = format!("{name} is let in ({})", ticket.id().short());
    book::print_entry(globals, &book, &name, line)
}

/// Puts somebody into the book, by this name or the one that it has.
pub(super) fn let_in(
    draft: &mut Draft,
    ticket: &Ticket,
    name: Option<&Name>,
) -> Result<Name, EditError> {
    if let Some(name) = name {
        draft.add(name, ticket, None)?;
    }
    draft.trust(ticket, Trust::Allow)
}

/// Who is meant: of those who ask, the first letters of the id are enough.
fn meant(
    peers: &Peers,
    name: &PeerName,
    book: &Book,
    asking: &[Caller],
) -> Result<Ticket, Failure> {
    if let PeerName::Called(text) = name
        && book.get(text).is_none()
        && is_start_of_id(text)
    {
        let start = text.to_ascii_lowercase();
        let ids = asking.iter().map(|caller| caller.id);
        let begin_so = ids.filter(|id| id.to_string().starts_with(&start));
        match &begin_so.map(Ticket::from).collect::<Vec<_>>()[..] {
            [] => {}
            [one] => return Ok(one.clone()),
            several => {
                return Err(Failure::SeveralPeers {
                    start,
                    candidates: list(several),
                });
            }
        }
    }
    peers.meant(name, book)
}

#[derive(Serialize)]
struct Line<'a> {
    id: PeerId,
    name: Option<&'a str>,
    trust: &'static str,
    at_ms: u64,
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_lines_keep_their_keys() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let line = Line {
            id,
            name: None,
            trust: "ask",
            at_ms: 7,
        };
        assert_keys("accept", &line);
    }

    #[test]
    fn who_is_accepted_is_let_in_by_a_name_of_ones_choice_or_its_own() {
        let ticket = |seed| Ticket::from(SecretKey::from_seed(&[seed; 32]).id());
        let mut draft = Draft::of("strangers = \"ask\"").unwrap();
        let nas: Name = "nas".parse().unwrap();
        assert_eq!(let_in(&mut draft, &ticket(1), Some(&nas)).unwrap(), nas);
        let short = let_in(&mut draft, &ticket(2), None).unwrap();
        assert_eq!(short.as_str(), ticket(2).id().short());
        assert_eq!(let_in(&mut draft, &ticket(1), None).unwrap(), nas);
        let access = draft.book().access();
        let let_in = [1, 2, 3].map(|seed| access.lets_in(ticket(seed).id()));
        assert_eq!(let_in, [true, true, false]);
    }
}
