//! `peerway share`: content for others, named by its hash.

use peerway::Router;
use peerway_swarm::share::{ALPN, Link, Shared, Sharing};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{
    args::{Globals, ShareArgs},
    failure::Failure,
    node::Node,
    out, up,
};
use crate::{book::Trust, dash::format};

/// Connections over which content goes.
const CONNECTIONS: usize = 256;

/// Serves by itself until Ctrl-C, and says so.
pub(super) async fn run(globals: &Globals, args: &ShareArgs) -> Result<(), Failure> {
    let (give, given) = oneshot::channel();
    let offer = |router: Router, node: &Node| {
        let sharing = of(node);
        // It is read before the node waits for it, so nobody can have left.
        let _ = give.send(sharing.clone());
        serve(up::diagnostics(router, true), &sharing)
    };
    let serving = up::serve(globals, None, offer, false, |_| Vec::new());
    let sharing = async {
        let Ok(sharing) = given.await else {
            return std::future::pending().await;
        };
        for path in &args.paths {
            let shared = sharing.share(path, args.public).await?;
            say(globals, &shared, &sharing.link(&shared))?;
        }
        out::hint("it is there as long as this runs: Ctrl-C ends it");
        std::future::pending::<Result<(), Failure>>().await
    };
    tokio::select! {
        served = serving => served,
        failed = sharing => failed,
    }
}

/// The content of a node: what is not public is for peers of its address book.
pub(super) fn of(node: &Node) -> Sharing {
    let book = node.book().watch();
    Sharing::new(node.endpoint.clone(), move |peer| {
        let book = book.borrow();
        book.of(peer)
            .is_some_and(|(_, entry)| entry.trust == Trust::Allow)
    })
}

/// The router that also serves content.
pub(super) fn serve(router: Router, sharing: &Sharing) -> Router {
    let sharing = sharing.clone();
    router.accept_up_to(CONNECTIONS, ALPN, move |connection| {
        sharing.clone().serve(connection)
    })
}

fn say(globals: &Globals, shared: &Shared, link: &Link) -> Result<(), Failure> {
    for skipped in &shared.skipped {
        out::hint(format!("left out: {skipped}"));
    }
    if globals.json {
        return Ok(out::json(&Record::of(shared, link))?);
    }
    let whom = if shared.public {
        "whoever has the link"
    } else {
        "peers of the address book"
    };
    let bytes = format::bytes(shared.bytes);
    out::text(format!("{}: {bytes}, for {whom}", shared.name))?;
    Ok(out::text(format!("on the other side: peerway get {link}"))?)
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record<'a> {
    Shared {
        name: &'a str,
        hash: String,
        files: u64,
        bytes: u64,
        public: bool,
        link: &'a Link,
    },
}

impl<'a> Record<'a> {
    fn of(shared: &'a Shared, link: &'a Link) -> Self {
        Self::Shared {
            name: &shared.name,
            hash: shared.hash.to_string(),
            files: shared.files,
            bytes: shared.bytes,
            public: shared.public,
            link,
        }
    }
}

#[cfg(test)]
mod tests {
    use peerway_swarm::share::{Hash, Kind};

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_line_keeps_its_keys() {
        let link = Link::new(Hash::of(b""), 0, Kind::File, "a");
        let line = Record::Shared {
            name: "a",
            hash: link.hash.to_string(),
            files: 1,
            bytes: 0,
            public: false,
            link: &link,
        };
        assert_keys("share", &line);
    }
}
