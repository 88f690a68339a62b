//! Real QUIC clients against [`Clients`] in virtual time, over a line of a set delay.

use std::time::Duration;

use peerway_keys::tls;
use peerway_proto::{
    SecretKey,
    wire::relay::{ALPN, Busy, Frame, FrameReader, MAX_BODY, ToClient, ToRelay, VERSION},
};
use quinn_proto::{ClientConfig, ConnectionError, Dir, Event, StreamId};

use super::*;
use crate::{
    relay::server_config,
    server::{Rate, admission::Decision},
};

const DELAY: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
const RELAY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4433);

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A client, as quinn would drive it.
struct Peer {
    addr: SocketAddr,
    endpoint: Endpoint,
    connection: (ConnectionHandle, quinn_proto::Connection),
    stream: Option<StreamId>,
    frames: FrameReader<ToClient>,
    heard: Vec<ToClient>,
    lost: Option<ConnectionError>,
    /// Whether it takes what comes on its stream.
    reads: bool,
    /// Whether anything of it or to it arrives.
    is_away: bool,
}

impl Peer {
    fn dial(now: Instant, seed: u8, window: Option<u32>) -> Self {
        let mut config = EndpointConfig::default();
        config.grease_quic_bit(false);
        let mut endpoint = Endpoint::new(Arc::new(config), None, false, None);
        let mut config =
            ClientConfig::new(Arc::new(tls::client_config(&secret(seed), ALPN).unwrap()));
        let mut transport = quinn_proto::TransportConfig::default();
        transport.max_idle_timeout(None);
        if let Some(window) = window {
            transport.stream_receive_window(window.into());
        }
        config.transport_config(Arc::new(transport));
        let name = tls::server_name(secret(200).id());
        let connection = endpoint.connect(now, config, RELAY, &name).unwrap();
        Self {
            addr: SocketAddr::from(([192, 0, 2, seed], 1000)),
            endpoint,
            connection,
            stream: None,
            frames: FrameReader::default(),
            heard: Vec::new(),
            lost: None,
            reads: true,
            is_away: false,
        }
    }

    fn say(&mut self, frame: &ToRelay) {
        let mut bytes = Vec::new();
        frame.emit(&mut bytes);
        self.write(&bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        let connection = &mut self.connection.1;
        let stream = *self
            .stream
            .get_or_insert_with(|| connection.streams().open(Dir::Bi).unwrap());
        let written = connection.send_stream(stream).write(bytes).unwrap();
        assert_eq!(written, bytes.len());
    }

    fn signal(&mut self, to: u8, len: usize) {
        self.say(&ToRelay::Signal {
            to: secret(to).id(),
            hidden: false,
            payload: vec![0; len].try_into().unwrap(),
        });
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        let mut response = Vec::new();
        let event = self
            .endpoint
            .handle(now, RELAY, None, None, bytes.into(), &mut response);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            self.connection.1.handle_event(event);
        }
    }

    fn turn(&mut self, now: Instant) {
        let (handle, connection) = &mut self.connection;
        if connection.poll_timeout().is_some_and(|time| time <= now) {
            connection.handle_timeout(now);
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            if let Event::ConnectionLost { reason } = event {
                self.lost = Some(reason);
            }
        }
        if self.reads && !connection.is_closed() {
            self.read();
        }
    }

    fn read(&mut self) {
        let Some(stream) = self.stream else { return };
        let mut stream = self.connection.1.recv_stream(stream);
        let mut chunks = stream.read(true).unwrap();
        while let Ok(Some(chunk)) = chunks.next(MAX_BODY) {
            self.frames.push(&chunk.bytes);
        }
        let _ = chunks.finalize();
        while let Some(frame) = self.frames.poll().unwrap() {
            self.heard.push(frame);
        }
    }

    fn close_reason(&self) -> Option<CloseReason> {
        match &self.lost {
            Some(ConnectionError::ApplicationClosed(close)) => {
                CloseReason::from_code(close.error_code.into_inner())
            }
            _ => None,
        }
    }
}

/// A datagram under way: when it arrives, whose it is, and whether it goes to the relay.
type Flying = (Instant, usize, bool, Vec<u8>);

struct World {
    start: Instant,
    now: Instant,
    hub: Arc<Hub>,
    clients: Clients,
    peers: Vec<Peer>,
    line: VecDeque<Flying>,
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let hub = Arc::new(Hub::new(limits));
        let key = secret(200);
        let endpoint = tls::endpoint_config(&key, "relay");
        let server = server_config(&key).unwrap();
        let start = crate::hub::now().instant;
        Self {
            start,
            now: start,
            clients: Clients::new(hub.clone(), limits, endpoint, server),
            hub,
            peers: Vec::new(),
            line: VecDeque::new(),
        }
    }

    fn now(&self) -> Now {
        let unix_ms = (self.now - self.start).as_millis() as u64;
        Now {
            instant: self.now,
            unix_ms,
        }
    }

    fn dial(&mut self, seed: u8) -> usize {
        self.dial_with_window(seed, None)
    }

    fn dial_with_window(&mut self, seed: u8, window: Option<u32>) -> usize {
        self.peers.push(Peer::dial(self.now, seed, window));
        self.peers.len() - 1
    }

    /// Has a client register.
    fn register(&mut self, seed: u8) -> usize {
        let peer = self.dial(seed);
        self.hello(peer);
        peer
    }

    fn hello(&mut self, peer: usize) {
        self.pass(SECOND / 2);
        self.peers[peer].say(&ToRelay::Hello { version: VERSION });
        self.pass(SECOND / 2);
        let heard = std::mem::take(&mut self.peers[peer].heard);
        assert!(matches!(heard[..], [ToClient::Welcome { .. }]), "{heard:?}");
    }

    fn registered(&self) -> usize {
        self.hub.lock().clients()
    }

    /// Lets so much time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.exchange();
            let times = [
                self.line.front().map(|flying| flying.0),
                self.clients.next_timeout(),
            ];
            let peers = self.peers.iter_mut().filter(|peer| !peer.is_away);
            let peers = peers.filter_map(|peer| peer.connection.1.poll_timeout());
            let next = times.into_iter().flatten().chain(peers).min();
            match next {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
    }

    fn exchange(&mut self) {
        while let Some((arrives, peer, to_relay, bytes)) = self.line.pop_front() {
            if arrives > self.now {
                self.line.push_front((arrives, peer, to_relay, bytes));
                break;
            }
            if self.peers[peer].is_away {
                continue;
            }
            if to_relay {
                let remote = self.peers[peer].addr;
                self.clients.receive(self.now(), datagram(remote, &bytes));
            } else {
                self.peers[peer].receive(self.now, &bytes);
            }
        }
        self.clients.expire(self.now());
        while self.send() {}
        let arrives = self.now + DELAY;
        for (index, peer) in self.peers.iter_mut().enumerate() {
            if peer.is_away {
                continue;
            }
            peer.turn(self.now);
            let mut buffer = Vec::new();
            while let Some(sent) = peer.connection.1.poll_transmit(self.now, 1, &mut buffer) {
                let bytes = buffer[..sent.size].to_vec();
                self.line.push_back((arrives, index, true, bytes));
                buffer.clear();
            }
        }
    }

    /// Takes one batch of what the relay has to send. False if there is none.
    fn send(&mut self) -> bool {
        let mut buffer = Vec::new();
        let transmit = self.clients.poll_transmit(self.now(), 10, &mut buffer);
        while let Some(packet) = self.clients.poll_packet() {
            self.fly(packet.to.remote, packet.bytes);
        }
        let Some(transmit) = transmit else {
            return false;
        };
        let segment = transmit.segment_size.unwrap_or(transmit.size);
        for bytes in buffer[..transmit.size].chunks(segment) {
            self.fly(transmit.destination, bytes.to_vec());
        }
        true
    }

    fn fly(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        let peer = self.peers.iter().position(|peer| peer.addr == to);
        let arrives = self.now + DELAY;
        self.line.push_back((arrives, peer.unwrap(), false, bytes));
    }

    fn assert_nothing_is_kept(&self) {
        let clients = &self.clients;
        assert!(clients.is_empty() && clients.all_left());
        assert!(clients.seats.is_empty() && clients.registered.is_empty());
        assert_eq!((clients.timers.next(), self.registered()), (None, 0));
        assert_eq!(clients.endpoint.open_connections(), 0);
    }
}

fn datagram(remote: SocketAddr, bytes: &[u8]) -> Datagram {
    Datagram {
        remote,
        local: None,
        ecn: None,
        bytes: bytes.into(),
    }
}

#[test]
fn a_waiting_client_costs_little_beside_its_quic_connection() {
    let beside = size_of::<Slot>() - size_of::<quinn_proto::Connection>();
    assert!(beside <= 400, "{beside} bytes");
}

#[test]
fn in_a_storm_a_client_is_told_when_to_come_again_within_two_round_trips_and_is_let_in_then() {
    let mut world = World::new();
    let peer = world.dial(1);
    let addr = world.peers[peer].addr;
    for _ in 0..100 {
        for nth in 0..200 {
            let other = SocketAddr::from(([198, 51, 100, nth], 1));
            for from in [other, addr] {
                let decision = world.clients.admission.attempt(world.now, from, true);
                if let Decision::Accept(admitted) = decision {
                    world.clients.admission.end(admitted);
                }
            }
        }
        world.pass(Duration::from_millis(1));
    }
    let Some(ConnectionError::ConnectionClosed(close)) = &world.peers[peer].lost else {
        panic!("{:?}", world.peers[peer].lost);
    };
    let busy = Busy::parse(&close.reason).unwrap();
    assert_eq!(world.hub.lock().counters().turned_away, 1);
    assert!(world.clients.is_empty() && world.clients.endpoint.open_connections() == 0);
    world.pass(busy.retry_in());
    world.peers[peer].addr.set_port(0);
    world.register(1);
    assert_eq!(world.registered(), 1);
}

#[test]
fn a_client_that_says_goodbye_is_forgotten_within_a_second() {
    let mut world = World::new();
    let peer = world.register(1);
    world.peers[peer].say(&ToRelay::KeepAlive);
    world.pass(SECOND);
    assert_eq!(world.peers[peer].heard, [ToClient::KeepAliveAck]);
    let now = world.now;
    let connection = &mut world.peers[peer].connection.1;
    connection.close(now, 0_u32.into(), b"".as_slice().into());
    world.pass(DELAY * 2);
    assert_eq!(world.registered(), 0);
    world.pass(SECOND);
    world.assert_nothing_is_kept();
}

#[test]
fn a_client_that_vanished_is_forgotten_after_its_idle_time_and_no_earlier() {
    let mut world = World::new();
    let peer = world.register(1);
    world.peers[peer].is_away = true;
    world.pass(SECOND * 43);
    assert_eq!(world.registered(), 1);
    world.pass(SECOND * 3);
    world.assert_nothing_is_kept();
}

#[test]
fn a_client_that_says_keepalive_stays_and_takes_no_turn_in_between() {
    let mut world = World::new();
    let peer = world.register(1);
    for _ in 0..20 {
        world.peers[peer].say(&ToRelay::KeepAlive);
        world.pass(SECOND * 5);
        let idle = world.clients.next_timeout().unwrap() - world.now;
        assert!(idle > SECOND * 35, "{idle:?}");
        world.pass(SECOND * 10);
    }
    assert_eq!(world.peers[peer].heard.len(), 20);
}

#[test]
fn a_handshake_that_stalls_ends_after_five_seconds_and_frees_its_place() {
    let mut world = World::new();
    let peer = world.dial(1);
    world.pass(Duration::ZERO);
    for (_, _, _, bytes) in std::mem::take(&mut world.line) {
        let datagram = datagram(world.peers[peer].addr, &bytes);
        world.clients.receive(world.now(), datagram);
    }
    world.peers[peer].is_away = true;
    world.pass(SECOND * 4);
    assert!(!world.clients.all_left());
    world.pass(SECOND * 2);
    assert!(world.clients.all_left());
    world.pass(SECOND * 10);
    world.assert_nothing_is_kept();
}

#[test]
fn a_connection_that_does_not_say_hello_ends_after_five_seconds() {
    let mut world = World::new();
    let peer = world.dial(1);
    world.pass(SECOND * 4);
    assert_eq!(world.peers[peer].lost, None);
    world.pass(SECOND * 2);
    let reason = world.peers[peer].close_reason();
    assert_eq!(reason, Some(CloseReason::Protocol));
    world.pass(SECOND);
    world.assert_nothing_is_kept();
}

#[test]
fn a_client_that_does_not_read_is_closed_after_two_seconds_and_holds_up_nobody() {
    let mut world = World::new();
    let good = world.register(1);
    let deaf = world.dial_with_window(2, Some(2048));
    world.hello(deaf);
    world.peers[deaf].reads = false;
    for _ in 0..4 {
        world.peers[good].signal(2, 1400);
    }
    world.pass(SECOND);
    // So that it is not taken for one that is away.
    world.peers[deaf].connection.1.ping();
    world.peers[good].say(&ToRelay::KeepAlive);
    world.pass(DELAY * 3);
    assert_eq!(world.peers[good].heard, [ToClient::KeepAliveAck]);
    assert_eq!(world.peers[deaf].lost, None);
    world.pass(SECOND * 2);
    let reason = world.peers[deaf].close_reason();
    assert_eq!(reason, Some(CloseReason::TooSlow));
    assert_eq!(world.registered(), 1);
}

#[test]
fn a_client_that_is_away_is_not_called_slow_and_gets_what_waited_when_it_is_back() {
    let mut world = World::new();
    let caller = world.register(1);
    let callee = world.register(2);
    world.pass(SECOND * 2);
    world.peers[callee].is_away = true;
    world.peers[caller].signal(2, 10);
    world.pass(SECOND * 3);
    let unreached = ToClient::Unreached {
        peer: secret(2).id(),
    };
    assert_eq!(world.peers[caller].heard, [unreached]);
    world.pass(SECOND * 7);
    world.peers[callee].is_away = false;
    world.peers[callee].say(&ToRelay::KeepAlive);
    world.pass(SECOND * 10);
    let heard = &world.peers[callee].heard;
    assert!(
        matches!(
            heard[..],
            [ToClient::Deliver { .. }, ToClient::KeepAliveAck]
        ),
        "{heard:?}"
    );
}

#[test]
fn a_client_that_says_much_at_once_does_not_have_others_wait_until_it_is_through() {
    let mut world = World::with(Limits {
        client_rate: Rate::mib_per_second(1),
        ..Limits::default()
    });
    let (loud, quiet) = (world.register(1), world.register(2));
    let mut flood = Vec::new();
    for _ in 0..3000 {
        ToRelay::KeepAlive.emit(&mut flood);
    }
    world.peers[loud].write(&flood);
    let now = world.now;
    let arrives = world.now + DELAY;
    let mut buffer = Vec::new();
    let connection = &mut world.peers[loud].connection.1;
    while let Some(sent) = connection.poll_transmit(now, 1, &mut buffer) {
        let bytes = buffer[..sent.size].to_vec();
        world.line.push_back((arrives, loud, true, bytes));
        buffer.clear();
    }
    world.peers[quiet].say(&ToRelay::KeepAlive);
    world.pass(DELAY);
    let order: Vec<_> = world.line.iter().map(|flying| flying.1).collect();
    let turn = order.iter().position(|peer| *peer == quiet).unwrap();
    assert!(turn <= 3 && turn + 3 < order.len(), "{order:?}");
}

#[test]
fn a_full_relay_gives_the_place_of_the_newest_of_many_to_a_network_with_fewer() {
    let mut world = World::with(Limits {
        clients: 2,
        ..Limits::default()
    });
    let first = world.register(1);
    let second = world.dial(2);
    world.peers[second].addr = SocketAddr::new(world.peers[first].addr.ip(), 2000);
    world.hello(second);
    let third = world.register(3);
    let reasons = [first, second, third].map(|peer| world.peers[peer].close_reason());
    assert_eq!(reasons, [None, Some(CloseReason::Displaced), None]);
    assert_eq!(world.registered(), 2);
}

#[test]
fn a_stopping_relay_asks_its_clients_to_leave_and_takes_no_others() {
    let mut world = World::new();
    let (a, b) = (world.register(1), world.register(2));
    world.clients.drain(None);
    world.clients.ask_some(1, Duration::ZERO);
    let late = world.dial(3);
    world.pass(SECOND);
    for peer in [a, b] {
        let heard = &world.peers[peer].heard;
        assert!(
            matches!(heard[..], [ToClient::Drain { reconnect_in_ms }] if reconnect_in_ms <= DRAIN_JITTER_MS),
            "{heard:?}"
        );
    }
    let turned_away = world.peers[late].close_reason();
    assert_eq!(turned_away, Some(CloseReason::GoingAway));
    world.peers[a].signal(2, 1);
    world.pass(SECOND);
    let heard = &world.peers[b].heard;
    assert!(
        matches!(
            heard[..],
            [ToClient::Drain { .. }, ToClient::Deliver { .. }]
        ),
        "served until they leave: {heard:?}"
    );
    world.clients.close_all(world.now());
    world.pass(SECOND);
    let reasons = [a, b].map(|peer| world.peers[peer].close_reason());
    assert_eq!(reasons, [Some(CloseReason::Goodbye); 2]);
    world.assert_nothing_is_kept();
}

#[test]
fn a_relay_that_is_taken_out_of_service_names_the_one_in_its_place_also_to_those_who_come_late() {
    let mut world = World::new();
    let early = world.register(1);
    let key = SecretKey::from_seed(&[9; 32]).id();
    let to = RelayUrl::new(key, "relay.example.org", 4433).unwrap();
    world.clients.drain(Some(to.clone()));
    world.clients.ask_some(1, Duration::ZERO);
    let late = world.register(2);
    world.clients.ask_some(1, Duration::ZERO);
    world.pass(SECOND);
    let told = |world: &World, peer: usize, to: &RelayUrl| {
        let heard = &world.peers[peer].heard;
        matches!(&heard[heard.len() - 2..], [ToClient::Moved { to: named }, ToClient::Drain { .. }] if named == to)
    };
    assert!(
        [early, late]
            .into_iter()
            .all(|peer| told(&world, peer, &to))
    );
    world.clients.drain(Some(to));
    world.clients.ask_some(1, Duration::ZERO);
    world.pass(SECOND);
    assert_eq!(world.peers[early].heard.len(), 2, "it is no news");
    let other = RelayUrl::new(key, "elsewhere.example.org", 4433).unwrap();
    world.clients.drain(Some(other.clone()));
    world.clients.ask_some(1, Duration::ZERO);
    world.pass(SECOND);
    assert!(told(&world, early, &other), "the operator corrected it");
}
