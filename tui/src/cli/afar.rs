//! The node of a peer, which has this computer as an admin, to commands that are about it.

use peerway::Ticket;

use super::{
    args::{Globals, PeerName},
    attach,
    failure::Failure,
    node::{Node, Patience, meet, relays_for},
    out,
    state::StateDir,
};
use crate::control::Client;

/// A node that answers.
pub(super) struct Afar {
    pub(super) node: Client,
    pub(super) peer: Ticket,
    /// By what it is asked.
    pub(super) way: &'static str,
}

/// Has `body` ask the node of a peer, through the one that runs here or, where there is none, over a link of the command's own.
pub(super) async fn ask<R>(
    globals: &Globals,
    peer: &PeerName,
    body: impl FnOnce(Afar) -> R,
) -> Result<(), Failure>
where
    R: Future<Output = Result<(), Failure>>,
{
    let peer = meet(globals, peer).await?;
    if let Some(here) = attach::willing(globals).await? {
        attach::knowing(&here).await?;
        let node = here.through(&peer);
        let way = "asked by the node that runs here";
        return body(Afar { node, peer, way }).await;
    }
    let own = Node::dialling(globals, relays_for(globals, &peer)).await?;
    if own.is_temporary() {
        // Nobody's admin.
        return Err(StateDir::open(globals)?.in_use());
    }
    out::hint("no node runs here to ask it: this command runs one until it ends");
    let asked = async {
        own.settled().await;
        let dial = Client::over(&own.endpoint, peer.clone());
        let node = own.answer(&peer, Patience::within(None), dial).await?;
        let way = "asked by a node of this command's own";
        body(Afar { node, peer, way }).await
    };
    own.run(asked).await.map(drop)
}
