//! `peerway top`: the dashboard of a node, of this computer's or of a peer's.

use super::{
    afar,
    args::{Globals, Top},
    dashboard,
    failure::Failure,
};

pub(super) async fn run(globals: &Globals, args: &Top) -> Result<(), Failure> {
    match &args.peer {
        None => dashboard::run(globals, &args.screen).await,
        Some(peer) => {
            let show = |node| dashboard::of_peer(globals, &args.screen, node);
            afar::ask(globals, peer, show).await
        }
    }
}
