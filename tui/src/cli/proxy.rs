//! `peerway proxy`: SOCKS5 and HTTP CONNECT for programs of this computer, to services of peers of the address book.

use std::{collections::BTreeSet, net::SocketAddr};

use peerway::{
    RelayUrl, Ticket,
    services::tunnel::{self, AssociateCounts, ProxyError},
};
use serde::Serialize;
use tokio::{net::TcpListener, sync::mpsc};

use super::{
    args::{Globals, Proxy},
    failure::Failure,
    node::Node,
    out,
    state::StateDir,
    up,
};
use crate::{
    book::{Book, Trust},
    forwarding::ListenError,
};

/// Refusals that wait to be told of.
const UNREAD: usize = 64;
/// Relays of peers that the node registers with, where it has none of its own.
const MAX_RELAYS: usize = 4;

pub(super) async fn run(globals: &Globals, args: &Proxy) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::OpenProxy(args.listen));
    }
    let failed = |source| ListenError {
        addr: args.listen.to_string(),
        source,
    };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let node = Node::dialling(globals, relays(globals)?).await?;
    let book = node.book().watch();
    let proxy = tunnel::Proxy::new(node.endpoint.clone(), move |name| {
        whom(&book.borrow(), name)
    });
    let (refusals, mut told) = mpsc::channel(UNREAD);
    let refused = move |name: &str, error: &ProxyError| {
        // Whoever does not read is served all the same.
        let _ = refusals.try_send((name.to_owned(), error.to_string()));
    };
    let json = globals.json;
    let body = async {
        if json {
            out::json(&Record::Listening { addr })?;
        } else {
            out::text(format!(
                "SOCKS5 and HTTP CONNECT at {addr}: names like SERVICE.PEER.peer lead to services of the address book's peers"
            ))?;
        }
        let print = async {
            while let Some((name, reason)) = told.recv().await {
                out::aside(move || print(&name, &reason, json)).await?;
            }
            Ok(())
        };
        tokio::select! {
            () = proxy.run(listener, refused) => Ok(()),
            printed = up::served_without_reader(print) => printed,
            never = node.book().follow(&node.endpoint, out::hint) => match never {},
        }
    };
    let ran = node.run(body).await;
    print_counts(proxy.datagrams(), json)?;
    ran?;
    Ok(())
}

/// Nothing, if no program had datagrams carried.
fn print_counts(counts: AssociateCounts, json: bool) -> std::io::Result<()> {
    if counts == AssociateCounts::default() {
        return Ok(());
    }
    if json {
        return out::json(&Record::of(counts));
    }
    let mut text = format!(
        "UDP: {} datagrams led to services, {} answers",
        counts.sent, counts.received
    );
    for (count, what) in [
        (counts.fragments, "pieces of larger ones dropped"),
        (counts.refused, "had nowhere to go"),
        (
            counts.strangers,
            "came from another address than the program's",
        ),
    ] {
        if count > 0 {
            text += &format!("; {count} {what}");
        }
    }
    out::text(text)
}

fn print(name: &str, reason: &str, json: bool) -> std::io::Result<()> {
    match json {
        true => out::json(&Record::Refused { name, reason }),
        false => out::text(format!("{name} was not reached: {reason}")),
    }
}

/// The peer of that name, which programs may have written in lower case.
fn whom(book: &Book, name: &str) -> Option<Ticket> {
    let entry = book.called(name)?;
    (entry.trust != Trust::Block).then(|| entry.ticket.clone())
}

/// Its own relays, or some of the peers'.
pub(super) fn relays(globals: &Globals) -> Result<Vec<RelayUrl>, Failure> {
    if !globals.relays.is_empty() {
        return Ok(globals.relays.clone());
    }
    let peers = StateDir::open(globals)?.peers();
    let book = peers.book().read()?;
    let all = book.entries().flat_map(|(_, entry)| entry.ticket.relays());
    let all: BTreeSet<_> = all.cloned().collect();
    Ok(all.into_iter().take(MAX_RELAYS).collect())
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record<'a> {
    Listening {
        addr: SocketAddr,
    },
    Refused {
        name: &'a str,
        reason: &'a str,
    },
    Datagrams {
        sent: u64,
        received: u64,
        fragments: u64,
        refused: u64,
        strangers: u64,
    },
}

impl Record<'_> {
    fn of(counts: AssociateCounts) -> Self {
        Self::Datagrams {
            sent: counts.sent,
            received: counts.received,
            fragments: counts.fragments,
            refused: counts.refused,
            strangers: counts.strangers,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use peerway::SecretKey;

    use super::*;
    use crate::{book::Name, cli::documented::assert_keys};

    #[test]
    fn a_name_is_the_peer_that_is_called_so_and_in_other_letters_only_where_that_is_one() {
        let ids = [1, 2, 3].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
        let mut draft = crate::book::Draft::of("").unwrap();
        for (name, id) in ["NAS", "nas", "Box"].into_iter().zip(ids) {
            let ticket = id.into();
            draft
                .add(&Name::from_str(name).unwrap(), &ticket, None)
                .unwrap();
        }
        let called = |name| whom(draft.book(), name).map(|ticket| ticket.id());
        assert_eq!(called("NAS"), Some(ids[0]));
        assert_eq!(called("nas"), Some(ids[1]));
        assert_eq!(called("Nas"), None, "either");
        assert_eq!(called("box"), Some(ids[2]));
    }

    #[test]
    fn the_lines_keep_their_keys() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1080));
        assert_keys("proxy", &Record::Listening { addr });
        let (name, reason) = ("a.b.peer", "away");
        assert_keys("proxy", &Record::Refused { name, reason });
        assert_keys("proxy", &Record::of(AssociateCounts::default()));
    }
}
