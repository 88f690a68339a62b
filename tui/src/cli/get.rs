//! `peerway get`: fetches what a link names from all who have some of it.

#[cfg(unix)]
pub(super) mod named;

#[cfg(unix)]
use std::path;
use std::{convert::Infallible, future::pending, path::Path};

#[cfg(unix)]
use futures_util::StreamExt;

use peerway::{Names as _, Router, services::files::Progress};
use peerway_swarm::share::{GetError, Got, Hash, KeepError, Sharing, Target};
use serde::Serialize;
use tokio::{sync::broadcast::error::RecvError, time::Instant};

use super::{
    args::{GetArgs, Globals, Sought},
    failure::Failure,
    keep::limited,
    node::Node,
    out, proxy, share,
    transfer::shown,
};
#[cfg(unix)]
use super::{attach, node::interrupted};
#[cfg(unix)]
use crate::control::{Client, ControlError, GetAsk, GetStep, Telling};
use crate::{
    dash::format,
    searches::Asked,
    shares::{Wanted, words},
};

pub(super) async fn run(globals: &Globals, args: &GetArgs) -> Result<(), Failure> {
    let output = args.output.as_deref().unwrap_or_else(|| Path::new("."));
    let mut target = Target::at(output);
    target.overwrite = args.overwrite;
    let wanted = match &args.what {
        #[cfg(unix)]
        Sought::Wanted(_) if args.follow => return Err(named::NamedError::OneState.into()),
        Sought::Wanted(wanted) => wanted,
        #[cfg(unix)]
        Sought::Named(named) => return named::run(globals, args, target, named).await,
    };
    #[cfg(unix)]
    if !args.stay
        && let Some(client) = attach::willing(globals).await?
    {
        let wanted = wanted.clone();
        return by_node(globals, wanted, target, &client).await.map(drop);
    }
    by_itself(globals, args, wanted, &target).await
}

/// The node that runs here fetches it, with its identity and its links.
#[cfg(unix)]
async fn by_node(
    globals: &Globals,
    wanted: Wanted,
    target: Target,
    client: &Client,
) -> Result<Got, Failure> {
    let hash = wanted.hash();
    let ask = GetAsk {
        link: wanted,
        folder: path::absolute(&target.folder)?,
        name: target.name,
        overwrite: target.overwrite,
    };
    let began = Instant::now();
    let progress = Progress::default();
    let fetching = async {
        match last(client.fetch(&ask).await?, &progress).await? {
            GetStep::Got {
                path,
                files,
                bytes,
                resumed,
            } => Ok::<_, Failure>(Got::new(path, files, bytes, resumed)),
            GetStep::Progress { .. }
            | GetStep::Hint { .. }
            | GetStep::Pinned { .. }
            | GetStep::Failed { .. } => Err(ControlError::Stream("it has ended".to_owned()).into()),
        }
    };
    let got = tokio::select! {
        got = shown(globals.json, &progress, fetching) => got?,
        () = interrupted() => return Err(Failure::Interrupted),
    };
    say(globals, hash, &got, began)?;
    Ok(got)
}

/// What the node says last, unless it failed; how far it is meanwhile is shown.
#[cfg(unix)]
pub(super) async fn last(
    mut steps: Telling<GetStep>,
    progress: &Progress,
) -> Result<GetStep, Failure> {
    while let Some(step) = steps.next().await {
        match step? {
            GetStep::Progress {
                files,
                bytes,
                bytes_done,
                bytes_held,
                ..
            } => {
                progress.begin(files, bytes);
                let held = bytes_held.saturating_sub(progress.bytes_held());
                progress.held(held);
                progress.moved(bytes_done.saturating_sub(progress.bytes_done()));
            }
            GetStep::Hint { text } => out::hint(text),
            GetStep::Failed { reason, kind } => return Err(Failure::NodeGet { reason, kind }),
            last @ (GetStep::Got { .. } | GetStep::Pinned { .. }) => return Ok(last),
        }
    }
    Err(ControlError::Stream("it has ended".to_owned()).into())
}

/// A node for the duration of the command fetches it.
async fn by_itself(
    globals: &Globals,
    args: &GetArgs,
    wanted: &Wanted,
    target: &Target,
) -> Result<(), Failure> {
    let relays = match wanted {
        Wanted::Link(link) => {
            let provider = link.providers.first().ok_or(GetError::NoProvider)?;
            super::node::relays_for(globals, provider)
        }
        Wanted::Hash(_) => proxy::relays(globals)?,
    };
    let node = Node::beside(globals, relays).await?;
    let sharing = node.sharing().clone();
    let router = share::serve(Router::new(node.endpoint.clone()), &node);
    let fetching = async {
        node.settled().await;
        let (progress, began) = (Progress::default(), Instant::now());
        let getting = async {
            let known = node.book().book();
            let link = Asked::link(wanted, &sharing, known, node.groups()).await?;
            sharing.get(&link, target, &progress).await
        };
        let got = shown(globals.json, &progress, getting).await;
        let got = got.map_err(|error| by_name(error.into(), &node))?;
        say(globals, wanted.hash(), &got, began)?;
        if args.stay {
            out::hint("it is served to others who fetch it: Ctrl-C ends that");
            pending::<()>().await;
        }
        Ok(())
    };
    let body = async {
        tokio::select! {
            got = fetching => got,
            () = router.run() => Err(Failure::Interrupted),
            never = tell(&node, &sharing) => match never {},
            never = limited(globals, &node, out::hint) => match never {},
        }
    };
    let ended = node.run(body).await;
    if let Err(Failure::NotThere(_) | Failure::Get(GetError::Unreached(_))) = &ended {
        node.hint_at_identity();
    }
    match ended? {
        None if !args.stay => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}

/// The same failure, with who is meant called as the address book does.
pub(super) fn by_name(failure: Failure, node: &Node) -> Failure {
    let error = if let Failure::Get(error) = &failure {
        Some(error)
    } else if let Failure::Keep(KeepError::Get(error)) = &failure {
        Some(&**error)
    } else {
        None
    };
    let Some(GetError::NotThere(peer)) = error else {
        return failure;
    };
    Failure::NotThere(node.book().book().peer(peer))
}

/// Says what happens meanwhile.
pub(super) async fn tell(node: &Node, sharing: &Sharing) -> Infallible {
    let mut notices = sharing.notices();
    loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return pending().await,
        };
        if let Some(words) = words(&notice, &*node.book().book()) {
            out::hint(words);
        }
    }
}

fn say(globals: &Globals, hash: Hash, got: &Got, began: Instant) -> Result<(), Failure> {
    let elapsed = began.elapsed();
    if globals.json {
        let line = Record::Got {
            hash: hash.to_string(),
            path: &got.path,
            files: got.files,
            bytes: got.bytes,
            resumed: got.resumed,
            elapsed_ms: elapsed.as_millis() as u64,
        };
        return Ok(out::json(&line)?);
    }
    let moved = got.bytes.saturating_sub(got.resumed);
    let rate = moved as f64 / elapsed.as_secs_f64().max(0.001);
    let mut line = format!(
        "got {}, {} at {}",
        got.path.display(),
        format::bytes(got.bytes),
        format::rate(rate as u64)
    );
    if got.resumed > 0 {
        let resumed = format::bytes(got.resumed);
        line += &format!("; {resumed} were there already");
    }
    Ok(out::text(line)?)
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record<'a> {
    Got {
        hash: String,
        path: &'a Path,
        files: u64,
        bytes: u64,
        resumed: u64,
        elapsed_ms: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_line_keeps_its_keys() {
        let line = Record::Got {
            hash: Hash::of(b"").to_string(),
            path: Path::new("/x"),
            files: 1,
            bytes: 0,
            resumed: 0,
            elapsed_ms: 1,
        };
        assert_keys("get", &line);
    }
}
