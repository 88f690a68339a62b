//! `peerway get`: fetches what a link names from all who have some of it.

use std::{future::pending, path::Path};

use peerway::{Names as _, Router, services::files::Progress};
use peerway_swarm::share::{GetError, Got, Hash, Notice, Sharing, Target};
use serde::Serialize;
use tokio::{sync::broadcast::error::RecvError, time::Instant};

use super::{
    args::{GetArgs, Globals},
    failure::Failure,
    node::Node,
    out, share,
    transfer::shown,
};
use crate::dash::format;

pub(super) async fn run(globals: &Globals, args: &GetArgs) -> Result<(), Failure> {
    let output = args.output.as_deref().unwrap_or_else(|| Path::new("."));
    let mut target = Target::at(output);
    target.overwrite = args.overwrite;
    let provider = args.link.providers.first().ok_or(GetError::NoProvider)?;
    let relays = super::node::relays_for(globals, provider);
    let node = Node::beside(globals, relays).await?;
    let sharing = share::of(&node);
    let router = share::serve(Router::new(node.endpoint.clone()), &sharing);
    let fetching = async {
        node.settled().await;
        let (progress, began) = (Progress::default(), Instant::now());
        let getting = sharing.get(&args.link, &target, &progress);
        let got = shown(globals.json, &progress, getting).await?;
        say(globals, args.link.hash, &got, began)?;
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
            never = tell(&node, &sharing) => never,
        }
    };
    let ended = node.run(body).await;
    if let Err(Failure::Get(GetError::NotThere(_) | GetError::Unreached(_))) = &ended {
        node.hint_at_identity();
    }
    match ended? {
        None if !args.stay => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}

/// Says what happens meanwhile.
async fn tell(node: &Node, sharing: &Sharing) -> Result<(), Failure> {
    let mut notices = sharing.notices();
    loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return pending().await,
        };
        match notice {
            Notice::Paused { reason, .. } => out::hint(format!(
                "it waits, and goes on by itself: nothing can be written: {reason}"
            )),
            Notice::Resumed { .. } => out::hint("it goes on"),
            Notice::Waiting { .. } => {
                out::hint(
                    "nobody who is there has what is missing: it goes on when somebody comes",
                );
            }
            Notice::Lied { peer } => out::hint(format!(
                "{} sent what is not the content: nothing is fetched from it for an hour",
                node.book().book().peer(&peer)
            )),
            _ => {}
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
