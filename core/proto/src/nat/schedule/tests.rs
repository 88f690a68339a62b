use std::time::Duration;

use super::*;
use crate::{io::Sock, snapshot::NatBehavior};

const SECOND: Duration = Duration::from_secs(1);
const HOST: &str = "192.168.1.2:4000";
const OUTSIDE: &str = "203.0.113.5:4000";
const OURS: [&str; 2] = ["198.51.100.1:3478", "198.51.100.2:3478"];

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Measurements in virtual time, behind a NAT that gives every destination the same port.
struct Run {
    begin: Instant,
    now: Instant,
    schedule: Schedule,
    relays: Vec<SocketAddr>,
    /// Whether anybody answers.
    answers: bool,
}

impl Run {
    fn new(relays: &[&str]) -> Self {
        let begin = origin();
        Self {
            begin,
            now: begin,
            schedule: Schedule::new([1; 32]),
            relays: relays.iter().map(|relay| addr(relay)).collect(),
            answers: true,
        }
    }

    fn on_relay(&mut self, relay: &str) {
        self.schedule.on_relay(self.now, addr(relay));
    }

    /// Who was asked in this time, and when first.
    fn asked(&mut self, time: Duration) -> Vec<(u64, SocketAddr)> {
        let mut asked = Vec::new();
        self.run(time, |at, to| {
            if !asked.iter().any(|(_, known)| *known == to) {
                asked.push((at.as_secs(), to));
            }
        });
        asked
    }

    /// The seconds in which a measurement began to ask at this relay.
    fn begins(&mut self, time: Duration, relay: &str) -> Vec<u64> {
        let mut begins = Vec::new();
        self.run(time, |at, to| {
            let last = begins.last().copied();
            if to == addr(relay) && last.is_none_or(|last| at.as_secs() > last + 5) {
                begins.push(at.as_secs());
            }
        });
        begins
    }

    fn run(&mut self, time: Duration, mut on_asked: impl FnMut(Duration, SocketAddr)) {
        let end = self.now + time;
        loop {
            let surroundings = || Surroundings {
                local: vec![addr(HOST).ip()],
                relays: self.relays.clone(),
            };
            self.schedule.handle_timeout(self.now, surroundings);
            while let Some(request) = self.schedule.poll_transmit() {
                on_asked(self.now - self.begin, request.to.addr);
                if self.answers {
                    self.answer(&request);
                }
            }
            let due = self.schedule.poll_timeout().filter(|at| *at <= end);
            let Some(due) = due else { break };
            assert!(due > self.now, "what is due was done");
            self.now = due;
        }
        self.now = end;
    }

    /// From the port that was asked for; the NAT's filter lets it in.
    fn answer(&mut self, request: &StunRequest) {
        let mut from = request.to;
        let other = SocketAddr::new(from.addr.ip(), 3479);
        if request.change_port {
            from.addr = other;
        }
        let response = StunResponse {
            from,
            tx: request.tx,
            mapped: addr(OUTSIDE),
            other_address: Some(other),
        };
        self.schedule.on_stun(self.now, &response);
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.schedule.poll_event()).collect()
    }
}

fn reports(events: &[Event]) -> Vec<NatBehavior> {
    let report = |event: &Event| match event {
        Event::Report(report) => Some(report.mapping),
        Event::CloseSockets | Event::Complete | Event::Forgotten => None,
    };
    events.iter().filter_map(report).collect()
}

#[test]
fn the_nat_is_measured_at_once_when_a_relay_can_be_asked_and_every_five_minutes_after_that() {
    let mut run = Run::new(&OURS[..1]);
    assert_eq!(run.asked(1000 * SECOND), [], "nobody can be asked");
    run.on_relay(OURS[0]);
    assert_eq!(run.begins(1000 * SECOND, OURS[0]), [1000, 1300, 1600, 1900]);
    let events = run.events();
    assert_eq!(
        reports(&events).last(),
        Some(&NatBehavior::EndpointIndependent)
    );
    let count = |of: Event| events.iter().filter(|event| **event == of).count();
    assert_eq!(count(Event::Complete), 4);
    assert_eq!(count(Event::CloseSockets), 8, "before and after each");
    let first = events.iter().position(|event| *event == Event::Complete);
    let later = reports(&events[first.unwrap() + 2..]);
    assert_eq!(later, [NatBehavior::EndpointIndependent; 3], "one for each");
    assert_eq!(run.schedule.evidence().answered, 1);
}

#[test]
fn changes_of_the_network_that_come_in_a_burst_have_it_measured_once_after_them() {
    let mut run = Run::new(&OURS[..1]);
    for _ in 0..10 {
        run.schedule.on_network_changed(run.now);
        assert_eq!(run.asked(NAT_CHECK_SOON / 2), []);
    }
    assert_eq!(
        run.asked(SECOND),
        [(0, addr(OURS[0])), (0, addr("198.51.100.1:3479"))]
    );
}

#[test]
fn a_relay_that_comes_while_it_is_measured_is_asked_too_and_one_that_comes_after_begins_anew() {
    let mut run = Run::new(&OURS[..1]);
    run.answers = false;
    run.on_relay(OURS[0]);
    run.asked(Duration::ZERO);
    run.on_relay(OURS[1]);
    assert_eq!(run.asked(Duration::ZERO), [(0, addr(OURS[1]))]);
    let mut run = Run::new(&OURS[..1]);
    run.on_relay(OURS[0]);
    run.asked(5 * SECOND);
    run.relays.push(addr(OURS[1]));
    run.on_relay(OURS[1]);
    assert_eq!(run.begins(5 * SECOND, OURS[0]), [5]);
}

#[test]
fn a_relay_that_was_asked_with_the_others_need_not_be_asked_again_either() {
    let mut run = Run::new(&OURS[..1]);
    run.answers = false;
    run.on_relay(OURS[0]);
    run.asked(Duration::ZERO);
    run.on_relay(OURS[1]);
    run.asked(8 * SECOND);
    run.on_relay(OURS[1]);
    assert_eq!(run.asked(SECOND), []);
}

#[test]
fn a_relay_that_was_asked_a_moment_ago_is_not_asked_again_when_it_is_registered_with() {
    let mut run = Run::new(&OURS[..1]);
    run.on_relay(OURS[0]);
    run.asked(9 * SECOND);
    run.on_relay(OURS[0]);
    assert_eq!(run.asked(SECOND), []);
    run.on_relay(OURS[0]);
    assert_eq!(run.begins(SECOND, OURS[0]), [10]);
}

#[test]
fn what_an_impostor_said_is_forgotten_and_measured_through_the_others() {
    let mut run = Run::new(&OURS);
    run.on_relay(OURS[0]);
    let asked = run.asked(20 * SECOND);
    assert!(OURS.iter().all(|relay| asked.contains(&(0, addr(relay)))));
    run.events();
    run.relays.remove(0);
    run.schedule.on_distrust(run.now, addr(OURS[0]));
    let forgotten = [
        Event::CloseSockets,
        Event::Forgotten,
        Event::Report(NatReport::default()),
    ];
    assert_eq!(run.events(), forgotten);
    assert_eq!(*run.schedule.evidence(), NatEvidence::default());
    let asked = run.asked(5 * SECOND);
    assert_eq!(asked[0], (20, addr(OURS[1])));
    assert!(!asked.contains(&(20, addr(OURS[0]))), "{asked:?}");
    assert_eq!(run.schedule.evidence().asked, 1);
}

#[test]
fn distrust_of_who_told_nothing_leaves_what_is_known() {
    let mut run = Run::new(&OURS[..1]);
    run.on_relay(OURS[0]);
    run.asked(20 * SECOND);
    run.events();
    run.schedule.on_distrust(run.now, addr(OURS[1]));
    assert_eq!(run.events(), []);
    assert_eq!(run.asked(20 * SECOND), []);
    // Nor does it matter who told something before.
    run.relays = vec![addr(OURS[1])];
    run.on_relay(OURS[1]);
    run.asked(20 * SECOND);
    run.events();
    run.schedule.on_distrust(run.now, addr(OURS[0]));
    assert_eq!(run.events(), []);
}

#[test]
fn without_relays_nothing_is_asked_and_what_was_known_stays() {
    let mut run = Run::new(&OURS[..1]);
    run.on_relay(OURS[0]);
    run.asked(20 * SECOND);
    run.events();
    run.relays.clear();
    run.schedule.on_network_changed(run.now);
    assert_eq!(run.asked(20 * SECOND), []);
    assert_eq!(run.events(), [Event::CloseSockets]);
    assert_eq!(run.schedule.evidence().answered, 1);
    // Nothing is under way that the next relay would only be added to.
    run.relays = OURS.map(addr).to_vec();
    run.on_relay(OURS[0]);
    let asked = run.asked(SECOND);
    assert!(
        OURS.iter().all(|relay| asked.contains(&(40, addr(relay)))),
        "{asked:?}"
    );
}

#[test]
fn each_measurement_asks_by_transactions_of_its_own() {
    let mut run = Run::new(&OURS[..1]);
    run.answers = false;
    run.on_relay(OURS[0]);
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let surroundings = || Surroundings {
            local: Vec::new(),
            relays: vec![addr(OURS[0])],
        };
        run.schedule.handle_timeout(run.now, surroundings);
        let request = run.schedule.poll_transmit().unwrap();
        assert_eq!(request.to.sock, Sock::MAIN);
        assert!(seen.insert(request.tx));
        run.schedule.on_network_changed(run.now);
        run.now += SECOND;
    }
}
