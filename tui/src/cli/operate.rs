//! Has a node measure something: the one that runs here or, where there is none, one of the command's own.

use std::pin::pin;

use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

#[cfg(unix)]
use super::attach;
use super::{
    args::Globals,
    failure::Failure,
    node::{Node, relays_for},
    out,
    peers::Peers,
};
use crate::operations::{Ask, FailureKind, Step};
#[cfg(unix)]
use crate::{cli::node::interrupted, cli::state::StateDir, control::ControlError};

/// Carries it out and has each step noted; none if Ctrl-C, SIGTERM or SIGHUP came first.
pub(super) async fn carry_out(
    globals: &Globals,
    ask: Ask,
    started_at: Instant,
    note: impl FnMut(Step) -> Result<(), Failure>,
) -> Result<Option<()>, Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::willing(globals).await? {
        // Before anything is begun.
        let interrupted = interrupted();
        let peers = StateDir::open(globals)?.peers();
        let steps = async {
            let steps = node.operate(&ask).await?;
            let steps = steps.map(|step| step.map_err(Failure::from));
            follow(steps, &ask, &peers, note)
                .await?
                .ok_or_else(|| ControlError::Stream("it has ended".to_owned()).into())
        };
        return tokio::select! {
            done = steps => done.map(Some),
            () = interrupted => Ok(None),
        };
    }
    let node = match ask.peer() {
        Some(peer) => Node::dialling(globals, relays_for(globals, peer)).await?,
        None => Node::beside(globals, globals.relays.clone()).await?,
    };
    let steps = ask.clone().begin(node.endpoint.clone(), started_at).map(Ok);
    let followed = follow(steps, &ask, node.peers(), note);
    let ended = node.run(async { followed.await.map(drop) }).await;
    if let Err(Failure::Operation(failed)) = &ended
        && failed.kind == FailureKind::Unreachable
    {
        node.hint_at_identity();
    }
    ended
}

/// None if the steps break off.
async fn follow(
    steps: impl Stream<Item = Result<Step, Failure>>,
    ask: &Ask,
    peers: &Peers,
    mut note: impl FnMut(Step) -> Result<(), Failure>,
) -> Result<Option<()>, Failure> {
    let mut steps = pin!(steps);
    while let Some(step) = steps.next().await {
        let step = step?;
        if let Step::Failed(failed) = step {
            return Err(failed.into());
        }
        if let Step::Done = step {
            return Ok(Some(()));
        }
        if let Step::Hint { text } = &step {
            out::hint(text);
        }
        if let (Step::Connected { .. }, Some(peer)) = (&step, ask.peer()) {
            peers.remember(peer);
        }
        note(step)?;
    }
    Ok(None)
}
