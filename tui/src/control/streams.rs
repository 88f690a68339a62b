//! What goes on telling as long as somebody listens: server-sent events.

use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};

use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use peerway::{Endpoint, NodeSnapshot};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::changes::{Grain, Teller};
use crate::{Told, transfers::without_names};

/// Snapshots follow each other no faster, whatever happens.
const PAUSE: Duration = Duration::from_millis(100);

/// The `event:` of a line that says how many events a slow reader missed.
pub(super) const MISSED: &str = "missed";

/// The `event:` of a line about a service that the node keeps.
pub(super) const SERVICE: &str = "service";

type Sending = Result<Sent, Infallible>;

/// What was told, and is told. Without `names`, files have none, and watched folders are not told of.
pub(super) fn events(
    told: impl Stream<Item = Told> + Send + 'static,
    names: bool,
    ended: watch::Receiver<bool>,
) -> Sse<impl Stream<Item = Sending>> {
    let told = told.filter(move |told| {
        let is_hidden = matches!(told, Told::Service(change) if change.is_about_files());
        ready(names || !is_hidden)
    });
    let sent = told.map(move |told| {
        Ok(match told {
            Told::Event(event) if names => json(None, &event),
            Told::Event(event) => json(None, &without_names(event)),
            Told::Service(change) => json(Some(SERVICE), &change),
            Told::Missed(count) => json(Some(MISSED), &Missed { count }),
        })
    });
    until(sent, ended)
}

/// The node as it is now, and as it is each time that it has changed: every second, and soon after something happened. A slow
/// reader gets the latest and none of those between.
pub(super) fn snapshots(
    endpoint: &Endpoint,
    ended: watch::Receiver<bool>,
) -> Sse<impl Stream<Item = Sending> + use<>> {
    let mut snapshots = endpoint.snapshots();
    snapshots.mark_changed();
    let snapshots = stream::unfold((snapshots, None), |(mut snapshots, last)| async move {
        if let Some(last) = last {
            sleep_until(last + PAUSE).await;
        }
        snapshots.changed().await.ok()?;
        let snapshot: Arc<NodeSnapshot> = snapshots.borrow_and_update().clone();
        Some((
            Ok(json(None, &*snapshot)),
            (snapshots, Some(Instant::now())),
        ))
    });
    until(snapshots, ended)
}

/// The same as what each changes, so that much less is sent: see [`Change`](super::changes::Change).
pub(super) fn changes(
    endpoint: &Endpoint,
    grain: Grain,
    ended: watch::Receiver<bool>,
) -> Sse<impl Stream<Item = Sending> + use<>> {
    let mut snapshots = endpoint.snapshots();
    snapshots.mark_changed();
    let begin = (snapshots, Teller::new(grain), None);
    let changes = stream::unfold(begin, |(mut snapshots, mut teller, last)| async move {
        if let Some(last) = last {
            sleep_until(last + PAUSE).await;
        }
        snapshots.changed().await.ok()?;
        let snapshot: Arc<NodeSnapshot> = snapshots.borrow_and_update().clone();
        let told = teller.tell(&snapshot);
        Some((
            stream::iter(told),
            (snapshots, teller, Some(Instant::now())),
        ))
    });
    let sent = changes.flatten();
    until(sent.map(|change| Ok(json(None, &change))), ended)
}

/// Each step of what is measured, or fetched.
pub(super) fn steps(
    steps: impl Stream<Item = impl Serialize> + Send + 'static,
    ended: watch::Receiver<bool>,
) -> Sse<impl Stream<Item = Sending>> {
    until(steps.map(|step| Ok(json(None, &step))), ended)
}

/// Each of some things as it comes.
pub(super) fn each<T: Serialize>(
    things: impl Stream<Item = T> + Send + 'static,
    ended: watch::Receiver<bool>,
) -> Sse<impl Stream<Item = Sending>> {
    until(things.map(|thing| Ok(json(None, &thing))), ended)
}

fn until(
    sent: impl Stream<Item = Sending> + Send + 'static,
    mut ended: watch::Receiver<bool>,
) -> Sse<impl Stream<Item = Sending>> {
    let end = async move {
        // The sender is gone with the node.
        let _ = ended.wait_for(|ended| *ended).await;
    };
    Sse::new(sent.take_until(end)).keep_alive(KeepAlive::default())
}

fn json(name: Option<&str>, value: &impl Serialize) -> Sent {
    let sent = name.map_or_else(Sent::default, |name| Sent::default().event(name));
    // What has no JSON is said to have none; nothing of ours is so.
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    sent.data(text)
}

#[derive(Serialize)]
struct Missed {
    count: u64,
}
