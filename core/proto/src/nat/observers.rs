//! Where nodes of the Mainline DHT see us, as long as no relay does.
//!
//! They are strangers, who may lie. Three at different addresses that agree are believed, as far as an address is: who is told it sends
//! little there. Two of them are asked from then on, which keeps the NAT's mapping too. Whatever they answer, each of a few dozen nodes is sent
//! one small packet in a round, and rounds are minutes apart.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;

use crate::{
    addr::Scope,
    snapshot::Observed,
    timing::{
        NAT_CHECK_EVERY, NAT_CHECK_SOON, OBSERVER_PATIENCE, OBSERVERS, OBSERVERS_AT_ONCE,
        OBSERVERS_KEPT, OBSERVERS_TOLD, OBSERVERS_WANTED, OBSERVING_EVERY,
    },
    wire::krpc::Pong,
};

/// See the [module](self).
#[derive(Debug)]
pub struct Observers {
    nodes: Vec<SocketAddr>,
    is_needed: bool,
    /// Nodes that this round has yet to ask.
    left: Vec<SocketAddr>,
    /// Questions of now, by whom they were put to.
    asked: BTreeMap<SocketAddr, [u8; 4]>,
    /// Until when these may be answered.
    until: Option<Instant>,
    /// What a round has heard so far, one word for each address of a node.
    said: BTreeMap<IpAddr, (SocketAddr, SocketAddr)>,
    untold: bool,
    /// When something begins: a round, or asking those that are kept.
    next: Option<Instant>,
    kept: Vec<SocketAddr>,
    /// Whether those that are kept did not answer the last time.
    is_silent: bool,
    seen: Option<SocketAddr>,
    observed: Observed,
    pings: VecDeque<Ping>,
    id: [u8; 20],
    rng: ChaCha20Rng,
}

/// A question to be sent from the endpoint's own socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The node that is asked.
    pub to: SocketAddr,
    /// By which its answer is known.
    pub tx: [u8; 4],
    /// Who we say that we are: nobody, as we serve nobody.
    pub id: [u8; 20],
}

impl Observers {
    /// Nobody is asked yet. The seed has to be unknown to others.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        Self {
            nodes: Vec::new(),
            is_needed: false,
            left: Vec::new(),
            asked: BTreeMap::new(),
            until: None,
            said: BTreeMap::new(),
            untold: false,
            next: None,
            kept: Vec::new(),
            is_silent: false,
            seen: None,
            observed: Observed::default(),
            pings: VecDeque::new(),
            id: rng.random(),
            rng,
        }
    }

    /// These may be asked, and no others any more.
    pub fn set_nodes(&mut self, now: Instant, mut nodes: Vec<SocketAddr>) {
        nodes.retain(|node| node.is_ipv4() && node.port() != 0);
        nodes.truncate(OBSERVERS);
        let news = nodes.iter().filter(|node| !self.nodes.contains(node));
        let news: Vec<SocketAddr> = news.copied().collect();
        // A DHT changes all the time, and a round that asked enough of it would come to nothing else.
        let had_enough = self.nodes.len() >= OBSERVERS_TOLD;
        self.nodes = nodes;
        if news.is_empty() || self.seen.is_some() {
            return;
        }
        if !self.asked.is_empty() {
            self.left.extend(news);
            self.left.truncate(OBSERVERS);
        } else if !had_enough {
            self.begin_at(now);
        }
    }

    /// Whether nobody better tells where we are seen.
    pub fn set_needed(&mut self, now: Instant, is_needed: bool) {
        if std::mem::replace(&mut self.is_needed, is_needed) == is_needed {
            return;
        }
        self.forget();
        if is_needed {
            self.begin_at(now);
        }
    }

    /// The network may be another one.
    pub fn on_network_changed(&mut self, now: Instant) {
        if self.is_needed {
            self.forget();
            self.begin_at(now + NAT_CHECK_SOON);
        }
    }

    /// Where we are seen, if three agree.
    pub fn seen(&self) -> Option<SocketAddr> {
        self.seen
    }

    /// How it goes.
    pub fn observed(&self) -> Observed {
        self.observed
    }

    /// Takes an answer, if it was asked for there.
    pub fn on_pong(&mut self, now: Instant, from: SocketAddr, pong: &Pong) {
        if self.asked.get(&from) != Some(&pong.tx) {
            return;
        }
        self.asked.remove(&from);
        let Some(seen) = pong.seen.filter(is_credible) else {
            self.untold = true;
            return self.go_on(now);
        };
        if self.seen.is_some() {
            self.is_silent = false;
            if self.seen != Some(seen) {
                self.forget();
                self.begin_at(now);
            }
            return;
        }
        self.said.insert(from.ip(), (from, seen));
        self.go_on(now);
    }

    /// When [`Self::handle_timeout`] has work.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.next, self.until].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            self.asked.clear();
            self.until = None;
            self.go_on(now);
        }
        if self.next.is_some_and(|next| next <= now) {
            self.next = None;
            if self.seen.is_some() {
                self.ask_kept(now);
            } else {
                self.begin(now);
            }
        }
    }

    /// The next question to send.
    pub fn poll_transmit(&mut self) -> Option<Ping> {
        self.pings.pop_front()
    }

    fn begin_at(&mut self, at: Instant) {
        if self.is_needed && !self.nodes.is_empty() {
            self.next = Some(at);
            if self.observed == Observed::Unasked {
                self.observed = Observed::Asking;
            }
        }
    }

    fn forget(&mut self) {
        self.left.clear();
        self.asked.clear();
        self.said.clear();
        self.kept.clear();
        (self.until, self.next, self.seen) = (None, None, None);
        (self.is_silent, self.untold) = (false, false);
        self.observed = Observed::Unasked;
    }

    fn begin(&mut self, now: Instant) {
        self.said.clear();
        self.untold = false;
        self.left.clone_from(&self.nodes);
        self.left.shuffle(&mut self.rng);
        self.go_on(now);
    }

    /// Asks more nodes, unless enough is known.
    fn go_on(&mut self, now: Instant) {
        if self.seen.is_some() {
            if self.asked.is_empty() {
                self.until = None;
            }
            return;
        }
        let agreed = self.said.values().map(|(_, seen)| *seen).find(|seen| {
            let same = self.said.values().filter(|(_, said)| said == seen);
            same.count() >= OBSERVERS_WANTED
        });
        if let Some(seen) = agreed {
            let those = self.said.values().filter(|(_, said)| *said == seen);
            self.kept = those.map(|(node, _)| *node).take(OBSERVERS_KEPT).collect();
            self.seen = Some(seen);
            return self.conclude(now, Observed::Same, OBSERVING_EVERY);
        }
        let enough = self.said.len() >= OBSERVERS_TOLD;
        if !enough {
            let room = OBSERVERS_AT_ONCE.saturating_sub(self.asked.len() + self.said.len());
            let more = self.left.split_off(self.left.len().saturating_sub(room));
            self.ask(now, more);
        }
        if enough || self.asked.is_empty() {
            let observed = match (self.said.len(), self.untold) {
                (0, false) => Observed::Silent,
                (0, true) => Observed::Untold,
                (..OBSERVERS_WANTED, _) => Observed::Untold,
                _ => Observed::Varies,
            };
            self.conclude(now, observed, NAT_CHECK_EVERY);
        }
    }

    fn conclude(&mut self, now: Instant, observed: Observed, pause: Duration) {
        self.observed = observed;
        self.left.clear();
        self.asked.clear();
        self.said.clear();
        self.until = None;
        self.next = Some(now + pause);
    }

    /// Asks those that agreed; all others too when these do not answer twice.
    fn ask_kept(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_silent, true) {
            self.forget();
            self.observed = Observed::Asking;
            return self.begin(now);
        }
        self.next = Some(now + OBSERVING_EVERY);
        self.ask(now, self.kept.clone());
    }

    fn ask(&mut self, now: Instant, nodes: Vec<SocketAddr>) {
        if nodes.is_empty() {
            return;
        }
        self.until = Some(now + OBSERVER_PATIENCE);
        for to in nodes {
            let tx = self.rng.random();
            self.asked.insert(to, tx);
            let id = self.id;
            self.pings.push_back(Ping { to, tx, id });
        }
    }
}

/// Whether somebody can be seen there.
fn is_credible(seen: &SocketAddr) -> bool {
    let nowhere = matches!(
        Scope::of(seen.ip()),
        Scope::Unspecified | Scope::Multicast | Scope::Broadcast | Scope::Reserved
    );
    seen.port() != 0 && !nowhere
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of the DHT and a NAT, in virtual time.
    struct World {
        now: Instant,
        observers: Observers,
        sent: u32,
        /// What the node of this number says, if it answers.
        says: fn(u8) -> Option<Option<SocketAddr>>,
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn here() -> SocketAddr {
        at("192.0.2.1:4000")
    }

    impl World {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        fn new(nodes: u8, says: fn(u8) -> Option<Option<SocketAddr>>) -> Self {
            let now = Instant::now();
            let mut observers = Observers::new([7; 32]);
            let node = |number| SocketAddr::from(([198, 51, 100, number], 6881));
            observers.set_nodes(now, (1..=nodes).map(node).collect());
            observers.set_needed(now, true);
            let sent = 0;
            Self {
                now,
                observers,
                sent,
                says,
            }
        }

        fn run(&mut self, seconds: u64) {
            let end = self.now + Duration::from_secs(seconds);
            while let Some(at) = self.observers.poll_timeout().filter(|at| *at <= end) {
                self.now = self.now.max(at);
                self.observers.handle_timeout(self.now);
                while let Some(ping) = self.observers.poll_transmit() {
                    self.sent += 1;
                    let IpAddr::V4(ip) = ping.to.ip() else {
                        unreachable!()
                    };
                    if let Some(seen) = (self.says)(ip.octets()[3]) {
                        let pong = Pong { tx: ping.tx, seen };
                        self.observers.on_pong(self.now, ping.to, &pong);
                    }
                }
            }
            self.now = end;
        }
    }

    #[test]
    fn three_that_agree_are_believed_and_two_of_them_asked_from_then_on() {
        let mut world = World::new(20, |_| Some(Some(here())));
        world.run(5);
        assert_eq!(world.observers.seen(), Some(here()));
        assert_eq!(world.observers.observed(), Observed::Same);
        assert!(world.sent <= 8, "{}", world.sent);
        let before = world.sent;
        world.run(3600);
        let an_hour = 2 * 3600 / OBSERVING_EVERY.as_secs() as u32;
        assert!((an_hour - 4..=an_hour + 4).contains(&(world.sent - before)));
    }

    #[test]
    fn two_liars_do_not_make_an_address_and_do_not_hide_one() {
        let mut world = World::new(20, |node| {
            let lie = at("203.0.113.9:53000");
            Some(Some(if node <= 2 { lie } else { here() }))
        });
        world.run(5);
        assert_eq!(world.observers.seen(), Some(here()));
        let mut world = World::new(2, |_| Some(Some(at("203.0.113.9:53000"))));
        world.run(5);
        assert_eq!(world.observers.seen(), None);
        assert_eq!(world.observers.observed(), Observed::Untold);
    }

    #[test]
    fn many_ports_of_one_node_are_one_word() {
        let mut world = World::new(0, |_| Some(Some(here())));
        let nodes = (1..20).map(|port| SocketAddr::from(([198, 51, 100, 1], 6000 + port)));
        world.observers.set_nodes(world.now, nodes.collect());
        world.run(60);
        assert_eq!(world.observers.seen(), None);
    }

    #[test]
    fn a_nat_that_chooses_a_port_for_each_destination_shows_and_so_does_silence() {
        let mut world = World::new(30, |node| {
            Some(Some(SocketAddr::from((
                [192, 0, 2, 1],
                4000 + u16::from(node),
            ))))
        });
        world.run(20);
        assert_eq!(world.observers.observed(), Observed::Varies);
        assert_eq!(world.observers.seen(), None);
        assert!(world.sent <= 16, "{}", world.sent);
        let mut world = World::new(30, |_| None);
        world.run(20);
        assert_eq!(world.observers.observed(), Observed::Silent);
        assert_eq!(world.sent, 30);
        world.run(3600);
        assert!(world.sent <= 30 * 13, "{}", world.sent);
        let mut world = World::new(30, |_| Some(None));
        world.run(20);
        assert_eq!(world.observers.observed(), Observed::Untold);
    }

    #[test]
    fn another_address_shows_within_a_minute_and_so_does_the_end_of_those_that_were_kept() {
        let mut world = World::new(30, |_| Some(Some(here())));
        world.run(5);
        let moved = |_| Some(Some(at("192.0.2.1:5000")));
        world.says = moved;
        world.run(60);
        assert_eq!(world.observers.seen(), Some(at("192.0.2.1:5000")));
        world.says = |_| None;
        world.run(90);
        assert_eq!(world.observers.observed(), Observed::Silent);
        world.says = moved;
        world.run(400);
        assert_eq!(world.observers.seen(), Some(at("192.0.2.1:5000")));
    }

    #[test]
    fn answers_that_nobody_asked_for_and_addresses_of_nobody_are_not_heard() {
        let mut world = World::new(20, |_| None);
        world.run(0);
        for node in 1..=20 {
            let from = SocketAddr::from(([198, 51, 100, node], 6881));
            let (tx, seen) = ([0; 4], Some(here()));
            world.observers.on_pong(world.now, from, &Pong { tx, seen });
        }
        assert_eq!(world.observers.seen(), None);
        let mut world = World::new(20, |_| Some(Some(at("224.0.0.1:4000"))));
        world.run(5);
        assert_eq!(world.observers.seen(), None);
    }

    #[test]
    fn nodes_that_are_known_later_are_asked_too_but_not_again_and_again() {
        let node = |number| SocketAddr::from(([198, 51, 100, number], 6881));
        let mut world = World::new(2, |_| Some(Some(here())));
        world.run(5);
        assert_eq!(world.observers.seen(), None);
        world
            .observers
            .set_nodes(world.now, (1..=9).map(node).collect());
        world.run(5);
        assert_eq!(world.observers.seen(), Some(here()));
        let mut world = World::new(30, |_| None);
        for number in 1..100 {
            world.run(3);
            let nodes = (number..number + 30).map(node);
            world.observers.set_nodes(world.now, nodes.collect());
        }
        assert!(world.sent <= 100, "{}", world.sent);
    }

    #[test]
    fn who_has_a_relay_asks_nobody() {
        let mut world = World::new(20, |_| Some(Some(here())));
        world.observers.set_needed(world.now, false);
        world.run(3600);
        assert_eq!(world.sent, 0);
        world.observers.set_needed(world.now, true);
        world.run(5);
        assert_eq!(world.observers.seen(), Some(here()));
        world.observers.set_needed(world.now, false);
        assert_eq!(world.observers.seen(), None);
        assert_eq!(world.observers.observed(), Observed::Unasked);
    }
}
