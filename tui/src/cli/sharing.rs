//! The node lives in the groups that it has joined, and members of those that the address book shares are told how it is linked.

use std::convert::Infallible;

use peerway::{
    PeerId, Router,
    services::swarm::{self, Group, GroupError},
};
use peerway_swarm::groups::{self, GroupEvent, GroupView, Groups};
use tokio::{
    select,
    sync::broadcast::{Receiver, error::RecvError},
};

use super::{node::Node, out};
use crate::book::{Book, Trust};

/// Talks with members of joined groups at a time; one of them has a quarter.
const TALKS: usize = 1_024;

/// The router that also answers members.
pub(super) fn accept(router: Router, node: &Node) -> Router {
    let swarm = node.swarm().clone();
    let router = router.accept(swarm::ALPN, move |connection| {
        swarm.clone().serve(connection)
    });
    let Some(groups) = node.groups().cloned() else {
        return router;
    };
    router.accept_up_to(TALKS, groups::ALPN, move |connection| {
        groups.clone().serve(connection)
    })
}

/// Shares, from one change of the book to the next. What a temporary identity says concerns nobody.
pub(super) async fn share(node: &Node) -> Infallible {
    let mut book = node.book().watch();
    let mut joined = node.groups().map(Groups::events);
    let following = async {
        loop {
            if !node.is_temporary() {
                let now = book.borrow_and_update().clone();
                follow(node, &now);
            }
            select! {
                changed = book.changed() => if changed.is_err() {
                    return std::future::pending::<()>().await;
                },
                // They are let in at once.
                () = other_members(joined.as_mut()) => node.book().reread().notify_one(),
            }
        }
    };
    let living = async {
        match node.groups() {
            Some(groups) => {
                tokio::join!(groups.run(), node.search().publish(groups));
            }
            None => std::future::pending().await,
        }
    };
    select! {
        () = following => {}
        () = node.swarm().run() => {}
        () = living => {}
    }
    // The node has ended, and whoever runs it knows.
    std::future::pending().await
}

/// Waits until a joined group has other members.
async fn other_members(events: Option<&mut Receiver<GroupEvent>>) {
    let Some(events) = events else {
        return std::future::pending().await;
    };
    loop {
        match events.recv().await {
            Ok(GroupEvent::Posted(..)) => {}
            Err(RecvError::Closed) => return std::future::pending().await,
            Ok(_) | Err(RecvError::Lagged(_)) => return,
        }
    }
}

fn follow(node: &Node, book: &Book) {
    let own = node.endpoint.id();
    let joined = node.groups().map(Groups::all).unwrap_or_default();
    let (groups, wrong): (Vec<_>, Vec<_>) = shared(book, own, &joined)
        .into_iter()
        .partition(Result::is_ok);
    let shared = node.swarm().share(groups.into_iter().flatten());
    if shared.is_err() {
        // Those of before would stay, with members that may have left. None is always taken.
        let _ = node.swarm().share([]);
    }
    for error in wrong
        .into_iter()
        .filter_map(Result::err)
        .chain(shared.err())
    {
        out::hint(format!("{error}: nothing of it is shared"));
    }
}

/// The groups to share with: of those of the book whom the node lets in, and all members of those that it has joined. Whoever founded one
/// of those chose its name, so that it is not taken for one that has members in the book, or for another that was joined.
fn shared(book: &Book, own: PeerId, joined: &[GroupView]) -> Vec<Result<Group, GroupError>> {
    let is_joined = |name: &str| {
        let mut named = joined.iter().filter(|group| group.name == name);
        named.next().filter(|_| named.next().is_none())
    };
    let groups = book.groups().into_iter();
    let shared = groups.filter(|(group, _)| book.shares(group));
    let each = shared.map(|(group, members)| {
        if members.is_empty()
            && let Some(joined) = is_joined(group.as_str())
        {
            let let_in = joined.members.iter().map(|member| member.id);
            let let_in = let_in.filter(|peer| book.blocked(*peer).is_none());
            return Group::new(group.as_str(), let_in);
        }
        let let_in = members
            .iter()
            .filter(|(_, entry)| entry.trust == Trust::Allow);
        let others = let_in.map(|(_, entry)| entry.ticket.id());
        Group::new(group.as_str(), others.chain([own]))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;
    use crate::book::BookFile;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn joined(id: &str, name: &str, member: PeerId) -> GroupView {
        let member = serde_json::json!({
            "id": member, "role": "member", "since_ms": 1, "by": member, "linked": true,
        });
        let group = serde_json::json!({
            "id": id, "name": name, "role": "member", "members": [member], "posts": 0,
            "unread": 0, "invites": 0, "has_key": true, "refused": 0,
        });
        serde_json::from_value(group).unwrap()
    }

    #[test]
    fn nothing_is_shared_with_a_joined_group_that_bears_the_name_of_another() {
        let (own, friend, stranger) = (peer(1), peer(2), peer(3));
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[peers.anna]\npeer = \"{friend}\"\ntrust = \"allow\"\ngroup = [\"home\"]\n\n[groups.home]\nstatus = true\n\n[groups.work]\nstatus = true\n"
        );
        std::fs::write(folder.path().join("book.toml"), text).unwrap();
        let book = BookFile::in_folder(folder.path()).read().unwrap();
        let with = |joined: &[GroupView]| {
            let groups: Result<Vec<_>, _> = shared(&book, own, joined).into_iter().collect();
            groups.unwrap()
        };
        let of =
            |name: &str, members: &[PeerId]| Group::new(name, members.iter().copied()).unwrap();
        let home = of("home", &[friend, own]);
        let named_so = [joined("a", "home", stranger), joined("b", "work", friend)];
        assert_eq!(with(&named_so), [home.clone(), of("work", &[friend])]);
        let twice = [joined("a", "work", stranger), joined("b", "work", friend)];
        assert_eq!(with(&twice), [home, of("work", &[own])]);
    }
}
