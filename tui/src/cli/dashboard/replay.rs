//! The dashboard over a session that was recorded: there is no node, and nothing can be asked of one.

use std::{convert::Infallible, path::Path, sync::Arc};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::super::{failure::Failure, screen::Screen};
use crate::{
    Told,
    dash::{self, Feed, Options, People, Recorded, Recording},
};

/// Events that wait to be shown.
const QUEUE: usize = 64;

pub(super) async fn run(path: &Path, screen: &Screen) -> Result<(), Failure> {
    let recording = Recording::open(path)?;
    let (samples, snapshots) = watch::channel(Arc::new(recording.first.clone()));
    let (happened, events) = mpsc::channel(QUEUE);
    let (commands, _) = mpsc::channel(1);
    let source = Feed {
        snapshots,
        events: stream::unfold(events, |mut events| async {
            events.recv().await.map(|told| (told, events))
        })
        .boxed(),
        commands,
        people: stream::pending().boxed(),
    };
    let options = Options {
        people: People {
            names: recording.names.clone(),
            ..People::default()
        },
        replay: true,
        read_only: true,
        ..screen.options()
    };
    let played = recording.play()?;
    tokio::select! {
        left = dash::run(source, options) => Ok(left?),
        never = play(played, samples, happened) => match never {},
    }
}

async fn play(
    played: impl Iterator<Item = (std::time::Duration, Recorded)>,
    samples: watch::Sender<Arc<peerway::NodeSnapshot>>,
    happened: mpsc::Sender<Told>,
) -> Infallible {
    let start = Instant::now();
    for (after, recorded) in played {
        sleep_until(start + after).await;
        match recorded {
            Recorded::Snapshot(snapshot) => {
                samples.send_replace(Arc::new(*snapshot));
            }
            // Nobody listens once the dashboard is left.
            Recorded::Event(event) => drop(happened.send(Told::Event(event)).await),
        }
    }
    // Events stay open: without them the dashboard would stop before it shows the last sample.
    drop(samples);
    std::future::pending().await
}
