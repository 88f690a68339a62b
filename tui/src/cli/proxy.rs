//! `peerway proxy`: SOCKS5 and HTTP CONNECT for programs of this computer, to services of peers of the address book.

use std::{collections::BTreeSet, pin::pin};

use futures_util::{Stream, StreamExt};
use peerway::RelayUrl;

use super::{
    args::{Globals, Proxy},
    failure::Failure,
    node::{self, Node},
    out,
    state::StateDir,
    up,
};
use crate::proxying::{self, Datagrams, Proxying, Step};

/// Relays of peers that the node registers with, where it has none of its own.
const MAX_RELAYS: usize = 4;

pub(super) async fn run(globals: &Globals, args: &Proxy) -> Result<(), Failure> {
    #[cfg(unix)]
    if let Some(client) = super::attach::willing(globals).await? {
        return attached::proxy(globals, &client, args).await;
    }
    let (listener, addr) = proxying::listen(args.listen).await?;
    let node = Node::dialling(globals, relays(globals)?).await?;
    if !node.is_temporary() {
        out::hint(node::OWN);
    }
    let proxying = Proxying::new(&node.links(), listener, addr);
    let counts = proxying.counts();
    let steps = proxying.begin().map(Ok);
    let body = async {
        // Dropped, it ends the proxy, which goes on without a reader.
        let mut steps = pin!(steps);
        let mut told = Datagrams::default();
        tokio::select! {
            followed = up::served_without_reader(follow(&mut steps, globals.json, &mut told)) => followed,
            never = node.book().follow(&node.endpoint, out::hint) => match never {},
        }
    };
    let ran = node.run(body).await;
    print_counts(counts(), globals.json)?;
    ran?;
    Ok(())
}

/// By the node that runs here.
#[cfg(unix)]
mod attached {
    use futures_util::StreamExt;

    use super::{
        super::node::interrupted, Datagrams, Failure, Globals, Proxy, follow, print_counts,
        proxying, up,
    };
    use crate::{control::Client, proxying::ProxyAsk};

    pub(super) async fn proxy(
        globals: &Globals,
        client: &Client,
        args: &Proxy,
    ) -> Result<(), Failure> {
        // Before anything is begun.
        let interrupted = interrupted();
        proxying::only_here(args.listen)?;
        let listen = args.listen;
        let mut told = Datagrams::default();
        let proxying = async {
            let mut steps = client
                .proxy(&ProxyAsk { listen })
                .await?
                .map(|step| Ok(step?));
            up::served_without_reader(follow(&mut steps, globals.json, &mut told)).await
        };
        let followed = tokio::select! {
            followed = proxying => followed,
            () = interrupted => Ok(()),
        };
        print_counts(told, globals.json)?;
        followed
    }
}

/// Prints how it fares, and leaves in `told` what became of datagrams so far. Ends with the node.
async fn follow(
    steps: &mut (impl Stream<Item = Result<Step, Failure>> + Unpin),
    json: bool,
    told: &mut Datagrams,
) -> Result<(), Failure> {
    while let Some(step) = steps.next().await {
        match step? {
            Step::Datagrams(counts) => *told = counts,
            step @ (Step::Listening { .. } | Step::Refused { .. }) => {
                out::aside(move || print(&step, json)).await?;
            }
        }
    }
    Err(Failure::NodeEnded)
}

fn print(step: &Step, json: bool) -> std::io::Result<()> {
    match step {
        _ if json => out::json(step),
        Step::Listening { addr } => out::text(format!(
            "SOCKS5 and HTTP CONNECT at {addr}: names like SERVICE.PEER.peer lead to services of the address book's peers"
        )),
        Step::Refused { name, reason } => out::text(format!("{name} was not reached: {reason}")),
        Step::Datagrams(_) => Ok(()),
    }
}

/// Nothing, if no program had datagrams carried.
fn print_counts(counts: Datagrams, json: bool) -> std::io::Result<()> {
    if counts == Datagrams::default() {
        return Ok(());
    }
    if json {
        return out::json(&Step::Datagrams(counts));
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::cli::documented::assert_keys;

    #[test]
    fn the_lines_keep_their_keys() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1080));
        assert_keys("proxy", &Step::Listening { addr });
        let (name, reason) = ("a.b.peer".to_owned(), "away".to_owned());
        assert_keys("proxy", &Step::Refused { name, reason });
        assert_keys("proxy", &Step::Datagrams(Datagrams::default()));
    }
}
