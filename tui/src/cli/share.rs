//! `peerway share` and `peerway ls`: content for others, named by its hash.

#[cfg(unix)]
use std::path;
use std::{fs, future::pending, path::Path};

use peerway::{Endpoint, Router};
use peerway_swarm::{
    groups::Groups,
    search::{self, Search},
    share::{ALPN, Kind, Options, ShareError, Sharing},
    store::catalog::{Catalog, CatalogError},
};
use serde::Serialize;
use tokio::{sync::oneshot, task::spawn_blocking};

#[cfg(unix)]
use super::attach;
use super::{
    args::{Globals, ShareArgs},
    failure::Failure,
    follow::Followed,
    kept::{self, limit_upload},
    node::Node,
    out,
    state::StateDir,
    up,
};
#[cfg(unix)]
use crate::control::{Client, ShareAsk};
use crate::{
    book::Trust,
    dash::format,
    kept::UploadLimit,
    searches::asker,
    shares::{ShareLine, not_found},
};

/// Connections over which content goes.
const CONNECTIONS: usize = 256;
/// Connections over which others search.
const SEARCHES: usize = 1_024;

pub(super) async fn run(globals: &Globals, args: &ShareArgs) -> Result<(), Failure> {
    if args.list {
        return list(globals).await;
    }
    if let Some(which) = &args.stop {
        return stop(globals, which).await;
    }
    if args.watch {
        return kept::watch(globals, args).await;
    }
    if !args.limit.is_empty() {
        let parts = args.limit.iter().copied().flatten().collect::<Vec<_>>();
        if args.limit.len() > 1 && parts.len() < args.limit.len() {
            return Err(Failure::LimitAndNone);
        }
        limit_upload(globals, &UploadLimit::of(parts)?).await?;
        if args.paths.is_empty() {
            return Ok(());
        }
    }
    #[cfg(unix)]
    if let Some(node) = attach::willing(globals).await? {
        return ask(globals, args, &node).await;
    }
    by_itself(globals, args).await
}

/// Has the node that runs here share it, from now on.
#[cfg(unix)]
async fn ask(globals: &Globals, args: &ShareArgs, node: &Client) -> Result<(), Failure> {
    for path in &args.paths {
        let ask = ShareAsk {
            path: path::absolute(path)?,
            public: args.public,
            searchable: args.searchable,
        };
        say(globals, "shared", &node.share(&ask).await?)?;
    }
    out::hint("the node that runs here serves it, until `peerway share --stop`");
    Ok(())
}

/// Serves until Ctrl-C, and says so.
async fn by_itself(globals: &Globals, args: &ShareArgs) -> Result<(), Failure> {
    // Nothing is served without a limit that cannot be read.
    StateDir::open(globals)?.kept().read()?;
    let (give, given) = oneshot::channel();
    let offer = |router: Router, node: &Node| {
        // It is waited for below, for as long as the node runs.
        let _ = give.send((node.sharing().clone(), node.search().clone()));
        up::diagnostics(router, true)
    };
    let serving = up::serve(globals, up::Besides::default(), offer, false, |_| {
        Vec::new()
    });
    let sharing = async {
        let Ok((sharing, search)) = given.await else {
            return pending().await;
        };
        for path in &args.paths {
            let mut shared = sharing.share(path, args.public).await?;
            if args.searchable {
                let left_out = search.offer(&shared).await;
                shared.skipped.extend(not_found(left_out));
            }
            let (link, searchable) = (sharing.link(&shared), args.searchable);
            let line = ShareLine::of(shared, searchable, Some(link));
            say(globals, "shared", &line)?;
        }
        out::hint("it is there as long as this runs: Ctrl-C ends it");
        pending().await
    };
    tokio::select! {
        served = serving => served,
        failed = sharing => failed,
    }
}

/// What is shared whenever the node runs.
pub(super) async fn list(globals: &Globals) -> Result<(), Failure> {
    let lines = kept(globals).await?;
    if lines.is_empty() && !globals.json {
        return Ok(out::text("nothing is shared beyond the end of a command")?);
    }
    lines
        .iter()
        .try_for_each(|line| say(globals, "share", line))
}

async fn stop(globals: &Globals, which: &str) -> Result<(), Failure> {
    let lines = kept(globals).await?;
    let meant = lines.iter().filter(|line| line.is_meant_by(which));
    let meant: Vec<_> = meant.map(|line| line.path.clone()).collect();
    let named = fs::canonicalize(which).ok();
    let is_meant = |folder: &str| {
        let folder = Path::new(folder);
        let is_called = folder.file_name().is_some_and(|name| name == which);
        is_called || named.as_deref() == Some(folder) || meant.iter().any(|it| it == folder)
    };
    let unwatched = kept::unwatch(globals, is_meant).await?;
    // As it is shared now, which may be another thing than a moment ago.
    let mut lines = kept(globals).await?;
    lines.retain(|line| {
        let is_unwatched = unwatched.iter().any(|folder| line.path == *folder.as_str());
        is_unwatched || line.is_meant_by(which)
    });
    if lines.is_empty() && unwatched.is_empty() {
        return Err(Failure::NoShare(which.to_owned()));
    }
    if lines.is_empty() {
        out::hint("it is watched no more, and was not shared yet");
    }
    for line in &lines {
        forget(globals, line).await?;
        if globals.json {
            out::json(&Record::of("stopped", line))?;
        } else {
            out::text(format!("{} is shared no more", line.name))?;
        }
    }
    Ok(())
}

async fn kept(globals: &Globals) -> Result<Vec<ShareLine>, Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        return Ok(node.shares().await?);
    }
    let catalog = StateDir::open(globals)?.shares();
    let watched = StateDir::open(globals)?.kept().read()?.watch;
    let shares =
        spawn_blocking(move || Ok((catalog.shares()?, catalog.marked()?, catalog.changed()?)))
            .await;
    let shares: Result<_, CatalogError> = shares.map_err(std::io::Error::from)?;
    let (shares, marked, changed) = shares.map_err(ShareError::from)?;
    let lines = shares.into_iter().map(|shared| {
        let searchable = marked.iter().any(|it| it.hash == shared.hash);
        let changed = changed.get(&shared.hash).copied().unwrap_or_default();
        let line = ShareLine::of(shared, searchable, None).with_changed(changed);
        line.with_watched(watched.keys())
    });
    Ok(lines.collect())
}

async fn forget(globals: &Globals, line: &ShareLine) -> Result<(), Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        return Ok(node.stop_sharing(line.hash).await?);
    }
    let (catalog, hash) = (StateDir::open(globals)?.shares(), line.hash);
    let removed = spawn_blocking(move || catalog.remove(hash)).await;
    let removed = removed.map_err(std::io::Error::from)?;
    removed.map_err(ShareError::from)?;
    Ok(())
}

/// The content of a node: what is not public is for peers of its address book.
pub(super) fn sharing(endpoint: &Endpoint, book: &Followed, catalog: Option<Catalog>) -> Sharing {
    let mut options = Options::default();
    options.shunned = book.shunned().clone();
    let book = book.watch();
    let may = move |peer| {
        let book = book.borrow();
        let entry = book.of(peer);
        entry.is_some_and(|(_, entry)| entry.trust == Trust::Allow)
    };
    options.catalog = catalog;
    Sharing::with(endpoint.clone(), may, options)
}

/// What a node lets others find of that, and finds of theirs. Members of its groups find what is public.
pub(super) fn search(
    endpoint: &Endpoint,
    sharing: &Sharing,
    book: &Followed,
    groups: Option<&Groups>,
) -> Search {
    let (book, groups) = (book.watch(), groups.cloned());
    let who = move |peer| asker(&book.borrow(), groups.as_ref(), peer);
    Search::new(endpoint.clone(), sharing.clone(), who)
}

/// The router that also serves a node's content, and who searches it.
pub(super) fn serve(router: Router, node: &Node) -> Router {
    let (sharing, search) = (node.sharing().clone(), node.search().clone());
    router
        .accept_up_to(CONNECTIONS, ALPN, move |connection| {
            sharing.clone().serve(connection)
        })
        .accept_up_to(SEARCHES, search::ALPN, move |connection| {
            search.clone().serve(connection)
        })
}

fn say(globals: &Globals, event: &'static str, line: &ShareLine) -> Result<(), Failure> {
    // Whoever shares it is told once.
    let skipped = line.skipped.iter().filter(|_| event == "shared");
    for skipped in skipped {
        out::hint(format!("left out: {skipped}"));
    }
    if globals.json {
        return Ok(out::json(&Record::of(event, line))?);
    }
    let whom = if line.public {
        "whoever has the link"
    } else {
        "peers of the address book"
    };
    let found = match (line.searchable, line.public) {
        (false, _) => "",
        (true, false) => ", who find it by its name",
        (true, true) => "; peers of the address book and members of groups find it by its name",
    };
    let bytes = format::bytes(line.bytes);
    out::text(format!("{}: {bytes}, for {whom}{found}", line.name))?;
    if line.watched {
        out::text("it is shared anew whenever it changes")?;
    }
    match (line.changed, line.kind) {
        (1.., _) if line.watched => out::text("it has changed, and is shared anew once it rests")?,
        (0, _) => {}
        (_, Kind::File) => {
            out::text("it has changed or is gone, and is shared no more: share it again")?
        }
        (1, _) => {
            out::text("1 file of it has changed or is gone, and is shared no more: share it again")?
        }
        (changed, _) => out::text(format!(
            "{changed} files of it have changed or are gone, and are shared no more: share it again"
        ))?,
    }
    let how = match &line.link {
        Some(link) => format!("on the other side: peerway get {link}"),
        None => format!("{}, and no node runs that serves it", line.hash),
    };
    Ok(out::text(how)?)
}

#[derive(Serialize)]
struct Record<'a> {
    event: &'static str,
    #[serde(flatten)]
    line: &'a ShareLine,
}

impl<'a> Record<'a> {
    fn of(event: &'static str, line: &'a ShareLine) -> Self {
        Self { event, line }
    }
}

#[cfg(test)]
mod tests {
    use peerway_swarm::share::{Hash, Link};

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_lines_keep_their_keys() {
        let hash = Hash::of(b"");
        let line = ShareLine {
            hash,
            name: "a".to_owned(),
            kind: Kind::File,
            files: 1,
            bytes: 0,
            public: false,
            searchable: false,
            path: "/a".into(),
            skipped: Vec::new(),
            changed: 1,
            watched: false,
            link: Some(Link::new(hash, 0, Kind::File, "a")),
        };
        assert_keys("share", &Record::of("shared", &line));
        assert_keys("share", &Record::of("stopped", &line));
        assert_keys("ls", &Record::of("share", &line));
        assert!(line.is_meant_by("a") && line.is_meant_by("AF1349B9"));
        assert!(!line.is_meant_by("af1349b") && !line.is_meant_by("b"));
    }
}
