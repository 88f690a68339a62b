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
use crate::{control::Client, dash::format, searches::BrowseAsk};

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
    settle(node).await?;
    let (mut from, mut seen) = (0, 0);
    loop {
        let ticket = ticket.clone();
        let page = node.browse(&BrowseAsk { ticket, from }).await?;
        for line in &page.names {
            if globals.json {
                out::json(line)?;
                continue;
            }
            let size = match line.kind {
                Kind::Folder => "folder".to_owned(),
                Kind::File | _ => format::bytes(line.size),
            };
            out::text(format!("{}  {size}", one_line(&line.name)))?;
            out::text(format!("    peerway get {}", line.link))?;
        }
        seen += page.names.len();
        match page.next {
            Some(next) if seen < MAX_NAMES => from = next,
            _ => break,
        }
    }
    if seen == 0 && !globals.json {
        let book = StateDir::open(globals)?.names();
        out::hint(format!(
            "{} lets this computer see nothing",
            book.peer(&ticket.id())
        ));
    }
    Ok(())
}
