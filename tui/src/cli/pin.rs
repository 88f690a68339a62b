//! `peerway pin`, `unpin` and `gc`: what is kept of what was fetched. Where no node runs the commands do it by themselves.

use peerway::{RelayUrl, Router, services::files::Progress};
use peerway_swarm::{
    share::{GetError, KeepError, Link},
    store::{StoreError, catalog::Catalog, sweep::Extent},
};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::{
    args::{GcArgs, Globals, PinArgs, UnpinArgs},
    clock::now_ms,
    failure::Failure,
    get,
    keep::limited,
    node::Node,
    out, share,
    state::StateDir,
    transfer::shown,
};
#[cfg(unix)]
use super::{attach, node::interrupted};
#[cfg(unix)]
use crate::control::{Client, ControlError, GcAsk, GetStep, PinAsk};
use crate::{
    dash::format,
    pins::{Freed, PinLine, PinLines, StoreLine},
};

pub(super) async fn pin(globals: &Globals, args: &PinArgs) -> Result<(), Failure> {
    let until_ms = args.time.map(|time| {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        now_ms().saturating_add(time)
    });
    #[cfg(unix)]
    if let Some(client) = attach::willing(globals).await? {
        let pinned = by_node(globals, args, until_ms, &client).await?;
        return say(globals, "pinned", &pinned);
    }
    let pinned = by_itself(globals, args, until_ms).await?;
    say(globals, "pinned", &pinned)?;
    out::hint("it is there for others as long as a node runs: `peerway up`");
    Ok(())
}

/// The node that runs here fetches and keeps it.
#[cfg(unix)]
async fn by_node(
    globals: &Globals,
    args: &PinArgs,
    until_ms: Option<u64>,
    client: &Client,
) -> Result<PinLine, Failure> {
    let ask = PinAsk {
        link: args.link.clone(),
        name: args.name.clone(),
        until_ms,
    };
    let progress = Progress::default();
    let pinning = async {
        match get::last(client.pin(&ask).await?, &progress).await? {
            GetStep::Pinned { pin } => Ok(*pin),
            GetStep::Progress { .. }
            | GetStep::Hint { .. }
            | GetStep::Got { .. }
            | GetStep::Failed { .. } => Err(ControlError::Stream("it has ended".to_owned()).into()),
        }
    };
    tokio::select! {
        pinned = shown(globals.json, &progress, pinning) => pinned,
        () = interrupted() => Err(Failure::Interrupted),
    }
}

/// A node for the duration of the command does.
async fn by_itself(
    globals: &Globals,
    args: &PinArgs,
    until_ms: Option<u64>,
) -> Result<PinLine, Failure> {
    let provider = args.link.providers.first().ok_or(GetError::NoProvider)?;
    let node = keeping(globals, super::node::relays_for(globals, provider)).await?;
    let sharing = node.sharing().clone();
    let router = share::serve(Router::new(node.endpoint.clone()), &node);
    let fetching = async {
        node.settled().await;
        let (progress, until) = (Progress::default(), until_ms.map(|until| until / 1000));
        let name = args.name.as_deref().unwrap_or(&args.link.name);
        let pinning = sharing.pin(&args.link, name, until, &progress);
        let pinned = shown(globals.json, &progress, pinning).await;
        pinned.map_err(|error| get::by_name(error.into(), &node))
    };
    let body = async {
        tokio::select! {
            pinned = fetching => pinned,
            () = router.run() => Err(Failure::Interrupted),
            never = get::tell(&node, &sharing) => match never {},
            never = limited(globals, &node, out::hint) => match never {},
        }
    };
    let pinned = node.run(body).await?.ok_or(Failure::Interrupted)?;
    Ok(PinLine::of(pinned, None))
}

/// A node of the folder's identity, which keeps what it fetches.
pub(super) async fn keeping(globals: &Globals, relays: Vec<RelayUrl>) -> Result<Node, Failure> {
    let mut node = Node::beside(globals, relays).await?;
    node.keep(&StateDir::open(globals)?)?;
    Ok(node)
}

pub(super) async fn unpin(globals: &Globals, args: &UnpinArgs) -> Result<(), Failure> {
    // The link that `pin` took names what it pinned.
    let link = args.which.parse::<Link>();
    let which = link.map_or_else(|_| args.which.clone(), |link| link.hash.to_string());
    let taken = take(globals, &which).await?;
    if taken.is_empty() {
        return Err(Failure::NoPin(args.which.clone()));
    }
    taken
        .iter()
        .try_for_each(|pin| say(globals, "unpinned", pin))
}

async fn take(globals: &Globals, which: &str) -> Result<Vec<PinLine>, Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        let pins = node.pins().await?.pins;
        let is_meant = |pin: &PinLine| pin.is_meant_by(which);
        return match pins.iter().any(is_meant) {
            true => Ok(node.unpin(which).await?),
            false => Ok(Vec::new()),
        };
    }
    let which = which.to_owned();
    let taken = in_store(globals, move |catalog| catalog.unpin(&which)).await?;
    Ok(taken
        .into_iter()
        .map(|pin| PinLine::of(pin, None))
        .collect())
}

pub(super) async fn gc(globals: &Globals, args: &GcArgs) -> Result<(), Failure> {
    let freed = free(globals, args).await?;
    if globals.json {
        return Ok(out::json(&FreedRecord {
            event: "freed",
            freed: &freed,
        })?);
    }
    let contents = freed.contents;
    let bytes = format::bytes(freed.freed);
    out::text(format!("{bytes} freed, of {contents} files and lists"))?;
    Ok(out::text(room(&freed.store))?)
}

async fn free(globals: &Globals, args: &GcArgs) -> Result<Freed, Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        let ask = GcAsk {
            all: args.all,
            quota: args.quota,
        };
        return Ok(node.gc(ask).await?);
    }
    let (quota, now) = (args.quota, now_ms() / 1000);
    let extent = if args.all { Extent::All } else { Extent::Tidy };
    let swept = in_store(globals, move |catalog| {
        if let Some(quota) = quota {
            catalog.keep_at_most(quota)?;
        }
        catalog.sweep(extent, now)
    });
    let swept = swept.await?;
    Ok(Freed {
        contents: swept.contents,
        freed: swept.bytes,
        store: swept.room.into(),
    })
}

/// Says what is kept.
pub(super) async fn list(globals: &Globals) -> Result<(), Failure> {
    let lines = kept(globals).await?;
    for pin in &lines.pins {
        say(globals, "pin", pin)?;
    }
    if globals.json {
        return Ok(out::json(&StoreRecord {
            event: "store",
            store: &lines.store,
        })?);
    }
    if lines.store.bytes > 0 {
        out::text(room(&lines.store))?;
    }
    Ok(())
}

/// What is pinned, and the store.
pub(super) async fn kept(globals: &Globals) -> Result<PinLines, Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        return Ok(node.pins().await?);
    }
    let now = now_ms() / 1000;
    let (room, pins) = in_store(globals, move |catalog| {
        Ok((catalog.room(now)?, catalog.pins()?))
    })
    .await?;
    let pins = pins.into_iter().map(|pin| PinLine::of(pin, None));
    Ok(PinLines {
        pins: pins.collect(),
        store: room.into(),
    })
}

/// Does something with the store of the folder, which no node has.
async fn in_store<T: Send + 'static>(
    globals: &Globals,
    work: impl FnOnce(&Catalog) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failure> {
    let catalog = StateDir::open(globals)?.shares();
    let done = spawn_blocking(move || work(&catalog)).await;
    let done = done.map_err(std::io::Error::from)?;
    Ok(done.map_err(KeepError::from)?)
}

fn say(globals: &Globals, event: &'static str, pin: &PinLine) -> Result<(), Failure> {
    if globals.json {
        return Ok(out::json(&Record { event, pin })?);
    }
    let name = &pin.name;
    if event == "unpinned" {
        let when =
            "what nothing else keeps goes when there is too much, or with `peerway gc --all`";
        return Ok(out::text(format!("{name} is pinned no more: {when}"))?);
    }
    let what = if pin.whole {
        format!("{}, pinned", format::bytes(pin.bytes))
    } else {
        "a pin that is not whole yet, the same `peerway pin` goes on".to_owned()
    };
    let until = pin.until_ms.map_or_else(String::new, |until| {
        // What is left of a minute counts as one.
        let left = until.saturating_sub(now_ms()).saturating_add(59_999);
        let left = format::age(std::time::Duration::from_millis(left));
        format!(", for {left}")
    });
    out::text(format!("{name}: {what}{until}"))?;
    Ok(out::text(format!("peerway get {}", pin.link))?)
}

fn room(store: &StoreLine) -> String {
    let [bytes, pinned, quota] = [store.bytes, store.pinned, store.quota].map(format::bytes);
    format!("the store has {bytes}, of which {pinned} are pinned, and keeps {quota} at most")
}

#[derive(Serialize)]
struct Record<'a> {
    event: &'static str,
    #[serde(flatten)]
    pin: &'a PinLine,
}

#[derive(Serialize)]
struct StoreRecord<'a> {
    event: &'static str,
    #[serde(flatten)]
    store: &'a StoreLine,
}

#[derive(Serialize)]
struct FreedRecord<'a> {
    event: &'static str,
    #[serde(flatten)]
    freed: &'a Freed,
}

#[cfg(test)]
mod tests {
    use peerway_swarm::share::{Hash, Kind, Link};

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_lines_keep_their_keys() {
        let hash = Hash::of(b"");
        let pin = PinLine {
            name: "a".to_owned(),
            hash,
            kind: Kind::File,
            files: 1,
            bytes: 0,
            public: false,
            until_ms: None,
            whole: true,
            link: Link::new(hash, 0, Kind::File, "a"),
        };
        for (command, event) in [("pin", "pinned"), ("unpin", "unpinned"), ("ls", "pin")] {
            assert_keys(command, &Record { event, pin: &pin });
        }
        let store = StoreLine {
            bytes: 1,
            pinned: 1,
            quota: 1,
        };
        let event = "store";
        assert_keys(
            "ls",
            &StoreRecord {
                event,
                store: &store,
            },
        );
        let freed = &Freed {
            contents: 1,
            freed: 1,
            store,
        };
        let event = "freed";
        assert_keys("gc", &FreedRecord { event, freed });
        assert!(pin.is_meant_by("a") && pin.is_meant_by("AF1349B9"));
    }
}
