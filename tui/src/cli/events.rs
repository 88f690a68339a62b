//! `peerway events`: what happens on the node that runs here.

use std::sync::Arc;

use futures_util::StreamExt;

use super::{args::Globals, attach, failure::Failure, out, state::StateDir, up::Printer};

pub(super) async fn run(globals: &Globals) -> Result<(), Failure> {
    let node = attach::needed(globals).await?;
    let mut events = node.events().await?;
    let book = Arc::new(StateDir::open(globals)?.names());
    let mut printer = Printer::new(globals.json);
    while let Some(told) = events.next().await {
        printer.print(told?, Arc::clone(&book)).await?;
    }
    out::hint("the node has ended");
    Ok(())
}
