//! The dashboard over a session that was recorded: there is no node, and nothing can be asked of one.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use peerway::SwarmSnapshot;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::super::{args::Globals, failure::Failure, screen::Screen};
use crate::{
    Commons, Told,
    dash::{self, Command, Feed, Options, People, Played, Recorded, Recording},
};

/// Events that wait to be shown.
const QUEUE: usize = 64;

pub(super) async fn run(path: &Path, globals: &Globals, screen: &Screen) -> Result<(), Failure> {
    let recording = Recording::open(path)?;
    let (samples, snapshots) = watch::channel(Arc::new(recording.first.clone()));
    let (happened, events) = mpsc::channel(QUEUE);
    let (grouped, groups) = mpsc::channel(QUEUE);
    let (had, commons) = mpsc::channel(QUEUE);
    let (commands, asked) = mpsc::channel(QUEUE);
    let source = Feed {
        snapshots,
        events: received(events),
        outages: stream::pending().boxed(),
        commands,
        people: stream::pending().boxed(),
        swarm: received(groups),
        commons: received(commons),
    };
    let options = Options {
        people: People {
            names: recording.names.clone(),
            ..People::default()
        },
        replay: true,
        read_only: true,
        ..screen.options(globals)?
    };
    let played = recording.play()?;
    tokio::select! {
        left = dash::run(source, options) => Ok(left?),
        never = play(played, asked, samples, (happened, grouped, had)) => match never {},
    }
}

fn received<T: Send + 'static>(from: mpsc::Receiver<T>) -> BoxStream<'static, T> {
    stream::unfold(from, |mut from| async {
        from.recv().await.map(|item| (item, from))
    })
    .boxed()
}

async fn play(
    recorded: impl Iterator<Item = (Duration, Recorded)>,
    mut asked: mpsc::Receiver<Command>,
    samples: watch::Sender<Arc<peerway::NodeSnapshot>>,
    (happened, grouped, had): (
        mpsc::Sender<Told>,
        mpsc::Sender<Arc<SwarmSnapshot>>,
        mpsc::Sender<Arc<Commons>>,
    ),
) -> Infallible {
    let (start, mut played) = (Instant::now(), Played::begin());
    for (after, recorded) in recorded {
        loop {
            tokio::select! {
                () = sleep_until(start + played.due(after)) => break,
                Some(command) = asked.recv() => if let Command::Play(speed) = command {
                    played.turn(start.elapsed(), speed);
                },
            }
        }
        match recorded {
            Recorded::Snapshot(snapshot) => {
                samples.send_replace(Arc::new(*snapshot));
            }
            // Nobody listens once the dashboard is left.
            Recorded::Event(event) => drop(happened.send(Told::Event(event)).await),
            Recorded::Swarm(swarm) => drop(grouped.send(Arc::from(swarm)).await),
            Recorded::Commons(commons) => drop(had.send(Arc::from(commons)).await),
        }
    }
    // Events stay open: without them the dashboard would stop before it shows the last sample.
    drop(samples);
    std::future::pending().await
}
