//! `peerway link`: joins this home's network and a peer's by a TUN device.

mod line;

use std::pin::pin;

use futures_util::{Stream, StreamExt};
use peerway::{
    PeerId, Router, Ticket,
    services::subnet::{self, Offer},
};

use super::{
    answering::Answering,
    args::{Globals, Link},
    expose,
    failure::Failure,
    invite, kept,
    node::{self, Node},
    out, receive, sharing,
    state::StateDir,
    up,
};
use crate::{book::Book, linking::Step};

pub(super) async fn run(globals: &Globals, args: &Link) -> Result<(), Failure> {
    if let Some(action) = &args.action {
        return kept::link(globals, action).await;
    }
    let mut peers = Vec::new();
    for peer in &args.peers {
        peers.push(node::meet(globals, peer).await?);
    }
    if let Some(client) = super::attach::running(globals).await? {
        return attached::link(globals, &client, args, peers).await;
    }
    out::hint(node::OWN);
    let globals = &with_relays(globals, &peers);
    let node = Node::listening(globals).await?;
    check(node.endpoint.id(), &node.book().book(), &peers)?;
    let answering = Answering::open(globals, &node, None).await?;
    let router = up::diagnostics(Router::new(node.endpoint.clone()), true);
    let router = serve(receive::serve(expose::serve(router, &node), &node), &node);
    let router = invite::host(router, globals, &node, out::hint)?;
    let router = sharing::accept(router, &node);
    let offer = Offer {
        advertised: args.ranges.advertise.clone(),
        accepted: args.ranges.accept.clone(),
    };
    let body = async {
        let linking = node.linker().link(node.endpoint.clone(), peers, offer);
        let steps = linking.await.map_err(|error| error.failed())?.map(Ok);
        let ticket = node.endpoint.ticket();
        let mut steps = pin!(steps);
        tokio::select! {
            () = router.run() => Ok(()),
            () = answering.serve(&node) => Ok(()),
            never = node.book().follow(&node.endpoint, out::hint) => match never {},
            never = sharing::share(&node) => match never {},
            result = up::served_without_reader(follow(&mut steps, globals, &ticket)) => result,
        }
    };
    node.run(body).await?;
    Ok(())
}

/// The router that also carries packets of the links that there are at the moment.
pub(super) fn serve(router: Router, node: &Node) -> Router {
    let linker = node.linker().clone();
    router.accept(subnet::ALPN, move |connection| {
        let linker = linker.clone();
        async move { linker.serve(connection).await }
    })
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
fn check(own: PeerId, book: &Book, peers: &[Ticket]) -> Result<(), Failure> {
    for peer in peers {
        if peer.id() == own {
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

/// Says which addresses this computer has, and how each link is whenever that changes. Ends with the links.
async fn follow(
    steps: &mut (impl Stream<Item = Result<Step, Failure>> + Unpin),
    globals: &Globals,
    ticket: &Ticket,
) -> Result<(), Failure> {
    let json = globals.json;
    while let Some(step) = steps.next().await {
        match step? {
            Step::Failed(failed) => return Err(failed.into()),
            step @ (Step::Device { .. } | Step::Link { .. }) => {
                let (book, ticket) = (StateDir::open(globals)?.names(), ticket.clone());
                out::aside(move || line::print(&step, &ticket, &book, json)).await?;
            }
        }
    }
    Err(Failure::NodeEnded)
}

/// By the node that runs here.
mod attached {
    use futures_util::StreamExt;

    use super::{Failure, Globals, Link, StateDir, Ticket, check, follow, out, up};
    use crate::{
        cli::{attach, node::interrupted},
        control::Client,
        linking::{LinkAsk, Step},
        operations::FailureKind,
        written::Written,
    };

    /// The node makes the device with its own rights.
    pub(super) async fn link(
        globals: &Globals,
        client: &Client,
        args: &Link,
        peers: Vec<Ticket>,
    ) -> Result<(), Failure> {
        if let Some(option) = attach::lacking(globals, client).await? {
            return Err(Failure::Lacks(option));
        }
        // Before anything is begun.
        let interrupted = interrupted();
        let ticket = client.status().await?.ticket;
        check(ticket.id(), &StateDir::open(globals)?.names(), &peers)?;
        let ask = LinkAsk {
            tickets: peers,
            advertise: args.ranges.advertise.iter().copied().map(Written).collect(),
            accept: args.ranges.accept.iter().copied().map(Written).collect(),
        };
        let linking = async {
            let steps = client.link(&ask).await?;
            let mut steps = steps.map(|step| Ok(step?)).inspect(hint_at_rights);
            up::served_without_reader(follow(&mut steps, globals, &ticket)).await
        };
        tokio::select! {
            linked = linking => linked,
            () = interrupted => Ok(()),
        }
    }

    fn hint_at_rights(step: &Result<Step, Failure>) {
        if let Ok(Step::Failed(failed)) = step
            && failed.kind == FailureKind::NotPermitted
        {
            out::hint(
                "the node that runs here makes the device, with the rights that it was started with: once the program has that right, `peerway down` and `peerway up`",
            );
        }
    }
}
