//! Real quinn connections over the simulated line, in virtual time: what the model gets and does behind quinn's trait.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, ServerConfig, StreamId, Transmit, VarInt,
};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    SecretKey,
    net::{congestion::Epoch, transport::transport_config},
    tls,
};
use peerway_proto::congestion::line::{Bottleneck, Loss, MS, Nanos, SECOND, mbit};

const ALPN: &[u8] = b"test";
/// More than any line here holds.
const WINDOW: u32 = 8_000_000;
const DATAGRAMS: usize = 10;

/// One end of a connection.
struct End {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    lost: bool,
}

/// A client that writes without end, and a server that reads.
struct Flow {
    epoch: Epoch,
    ends: [End; 2],
    stream: Option<StreamId>,
    /// Bytes read by tenth of a second.
    read: Vec<u64>,
}

/// A datagram under way; the first to arrive is the least.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    arrives: Nanos,
    turn: u64,
    flow: usize,
    to: usize,
    datagram: Vec<u8>,
}

struct Net {
    now: Nanos,
    origin: Instant,
    line: Bottleneck,
    flows: Vec<Flow>,
    under_way: BinaryHeap<Reverse<Packet>>,
    turn: u64,
}

fn addr(end: usize) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::LOCALHOST, 1000 + end as u16))
}

impl Flow {
    fn new(now: Instant, seed: u8) -> Self {
        let key = SecretKey::from_seed(&[seed; 32]);
        let server_key = SecretKey::from_seed(&[seed + 1; 32]);
        let epoch = Epoch::default();
        let mut transport = transport_config(epoch.clone(), quinn::Side::Client);
        transport
            .stream_receive_window(VarInt::from_u32(WINDOW))
            .receive_window(VarInt::from_u32(2 * WINDOW))
            .send_window(u64::from(WINDOW));
        let transport = Arc::new(transport);
        let tls = tls::server_config(&server_key, &[ALPN.to_vec()]).unwrap();
        let mut server = ServerConfig::with_crypto(Arc::new(tls));
        server.transport_config(transport.clone());
        let mut client = ClientConfig::new(Arc::new(tls::client_config(&key, ALPN).unwrap()));
        client.transport_config(transport);
        let config = Arc::new(EndpointConfig::default());
        let rng = Some([seed; 32]);
        let end = |server| End {
            endpoint: Endpoint::new(config.clone(), server, true, rng),
            connection: None,
            lost: false,
        };
        let mut ends = [end(None), end(Some(Arc::new(server)))];
        let name = tls::server_name(server_key.id());
        let begun = ends[0].endpoint.connect(now, client, addr(1), &name);
        ends[0].connection = Some(begun.unwrap());
        Self {
            epoch,
            ends,
            stream: None,
            read: Vec::new(),
        }
    }

    /// Writes and reads what can be.
    fn serve(&mut self, now: Nanos) {
        for end in &mut self.ends {
            let Some((_, connection)) = &mut end.connection else {
                continue;
            };
            while let Some(event) = connection.poll() {
                end.lost |= matches!(event, Event::ConnectionLost { .. });
            }
        }
        if let Some((_, client)) = &mut self.ends[0].connection
            && !client.is_handshaking()
        {
            let open = || client.streams().open(Dir::Uni);
            self.stream = self.stream.or_else(open);
            if let Some(stream) = self.stream {
                while client.send_stream(stream).write(&[7; 65536]).is_ok() {}
            }
        }
        let Some((_, server)) = &mut self.ends[1].connection else {
            return;
        };
        let Some(stream) = self.stream else { return };
        let mut receiving = server.recv_stream(stream);
        let Ok(mut chunks) = receiving.read(true) else {
            return;
        };
        let slot = (now / (SECOND / 10)) as usize;
        self.read.resize(self.read.len().max(slot + 1), 0);
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            self.read[slot] += chunk.bytes.len() as u64;
        }
        let _ = chunks.finalize();
    }
}

impl End {
    fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let mut answer = Vec::new();
        let datagram = BytesMut::from(datagram);
        let event = self
            .endpoint
            .handle(now, from, None, None, datagram, &mut answer);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) if self.connection.is_none() => {
                let accepted = self.endpoint.accept(incoming, now, &mut answer, None);
                self.connection = Some(accepted.map_err(|error| error.cause).unwrap());
            }
            Some(DatagramEvent::NewConnection(_) | DatagramEvent::Response(_)) | None => {}
        }
    }

    fn transmit(&mut self, now: Instant) -> Option<(Transmit, Vec<u8>)> {
        let (handle, connection) = self.connection.as_mut()?;
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        let mut bytes = Vec::new();
        let transmit = connection.poll_transmit(now, DATAGRAMS, &mut bytes)?;
        Some((transmit, bytes))
    }
}

impl Net {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn new(line: Bottleneck, flows: u8) -> Self {
        let origin = Instant::now();
        Self {
            now: 0,
            origin,
            line,
            flows: (0..flows).map(|at| Flow::new(origin, 2 * at + 1)).collect(),
            under_way: BinaryHeap::new(),
            turn: 0,
        }
    }

    fn run_until(&mut self, until: Nanos) {
        for flow in 0..self.flows.len() {
            self.drive(flow);
        }
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.now = next.max(self.now);
            let at = self.origin + Duration::from_nanos(self.now);
            let mut touched = vec![false; self.flows.len()];
            while let Some(Reverse(packet)) = self.under_way.peek()
                && packet.arrives <= self.now
            {
                let Some(Reverse(packet)) = self.under_way.pop() else {
                    break;
                };
                let end = &mut self.flows[packet.flow].ends[packet.to];
                end.receive(at, addr(1 - packet.to), &packet.datagram);
                touched[packet.flow] = true;
            }
            for (flow, touched) in touched.into_iter().enumerate() {
                let ends = &mut self.flows[flow].ends;
                let mut is_due = touched;
                for (_, connection) in ends.iter_mut().flat_map(|end| &mut end.connection) {
                    if connection.poll_timeout().is_some_and(|due| due <= at) {
                        connection.handle_timeout(at);
                        is_due = true;
                    }
                }
                if is_due {
                    self.drive(flow);
                }
            }
        }
        self.now = until;
    }

    fn next(&mut self) -> Option<Nanos> {
        let origin = self.origin;
        let ends = self.flows.iter_mut().flat_map(|flow| &mut flow.ends);
        let timers = ends
            .filter_map(|end| end.connection.as_mut()?.1.poll_timeout())
            .map(|due| due.saturating_duration_since(origin).as_nanos() as Nanos);
        let arrives = self.under_way.peek().map(|Reverse(packet)| packet.arrives);
        timers.chain(arrives).min()
    }

    fn drive(&mut self, flow: usize) {
        let at = self.origin + Duration::from_nanos(self.now);
        self.flows[flow].serve(self.now);
        for end in 0..2 {
            while let Some((transmit, bytes)) = self.flows[flow].ends[end].transmit(at) {
                for datagram in bytes.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                    self.send(flow, end, datagram);
                }
            }
        }
    }

    fn send(&mut self, flow: usize, from: usize, datagram: &[u8]) {
        let arrives = if from == 0 {
            self.line.send(self.now, datagram.len() as u64)
        } else {
            Some(self.line.send_back(self.now))
        };
        if let Some(arrives) = arrives {
            self.turn += 1;
            self.under_way.push(Reverse(Packet {
                arrives,
                turn: self.turn,
                flow,
                to: 1 - from,
                datagram: datagram.to_vec(),
            }));
        }
    }

    /// Moves all to another path.
    fn switch(&mut self, key: u32, rate: f64, rtt: u64) {
        self.line.set_rate(self.now, mbit(rate));
        self.line.delay = rtt * MS / 2;
        self.line.queue = mbit(rate) * rtt as f64 / 1e3;
        for flow in &self.flows {
            flow.epoch.switch_to(key);
        }
    }

    /// Mean goodput between two times as share of the line.
    fn goodput(&self, flow: usize, from: Nanos, to: Nanos) -> f64 {
        let slots = (from / (SECOND / 10)) as usize..(to / (SECOND / 10)) as usize;
        let read = &self.flows[flow].read;
        let bytes: u64 = slots.filter_map(|slot| read.get(slot)).sum();
        bytes as f64 / ((to - from) as f64 / 1e9) / self.line.rate
    }

    fn is_alive(&self) -> bool {
        let mut ends = self.flows.iter().flat_map(|flow| &flow.ends);
        ends.all(|end| !end.lost)
    }
}

fn line(rate: f64, rtt: u64, seed: u64) -> Bottleneck {
    let rng = StdRng::seed_from_u64(seed);
    Bottleneck::new(mbit(rate), Duration::from_millis(rtt), rng)
}

#[test]
fn a_real_connection_fills_lines_that_lose_packets() {
    for (loss, expected) in [(0.0, 0.88), (0.01, 0.88), (0.04, 0.8)] {
        let mut line = line(20.0, 40, 1);
        line.loss = Loss::Random(loss);
        let mut net = Net::new(line, 1);
        net.run_until(6 * SECOND);
        let goodput = net.goodput(0, 2 * SECOND, 6 * SECOND);
        assert!(goodput >= expected, "{loss}: {goodput}");
    }
}

#[test]
fn two_real_connections_share_a_line() {
    let mut net = Net::new(line(20.0, 40, 1), 2);
    net.run_until(12 * SECOND);
    let (a, b) = (
        net.goodput(0, 4 * SECOND, 12 * SECOND),
        net.goodput(1, 4 * SECOND, 12 * SECOND),
    );
    assert!(a + b >= 0.88, "{a} {b}");
    assert!((0.4..=0.6).contains(&(a / (a + b))), "{a} {b}");
}

#[test]
fn the_start_of_a_real_connection_does_not_lose_more_at_once_than_a_stream_bears() {
    let mut net = Net::new(line(300.0, 100, 1), 1);
    net.run_until(3 * SECOND);
    assert!(net.is_alive());
    assert!(net.line.lost.1 <= 900, "{} lost", net.line.lost.1);
    let goodput = net.goodput(0, 2 * SECOND, 3 * SECOND);
    assert!(goodput >= 0.8, "{goodput}");
}

#[test]
fn a_real_connection_takes_up_each_path_within_a_second() {
    let (relay, direct) = (1, 2);
    let mut line = line(20.0, 80, 1);
    line.loss = Loss::Random(0.01);
    let mut net = Net::new(line, 1);
    net.run_until(4 * SECOND);
    net.switch(direct, 50.0, 20);
    net.run_until(7 * SECOND);
    let goodput = net.goodput(0, 5 * SECOND, 7 * SECOND);
    assert!(goodput >= 0.8, "direct: {goodput}");
    net.switch(relay, 20.0, 80);
    net.run_until(11 * SECOND);
    net.switch(direct, 50.0, 20);
    net.run_until(14 * SECOND);
    let goodput = net.goodput(0, 12 * SECOND, 14 * SECOND);
    assert!(goodput >= 0.8, "direct again: {goodput}");
    net.switch(relay, 20.0, 80);
    net.run_until(17 * SECOND);
    let goodput = net.goodput(0, 15 * SECOND, 17 * SECOND);
    assert!(goodput >= 0.8, "relayed again: {goodput}");
}
