use std::collections::{BTreeMap, BTreeSet};

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::snapshot::NatBehavior::{
    AddressAndPortDependent, AddressDependent, EndpointIndependent, Unknown,
};

const RTT: Duration = Duration::from_millis(30);
const HOST: &str = "192.168.1.2:4000";
const RELAY_1: &str = "198.51.100.1:3478";
const RELAY_2: &str = "198.51.100.2:3478";
const OTHER_PORT: u16 = 3479;

#[test]
fn one_relay_tells_what_it_can() {
    for (mapping, seen) in [
        (EndpointIndependent, EndpointIndependent),
        (AddressDependent, EndpointIndependent),
        (AddressAndPortDependent, AddressAndPortDependent),
    ] {
        let report = World::new(mapping, AddressAndPortDependent).measure(&[RELAY_1]);
        assert_eq!(report.mapping, seen);
    }
}

#[test]
fn two_relays_tell_every_mapping_apart() {
    for mapping in [
        EndpointIndependent,
        AddressDependent,
        AddressAndPortDependent,
    ] {
        let report = World::new(mapping, AddressAndPortDependent).measure(&[RELAY_1, RELAY_2]);
        assert_eq!(report.mapping, mapping);
    }
}

#[test]
fn filtering_is_told_before_the_mapping_test_opens_the_way() {
    for (filtering, seen) in [
        (EndpointIndependent, EndpointIndependent),
        (AddressDependent, EndpointIndependent),
        (AddressAndPortDependent, AddressAndPortDependent),
    ] {
        for mapping in [EndpointIndependent, AddressAndPortDependent] {
            let report = World::new(mapping, filtering).measure(&[RELAY_1, RELAY_2]);
            assert_eq!(report.filtering, seen, "{mapping:?} {filtering:?}");
        }
    }
}

#[test]
fn without_a_nat_the_firewall_is_still_measured() {
    let mut world = World::new(EndpointIndependent, AddressAndPortDependent);
    world.nat.outside = sock(HOST);
    let report = world.measure(&[RELAY_1]);
    assert_eq!(report.mapping, EndpointIndependent);
    assert_eq!(report.filtering, AddressAndPortDependent);
    assert!(
        world
            .sent
            .iter()
            .all(|request| request.to.port() != OTHER_PORT)
    );
}

#[test]
fn a_relay_with_one_port_leaves_the_rest_unknown() {
    let mut world = World::new(EndpointIndependent, EndpointIndependent);
    world.other_port = None;
    let report = world.measure(&[RELAY_1]);
    assert_eq!((report.mapping, report.filtering), (Unknown, Unknown));
    let report = world.measure(&[RELAY_1, RELAY_2]);
    assert_eq!(
        (report.mapping, report.filtering),
        (EndpointIndependent, Unknown)
    );
    let mut world = World::new(AddressDependent, EndpointIndependent);
    world.other_port = None;
    let report = world.measure(&[RELAY_1, RELAY_2]);
    assert_eq!(report.mapping, AddressAndPortDependent);
}

#[test]
fn without_any_answer_nothing_is_known_after_one_second_and_three_tries() {
    let mut world = World::new(EndpointIndependent, EndpointIndependent);
    world.lose_first = usize::MAX;
    let start = world.now;
    let report = world.measure(&[RELAY_1]);
    assert_eq!((report.mapping, report.filtering), (Unknown, Unknown));
    assert_eq!(world.now - start, GIVE_UP);
    assert_eq!(world.sent.len(), 2 * TRIES.len());
}

#[test]
fn lost_packets_are_made_up_for() {
    for lose_first in 1..=4 {
        let mut world = World::new(AddressAndPortDependent, EndpointIndependent);
        world.lose_first = lose_first;
        let report = world.measure(&[RELAY_1]);
        assert_eq!(report.mapping, AddressAndPortDependent);
        assert_eq!(report.filtering, EndpointIndependent);
    }
}

#[test]
fn an_open_path_is_measured_in_two_round_trips() {
    let mut world = World::new(EndpointIndependent, EndpointIndependent);
    let start = world.now;
    world.measure(&[RELAY_1, RELAY_2]);
    assert_eq!(world.now - start, 2 * RTT);
    assert_eq!(world.sent.len(), 6);
}

#[test]
fn answers_of_others_and_repeated_answers_change_nothing() {
    let now = epoch();
    let mut classifier = Classifier::new(now, &[sock(RELAY_1)], &[], &mut StdRng::seed_from_u64(1));
    let request = classifier.poll_transmit().unwrap();
    let genuine = StunResponse {
        from: sock(RELAY_1),
        tx: request.tx,
        mapped: sock("203.0.113.7:4000"),
        other_address: None,
    };
    let forged = [
        StunResponse {
            from: sock(RELAY_2),
            ..genuine
        },
        StunResponse {
            from: sock("198.51.100.1:9"),
            ..genuine
        },
        StunResponse {
            tx: [0; 12],
            ..genuine
        },
    ];
    for response in forged {
        assert!(!classifier.handle_response(now, response));
        assert_eq!(classifier.mapped(), None);
    }
    assert!(classifier.handle_response(now, genuine));
    let later = StunResponse {
        mapped: sock("203.0.113.8:1"),
        ..genuine
    };
    classifier.handle_response(now, later);
    assert_eq!(classifier.mapped(), Some(genuine.mapped));
}

#[test]
fn the_other_address_cannot_aim_us_at_another_host() {
    let now = epoch();
    let mut classifier = Classifier::new(now, &[sock(RELAY_1)], &[], &mut StdRng::seed_from_u64(1));
    let (plain, filter) = (
        classifier.poll_transmit().unwrap(),
        classifier.poll_transmit().unwrap(),
    );
    let victim = Some(sock("203.0.113.99:3479"));
    let mapped = sock("203.0.113.7:4000");
    let answer = |from: &str, tx| StunResponse {
        from: sock(from),
        tx,
        mapped,
        other_address: victim,
    };
    classifier.handle_response(now, answer(RELAY_1, plain.tx));
    classifier.handle_response(now, answer("198.51.100.1:3479", filter.tx));
    assert_eq!(
        classifier.poll_transmit().unwrap().to,
        sock("198.51.100.1:3479")
    );
}

#[test]
fn relays_of_another_family_or_at_the_same_host_are_left_out() {
    let relays = [
        sock(RELAY_1),
        sock("[2001:db8::1]:3478"),
        sock("198.51.100.1:9000"),
    ];
    let mut classifier = Classifier::new(epoch(), &relays, &[], &mut StdRng::seed_from_u64(1));
    let asked: Vec<_> =
        std::iter::from_fn(|| classifier.poll_transmit().map(|sent| sent.to)).collect();
    assert_eq!(asked, [sock(RELAY_1), sock(RELAY_1)]);
}

/// A host behind a NAT, and relays on the internet.
struct World {
    now: Instant,
    nat: Nat,
    other_port: Option<u16>,
    lose_first: usize,
    sent: Vec<StunRequest>,
}

impl World {
    fn new(mapping: NatBehavior, filtering: NatBehavior) -> Self {
        Self {
            now: epoch(),
            nat: Nat {
                mapping,
                filtering,
                outside: sock("203.0.113.7:4000"),
                ports: BTreeMap::new(),
                opened: BTreeSet::new(),
            },
            other_port: Some(OTHER_PORT),
            lose_first: 0,
            sent: Vec::new(),
        }
    }

    fn measure(&mut self, relays: &[&str]) -> NatReport {
        let relays: Vec<_> = relays.iter().map(|relay| sock(relay)).collect();
        let mut rng = StdRng::seed_from_u64(7);
        let mut classifier = Classifier::new(self.now, &relays, &[sock(HOST).ip()], &mut rng);
        let mut on_the_way = BTreeMap::new();
        loop {
            while let Some(request) = classifier.poll_transmit() {
                self.sent.push(request);
                let answer = self.answer(&request);
                if self.sent.len() > self.lose_first
                    && let Some(answer) = answer
                {
                    on_the_way.insert((self.now + RTT, self.sent.len()), answer);
                }
            }
            if let Some(report) = classifier.report() {
                return report;
            }
            let timeout = classifier.poll_timeout().unwrap();
            match on_the_way.first_entry() {
                Some(arrival) if arrival.key().0 <= timeout => {
                    let ((at, _), answer) = arrival.remove_entry();
                    self.now = at;
                    assert!(classifier.handle_response(at, answer));
                }
                Some(_) | None => {
                    self.now = timeout;
                    classifier.handle_timeout(timeout);
                }
            }
        }
    }

    fn answer(&mut self, request: &StunRequest) -> Option<StunResponse> {
        let mapped = self.nat.outgoing(request.to);
        if request.change_port && self.other_port.is_none() {
            return None;
        }
        let mut from = request.to;
        if let Some(other_port) = self.other_port.filter(|_| request.change_port) {
            from.set_port(other_port);
        }
        let other_address = self
            .other_port
            .map(|port| SocketAddr::new(request.to.ip(), port));
        let response = StunResponse {
            from,
            tx: request.tx,
            mapped,
            other_address,
        };
        self.nat.lets_in(from).then_some(response)
    }
}

struct Nat {
    mapping: NatBehavior,
    filtering: NatBehavior,
    outside: SocketAddr,
    ports: BTreeMap<Option<SocketAddr>, u16>,
    opened: BTreeSet<SocketAddr>,
}

impl Nat {
    fn outgoing(&mut self, to: SocketAddr) -> SocketAddr {
        let key = match self.mapping {
            EndpointIndependent | Unknown => None,
            AddressDependent => Some(SocketAddr::new(to.ip(), 0)),
            AddressAndPortDependent => Some(to),
        };
        self.opened.insert(to);
        let next = self.outside.port() + u16::try_from(self.ports.len()).unwrap();
        let port = *self.ports.entry(key).or_insert(next);
        SocketAddr::new(self.outside.ip(), port)
    }

    fn lets_in(&self, from: SocketAddr) -> bool {
        match self.filtering {
            EndpointIndependent | Unknown => true,
            AddressDependent => self.opened.iter().any(|known| known.ip() == from.ip()),
            AddressAndPortDependent => self.opened.contains(&from),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn epoch() -> Instant {
    Instant::now()
}

fn sock(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
