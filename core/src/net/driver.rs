//! The driver: the one task that owns a node's state. It turns what happens into inputs of the machine, and the machine's
//! outputs into deeds.

mod calls;
mod dial;
mod families;
mod gather;
mod links;
mod liveness;
mod nat;
mod relays;
mod streams;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{AbortHandle, Aborted, BoxFuture},
    stream::FuturesUnordered,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::{Interval, MissedTickBehavior, interval, sleep_until},
};

use self::{
    calls::Calls, dial::Reply, gather::Gathering, links::PeerLink, nat::Nat, relays::Registration,
    streams::Streams,
};
use super::{
    backlog::BacklogSender,
    clock::{now, time_asleep, unix_ms},
    flow::NodeMemory,
    interfaces::Interfaces,
    lan::{Lan, LanError},
    mux::{ForDriver, LinkHandle, Mux},
    relay::{RelayEvent, Streams as RelayStreams},
    tcp::{Established, Tls},
};
use crate::{
    Access, ConnectError, Connection, Event, EventKind, NodeSnapshot, PeerId, RelayUrl, SecretKey,
    Ticket,
    addr::Nat64,
    proto::{
        admission::CallId,
        early::Early,
        endpoint::Machine,
        io::{Input, Output, Pair, Sock},
        liveness::Liveness,
        local::Ports,
        relays::Relays,
    },
    quic::close,
    tls,
    wire::{datagram::DatagramKind, lane::Channel},
};

/// What the public API asks of the driver.
pub(crate) enum Command {
    /// A connection to a peer, with this application protocol. Whoever drops the other end of `reply` gives the dial up.
    Connect {
        target: Ticket,
        alpn: Vec<u8>,
        reply: Reply,
    },
    /// Who is let in from now on.
    Access { access: Access },
    /// Where to be registered from now on, best first.
    Relays { relays: Vec<RelayUrl> },
    /// The network may be another one than the system has told.
    NetworkChanged,
    /// Close all connections with a peer.
    HangUp {
        peer: PeerId,
        code: u32,
        reason: Vec<u8>,
    },
    /// Say goodbye and end.
    Shutdown { done: oneshot::Sender<()> },
}

/// What the driver shows to the public API.
pub(crate) struct Outlets {
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) snapshot: watch::Sender<Arc<NodeSnapshot>>,
    pub(crate) accepted: BacklogSender,
}

/// What the driver starts with.
pub(crate) struct Parts {
    pub(crate) key: SecretKey,
    pub(crate) machine: Machine,
    pub(crate) mux: Arc<Mux>,
    pub(crate) side: mpsc::Receiver<ForDriver>,
    pub(crate) quic: quinn::Endpoint,
    pub(crate) server: quinn::ServerConfig,
    /// The application protocols that are taken.
    pub(crate) alpns: watch::Receiver<Vec<Vec<u8>>>,
    pub(crate) home_relays: Vec<RelayUrl>,
    /// The ports that routers are asked to forward; 0 for none.
    pub(crate) map_ports: Ports,
    /// None if nobody is to be found on our own network, nor to find us there.
    pub(crate) lan: Result<Option<Lan>, LanError>,
    /// None if there are to be no streams.
    pub(crate) tls: Option<Tls>,
    /// By which relays are reached where UDP is not; none if there is to be no TCP.
    pub(crate) relay_streams: Option<Arc<RelayStreams>>,
    /// Our relays are not to take us for somebody to be found there.
    pub(crate) visits: bool,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) outlets: Outlets,
}

/// See the [module](self).
pub(crate) struct Driver {
    key: SecretKey,
    machine: Machine,
    mux: Arc<Mux>,
    side: mpsc::Receiver<ForDriver>,
    quic: quinn::Endpoint,
    memory: NodeMemory,
    clients: tls::Clients,
    server: quinn::ServerConfig,
    alpns: watch::Receiver<Vec<Vec<u8>>>,
    commands: mpsc::Receiver<Command>,
    outlets: Outlets,
    links: BTreeMap<PeerId, PeerLink>,
    handles: BTreeMap<LinkHandle, PeerId>,
    /// Peers with connections, and what each of them may leave unacknowledged.
    connected: BTreeSet<PeerId>,
    peer_share: u64,
    /// Dials so far.
    dials: u64,
    calls: Calls,
    relays: Relays,
    registrations: BTreeMap<RelayUrl, Registration>,
    relay_events: mpsc::Receiver<(RelayUrl, RelayEvent)>,
    relay_sender: mpsc::Sender<(RelayUrl, RelayEvent)>,
    visits: bool,
    relay_streams: Option<Arc<RelayStreams>>,
    gathering: Gathering,
    nat: Nat,
    streams: Streams,
    /// The search for a translator to IPv4.
    nat64: Option<AbortHandle>,
    /// Lane packets that came before the handshake that explains them.
    early: Early<Bytes>,
    liveness: Liveness,
    /// Links whose rates are sampled: the others' are zero.
    active: BTreeSet<LinkHandle>,
    /// Things that take time, and what came of them.
    pending: FuturesUnordered<BoxFuture<'static, Done>>,
    started: Instant,
    /// Whether the snapshot is out of date; which of its peers may be, besides those that the machine knows of; and since when
    /// it stands.
    dirty: bool,
    changed: BTreeSet<PeerId>,
    published: Instant,
}

/// Something that took time is over.
enum Done {
    /// A dial is over; without an outcome if it was given up.
    Dialled {
        peer: PeerId,
        number: u64,
        outcome: Option<(Result<Connection, ConnectError>, Reply)>,
    },
    /// An incoming handshake; the connection if it succeeded.
    Handshake {
        call: CallId,
        peer: PeerId,
        quic: Option<quinn::Connection>,
    },
    /// A connection ended.
    Closed {
        peer: PeerId,
        id: usize,
        reason: String,
    },
    /// Routers between us and the relay.
    Hops(Option<u8>),
    /// The network's translator to IPv4, if it has one; aborted when the network is another one.
    Nat64(Result<Option<Nat64>, Aborted>),
    /// A relay has had time to hear our goodbye.
    RelayLeft(LinkHandle),
    /// A stream was dialled.
    StreamDialled(PeerId, SocketAddr, io::Result<Box<Established>>),
    /// A peer has had time to hear our goodbye on a stream.
    StreamClosed(Sock),
    /// A stream is no more.
    StreamEnded(Pair),
}

/// Snapshots are at least this far apart, however much happens.
const PUBLISH_GAP: Duration = Duration::from_millis(20);
/// Rates are sampled this often.
const SAMPLE: Duration = Duration::from_secs(1);

impl Driver {
    pub(crate) async fn start(parts: Parts) -> Self {
        let (relay_sender, relay_events) = mpsc::channel(256);
        let secret = parts.key.derive("peerway PCP nonce 1");
        let gathering = Gathering::start(parts.map_ports, parts.lan, secret).await;
        let mut driver = Self {
            key: parts.key,
            machine: parts.machine,
            mux: parts.mux,
            side: parts.side,
            quic: parts.quic,
            memory: NodeMemory::default(),
            clients: tls::Clients::default(),
            server: parts.server,
            alpns: parts.alpns,
            commands: parts.commands,
            outlets: parts.outlets,
            links: BTreeMap::new(),
            handles: BTreeMap::new(),
            connected: BTreeSet::new(),
            peer_share: 0,
            dials: 0,
            calls: Calls::default(),
            relays: Relays::new(ChaCha20Rng::from_os_rng().random()),
            registrations: BTreeMap::new(),
            relay_events,
            relay_sender,
            relay_streams: parts.relay_streams,
            visits: parts.visits,
            gathering,
            nat: Nat::default(),
            streams: Streams::new(parts.tls),
            nat64: None,
            early: Early::default(),
            liveness: Liveness::new(now(), time_asleep()),
            active: BTreeSet::new(),
            pending: FuturesUnordered::new(),
            started: now(),
            dirty: true,
            changed: BTreeSet::new(),
            published: now(),
        };
        driver.take_interfaces(driver.gathering.interfaces.clone(), false);
        driver.relays.set_home(now(), parts.home_relays);
        driver.drive_relays();
        driver.publish();
        driver
    }

    /// Runs until the node is shut down, or nobody holds it any more.
    pub(crate) async fn run(mut self) {
        let mut sample = interval_of(SAMPLE);
        loop {
            let deadline = self.deadline();
            self.rest();
            tokio::select! {
                Some(side) = self.side.recv() => self.on_datagram(side),
                Some((relay, event)) = self.relay_events.recv() => self.on_relay_event(relay, event),
                command = self.commands.recv() => match command {
                    Some(Command::Connect { target, alpn, reply }) => self.dial(&target, &alpn, reply),
                    Some(Command::Access { access }) => self.set_access(access),
                    Some(Command::Relays { relays }) => {
                        self.relays.set_home(now(), relays);
                        self.dirty = true;
                    }
                    Some(Command::NetworkChanged) => self.network_changed(),
                    Some(Command::HangUp { peer, code, reason }) => self.hang_up(peer, code, &reason),
                    Some(Command::Shutdown { done }) => {
                        self.shutdown().await;
                        self.commands.close();
                        let _ = done.send(());
                        return;
                    }
                    None => return self.shutdown().await,
                },
                Ok(()) = self.alpns.changed() => self.take_alpns(),
                () = sleep_until(deadline.into()) => {}
                Some(done) = self.pending.next() => self.on_done(done),
                Some(stream) = self.streams.accept() => self.offer_stream(stream, false),
                Some(incoming) = self.quic.accept() => self.on_incoming(incoming),
                links = self.mux.activity() => self.on_activity(links),
                Some(news) = self.gathering.next() => self.on_gathered(news),
                _ = sample.tick() => {
                    self.look_for_the_missed();
                    self.sample();
                }
            }
            self.wake();
            self.settle();
        }
    }

    /// When something is due at the latest.
    fn deadline(&self) -> Instant {
        let machine = self.machine.poll_timeout().map(|(at, _)| at);
        let early = self.early.poll_timeout();
        let far = now() + Duration::from_secs(3600);
        let publish = self.dirty.then(|| self.published + PUBLISH_GAP);
        let relays = self.relays.poll_timeout();
        [
            machine,
            early,
            publish,
            relays,
            self.liveness.poll_timeout(),
            self.nat.schedule.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(far)
    }

    /// Does what is due and carries out what the machine decided.
    fn settle(&mut self) {
        let now = now();
        if self.machine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.machine.handle_timeout(now);
        }
        self.early.expire(now);
        self.relays.handle_timeout(now);
        self.drive_relays();
        self.drive_liveness();
        self.drive_nat(now);
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(output);
        }
        self.drive_relays();
        if self.dirty && self.published + PUBLISH_GAP <= now {
            self.dirty = false;
            self.publish();
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.machine.handle(now(), input);
    }

    fn on_datagram(&mut self, side: ForDriver) {
        match side {
            ForDriver::Message {
                sock,
                source,
                bytes,
            } if DatagramKind::of(&bytes) == Some(DatagramKind::Stun) => {
                self.on_stun(sock, source, &bytes);
            }
            ForDriver::Message {
                sock,
                source,
                bytes,
            } => self.feed(Input::Datagram {
                sock,
                source,
                bytes: &bytes,
            }),
            ForDriver::EarlyLane {
                relay,
                channel,
                packet,
            } => self.on_early(relay, channel, packet),
        }
    }

    /// Keeps a lane packet until its channel is admitted, unless that happened while the packet was on its way to us.
    fn on_early(&mut self, relay: SocketAddr, channel: Channel, packet: Bytes) {
        match self.mux.link_of(relay, channel) {
            Some(link) => self.mux.inject(link, packet),
            None => self.early.push(now(), relay, channel, packet),
        }
    }

    fn carry_out(&mut self, output: Output) {
        tracing::trace!(?output, "output");
        match output {
            Output::SendDatagram {
                sock,
                to,
                ttl,
                bytes,
            } => self.send_message(Pair { sock, addr: to }, ttl, &bytes),
            Output::SendRelay { relay, to, bytes } => self.signal(&relay, to, bytes),
            Output::OpenSockets { first, count } => {
                let count = self.mux.open_sockets(first, count);
                self.feed(Input::SocketsOpened { first, count });
            }
            Output::CloseSockets { first, count } => self.mux.close_sockets(first, count),
            Output::SampleMapping { sock, relay } => self.sample_mapping(sock, &relay),
            Output::DialStream { peer, addr } => self.dial_stream(peer, addr),
            Output::TakeStream { peer, sock } => self.take_stream(peer, sock),
            Output::CloseStream { sock } => self.close_stream(sock),
            Output::NeedRelay { relay } => self.relays.need(now(), relay),
            Output::Admit { peer, addr } => self.admit(peer, addr),
            Output::Expel { peer, addr } => self.expel(peer, addr),
            Output::Route { peer, route } => self.set_route(peer, route),
            Output::Forget { peer } => self.forget(peer),
            Output::Failed { peer, reason } => self.fail(peer, &reason),
            Output::Event(kind) => self.tell(kind),
        }
    }

    /// Sends a message or loses it, as the network may.
    fn send_message(&self, to: Pair, ttl: Option<u8>, bytes: &[u8]) {
        if let Err(error) = self.mux.send_message(to, ttl, bytes) {
            tracing::trace!(?to, %error, "cannot send");
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Dialled {
                peer,
                number,
                outcome,
            } => self.on_dialled(peer, number, outcome),
            Done::Handshake { call, peer, quic } => self.on_handshake(call, peer, quic),
            Done::Closed { peer, id, reason } => self.on_closed(peer, id, reason),
            Done::Hops(Some(hops)) => self.feed(Input::Hops(hops)),
            Done::Hops(None) => {}
            Done::Nat64(Ok(nat64)) => self.on_nat64(nat64),
            Done::Nat64(Err(Aborted)) => {}
            Done::RelayLeft(link) => self.drop_relay_link(link),
            Done::StreamDialled(peer, addr, dialled) => self.on_stream_dialled(peer, addr, dialled),
            Done::StreamClosed(sock) => self.mux.remove_stream(sock),
            Done::StreamEnded(stream) => self.on_stream_ended(stream),
        }
    }

    fn tell(&mut self, kind: EventKind) {
        if gather::makes_mappings_doubtful(&kind) {
            self.doubt_mappings();
        }
        if let EventKind::PeerState { peer, .. } | EventKind::PathChanged { peer, .. } = &kind
            && let Some(view) = self.machine.peer(*peer, now())
        {
            self.update_status(&view);
        }
        self.send_event(kind);
        self.dirty = true;
    }

    fn send_event(&self, kind: EventKind) {
        let _ = self.outlets.events.send(Event::new(unix_ms(), kind));
    }

    fn take_interfaces(&mut self, interfaces: Interfaces, lost_route: bool) {
        self.feed(Input::Interfaces {
            addrs: interfaces.addresses,
            lost_route,
        });
        self.take_routes(interfaces.routes);
        self.announce();
        self.listen();
        self.dirty = true;
    }

    /// Says goodbye to peers and relays; waits a moment for it to be sent.
    async fn shutdown(&mut self) {
        let (code, reason) = (close::SHUTDOWN.into(), b"shutting down");
        for open in self.links.values().flat_map(|link| &link.connections) {
            open.quic.close(code, reason);
        }
        self.feed(Input::Shutdown);
        self.settle();
        self.publish();
        let polite = Duration::from_secs(1);
        let _ = tokio::time::timeout(polite, self.leave_relays()).await;
        self.quic.close(code, reason);
        let _ = tokio::time::timeout(polite, self.quic.wait_idle()).await;
        self.close_streams();
        let _ = tokio::time::timeout(polite, self.gathering.close()).await;
    }
}

fn interval_of(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
