//! `peerway link`: joins this home's network and a peer's by a TUN device.

mod line;

use std::collections::BTreeMap;

use peerway::{
    PeerId, Router, Ticket,
    services::subnet::{self, LinkState, Offer, Status, Subnet, SubnetError},
};
use tokio::sync::watch;

use self::line::Record;
use super::{
    answering::Answering,
    args::{Globals, Link},
    failure::Failure,
    invite,
    node::{self, Node},
    out, sharing, up,
};
use crate::book::Book;

pub(super) async fn run(globals: &Globals, args: &Link) -> Result<(), Failure> {
    let mut peers = Vec::new();
    for peer in &args.peers {
        peers.push(node::meet(globals, peer).await?);
    }
    let globals = &with_relays(globals, &peers);
    let node = Node::listening(globals).await?;
    check(&node, &peers)?;
    // Gone before the claim on the identity is, so that it is never the next node's.
    let answering = Answering::open(globals, &node, None);
    let router = up::diagnostics(Router::new(node.endpoint.clone()), true);
    let router = invite::host(router, globals, &node, out::hint)?;
    let router = sharing::accept(router, &node);
    let offer = Offer {
        advertised: args.advertise.clone(),
        accepted: args.accept.clone(),
    };
    let body = async {
        let subnet = Subnet::open(node.endpoint.clone(), peers, offer).await?;
        let served = subnet.clone();
        let serve = move |connection| served.clone().serve(connection);
        let router = router.accept(subnet::ALPN, serve);
        let print = print(subnet.watch(), &node, globals.json);
        tokio::select! {
            () = router.run() => Ok(()),
            () = subnet.run() => Ok(()),
            () = answering.serve(&node) => Ok(()),
            never = node.book().follow(&node.endpoint, out::hint) => match never {},
            never = sharing::share(&node) => match never {},
            result = up::served_without_reader(print) => result,
        }
    };
    node.run(body).await?;
    Ok(())
}

/// Those that the user names, else the peers' own: both sides have to be found.
fn with_relays(globals: &Globals, peers: &[Ticket]) -> Globals {
    let mut relays = globals.relays.clone();
    if relays.is_empty() {
        for relay in peers.iter().flat_map(Ticket::relays) {
            if !relays.contains(relay) {
                relays.push(relay.clone());
            }
        }
    }
    Globals {
        relays,
        ..globals.clone()
    }
}

/// No peer is ourselves, or one that the book blocks.
fn check(node: &Node, peers: &[Ticket]) -> Result<(), Failure> {
    let book = node.book().book();
    for peer in peers {
        if peer.id() == node.endpoint.id() {
            return Err(Failure::OwnPeer);
        }
        if let Some(name) = book.blocked(peer.id()) {
            return Err(Failure::Blocked(name.clone()));
        }
        if !book.access().lets_in(peer.id()) {
            out::hint(format!(
                "{} is not let in by the address book, so only this side can dial: `peerway add NAME TICKET`",
                peer.id().short()
            ));
        }
    }
    Ok(())
}

/// Says which addresses this computer has, and how each link is whenever that changes.
async fn print(
    mut status: watch::Receiver<Status>,
    node: &Node,
    json: bool,
) -> Result<(), Failure> {
    let first = status.borrow_and_update().clone();
    let ticket = node.endpoint.ticket();
    out::aside(move || line::device(&first, &ticket, json)).await?;
    let mut told: BTreeMap<PeerId, LinkState> = BTreeMap::new();
    loop {
        let now = status.borrow_and_update().clone();
        let book: std::sync::Arc<Book> = node.book().book();
        for (peer, link) in now.links {
            if told.get(&peer) != Some(&link) {
                told.insert(peer, link.clone());
                let book = book.clone();
                out::aside(move || Record::of(peer, &link).print(&book, json)).await?;
            }
        }
        if status.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Why there is no device, and what to do without one.
pub(super) fn words(error: &SubnetError) -> String {
    if matches!(error, SubnetError::NotPermitted) {
        format!(
            "{error}: `sudo setcap cap_net_admin+ep $(command -v peerway)` gives it to this program for good. Without it, `peerway expose` and `forward` reach single servers"
        )
    } else {
        error.to_string()
    }
}
