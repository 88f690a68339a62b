//! What is in the two homes and between them: a relay, a node in each home, a connection, data.

use std::{convert::Infallible, time::Duration};

use peerway::{
    BindError, Connection, Endpoint, Event, PathInfo, RelaySnapshot, RelayState, RelayUrl,
    SecretKey,
};
use peerway_relay::Relay;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    DemoError,
    payload::{self, ALPN, Exchanged, Payload},
    timeline::{Step, Summary, Timeline, milliseconds},
    world::{Place, World},
};

/// What each exchange under a dashboard carries, each way.
const SMALL_PAYLOAD: usize = 1 << 20;
const BETWEEN_EXCHANGES: Duration = Duration::from_millis(500);
/// How long the dashboard shows the node unconnected.
const PAUSE: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Homes {
    timeline: Timeline,
    a: Endpoint,
    b: Endpoint,
}

impl Homes {
    /// Starts the relay and both nodes, home B's answering exchanges.
    pub(super) async fn start(world: &World, timeline: Timeline) -> Result<Self, DemoError> {
        timeline.step(&world.describe());
        let key = SecretKey::generate().map_err(BindError::Random)?;
        let relay = Relay::bind(world.relay_config(key));
        let relay = world.spawn(Place::Relay, relay).await??;
        let url = relay.url();
        timeline.step(&Step::Relay { url: url.clone() });
        world.spawn(Place::Relay, async move { relay.run().await });
        let a = start_node(world, Place::HomeA, &url).await?;
        world.spawn(Place::HomeA, relate(timeline, 'A', a.events()));
        let b = start_node(world, Place::HomeB, &url).await?;
        world.spawn(Place::HomeB, relate(timeline, 'B', b.events()));
        world.spawn(Place::HomeB, answer_all(b.clone()));
        Ok(Self { timeline, a, b })
    }

    /// Waits until both nodes are registered with the relay.
    pub(super) async fn register(&self) -> Result<(), DemoError> {
        for (home, node) in self.nodes() {
            if !self.is_registered(home, node).await {
                let seconds = PATIENCE.as_secs();
                return Err(DemoError::Offline { home, seconds });
            }
        }
        Ok(())
    }

    /// Tells whether a node was registered in time.
    pub(super) async fn is_registered(&self, home: char, node: &Endpoint) -> bool {
        let mut snapshots = node.snapshots();
        let is_up = |relay: &RelaySnapshot| relay.state == RelayState::Up;
        let up = snapshots.wait_for(|snapshot| snapshot.relays.iter().any(is_up));
        let registered = matches!(timeout(PATIENCE, up).await, Ok(Ok(_)));
        self.timeline.step(&if registered {
            let id = node.id();
            Step::Ready { home, id }
        } else {
            Step::Unregistered { home }
        });
        registered
    }

    /// Home A's node.
    pub(super) fn node(&self) -> Endpoint {
        self.a.clone()
    }

    /// Both nodes, with the names of their homes.
    pub(super) fn nodes(&self) -> [(char, &Endpoint); 2] {
        [('A', &self.a), ('B', &self.b)]
    }

    /// Links the homes and moves data until the path is direct and has carried some.
    pub(super) async fn link(&self, payload: &Payload) -> Result<(), DemoError> {
        let dialled = Instant::now();
        let connection = self.a.connect(self.b.ticket(), ALPN).await?;
        let connected = dialled.elapsed();
        let (first, direct) = tokio::try_join!(
            payload::exchange(&connection, payload),
            direct(&connection, dialled)
        )?;
        self.timeline.step(&exchanged(first, &connection));
        let second = payload::exchange(&connection, payload).await?;
        self.timeline.step(&exchanged(second, &connection));
        let path_kind = path_kind(&connection);
        connection.close(0, b"done");
        self.close().await;
        self.timeline.step(&Step::Summary(Summary {
            connected_ms: milliseconds(connected),
            direct_ms: milliseconds(direct),
            bytes: 4 * payload.bytes(),
            path_kind,
        }));
        Ok(())
    }

    pub(super) async fn close(&self) {
        tokio::join!(self.a.close(), self.b.close());
    }

    /// Links the homes and keeps data moving, whatever happens.
    pub(super) async fn keep_busy(&self) -> Infallible {
        sleep(PAUSE).await;
        loop {
            if let Err(error) = self.exchange_again().await {
                tracing::info!(%error, "the demo dials again");
            }
            sleep(PAUSE).await;
        }
    }

    async fn exchange_again(&self) -> Result<(), DemoError> {
        let payload = Payload::random(1, SMALL_PAYLOAD).await?;
        let connection = self.a.connect(self.b.ticket(), ALPN).await?;
        loop {
            payload::exchange(&connection, &payload).await?;
            sleep(BETWEEN_EXCHANGES).await;
        }
    }
}

async fn start_node(world: &World, place: Place, relay: &RelayUrl) -> Result<Endpoint, DemoError> {
    let mut builder = Endpoint::builder().relays([relay.clone()]).alpns([ALPN]);
    if let Some(addr) = world.node_addr() {
        builder = builder.bind_addr(addr);
    }
    Ok(world.spawn(place, builder.bind()).await??)
}

/// When the connection's path became direct, since `dialled`.
async fn direct(connection: &Connection, dialled: Instant) -> Result<Duration, DemoError> {
    let mut path = connection.watch_status();
    let is_direct = path.wait_for(|link| matches!(link.path, Some(PathInfo::Direct { .. })));
    match timeout(PATIENCE, is_direct).await {
        Ok(Ok(_)) => Ok(dialled.elapsed()),
        Ok(Err(_)) => Err(DemoError::Transfer("the node ended".to_owned())),
        Err(_) => Err(DemoError::NotDirect {
            seconds: PATIENCE.as_secs(),
        }),
    }
}

async fn answer_all(node: Endpoint) {
    let mut exchanges = JoinSet::new();
    while let Some(connection) = node.accept().await {
        exchanges.spawn(payload::answer(connection));
    }
}

/// Prints a node's events until it is closed.
async fn relate(timeline: Timeline, home: char, mut events: Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(event) => timeline.node(home, &event),
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "events were missed"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn exchanged(exchanged: Exchanged, connection: &Connection) -> Step {
    Step::Exchanged {
        bytes: exchanged.bytes,
        hash: exchanged.hash,
        took_ms: milliseconds(exchanged.took),
        path_kind: path_kind(connection),
    }
}

fn path_kind(connection: &Connection) -> &'static str {
    match connection.path() {
        Some(PathInfo::Direct { .. }) => "direct",
        Some(PathInfo::Relay { .. }) => "relay",
        _ => "none",
    }
}
