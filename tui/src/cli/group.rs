//! `peerway group`: who is in which group, of the address book or joined, and which of them share their links.

#[cfg(unix)]
mod joined;
#[cfg(unix)]
mod threads;

#[cfg(unix)]
pub(super) use joined::{hint_at_age, known, line, posts, with};

use std::slice;

use peerway::PeerId;
use serde::Serialize;

use super::{
    args::{Globals, GroupAction, GroupArgs, GroupMembers, Switch},
    attach,
    failure::Failure,
    out,
    state::StateDir,
};
use crate::book::{Book, Name};

pub(super) async fn run(globals: &Globals, args: &GroupArgs) -> Result<(), Failure> {
    match &args.action {
        None => list(globals).await,
        Some(GroupAction::Add(args)) => add(globals, args).await,
        Some(GroupAction::Remove(args)) => remove(globals, args).await,
        Some(GroupAction::Share { group, state }) => {
            let is_on = *state == Switch::On;
            if is_on {
                is_one(globals, group).await?;
            }
            share(globals, group, is_on)?;
            told(globals).await
        }
        #[cfg(unix)]
        Some(GroupAction::Create { group }) => joined::create(globals, group.as_str()).await,
        #[cfg(unix)]
        Some(GroupAction::Invite(args)) => joined::invite(globals, args).await,
        #[cfg(unix)]
        Some(GroupAction::Join { invite }) => joined::join(globals, invite).await,
        #[cfg(unix)]
        Some(GroupAction::Members { group }) => joined::members(globals, group).await,
        #[cfg(unix)]
        Some(GroupAction::Post(args)) => joined::post(globals, args).await,
        #[cfg(unix)]
        Some(GroupAction::Read(args)) => joined::read(globals, args).await,
        #[cfg(unix)]
        Some(GroupAction::Follow { group }) => joined::follow(globals, group).await,
        #[cfg(unix)]
        Some(GroupAction::Leave { group }) => joined::leave(globals, group).await,
    }
}

/// The node that runs here has the changed book in force at once.
#[cfg(unix)]
async fn told(globals: &Globals) -> Result<(), Failure> {
    attach::reread_book(globals).await
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "as on Unix")]
async fn told(_: &Globals) -> Result<(), Failure> {
    Ok(())
}

async fn list(globals: &Globals) -> Result<(), Failure> {
    let book = StateDir::open(globals)?.peers().book().read()?;
    let groups = book.groups();
    #[cfg(unix)]
    let joined = joined::list(globals).await?;
    #[cfg(not(unix))]
    let joined = Vec::<()>::new();
    if groups.is_empty() && joined.is_empty() && !globals.json {
        return Ok(out::text(
            "no groups yet: `peerway group add NAME PEER…` makes peers members of one, and `peerway group create NAME` one that others join",
        )?);
    }
    #[cfg(unix)]
    joined::show(globals, &joined)?;
    let is_joined = |_name: &Name| {
        #[cfg(unix)]
        return joined.iter().any(|group| group.name == _name.as_str());
        #[cfg(not(unix))]
        false
    };
    groups
        .iter()
        .filter(|(group, members)| !members.is_empty() || !is_joined(group))
        .try_for_each(|(group, _)| print(globals, &book, group))
}

async fn add(globals: &Globals, args: &GroupMembers) -> Result<(), Failure> {
    #[cfg(unix)]
    if joined::is_meant(globals, &args.group).await? {
        let members = meant(globals, args)?;
        return joined::add(globals, args.group.as_str(), &members, args.role).await;
    }
    if args.role.is_some() {
        return Err(Failure::NoRoles(args.group.clone()));
    }
    members(globals, args, true)?;
    told(globals).await
}

async fn remove(globals: &Globals, args: &GroupMembers) -> Result<(), Failure> {
    #[cfg(unix)]
    if joined::is_meant(globals, &args.group).await? {
        let members = meant(globals, args)?;
        return joined::remove(globals, args.group.as_str(), &members).await;
    }
    members(globals, args, false)?;
    told(globals).await
}

/// Whom somebody means, by the names that it has for them.
#[cfg(unix)]
fn meant(globals: &Globals, args: &GroupMembers) -> Result<Vec<PeerId>, Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let book = state.names();
    let each = args.peers.iter();
    each.map(|peer| Ok(peers.meant(peer, &book)?.id()))
        .collect()
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

/// Whether there is just one group of this name, whose members could be told anything.
async fn is_one(globals: &Globals, group: &Name) -> Result<(), Failure> {
    let book = StateDir::open(globals)?.peers().book().read()?;
    if book.groups().get(group).is_some_and(|it| !it.is_empty()) {
        return Ok(());
    }
    #[cfg(unix)]
    let ids = joined::ids(globals, group).await?;
    #[cfg(not(unix))]
    let ids = Vec::<String>::new();
    match &ids[..] {
        [_] => Ok(()),
        [] => Err(Failure::NoGroup(group.clone())),
        several => Err(Failure::SeveralGroups {
            name: group.clone(),
            ids: several.join(", "),
        }),
    }
}

fn share(globals: &Globals, group: &Name, is_shared: bool) -> Result<(), Failure> {
    let peers = StateDir::open(globals)?.peers();
    let book = peers.book().change(|draft| {
        draft.share(group, is_shared)?;
        Ok(draft.book().clone())
    })?;
    let is_joined = book.groups().get(group).is_none_or(|it| it.is_empty());
    if is_joined && !globals.json {
        let with = if is_shared {
            "shared with its members"
        } else {
            "not shared"
        };
        out::text(format!("{group}, which was joined: links are {with}"))?;
    } else {
        print(globals, &book, group)?;
    }
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
        "nobody of the address book".to_owned()
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
