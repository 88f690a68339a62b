//! `peerway events`: what happens on the node that runs here.

use futures_util::StreamExt;

use super::{args::Globals, attach, failure::Failure, out, up::Printer};

pub(super) async fn run(globals: &Globals) -> Result<(), Failure> {
    let node = attach::needed(globals).await?;
    let mut events = node.events().await?;
    let mut printer = Printer::new(globals.json);
    while let Some(told) = events.next().await {
        printer.print(told?).await?;
    }
    out::hint("the node has ended");
    Ok(())
}
