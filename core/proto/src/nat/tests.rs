use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng};

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
            .all(|request| request.to.sock == Sock::MAIN)
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
    assert_eq!(world.now - start, Duration::from_secs(1));
    assert_eq!(world.sent.len(), 2 * 3);
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
    assert_eq!(world.sent.len(), 8);
}

#[test]
fn a_hard_nat_that_lets_everybody_in_is_measured_in_three_round_trips() {
    let mut world = World::new(AddressAndPortDependent, EndpointIndependent);
    let start = world.now;
    world.measure(&[RELAY_1]);
    assert_eq!(world.now - start, 3 * RTT);
    assert_eq!(world.sent.len(), 4 + 8);
}

#[test]
fn a_filter_takes_no_longer_to_measure_than_the_round_trip_demands() {
    let mut world = World::new(EndpointIndependent, AddressAndPortDependent);
    let start = world.now;
    world.measure(&[RELAY_1, RELAY_2]);
    assert_eq!(world.now - start, 10 * RTT + Duration::from_millis(100));
}

#[test]
fn what_is_found_early_is_told_early() {
    for (mapping, relays) in [
        (EndpointIndependent, &[RELAY_1, RELAY_2][..]),
        (AddressAndPortDependent, &[RELAY_1][..]),
    ] {
        let mut world = World::new(mapping, AddressAndPortDependent);
        let start = world.now;
        let report = world.measure(relays);
        let times: Vec<_> = world.reports.iter().map(|(at, _)| *at - start).collect();
        let round_trips = if mapping == EndpointIndependent { 1 } else { 2 };
        assert_eq!(times[1], round_trips * RTT);
        assert_eq!(world.reports[1].1.mapping, mapping);
        for (_, early) in &world.reports {
            for (told, found) in [
                (early.mapping, report.mapping),
                (early.filtering, report.filtering),
            ] {
                assert!(told == Unknown || told == found);
            }
        }
    }
}

#[test]
fn what_was_known_before_holds_until_the_new_measurement_is_over() {
    let before = NatReport {
        mapping: EndpointIndependent,
        filtering: EndpointIndependent,
        allocation: PortAllocation::Unknown,
    };
    let mut world = World::new(AddressAndPortDependent, AddressAndPortDependent);
    world.before = before;
    let report = world.measure(&[RELAY_1]);
    assert_eq!(world.reports[0].1, before);
    assert_eq!(world.reports[1].1.mapping, AddressAndPortDependent);
    assert_eq!(world.reports[1].1.filtering, EndpointIndependent);
    assert_eq!(report.filtering, AddressAndPortDependent);
    world.lose_first = usize::MAX;
    assert_eq!(world.measure(&[RELAY_1]), NatReport::default());
}

#[test]
fn a_sequential_nat_is_told_its_step() {
    for step in [1, 2, -1, -3, 8] {
        for mapping in [AddressDependent, AddressAndPortDependent] {
            let mut world = World::new(mapping, AddressAndPortDependent);
            world.nat.allocation = PortAllocation::Sequential { step };
            let report = world.measure(&[RELAY_1, RELAY_2]);
            assert_eq!(report.mapping, mapping);
            assert_eq!(report.allocation, PortAllocation::Sequential { step });
        }
    }
}

#[test]
fn lost_packets_do_not_hide_how_ports_are_chosen() {
    for lost in 5..12 {
        let mut world = World::new(AddressAndPortDependent, AddressAndPortDependent);
        world.nat.allocation = PortAllocation::Sequential { step: 2 };
        world.lose = vec![lost, lost + 1];
        let report = world.measure(&[RELAY_1]);
        let expected = PortAllocation::Sequential { step: 2 };
        assert_eq!(report.allocation, expected, "{lost}");
    }
}

#[test]
fn a_random_nat_is_told_its_range() {
    let mut world = World::new(AddressAndPortDependent, AddressAndPortDependent);
    let random = PortAllocation::Random {
        first: 1024,
        last: 65_535,
    };
    world.nat.allocation = random;
    assert_eq!(world.measure(&[RELAY_1]).allocation, random);
    let block = PortAllocation::Random {
        first: 10_240,
        last: 11_263,
    };
    world.nat.allocation = block;
    assert_eq!(world.measure(&[RELAY_1]).allocation, block);
}

#[test]
fn a_nat_whose_mapping_does_not_depend_on_the_destination_is_not_sampled() {
    for mapping in [EndpointIndependent, AddressDependent] {
        let mut world = World::new(mapping, AddressAndPortDependent);
        let report = world.measure(&[RELAY_1]);
        assert_eq!(report.allocation, PortAllocation::Unknown);
        let sockets: BTreeSet<_> = world.sent.iter().map(|request| request.to.sock).collect();
        assert_eq!(sockets, BTreeSet::from([Sock::MAIN, FIRST_SOCKET]));
    }
}

#[test]
fn a_nat_that_keeps_ports_and_gave_ours_to_somebody_else_is_not_called_random() {
    let mut world = World::new(AddressAndPortDependent, AddressAndPortDependent);
    world.nat.keeps_sampled = true;
    let report = world.measure(&[RELAY_1]);
    assert_eq!(report.mapping, AddressAndPortDependent);
    assert_eq!(report.allocation, PortAllocation::Unknown);
}

#[test]
fn a_relay_that_comes_late_is_measured_through_too() {
    let now = epoch();
    let mut classifier = classifier(now, &[RELAY_1]);
    classifier.add_relay(now + RTT, sock(RELAY_2));
    let asked: Vec<_> =
        std::iter::from_fn(|| classifier.poll_transmit().map(|sent| sent.to.addr)).collect();
    let [first, second] = [RELAY_1, RELAY_2].map(sock);
    assert_eq!(asked, [first, first, second, second]);
}

#[test]
fn the_sockets_of_a_measurement_are_none_of_the_machine_s() {
    let mut world = World::new(AddressAndPortDependent, AddressAndPortDependent);
    world.measure(&[RELAY_1]);
    let ours = FIRST_SOCKET.0..FIRST_SOCKET.0 + u32::from(SOCKETS);
    let sockets: BTreeSet<_> = world.sent.iter().map(|request| request.to.sock.0).collect();
    assert_eq!(sockets, ours.chain([0]).collect());
}

#[test]
fn answers_of_others_and_repeated_answers_change_nothing() {
    let now = epoch();
    let mut classifier = classifier(now, &[RELAY_1]);
    let request = classifier.poll_transmit().unwrap();
    let genuine = StunResponse {
        from: Pair::main(sock(RELAY_1)),
        tx: request.tx,
        mapped: sock("203.0.113.7:4000"),
        other_address: None,
    };
    let forged = [
        StunResponse {
            from: Pair::main(sock(RELAY_2)),
            ..genuine
        },
        StunResponse {
            from: Pair::main(sock("198.51.100.1:9")),
            ..genuine
        },
        StunResponse {
            from: Pair {
                sock: FIRST_SOCKET,
                addr: sock(RELAY_1),
            },
            ..genuine
        },
        StunResponse {
            tx: [0; 12],
            ..genuine
        },
    ];
    for response in forged {
        assert!(!classifier.handle_response(now, &response));
        assert_eq!(classifier.mapped(), None);
    }
    assert!(classifier.handle_response(now, &genuine));
    let later = StunResponse {
        mapped: sock("203.0.113.8:1"),
        ..genuine
    };
    classifier.handle_response(now, &later);
    assert_eq!(classifier.mapped(), Some(genuine.mapped));
}

#[test]
fn the_other_address_cannot_aim_us_at_another_host() {
    let now = epoch();
    let mut classifier = classifier(now, &[RELAY_1]);
    let (plain, filter) = (
        classifier.poll_transmit().unwrap(),
        classifier.poll_transmit().unwrap(),
    );
    let victim = Some(sock("203.0.113.99:3479"));
    let mapped = sock("203.0.113.7:4000");
    let answer = |from: &str, tx| StunResponse {
        from: Pair::main(sock(from)),
        tx,
        mapped,
        other_address: victim,
    };
    classifier.handle_response(now, &answer(RELAY_1, plain.tx));
    classifier.handle_response(now, &answer("198.51.100.1:3479", filter.tx));
    let asked: Vec<_> =
        std::iter::from_fn(|| classifier.poll_transmit().map(|sent| sent.to.addr)).collect();
    assert_eq!(asked, [sock(RELAY_1), sock("198.51.100.1:3479")]);
}

#[test]
fn relays_of_another_family_or_at_the_same_host_are_left_out() {
    let relays = [RELAY_1, "[2001:db8::1]:3478", "198.51.100.1:9000"];
    let mut classifier = classifier(epoch(), &relays);
    let asked: Vec<_> =
        std::iter::from_fn(|| classifier.poll_transmit().map(|sent| sent.to.addr)).collect();
    assert_eq!(asked, [sock(RELAY_1), sock(RELAY_1)]);
}

#[test]
fn ipv4_is_what_is_measured_once_there_is_a_relay_with_it() {
    let now = epoch();
    let mut classifier = classifier(now, &["[2001:db8::1]:3478"]);
    while classifier.poll_transmit().is_some() {}
    classifier.add_relay(now, sock(RELAY_1));
    let request = classifier.poll_transmit().unwrap();
    let answer = StunResponse {
        from: request.to,
        tx: request.tx,
        mapped: sock("203.0.113.7:4000"),
        other_address: None,
    };
    assert_eq!(request.to.addr, sock(RELAY_1));
    assert!(classifier.handle_response(now, &answer));
    assert_eq!(classifier.mapped(), Some(answer.mapped));
}

/// A host behind a NAT, and relays on the internet.
struct World {
    now: Instant,
    nat: Nat,
    other_port: Option<u16>,
    /// So many requests at the start get no answer, nor do these by number from 1.
    lose_first: usize,
    lose: Vec<usize>,
    before: NatReport,
    sent: Vec<StunRequest>,
    /// Whatever was reported that differed from what was reported before.
    reports: Vec<(Instant, NatReport)>,
}

impl World {
    fn new(mapping: NatBehavior, filtering: NatBehavior) -> Self {
        Self {
            now: epoch(),
            nat: Nat {
                mapping,
                filtering,
                allocation: PortAllocation::Sequential { step: 1 },
                keeps_sampled: false,
                outside: sock("203.0.113.7:4000"),
                ports: BTreeMap::new(),
                opened: BTreeSet::new(),
                rng: ChaCha20Rng::seed_from_u64(3),
            },
            other_port: Some(OTHER_PORT),
            lose_first: 0,
            lose: Vec::new(),
            before: NatReport::default(),
            sent: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// One measurement from a new network address, so to say: the NAT remembers nothing.
    fn measure(&mut self, relays: &[&str]) -> NatReport {
        self.nat.ports.clear();
        self.nat.opened.clear();
        let mut classifier = classifier(self.now, relays);
        let mut on_the_way = BTreeMap::new();
        loop {
            while let Some(request) = classifier.poll_transmit() {
                self.sent.push(request);
                let answer = self.answer(&request);
                let number = self.sent.len();
                if number > self.lose_first
                    && !self.lose.contains(&number)
                    && let Some(answer) = answer
                {
                    on_the_way.insert((self.now + RTT, number), answer);
                }
            }
            let report = classifier.report(self.before);
            if self.reports.last().is_none_or(|(_, last)| *last != report) {
                self.reports.push((self.now, report));
            }
            if classifier.is_over() {
                return report;
            }
            let timeout = classifier.poll_timeout().unwrap();
            match on_the_way.first_entry() {
                Some(arrival) if arrival.key().0 <= timeout => {
                    let ((at, _), answer) = arrival.remove_entry();
                    self.now = at;
                    assert!(classifier.handle_response(at, &answer));
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
            from.addr.set_port(other_port);
        }
        let other_address = self
            .other_port
            .map(|port| SocketAddr::new(request.to.addr.ip(), port));
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
    allocation: PortAllocation,
    /// Sockets that were opened for sampling keep their port.
    keeps_sampled: bool,
    outside: SocketAddr,
    ports: BTreeMap<(Sock, Option<SocketAddr>), u16>,
    opened: BTreeSet<Pair>,
    rng: ChaCha20Rng,
}

impl Nat {
    fn outgoing(&mut self, to: Pair) -> SocketAddr {
        self.opened.insert(to);
        if self.keeps_sampled && to.sock > FIRST_SOCKET {
            return SocketAddr::new(self.outside.ip(), 40_000 + (to.sock.0 & 0xff) as u16);
        }
        let dest = match self.mapping {
            EndpointIndependent | Unknown => None,
            AddressDependent => Some(SocketAddr::new(to.addr.ip(), 0)),
            AddressAndPortDependent => Some(to.addr),
        };
        let so_far = i16::try_from(self.ports.len()).unwrap();
        let next = match self.allocation {
            PortAllocation::Random { first, last } => self.rng.random_range(first..=last),
            PortAllocation::Sequential { step } => self
                .outside
                .port()
                .wrapping_add_signed(i16::from(step) * so_far),
            PortAllocation::Unknown => unreachable!("not a way to choose ports"),
        };
        let port = *self.ports.entry((to.sock, dest)).or_insert(next);
        SocketAddr::new(self.outside.ip(), port)
    }

    fn lets_in(&self, from: Pair) -> bool {
        let mut opened = self.opened.iter().filter(|known| known.sock == from.sock);
        match self.filtering {
            EndpointIndependent | Unknown => true,
            AddressDependent => opened.any(|known| known.addr.ip() == from.addr.ip()),
            AddressAndPortDependent => self.opened.contains(&from),
        }
    }
}

fn classifier(now: Instant, relays: &[&str]) -> Classifier {
    let local = vec![sock(HOST).ip()];
    let mut classifier = Classifier::new(local, ChaCha20Rng::seed_from_u64(7));
    for relay in relays {
        classifier.add_relay(now, sock(relay));
    }
    classifier
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn epoch() -> Instant {
    Instant::now()
}

fn sock(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
