//! Flows over one line, in virtual time.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use super::{
    line::{Bottleneck, MS, Nanos, SECOND},
    sender::{Control, MTU, Sender},
};

const ACK_EVERY: usize = 2;
const MAX_ACK_DELAY: Nanos = 25 * MS;
const SAMPLE_EVERY: Nanos = 10 * MS;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake { flow: usize },
    Arrive { flow: usize, number: u64 },
    AckDue { flow: usize },
    Acked { flow: usize, numbers: Vec<u64> },
    Sample,
}

/// The receiving end of a flow.
#[derive(Default)]
pub(super) struct Receiver {
    expected: u64,
    unacked: Vec<u64>,
    due: Option<Nanos>,
    /// Bytes by tenth of a second.
    received: Vec<u64>,
}

pub(super) struct World {
    pub(super) now: Nanos,
    pub(super) line: Bottleneck,
    pub(super) flows: Vec<(Sender, Receiver)>,
    origin: Instant,
    events: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    turn: u64,
    /// When, and how long a packet sent then would have taken there and back.
    pub(super) delays: Vec<(Nanos, Nanos)>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    pub(super) fn new(line: Bottleneck) -> Self {
        let mut world = Self {
            now: 0,
            line,
            flows: Vec::new(),
            origin: Instant::now(),
            events: BinaryHeap::new(),
            turn: 0,
            delays: Vec::new(),
        };
        world.push(0, Event::Sample);
        world
    }

    pub(super) fn origin(&self) -> Instant {
        self.origin
    }

    pub(super) fn add(&mut self, control: Control, starts_at: Nanos) -> usize {
        self.flows.push((
            Sender::new(control, starts_at, self.origin),
            Receiver::default(),
        ));
        let flow = self.flows.len() - 1;
        self.push(starts_at, Event::Wake { flow });
        flow
    }

    /// Gives a flow's program more to send.
    pub(super) fn write(&mut self, flow: usize, bytes: u64) {
        self.flows[flow].0.wake_at = None;
        let backlog = self.flows[flow].0.backlog.get_or_insert(0);
        *backlog += bytes;
        self.push(self.now, Event::Wake { flow });
    }

    fn push(&mut self, at: Nanos, event: Event) {
        self.turn += 1;
        self.events.push(Reverse((at, self.turn, event)));
    }

    pub(super) fn run_until(&mut self, end: Nanos) {
        while let Some(Reverse((at, _, _))) = self.events.peek()
            && *at <= end
        {
            let Some(Reverse((at, _, event))) = self.events.pop() else {
                return;
            };
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wake { flow } => {
                let sender = &mut self.flows[flow].0;
                if sender.wake_at.is_none_or(|at| at <= self.now) {
                    sender.on_time(self.now);
                    self.transmit(flow);
                }
            }
            Event::Arrive { flow, number } => self.arrive(flow, number),
            Event::AckDue { flow } => {
                if self.flows[flow].1.due.is_some_and(|due| due <= self.now) {
                    self.acknowledge(flow);
                }
            }
            Event::Acked { flow, numbers } => {
                self.flows[flow].0.on_ack(self.now, &numbers);
                self.transmit(flow);
            }
            Event::Sample => {
                let delay = 2 * self.line.delay + self.line.wait(self.now);
                self.delays.push((self.now, delay));
                self.push(self.now + SAMPLE_EVERY, Event::Sample);
            }
        }
    }

    fn transmit(&mut self, flow: usize) {
        let before = self.flows[flow].0.wake_at;
        for number in self.flows[flow].0.transmit(self.now) {
            if let Some(at) = self.line.send(self.now, MTU) {
                self.push(at, Event::Arrive { flow, number });
            }
        }
        let wake_at = self.flows[flow].0.wake_at;
        if let Some(at) = wake_at.filter(|_| wake_at != before) {
            self.push(at.max(self.now), Event::Wake { flow });
        }
    }

    fn arrive(&mut self, flow: usize, number: u64) {
        let now = self.now;
        let receiver = &mut self.flows[flow].1;
        let slot = (now / (SECOND / 10)) as usize;
        if receiver.received.len() <= slot {
            receiver.received.resize(slot + 1, 0);
        }
        receiver.received[slot] += MTU;
        receiver.unacked.push(number);
        let in_order = number == receiver.expected;
        receiver.expected = number + 1;
        if receiver.unacked.len() >= ACK_EVERY || !in_order {
            self.acknowledge(flow);
        } else if receiver.due.is_none() {
            receiver.due = Some(now + MAX_ACK_DELAY);
            self.push(now + MAX_ACK_DELAY, Event::AckDue { flow });
        }
    }

    fn acknowledge(&mut self, flow: usize) {
        let receiver = &mut self.flows[flow].1;
        receiver.due = None;
        let numbers = std::mem::take(&mut receiver.unacked);
        let at = self.line.send_back(self.now);
        self.push(at, Event::Acked { flow, numbers });
    }

    /// Mean goodput between two times, bytes per second.
    pub(super) fn goodput(&self, flow: usize, from: Nanos, to: Nanos) -> f64 {
        let tenth = SECOND / 10;
        let slots = (from / tenth) as usize..(to / tenth) as usize;
        let received = &self.flows[flow].1.received;
        let bytes: u64 = slots.filter_map(|slot| received.get(slot)).sum();
        bytes as f64 / ((to - from) as f64 / 1e9)
    }

    /// The delay below which this share of the time was, from a time on.
    pub(super) fn delay(&self, share: f64, from: Nanos) -> Duration {
        let mut delays: Vec<Nanos> = self
            .delays
            .iter()
            .filter(|(at, _)| *at >= from)
            .map(|(_, delay)| *delay)
            .collect();
        delays.sort_unstable();
        let at = ((delays.len() - 1) as f64 * share) as usize;
        Duration::from_nanos(delays[at])
    }
}
