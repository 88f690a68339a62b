//! Members of the groups that the address book shares are told how the node is linked.

use std::convert::Infallible;

use peerway::{
    PeerId, Router,
    services::swarm::{self, Group, GroupError},
};
use tokio::select;

use super::{node::Node, out};
use crate::book::{Book, Trust};

/// The router that also answers members.
pub(super) fn accept(router: Router, node: &Node) -> Router {
    let swarm = node.swarm().clone();
    router.accept(swarm::ALPN, move |connection| {
        swarm.clone().serve(connection)
    })
}

/// Shares, from one change of the book to the next. What a temporary identity says concerns nobody.
pub(super) async fn share(node: &Node) -> Infallible {
    let mut book = node.book().watch();
    let following = async {
        loop {
            if !node.is_temporary() {
                let now = book.borrow_and_update().clone();
                follow(node, &now);
            }
            if book.changed().await.is_err() {
                return std::future::pending::<()>().await;
            }
        }
    };
    select! {
        () = following => {}
        () = node.swarm().run() => {}
    }
    // The node has ended, and whoever runs it knows.
    std::future::pending().await
}

fn follow(node: &Node, book: &Book) {
    let own = node.endpoint.id();
    let (groups, wrong): (Vec<_>, Vec<_>) = shared(book, own).into_iter().partition(Result::is_ok);
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

/// The groups to share with: of each those whom the node lets in.
fn shared(book: &Book, own: PeerId) -> Vec<Result<Group, GroupError>> {
    let groups = book.groups().into_iter();
    let shared = groups.filter(|(group, _)| book.shares(group));
    let each = shared.map(|(group, members)| {
        let let_in = members
            .iter()
            .filter(|(_, entry)| entry.trust == Trust::Allow);
        let others = let_in.map(|(_, entry)| entry.ticket.id());
        Group::new(group.as_str(), others.chain([own]))
    });
    each.collect()
}
