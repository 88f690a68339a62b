//! `peerway events`: what happens on the node that runs here, or that of a peer.

use std::pin::pin;

use futures_util::StreamExt;

use super::{
    afar,
    args::{EventsArgs, Globals},
    attach,
    failure::Failure,
    follow::Followed,
    out,
    state::StateDir,
    up::Printer,
};
use crate::{Told, control::Client, dash::filter::Plain};

pub(super) async fn run(globals: &Globals, args: &EventsArgs) -> Result<(), Failure> {
    match &args.peer {
        None => follow(globals, args, attach::needed(globals).await?).await,
        Some(peer) => afar::ask(globals, peer, |afar| follow(globals, args, afar.node)).await,
    }
}

async fn follow(globals: &Globals, args: &EventsArgs, node: Client) -> Result<(), Failure> {
    let mut events = node.events(args.last).await?;
    let state = StateDir::open(globals)?;
    let book = Followed::open_or_empty(state.peers().book(), state.invites());
    let filter = args.filter.clone().unwrap_or_default();
    let mut printer = Printer::new(globals.json).dated(args.last > 0);
    let mut following = pin!(book.follow_names());
    loop {
        let told = tokio::select! {
            told = events.next() => told,
            never = &mut following => match never {},
        };
        let Some(told) = told.transpose()? else { break };
        let is_wanted = match &told {
            Told::Event(event) => {
                filter.is_empty() || filter.shows(&Plain::new(book.book().names()).event(event))
            }
            Told::Service(_) => filter.is_empty(),
            Told::Missed(_) => true,
        };
        if is_wanted {
            printer.print(told, book.book()).await?;
        }
    }
    out::hint("the node has ended");
    Ok(())
}
