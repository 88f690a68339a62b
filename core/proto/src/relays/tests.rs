use std::time::{Duration, Instant};

use super::*;
use crate::{
    Access, SecretKey,
    addr::{Families, Nat64},
    endpoint::{Machine, Settings},
    io::Input,
    local::Ports,
};

const RTT: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
pub(super) fn origin() -> Instant {
    Instant::now()
}

pub(super) fn url(key: u8, host: &str) -> RelayUrl {
    RelayUrl::new(SecretKey::from_seed(&[key; 32]).id(), host, 4433).unwrap()
}

pub(super) fn peer(number: u8) -> PeerId {
    SecretKey::from_seed(&[100 + number; 32]).id()
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What is known where these families lead anywhere.
pub(super) fn routes(v4: bool, v6: bool) -> Machine {
    translated(v4, v6, None)
}

fn translated(v4: bool, v6: bool, nat64: Option<Nat64>) -> Machine {
    let now = origin();
    let mut machine = Machine::new(Settings {
        key: SecretKey::from_seed(&[50; 32]),
        access: Access::default(),
        relay_only: false,
        lan: false,
        guess_ports: false,
        tcp: false,
        bound: None,
        ports: Ports { v4: 1, v6: 1 },
        seed: [1; 32],
        now,
        unix_ms: 0,
    });
    let families = Families { v4, v6 };
    machine.handle(now, Input::Routes { families, nat64 });
    machine
}

/// Relays in virtual time.
pub(super) struct Run {
    pub(super) now: Instant,
    pub(super) relays: Relays,
}

impl Run {
    pub(super) fn new(home: &[&RelayUrl]) -> Self {
        let (now, mut relays) = (origin(), Relays::new([1; 32]));
        relays.set_home(now, home.iter().map(|url| (*url).clone()).collect());
        Self { now, relays }
    }

    pub(super) fn orders(&mut self) -> Vec<Order> {
        std::iter::from_fn(|| self.relays.poll_order()).collect()
    }

    /// All orders of this time, and how long after its beginning each came.
    pub(super) fn run(&mut self, time: Duration) -> Vec<(Duration, Order)> {
        let (begin, end) = (self.now, self.now + time);
        let mut orders = Vec::new();
        loop {
            self.relays.handle_timeout(self.now);
            let after = self.now - begin;
            orders.extend(self.orders().into_iter().map(|order| (after, order)));
            let due = self.relays.poll_timeout().filter(|at| *at <= end);
            let Some(due) = due else { break };
            assert!(due > self.now, "what is due was done");
            self.now = due;
        }
        self.now = end;
        orders
    }

    pub(super) fn need(&mut self, url: &RelayUrl) {
        self.relays.need(self.now, url.clone());
    }

    pub(super) fn resolve(
        &mut self,
        url: &RelayUrl,
        at: &str,
        other: Option<&str>,
        node: &Machine,
    ) {
        self.relays
            .on_resolved(self.now, url, addr(at), other.map(addr), node.local());
    }

    pub(super) fn up(&mut self, url: &RelayUrl, observed: &str) {
        self.relays
            .on_up(self.now, url, RTT, addr(observed), Over::Udp);
    }

    pub(super) fn down(&mut self, url: &RelayUrl, impostor: bool) {
        self.relays
            .on_down(self.now, url, "in vain".to_owned(), impostor);
    }

    /// Registered with this relay at this address.
    pub(super) fn registered(&mut self, url: &RelayUrl, at: &str) {
        self.need(url);
        self.resolve(url, at, None, &routes(true, true));
        self.up(url, "198.51.100.1:1");
    }
}

fn registers(orders: &[Order]) -> Vec<&RelayUrl> {
    let mut relays = Vec::new();
    for order in orders {
        if let Order::Register { relay } = order {
            relays.push(relay);
        }
    }
    relays
}

#[test]
fn a_relay_is_registered_with_once_whatever_it_is_called() {
    let (ours, alias, other) = (url(1, "a.example"), url(1, "5.9.0.1"), url(2, "a.example"));
    let mut run = Run::new(&[&ours]);
    for url in [&alias, &ours, &other, &other] {
        run.need(url);
    }
    assert_eq!(registers(&run.orders()), [&ours, &other]);
    assert_eq!(run.relays.known(&alias), &ours);
}

#[test]
fn another_name_is_tried_where_a_peer_s_name_of_a_relay_leads_nowhere_and_ours_is_kept() {
    let (name, alias) = (url(1, "a.example"), url(1, "5.9.0.1"));
    for (home, registered) in [(&[&name][..], 1), (&[], 2)] {
        let mut run = Run::new(home);
        run.need(&name);
        run.down(&name, false);
        run.need(&alias);
        assert_eq!(registers(&run.orders()).len(), registered);
    }
}

#[test]
fn a_peer_s_relay_is_left_a_minute_after_the_last_link_that_needs_it_and_ours_never() {
    let (ours, theirs) = (url(1, "a.example"), url(2, "b.example"));
    let mut run = Run::new(&[&ours]);
    run.registered(&ours, "5.9.0.1:4433");
    for number in 0..2 {
        run.relays.on_link_needs(peer(number), &theirs);
    }
    run.need(&theirs);
    run.orders();
    assert_eq!(run.run(1000 * SECOND), [], "it is needed");
    run.relays.on_link_over(run.now, peer(0));
    assert_eq!(run.run(1000 * SECOND), [], "the other link needs it");
    run.relays.on_link_over(run.now, peer(1));
    let relay = theirs.clone();
    let left = (UNUSED_RELAY, Order::Deregister { relay });
    assert_eq!(run.run(1000 * SECOND), [left]);
    assert!(run.relays.get(&ours).is_some());
}

#[test]
fn a_relay_that_a_new_link_needs_in_time_is_not_left() {
    let theirs = url(2, "b.example");
    let mut run = Run::new(&[]);
    run.registered(&theirs, "5.9.0.1:4433");
    run.orders();
    assert_eq!(run.run(UNUSED_RELAY - SECOND), []);
    run.relays.on_link_needs(peer(0), &theirs);
    assert_eq!(run.run(1000 * SECOND), []);
}

#[test]
fn a_relay_that_is_ours_no_more_is_left_a_minute_later() {
    let ours = url(1, "a.example");
    let mut run = Run::new(&[&ours]);
    run.registered(&ours, "5.9.0.1:4433");
    run.run(1000 * SECOND);
    run.relays.set_home(run.now, Vec::new());
    let left = (UNUSED_RELAY, Order::Deregister { relay: ours });
    assert_eq!(run.run(1000 * SECOND), [left]);
}

#[test]
fn a_relay_is_dialled_in_a_family_that_leads_somewhere() {
    let relay = url(1, "a.example");
    let (v4, v6) = ("5.9.0.1:4433", "[2a01:4f8::1]:4433");
    let nat64 = Nat64::of_ipv4only_arpa("64:ff9b::192.0.0.170".parse().unwrap());
    assert!(nat64.is_some());
    let cases = [
        (routes(true, true), v6),
        (routes(true, false), v4),
        (routes(false, true), v6),
        (routes(false, false), v6),
        (translated(false, true, nat64), v4),
    ];
    for (local, expected) in cases {
        let mut run = Run::new(&[&relay]);
        run.orders();
        run.resolve(&relay, v6, Some(v4), &local);
        let dial = Order::Dial {
            relay: relay.clone(),
            addr: addr(expected),
            before: None,
        };
        assert_eq!(run.orders()[0], dial);
    }
}

#[test]
fn a_relay_is_asked_in_its_other_family_three_times_then_now_and_then_and_less_once_it_answered() {
    let relay = url(1, "a.example");
    let mut run = Run::new(&[&relay]);
    let (v4, v6) = ("5.9.0.1:4433", "[2a01:4f8::1]:4433");
    run.resolve(&relay, v6, Some(v4), &routes(true, true));
    run.orders();
    assert_eq!(run.run(100 * SECOND), [], "we are not registered yet");
    run.up(&relay, "[2001:db8::1]:1");
    run.orders();
    let asked = run.run(60 * SECOND);
    let at: Vec<u64> = asked.iter().map(|(after, _)| after.as_secs()).collect();
    assert_eq!(at, [0, 1, 2, 27, 52]);
    let Some((_, Order::AskStun { to, tx })) = asked.last() else {
        panic!("{asked:?}");
    };
    assert_eq!(*to, addr(v4));
    assert_eq!(run.relays.on_stun(run.now, addr(v6), *tx), None);
    assert_eq!(run.relays.on_stun(run.now, addr(v4), [0; 12]), None);
    assert_eq!(run.relays.on_stun(run.now, addr(v4), *tx), Some(relay));
    assert_eq!(run.run(100 * SECOND), [], "nobody needs to know");
    run.relays.on_link(peer(0));
    assert!(!run.run(ECHO_TIME).is_empty(), "while there is a link");
}

/// Longer than what relays said is believed.
const ECHO_TIME: Duration = Duration::from_secs(26);

#[test]
fn an_impostor_ends_the_hope_of_links_that_have_no_other_relay() {
    let (bad, good) = (url(1, "a.example"), url(2, "b.example"));
    let mut run = Run::new(&[]);
    for (number, relays) in [(0, &[&bad][..]), (1, &[&bad, &good]), (2, &[])] {
        run.relays.on_link(peer(number));
        for relay in relays {
            run.relays.on_link_needs(peer(number), relay);
            run.need(relay);
        }
    }
    let hopeless = |run: &Run| [0, 1, 2].map(|number| run.relays.is_hopeless(peer(number)));
    run.down(&bad, false);
    assert_eq!(hopeless(&run), [false; 3], "it may only be away");
    run.down(&bad, true);
    assert_eq!(hopeless(&run), [true, false, false]);
    assert_eq!(run.relays.impostor_of_link(peer(1)), Some(&bad));
    run.resolve(&bad, "5.9.0.1:4433", None, &routes(true, true));
    run.up(&bad, "198.51.100.1:1");
    assert_eq!(hopeless(&run), [false; 3]);
}

#[test]
fn what_an_address_said_of_our_nat_is_distrusted_unless_the_relay_proved_itself_there() {
    let relay = url(1, "a.example");
    let at = "5.9.0.1:4433";
    let distrust = |run: &mut Run| {
        run.down(&relay, false);
        let doubts = Order::Distrust { addr: addr(at) };
        run.orders().contains(&doubts)
    };
    let mut run = Run::new(&[&relay]);
    run.resolve(&relay, at, None, &routes(true, true));
    assert!(distrust(&mut run), "it never proved itself");
    run.up(&relay, "198.51.100.1:1");
    assert!(!distrust(&mut run), "it did there");
    run.resolve(&relay, at, None, &routes(true, true));
    assert!(!distrust(&mut run), "it is the same address");
    run.resolve(&relay, "5.9.0.2:4433", None, &routes(true, true));
    run.resolve(&relay, at, None, &routes(true, true));
    assert!(distrust(&mut run), "it was elsewhere in between");
}

#[test]
fn mappings_are_doubted_when_a_relay_returns_or_sees_us_elsewhere() {
    let relay = url(1, "a.example");
    let mut run = Run::new(&[&relay]);
    run.registered(&relay, "5.9.0.1:4433");
    let doubted = |run: &mut Run| run.orders().contains(&Order::DoubtMappings);
    assert!(!doubted(&mut run));
    let (here, there) = (addr("198.51.100.1:1"), addr("198.51.100.1:2"));
    for (seen, expected) in [(here, false), (there, true), (there, false)] {
        run.relays.on_observed(&relay, seen);
        assert_eq!(doubted(&mut run), expected, "{seen}");
    }
    run.down(&relay, false);
    run.relays.on_observed(&relay, here);
    assert!(!doubted(&mut run), "we are not registered");
    run.up(&relay, "198.51.100.1:2");
    assert!(doubted(&mut run));
}

#[test]
fn only_our_relays_are_asked_about_the_nat_if_any_can_be_and_only_they_are_believed() {
    let (ours, theirs) = (url(1, "a.example"), url(2, "b.example"));
    let mut run = Run::new(&[&ours]);
    run.registered(&ours, "5.9.0.1:4433");
    run.registered(&theirs, "5.9.0.2:4433");
    assert_eq!(run.relays.trusted_with_nat(), [addr("5.9.0.1:4433")]);
    let orders = run.orders();
    let measures = |at| {
        let through = addr(at);
        orders.contains(&Order::Measure { through })
    };
    assert!(measures("5.9.0.1:4433") && !measures("5.9.0.2:4433"));
    run.down(&ours, false);
    assert_eq!(run.relays.trusted_with_nat(), [addr("5.9.0.2:4433")]);
    let ip = addr("198.51.100.7:1").ip();
    assert_eq!(run.relays.believed(&ours, ip), ip);
    let relay_ip = addr("5.9.0.2:4433").ip();
    assert_eq!(run.relays.believed(&theirs, ip), relay_ip);
}

#[test]
fn that_a_relay_is_down_for_the_same_reason_is_told_once_until_it_was_up() {
    let relay = url(1, "a.example");
    let mut run = Run::new(&[&relay]);
    run.resolve(&relay, "5.9.0.1:4433", None, &routes(true, true));
    let told = |run: &mut Run| {
        run.down(&relay, false);
        let is_told = |order: &Order| matches!(order, Order::Event(EventKind::RelayDown { .. }));
        run.orders().iter().any(is_told)
    };
    assert_eq!([told(&mut run), told(&mut run)], [true, false]);
    run.up(&relay, "198.51.100.1:1");
    assert!(told(&mut run));
}

#[test]
fn the_nat_is_measured_as_soon_as_a_relay_is_found_and_when_we_are_registered_by_udp() {
    let relay = url(1, "a.example");
    let (at, local) = ("5.9.0.1:4433", routes(true, true));
    let mut run = Run::new(&[&relay]);
    let measures = |run: &mut Run| {
        let through = addr(at);
        run.orders().contains(&Order::Measure { through })
    };
    run.resolve(&relay, at, None, &local);
    assert!(measures(&mut run), "it answers before it knows us");
    run.up(&relay, "198.51.100.1:1");
    assert!(measures(&mut run));
    run.resolve(&relay, at, None, &local);
    assert!(!measures(&mut run), "we are registered there");
    let seen = addr("198.51.100.1:0");
    run.relays.on_up(run.now, &relay, RTT, seen, by_tcp());
    assert!(!measures(&mut run), "UDP may not get there");
}

fn by_tcp() -> Over {
    Over::Tcp {
        stream: addr("[::ffff:5.9.0.1]:99"),
        port: 443,
        proxy: None,
    }
}

#[test]
fn a_relay_over_tcp_has_its_lanes_on_the_stream_and_proves_nothing_of_its_address() {
    let relay = url(1, "a.example");
    let mut run = Run::new(&[&relay]);
    run.resolve(&relay, "5.9.0.1:4433", None, &routes(true, true));
    let real = run
        .relays
        .on_up(run.now, &relay, RTT, addr("198.51.100.1:0"), by_tcp());
    assert_eq!(real, Some(addr("5.9.0.1:443")));
    let known = run.relays.get(&relay).unwrap();
    assert_eq!(known.lane_addr(), Some(addr("[::ffff:5.9.0.1]:99")));
    run.orders();
    run.down(&relay, false);
    let doubts = Order::Distrust {
        addr: addr("5.9.0.1:4433"),
    };
    assert!(run.orders().contains(&doubts));
}

#[test]
fn our_public_address_is_told_once_for_all_relays_that_see_it_by_udp() {
    let (first, second) = (url(1, "a.example"), url(2, "b.example"));
    let mut run = Run::new(&[&first, &second]);
    let told = |run: &mut Run| {
        let is_told =
            |order: &Order| matches!(order, Order::Event(EventKind::PublicAddress { .. }));
        run.orders().iter().any(is_told)
    };
    run.relays
        .on_up(run.now, &first, RTT, addr("198.51.100.1:0"), by_tcp());
    assert!(!told(&mut run), "it has no port");
    run.registered(&first, "5.9.0.1:4433");
    assert!(told(&mut run));
    run.registered(&second, "5.9.0.2:4433");
    assert!(!told(&mut run));
}

#[test]
fn another_network_has_the_relay_asked_anew_in_its_other_family() {
    let relay = url(1, "a.example");
    let mut run = Run::new(&[&relay]);
    let (v4, v6) = ("5.9.0.1:4433", "[2a01:4f8::1]:4433");
    run.resolve(&relay, v6, Some(v4), &routes(true, true));
    run.up(&relay, "[2001:db8::1]:1");
    run.orders();
    assert_eq!(run.run(10 * SECOND).len(), 3);
    run.relays.on_network_changed(run.now);
    assert_eq!(run.run(10 * SECOND).len(), 3);
}
