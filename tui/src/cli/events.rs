//! `peerway events`: what happens on the node that runs here.

use std::sync::Arc;

use futures_util::StreamExt;

use super::{
    args::{EventsArgs, Globals},
    attach,
    failure::Failure,
    out,
    state::StateDir,
    up::Printer,
};
use crate::{Told, dash::filter::Plain};

pub(super) async fn run(globals: &Globals, args: &EventsArgs) -> Result<(), Failure> {
    let node = attach::needed(globals).await?;
    let mut events = node.events().await?;
    let book = Arc::new(StateDir::open(globals)?.names());
    let filter = args.filter.clone().unwrap_or_default();
    let plain = Plain::new(book.names());
    let mut printer = Printer::new(globals.json);
    while let Some(told) = events.next().await {
        let told = told?;
        let is_wanted = match &told {
            Told::Event(event) => filter.is_empty() || filter.shows(&plain.event(event)),
            Told::Missed(_) => true,
        };
        if is_wanted {
            printer.print(told, Arc::clone(&book)).await?;
        }
    }
    out::hint("the node has ended");
    Ok(())
}
