//! `peerway group`: who is in which group of the address book, and which of them share their links.

use std::slice;

use peerway::PeerId;
use serde::Serialize;

use super::{
    args::{Globals, GroupAction, GroupMembers, Switch},
    failure::Failure,
    out,
    state::StateDir,
};
use crate::book::{Book, Name};

pub(super) fn list(globals: &Globals) -> Result<(), Failure> {
    let book = StateDir::open(globals)?.peers().book().read()?;
    let groups = book.groups();
    if groups.is_empty() && !globals.json {
        return Ok(out::text(
            "no groups yet: `peerway group add NAME PEER…` makes peers members of one",
        )?);
    }
    groups
        .keys()
        .try_for_each(|group| print(globals, &book, group))
}

pub(super) fn change(globals: &Globals, action: &GroupAction) -> Result<(), Failure> {
    match action {
        GroupAction::Add(args) => members(globals, args, true),
        GroupAction::Remove(args) => members(globals, args, false),
        GroupAction::Share { group, state } => share(globals, group, *state == Switch::On),
    }
}

fn members(globals: &Globals, args: &GroupMembers, are_members: bool) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let book = peers.book().read()?;
    let mut names = Vec::new();
    for peer in &args.peers {
        let ticket = peers.meant(peer, &book)?;
        if state.is_own(ticket.id())? {
            return Err(Failure::OwnPeer);
        }
        let known = book.of(ticket.id());
        let (name, _) = known.ok_or(Failure::NotInBook(ticket.id()))?;
        names.push(name.clone());
    }
    let book = peers.book().change(|draft| {
        for name in &names {
            if are_members {
                draft.join(name, slice::from_ref(&args.group))?;
            } else {
                draft.leave(name, &args.group)?;
            }
        }
        Ok(draft.book().clone())
    })?;
    print(globals, &book, &args.group)
}

fn share(globals: &Globals, group: &Name, is_shared: bool) -> Result<(), Failure> {
    let peers = StateDir::open(globals)?.peers();
    let book = peers.book().change(|draft| {
        draft.share(group, is_shared)?;
        Ok(draft.book().clone())
    })?;
    print(globals, &book, group)?;
    if is_shared {
        out::hint(format!(
            "it shows in `peerway swarm` what those tell who do the same and have this computer in {group} too"
        ));
    }
    Ok(())
}

fn print(globals: &Globals, book: &Book, group: &Name) -> Result<(), Failure> {
    let members = book.groups().remove(group).unwrap_or_default();
    let members = members.iter().map(|(name, entry)| Member {
        name: name.as_str(),
        id: entry.ticket.id(),
    });
    let line = Line {
        name: group.as_str(),
        members: members.collect(),
        status: book.shares(group),
    };
    if globals.json {
        return Ok(out::json(&line)?);
    }
    let names: Vec<_> = line.members.iter().map(|member| member.name).collect();
    let names = if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    };
    let shared = if line.status { "shared" } else { "not shared" };
    Ok(out::text(format!("{group}: {names}; links are {shared}"))?)
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    members: Vec<Member<'a>>,
    /// Whether members are told how this computer is linked.
    status: bool,
}

#[derive(Serialize)]
struct Member<'a> {
    name: &'a str,
    id: PeerId,
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_lines_keep_their_keys() {
        assert_keys(
            "group",
            &Line {
                name: "home",
                members: Vec::new(),
                status: true,
            },
        );
    }
}
