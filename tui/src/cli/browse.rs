//! `peerway browse`: what a peer lets this computer see.

use peerway::{Names, Ticket};
use peerway_swarm::share::Kind;

use super::{
    args::{BrowseArgs, Globals},
    failure::Failure,
    group,
    node::find,
    out,
    search::{one_line, settle},
    state::StateDir,
};
use crate::{
    control::Client,
    dash::format,
    searches::{BrowseAsk, NameLine},
};

/// A peer has no more: whatever it says, it is not asked for ever.
const MAX_NAMES: usize = 10_000;

pub(super) async fn run(globals: &Globals, args: &BrowseArgs) -> Result<(), Failure> {
    let ticket = find(globals, &args.peer)?;
    group::with(globals, false, async |node| {
        browse(globals, ticket, &node).await
    })
    .await
}

async fn browse(globals: &Globals, ticket: Ticket, node: &Client) -> Result<(), Failure> {
    let seen = names(node, &ticket, |line| {
        if globals.json {
            return Ok(out::json(&line)?);
        }
        let size = match line.kind {
            Kind::Folder => "folder".to_owned(),
            Kind::File | _ => format::bytes(line.size),
        };
        out::text(format!("{}  {size}", one_line(&line.name)))?;
        Ok(out::text(format!("    peerway get {}", line.link))?)
    })
    .await?;
    if seen == 0 && !globals.json {
        let book = StateDir::open(globals)?.names();
        out::hint(format!(
            "{} lets this computer see nothing",
            book.peer(&ticket.id())
        ));
    }
    Ok(())
}

/// Takes each thing that a peer lets this computer see, and returns how many there were.
pub(super) async fn names(
    node: &Client,
    ticket: &Ticket,
    mut each: impl FnMut(NameLine) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    settle(node).await?;
    let (mut from, mut seen) = (0, 0);
    loop {
        let ticket = ticket.clone();
        let page = node.browse(&BrowseAsk { ticket, from }).await?;
        seen += page.names.len();
        page.names.into_iter().try_for_each(&mut each)?;
        match page.next {
            Some(next) if seen < MAX_NAMES => from = next,
            _ => return Ok(seen),
        }
    }
}
