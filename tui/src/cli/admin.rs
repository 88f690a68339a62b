//! `peerway admin`: which peers may look at the node that runs here from afar, or do more with it.

use super::{
    args::{AdminArgs, Globals, Rights},
    book::print_entry,
    failure::Failure,
    out,
    state::StateDir,
};
use crate::book::{Admin, Trust};

pub(super) fn run(globals: &Globals, args: &AdminArgs) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let before = peers.book().read()?;
    let ticket = peers.meant(&args.peer, &before)?;
    if state.is_own(ticket.id())? {
        return Err(Failure::OwnPeer);
    }
    let admin = match args.rights {
        Rights::Read => Some(Admin::Read),
        Rights::Full => Some(Admin::Full),
        Rights::None => None,
    };
    if admin.is_none() && before.of(ticket.id()).is_none() {
        return Err(Failure::NotInBook(ticket.id()));
    }
    let (name, book) = peers.book().change(|draft| {
        let name = draft.admin(&ticket, admin)?;
        Ok((name, draft.book().clone()))
    })?;
    let line = match admin {
        Some(Admin::Read) => {
            format!(
                "{name} may look at the node of this computer, but for its groups and what it shares"
            )
        }
        Some(Admin::Full) => {
            format!(
                "{name} may do with the node of this computer what you do, but for ending it, its groups, its files, and asking others in its name"
            )
        }
        None => format!("{name} is no admin of this computer's node"),
    };
    print_entry(globals, &book, &name, line)?;
    if admin.is_some() && book.trust(ticket.id()) != Trust::Allow {
        out::hint(format!(
            "it is not let in, so it cannot yet: `peerway allow {}`",
            name.quoted()
        ));
    }
    Ok(())
}
