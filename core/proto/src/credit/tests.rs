use proptest::prelude::*;

use super::*;

const RTT: Duration = Duration::from_millis(80);

#[test]
fn a_window_doubles_while_a_round_trip_brings_more_than_half_of_it() {
    let mut node = Node::new();
    let mut link = node.connect();
    let stream = link.open(&mut node);
    for _ in 0..8 {
        let window = link.streams[stream].size;
        link.read(&mut node, stream, window / 4);
        assert_eq!(link.streams[stream].size, window * 2);
    }
    let window = link.streams[stream].size;
    for _ in 0..8 {
        node.now += RTT / 2;
        link.read(&mut node, stream, window / 4);
    }
    assert_eq!(link.streams[stream].size, window);
}

#[test]
fn a_window_that_is_filled_and_read_in_one_go_each_round_trip_grows() {
    let mut node = Node::new();
    let mut link = node.connect();
    let stream = link.open(&mut node);
    for _ in 0..11 {
        node.now += RTT;
        let window = link.streams[stream].size;
        link.read(&mut node, stream, window);
    }
    assert_eq!(link.streams[stream].size, MAX_WINDOW);
}

#[test]
fn neighbours_who_take_longer_to_read_than_their_packets_to_come_get_a_window_for_that_and_no_more()
{
    let mut node = Node::new();
    let mut link = node.connect();
    link.rtt = Duration::from_micros(100);
    let stream = link.open(&mut node);
    for _ in 0..10 {
        node.now += Duration::from_millis(5);
        let window = link.streams[stream].size;
        link.read(&mut node, stream, window);
    }
    assert_eq!(link.streams[stream].size, NEAR);
    for rtt in [40_000, 100] {
        link.rtt = Duration::from_micros(rtt);
        node.now += Duration::from_millis(5);
        let window = link.streams[stream].size;
        link.read(&mut node, stream, window);
    }
    assert_eq!(
        link.streams[stream].size, NEAR,
        "after a moment of being far"
    );
}

#[test]
fn a_stream_alone_comes_to_the_largest_window_and_stays_there() {
    let mut node = Node::new();
    let mut link = node.connect();
    let stream = link.open(&mut node);
    for _ in 0..100 {
        let bytes = link.streams[stream].size;
        link.read(&mut node, stream, bytes);
    }
    assert_eq!(link.streams[stream].size, MAX_WINDOW);
}

#[test]
fn thousands_of_streams_that_nobody_reads_take_nothing_from_those_that_are_read() {
    let mut node = Node::new();
    let mut link = node.connect();
    for _ in 0..4000 {
        link.open(&mut node);
    }
    let busy = link.open(&mut node);
    for _ in 0..100 {
        let bytes = link.streams[busy].size;
        link.read(&mut node, busy, bytes);
    }
    assert!(link.streams[busy].size >= 8 << 20);
    let held = 4000 * INITIAL + link.streams[busy].size;
    assert!(link.inbound.receive_window() >= held + FLOOR);
}

#[test]
fn many_connections_that_want_all_share_and_who_comes_later_finds_something() {
    let mut node = Node::new();
    let mut links: Vec<Link> = (0..16).map(|_| node.connect()).collect();
    for link in &mut links {
        for _ in 0..64 {
            let stream = link.open(&mut node);
            for _ in 0..10 {
                let bytes = link.streams[stream].size;
                link.read(&mut node, stream, bytes);
            }
        }
    }
    assert!(node.held.0 <= NODE);
    let mut late = node.connect();
    let stream = late.open(&mut node);
    for _ in 0..100 {
        let bytes = late.streams[stream].size;
        late.read(&mut node, stream, bytes);
    }
    assert!(late.streams[stream].size >= INITIAL * 2);
}

#[test]
fn what_is_too_much_shrinks_as_it_is_read_when_others_come() {
    let mut node = Node::new();
    let mut first = node.connect();
    for _ in 0..8 {
        let stream = first.open(&mut node);
        for _ in 0..20 {
            let bytes = first.streams[stream].size;
            first.read(&mut node, stream, bytes);
        }
    }
    let alone = first.inbound.windows;
    let mut others: Vec<Link> = (0..8).map(|_| node.connect()).collect();
    for _ in 0..40 {
        for other in &mut others {
            if other.streams.len() < 8 {
                other.open(&mut node);
            }
            for stream in 0..other.streams.len() {
                let bytes = other.streams[stream].size;
                other.read(&mut node, stream, bytes);
            }
        }
        for stream in 0..8 {
            let bytes = first.streams[stream].size;
            first.read(&mut node, stream, bytes);
        }
    }
    assert!(
        first.inbound.windows < alone / 2,
        "{}",
        first.inbound.windows
    );
}

#[test]
fn a_connection_that_ends_gives_all_of_it_back() {
    let mut node = Node::new();
    let mut link = node.connect();
    for _ in 0..100 {
        let stream = link.open(&mut node);
        link.read(&mut node, stream, INITIAL);
    }
    link.inbound
        .end(&mut budget(&mut node.held, &mut link.link));
    assert_eq!(node.held.0, 0);
}

proptest! {
    /// Against what QUIC does with the window (quinn-proto's `StreamsState`): the peer can never make us hold more than the
    /// bounds, whatever it does, and one that keeps to its credit is never stopped by the connection's window.
    #[test]
    fn the_bounds_hold_whatever_peers_do(ops in prop::collection::vec((0_usize..6, 0_u8..6, 0_usize..40, 1_u64..8), 1..600)) {
        let mut node = Node::new();
        let mut links: Vec<Link> = (0..6).map(|_| node.connect()).collect();
        for (link, op, stream, amount) in ops {
            let link = &mut links[link];
            match op {
                0 => { link.open(&mut node); }
                1 => for _ in 0..200 { link.open(&mut node); },
                2 | 3 if !link.streams.is_empty() => {
                    let stream = stream % link.streams.len();
                    for _ in 0..amount {
                        let bytes = link.streams[stream].size / 2 + 1;
                        link.read(&mut node, stream, bytes);
                    }
                }
                4 if !link.streams.is_empty() => link.close(&mut node, stream % link.streams.len()),
                _ => node.now += RTT,
            }
            prop_assert!(node.held.0 <= NODE);
            let held: u64 = links.iter().map(|link| link.inbound.held).sum();
            prop_assert_eq!(node.held.0, held);
            for link in &links {
                prop_assert!(link.quic.may_hold() <= FLOOR + link.inbound.held);
                prop_assert!(link.inbound.held <= LINK);
                let promised: u64 = link.streams.iter().map(|window| window.charged).sum();
                prop_assert_eq!(promised, link.inbound.windows);
            }
        }
    }
}

struct Node {
    held: Buffered,
    now: Instant,
}

impl Node {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "where virtual time begins")]
        let now = Instant::now();
        Self {
            held: Buffered::default(),
            now,
        }
    }

    fn connect(&self) -> Link {
        Link {
            inbound: Inbound::default(),
            link: Buffered::default(),
            streams: Vec::new(),
            quic: Quic {
                window: FLOOR,
                limit: FLOOR,
                consumed: 0,
                debt: 0,
            },
            rtt: RTT,
        }
    }
}

struct Link {
    inbound: Inbound,
    link: Buffered,
    streams: Vec<Window>,
    quic: Quic,
    rtt: Duration,
}

impl Link {
    fn open(&mut self, node: &mut Node) -> usize {
        let window = self
            .inbound
            .open(&mut budget(&mut node.held, &mut self.link), node.now);
        self.streams.push(window);
        self.quic.set(self.inbound.receive_window());
        self.streams.len() - 1
    }

    fn read(&mut self, node: &mut Node, stream: usize, bytes: u64) {
        let window = &mut self.streams[stream];
        let bytes = bytes.min(window.granted - window.read);
        self.quic.read(bytes);
        if window.read(bytes) {
            let mut budget = budget(&mut node.held, &mut self.link);
            self.inbound.grant(&mut budget, window, node.now, self.rtt);
        }
        self.quic.set(self.inbound.receive_window());
    }

    fn close(&mut self, node: &mut Node, stream: usize) {
        let mut window = self.streams.swap_remove(stream);
        self.inbound
            .close(&mut budget(&mut node.held, &mut self.link), &mut window);
        self.quic.set(self.inbound.receive_window());
    }
}

fn budget<'a>(node: &'a mut Buffered, link: &'a mut Buffered) -> Budget<'a> {
    Budget { node, link }
}

/// What quinn-proto does with a connection's window.
struct Quic {
    window: u64,
    limit: u64,
    consumed: u64,
    debt: u64,
}

impl Quic {
    fn set(&mut self, window: u64) {
        if window > self.window {
            self.limit += window - self.window;
        } else {
            self.debt += self.window - window;
        }
        self.window = window;
    }

    fn read(&mut self, bytes: u64) {
        self.consumed += bytes;
        self.limit += bytes.saturating_sub(self.debt);
        self.debt = self.debt.saturating_sub(bytes);
    }

    /// What the peer may send before anything more is read.
    fn may_hold(&self) -> u64 {
        self.limit - self.consumed
    }
}
