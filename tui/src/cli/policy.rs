//! `peerway policy`: which paths the node that runs here takes to a peer.

use peerway::{Names, PathPolicy, PeerId};
use serde::Serialize;

use super::{
    args::{Globals, PolicyArgs},
    attach,
    failure::Failure,
    out,
    state::StateDir,
};
use crate::dash::words::reached;

pub(super) async fn run(globals: &Globals, args: &PolicyArgs) -> Result<(), Failure> {
    let node = attach::needed(globals).await?;
    let state = StateDir::open(globals)?;
    let book = state.names();
    let peer = state.peers().meant(&args.peer, &book)?.id();
    if state.is_own(peer)? {
        return Err(Failure::OwnPeer);
    }
    let policy = match args.policy {
        Some(policy) => {
            node.set_policy(peer, policy).await?;
            policy
        }
        None => node.policy(peer).await?,
    };
    if globals.json {
        return Ok(out::json(&Report { peer, policy })?);
    }
    let name = book.peer(&peer);
    Ok(out::text(format!(
        "{policy}: {name} is reached {}",
        reached(policy)
    ))?)
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
struct Report {
    peer: PeerId,
    policy: PathPolicy,
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_line_keeps_its_keys() {
        let peer = peerway::SecretKey::from_seed(&[1; 32]).id();
        let policy = PathPolicy::RelayOnly;
        assert_keys("policy", &Report { peer, policy });
    }
}
