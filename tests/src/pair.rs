//! Two homes of a lab whose nodes dial each other, again and again.

use std::{
    env, fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use peerway::{
    Connection, Endpoint, PathInfo, PeerId, PeerSnapshot, PeerState, RelaySnapshot, RelayState,
    RelayUrl, SecretKey,
};
use peerway_lab::{Home, Lab, NatKind};
use peerway_relay::{Config, Relay};
use tokio::{sync::mpsc, time::timeout};

const ALPN: &[u8] = b"pairs/1";
/// How long registering and connecting may take.
const PATIENCE: Duration = Duration::from_secs(15);
const RUNS: &str = "PEERWAY_RUNS";

/// How often to run each cell: `usual`, or what the environment says.
///
/// # Panics
/// When the environment says no number.
pub fn runs(usual: usize) -> usize {
    match env::var(RUNS) {
        Ok(count) => count.parse().expect("PEERWAY_RUNS is a number"),
        Err(_) => usual,
    }
}

/// Starts a relay that serves IPv4.
///
/// # Panics
/// When it does not start.
pub fn relay(lab: &Lab) -> RelayUrl {
    let bind = (lab.relay().public_addr(), 4433).into();
    start(lab, Config::new(bind, key()))
}

/// Starts a relay that is known by its name and serves IPv4 and IPv6.
///
/// # Panics
/// When it does not start.
pub fn named_relay(lab: &Lab) -> RelayUrl {
    let mut config = Config::new(([0_u16; 8], 4433).into(), key());
    config.public_host = Some(Lab::RELAY_NAME.to_owned());
    start(lab, config)
}

fn start(lab: &Lab, config: Config) -> RelayUrl {
    let host = lab.relay();
    let relay = host.block_on(Relay::bind(config));
    let relay = Arc::new(relay.expect("the relay starts"));
    let url = relay.url();
    host.spawn(async move { relay.run().await });
    url
}

fn key() -> SecretKey {
    SecretKey::generate().expect("the system has randomness")
}

/// A node in a home, registered with the relay. It asks the router for a port only where the lab has one that answers.
///
/// # Panics
/// When it does not start or does not reach the relay.
pub fn node(home: &Home, relay: &RelayUrl) -> Endpoint {
    let builder = Endpoint::builder()
        .relays([relay.clone()])
        .alpns([ALPN])
        .port_mapping(home.access().ipv4 == Some(NatKind::SymmetricUpnp));
    home.block_on(async {
        let node = builder.bind().await.expect("the node starts");
        let mut snapshots = node.snapshots();
        let is_up = |relay: &RelaySnapshot| relay.state == RelayState::Up;
        let up = snapshots.wait_for(|snapshot| snapshot.relays.iter().any(is_up));
        let online = timeout(PATIENCE, up).await.map(|up| up.is_ok());
        assert_eq!(online, Ok(true), "the relay is there");
        node
    })
}

/// Who dials whom.
#[derive(Clone, Copy, Debug)]
pub struct HomePair<'a> {
    /// Where both are.
    pub lab: &'a Lab,
    /// Dials.
    pub from: &'a Home,
    /// Is dialled.
    pub to: &'a Home,
    /// Both are registered with it.
    pub relay: &'a RelayUrl,
    /// How long the path may take to become direct.
    pub limit: Duration,
}

impl HomePair<'_> {
    /// Dials `count` times, each time with new nodes.
    ///
    /// # Panics
    /// When a node does not start or cannot connect at all.
    pub fn dial(&self, count: usize) -> Tally {
        self.tally((0..count).map(|_| self.dial_once()).collect())
    }

    /// Says of which homes these dials are.
    #[must_use]
    pub fn tally(&self, dials: Vec<Dial>) -> Tally {
        Tally {
            title: self.title(),
            dials,
        }
    }

    fn title(&self) -> String {
        format!("{} to {}", self.from.access(), self.to.access())
    }

    fn dial_once(&self) -> Dial {
        let mut nodes = self.nodes();
        let (dial, _ends) = self.dial_from(&mut nodes);
        nodes.close(self);
        dial
    }

    /// Two nodes that have met before, whose link was forgotten since.
    ///
    /// # Panics
    /// When a node does not start or cannot connect at all.
    #[must_use]
    pub fn acquaint(&self) -> Acquainted {
        let mut nodes = self.nodes();
        let (_, ends) = self.dial_from(&mut nodes);
        for connection in ends {
            connection.close(0, b"until later");
        }
        Acquainted(nodes)
    }

    /// Dials once more, when both have forgotten the link and all routers have forgotten both.
    ///
    /// # Panics
    /// When the link stays, or the nodes cannot connect at all.
    #[must_use]
    pub fn dial_again(&self, Acquainted(mut nodes): Acquainted) -> Dial {
        for (home, node, other) in [
            (self.from, &nodes.from, nodes.to.id()),
            (self.to, &nodes.to, nodes.from.id()),
        ] {
            let forgotten = home.block_on(async { timeout(PATIENCE, is_idle(node, other)).await });
            forgotten.expect("a link that nobody wants is forgotten");
        }
        for (home, other) in [(self.from, self.to), (self.to, self.from)] {
            home.forget(other).expect("conntrack is installed");
        }
        let (dial, _ends) = self.dial_from(&mut nodes);
        nodes.close(self);
        dial
    }

    fn nodes(&self) -> Nodes {
        let (from, to) = (node(self.from, self.relay), node(self.to, self.relay));
        let accepted = self.listen(&to);
        Nodes { from, to, accepted }
    }

    #[expect(clippy::disallowed_methods, reason = "the lab's time is real")]
    fn dial_from(&self, nodes: &mut Nodes) -> (Dial, [Connection; 2]) {
        let before = self.packets();
        let (dialler, ticket) = (nodes.from.clone(), nodes.to.ticket());
        let limit = self.limit;
        let (outgoing, connected, direct) = self.from.block_on(async move {
            let started = Instant::now();
            let connection = dialler.connect(ticket, ALPN).await;
            let connection = connection.expect("the nodes connect");
            let connected = started.elapsed();
            let direct = is_direct(&connection, limit).await;
            (connection, connected, direct.then(|| started.elapsed()))
        });
        let accepted = &mut nodes.accepted;
        let incoming = self.to.block_on(async {
            let connection = timeout(PATIENCE, accepted.recv()).await.ok().flatten();
            let connection = connection.expect("the connection arrives");
            if direct.is_some() {
                is_direct(&connection, PATIENCE).await;
            }
            connection
        });
        let after = self.packets();
        let dial = Dial {
            connected,
            direct,
            packets: [after[0] - before[0], after[1] - before[1]],
            seen: view(&nodes.from, &outgoing),
        };
        (dial, [outgoing, incoming])
    }

    /// Sent so far by either to the other's address.
    fn packets(&self) -> [u64; 2] {
        [(self.from, self.to), (self.to, self.from)]
            .map(|(from, to)| self.lab.packets_between(from, to).expect("nft counts"))
    }

    fn listen(&self, node: &Endpoint) -> mpsc::UnboundedReceiver<Connection> {
        let (accepted, connections) = mpsc::unbounded_channel();
        let node = node.clone();
        self.to.spawn(async move {
            while let Some(connection) = node.accept().await {
                accepted.send(connection).unwrap_or_default();
            }
        });
        connections
    }
}

/// Two nodes, and the connections that one of them accepts.
#[derive(Debug)]
struct Nodes {
    from: Endpoint,
    to: Endpoint,
    accepted: mpsc::UnboundedReceiver<Connection>,
}

impl Nodes {
    fn close(self, pair: &HomePair<'_>) {
        pair.from.block_on(self.from.close());
        pair.to.block_on(self.to.close());
    }
}

/// Nodes that have met: see [`HomePair::acquaint`].
#[derive(Debug)]
pub struct Acquainted(Nodes);

async fn is_idle(node: &Endpoint, other: PeerId) {
    let mut snapshots = node.snapshots();
    let idle = snapshots.wait_for(|node| {
        let mut peers = node.peers.iter();
        peers.all(|peer| peer.id != other || peer.state == PeerState::Idle)
    });
    idle.await.expect("the node lives");
}

async fn is_direct(connection: &Connection, limit: Duration) -> bool {
    let mut path = connection.watch_status();
    let direct = path.wait_for(|link| {
        link.state == PeerState::Direct && matches!(link.path, Some(PathInfo::Direct { .. }))
    });
    matches!(timeout(limit, direct).await, Ok(Ok(_)))
}

fn view(node: &Endpoint, link: &Connection) -> PeerSnapshot {
    let snapshot = node.snapshot();
    let peer = snapshot.peer(link.peer());
    peer.expect("a connected peer is shown").clone()
}

/// What one dial came to.
#[derive(Clone, Debug)]
pub struct Dial {
    /// From the dial to the established connection.
    pub connected: Duration,
    /// From the dial to the direct path, if there was one in time.
    pub direct: Option<Duration>,
    /// Sent until then straight to the other, by the dialler and by the other.
    pub packets: [u64; 2],
    /// What the dialler saw of the other in the end.
    pub seen: PeerSnapshot,
}

/// What all dials of a pair came to.
#[derive(Clone, Debug)]
pub struct Tally {
    title: String,
    /// One by one.
    pub dials: Vec<Dial>,
}

impl Tally {
    /// All of them as one: what a few dials of each pair do not show, many of all pairs do.
    #[must_use]
    pub fn pool(title: &str, tallies: &[Self]) -> Self {
        let dials = tallies.iter().flat_map(|tally| &tally.dials);
        Self {
            title: title.to_owned(),
            dials: dials.cloned().collect(),
        }
    }

    /// How many went direct in time.
    #[must_use]
    pub fn direct(&self) -> usize {
        self.times().len()
    }

    /// The time within which this share of all dials went direct; none if fewer did.
    #[must_use]
    pub fn within(&self, share: f64) -> Option<Duration> {
        let rank = (self.dials.len() as f64 * share).ceil() as usize;
        self.times().get(rank.saturating_sub(1)).copied()
    }

    fn times(&self) -> Vec<Duration> {
        let mut times: Vec<_> = self.dials.iter().filter_map(|dial| dial.direct).collect();
        times.sort_unstable();
        times
    }

    fn connected(&self) -> [Duration; 2] {
        usual_and_most(self.dials.iter().map(|dial| dial.connected))
    }

    /// What both sides sent together.
    fn packets(&self) -> [u64; 2] {
        usual_and_most(self.dials.iter().map(|dial| dial.packets.iter().sum()))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [usual, most] = self.packets();
        let [connected, latest] = self.connected().map(|time| time.as_millis());
        let ms = |time: Option<Duration>| time.unwrap_or_default().as_millis();
        write!(
            f,
            "{}: {} of {} direct, median {} ms, p90 {} ms, slowest {} ms; connected {connected} ms, at most {latest} ms; packets {usual}, at most {most}",
            self.title,
            self.direct(),
            self.dials.len(),
            ms(self.within(0.5)),
            ms(self.within(0.9)),
            ms(self.times().last().copied()),
        )
    }
}

/// Median and maximum.
fn usual_and_most<T: Copy + Default + Ord>(values: impl Iterator<Item = T>) -> [T; 2] {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    [values.get(values.len() / 2), values.last()].map(|value| value.copied().unwrap_or_default())
}
