//! A sender as quinn is one: its pacer, its batches, its loss detection; and CUBIC to compete with.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    super::Model,
    line::{MS, Nanos},
};

pub(super) const MTU: u64 = 1444;
/// Datagrams that quinn sends in one call.
const BATCH: u64 = 10;
const PACKET_THRESHOLD: u64 = 3;
const MAX_ACK_DELAY: Nanos = 25 * MS;

pub(super) enum Control {
    Ours(Box<Model>),
    Cubic(Cubic),
}

/// RFC 9438 in packets, with quinn's initial window.
pub(super) struct Cubic {
    window: f64,
    threshold: f64,
    max: f64,
    epoch: Option<Nanos>,
    recovery_until: Nanos,
}

impl Cubic {
    pub(super) fn new() -> Self {
        Self {
            window: 10.0,
            threshold: f64::MAX,
            max: 0.0,
            epoch: None,
            recovery_until: 0,
        }
    }

    fn acked(&mut self, now: Nanos, sent_at: Nanos, rtt: Nanos) {
        if sent_at < self.recovery_until {
            return;
        }
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        let k = (self.max * 0.3 / 0.4).cbrt();
        let epoch = *self.epoch.get_or_insert(now);
        let t = (now - epoch + rtt) as f64 / 1e9;
        let cubic = 0.4 * (t - k).powi(3) + self.max;
        let reno = self.max * 0.7 + 0.53 * (now - epoch) as f64 / rtt.max(1) as f64;
        let target = cubic.max(reno).min(1.5 * self.window);
        self.window += ((target - self.window) / self.window).max(0.0);
    }

    fn lost(&mut self, now: Nanos, sent_at: Nanos) {
        if sent_at < self.recovery_until {
            return;
        }
        self.recovery_until = now;
        self.max = if self.window < self.max {
            self.window * 0.85
        } else {
            self.window
        };
        self.window = (self.window * 0.7).max(2.0);
        self.threshold = self.window;
        self.epoch = None;
    }
}

/// quinn's: a token bucket that fills at 1.25 windows a round trip and holds 2 ms of it.
struct Pacer {
    tokens: f64,
    at: Nanos,
}

impl Pacer {
    /// When the next packet may leave; now if that is past.
    fn ready_at(&mut self, now: Nanos, window: u64, srtt: Nanos) -> Nanos {
        let (window, srtt) = (window as f64, srtt.max(1) as f64);
        let mtu = MTU as f64;
        let capacity = (window * 2e6 / srtt).clamp(10.0 * mtu, 256.0 * mtu);
        let elapsed = (now - self.at) as f64;
        self.tokens = (self.tokens + 1.25 * window * elapsed / srtt).min(capacity);
        self.at = now;
        if self.tokens >= mtu {
            return now;
        }
        now + (srtt * (capacity - self.tokens) / window * 0.8) as Nanos
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    Acked,
    Lost,
}

struct Packet {
    sent_at: Nanos,
    fate: Fate,
}

pub(super) struct Sender {
    pub(super) control: Control,
    pub(super) starts_at: Nanos,
    /// Bytes that the program has to send; none if without end.
    pub(super) backlog: Option<u64>,
    origin: Instant,
    packets: VecDeque<Packet>,
    /// The number of the first packet in `packets`.
    first: u64,
    largest_acked: Option<u64>,
    in_flight: u64,
    app_limited: bool,
    pacer: Pacer,
    srtt: Nanos,
    var: Nanos,
    latest: Nanos,
    pto_count: u32,
    last_sent: Nanos,
    pub(super) probes: u64,
    pub(super) wake_at: Option<Nanos>,
    pub(super) sent: u64,
    pub(super) lost: u64,
}

impl Sender {
    pub(super) fn new(control: Control, starts_at: Nanos, origin: Instant) -> Self {
        Self {
            control,
            starts_at,
            backlog: None,
            origin,
            packets: VecDeque::new(),
            first: 0,
            largest_acked: None,
            in_flight: 0,
            app_limited: false,
            pacer: Pacer {
                tokens: 10.0 * MTU as f64,
                at: 0,
            },
            srtt: 50 * MS,
            var: 25 * MS,
            latest: 50 * MS,
            pto_count: 0,
            last_sent: 0,
            probes: 0,
            wake_at: None,
            sent: 0,
            lost: 0,
        }
    }

    fn at(&self, nanos: Nanos) -> Instant {
        self.origin + Duration::from_nanos(nanos)
    }

    pub(super) fn window(&self) -> u64 {
        match &self.control {
            Control::Ours(model) => model.window(),
            Control::Cubic(cubic) => (cubic.window * MTU as f64) as u64,
        }
    }

    /// Sends what may be sent now; gives the numbers of the packets.
    pub(super) fn transmit(&mut self, now: Nanos) -> std::ops::Range<u64> {
        let before = self.first + self.packets.len() as u64;
        let mut batch = 0;
        self.wake_at = None;
        if now < self.starts_at {
            self.wake_at = Some(self.starts_at);
            return before..before;
        }
        self.app_limited = false;
        loop {
            if self.backlog == Some(0) {
                self.app_limited = true;
                break;
            }
            if self.probes == 0 {
                if self.in_flight + MTU >= self.window() {
                    break;
                }
                let ready = self.pacer.ready_at(now, self.window(), self.srtt);
                if ready > now {
                    self.wake_at = Some(ready);
                    break;
                }
            }
            self.probes = self.probes.saturating_sub(1);
            self.pacer.tokens = (self.pacer.tokens - MTU as f64).max(0.0);
            self.packets.push_back(Packet {
                sent_at: now,
                fate: Fate::Unknown,
            });
            self.in_flight += MTU;
            self.sent += 1;
            self.last_sent = now;
            if let Some(backlog) = &mut self.backlog {
                *backlog = backlog.saturating_sub(MTU);
            }
            batch += 1;
            if batch == BATCH {
                self.tell_sent(now, batch);
                batch = 0;
            }
        }
        if batch > 0 {
            self.tell_sent(now, batch);
        }
        let due = [self.loss_at(), self.pto_at()].into_iter().flatten().min();
        self.wake_at = [self.wake_at, due].into_iter().flatten().min();
        before..self.first + self.packets.len() as u64
    }

    fn tell_sent(&mut self, now: Nanos, packets: u64) {
        let at = self.at(now);
        if let Control::Ours(model) = &mut self.control {
            model.sent(at, packets * MTU);
        }
    }

    fn loss_delay(&self) -> Nanos {
        (self.srtt.max(self.latest) * 9 / 8).max(MS)
    }

    /// When the oldest packet below the largest acknowledged is lost for its age.
    fn loss_at(&self) -> Option<Nanos> {
        let largest = self.largest_acked?;
        let oldest = self.packets.front()?;
        (self.first < largest).then(|| oldest.sent_at + self.loss_delay())
    }

    fn pto(&self) -> Nanos {
        self.srtt + (4 * self.var).max(MS) + MAX_ACK_DELAY
    }

    fn pto_at(&self) -> Option<Nanos> {
        (self.in_flight > 0).then(|| self.last_sent + (self.pto() << self.pto_count.min(10)))
    }

    /// A timer may have fired.
    pub(super) fn on_time(&mut self, now: Nanos) {
        if self.loss_at().is_some_and(|at| at <= now) {
            self.detect_lost(now);
        } else if self.pto_at().is_some_and(|at| at <= now) && self.probes == 0 {
            self.pto_count += 1;
            self.probes = 2;
        }
    }

    pub(super) fn on_ack(&mut self, now: Nanos, numbers: &[u64]) -> Option<Nanos> {
        let at = self.at(now);
        let origin = self.origin;
        let mut largest_sent = None;
        let mut any = false;
        for &number in numbers {
            let Some(packet) = number
                .checked_sub(self.first)
                .and_then(|index| self.packets.get_mut(index as usize))
                .filter(|packet| packet.fate == Fate::Unknown)
            else {
                continue;
            };
            packet.fate = Fate::Acked;
            let sent_at = packet.sent_at;
            any = true;
            self.in_flight -= MTU;
            if self.largest_acked.is_none_or(|largest| number > largest) {
                self.largest_acked = Some(number);
                largest_sent = Some(sent_at);
            }
            match &mut self.control {
                Control::Ours(model) => {
                    model.acked(at, origin + Duration::from_nanos(sent_at), MTU);
                }
                Control::Cubic(_) if self.app_limited => {}
                Control::Cubic(cubic) => cubic.acked(now, sent_at, self.srtt),
            }
        }
        if !any {
            return None;
        }
        if let Control::Ours(model) = &mut self.control {
            model.end_of_acks(at, self.in_flight, self.app_limited);
        }
        let rtt = largest_sent.map(|sent_at| now - sent_at);
        if let Some(rtt) = rtt {
            self.latest = rtt;
            if self.sent == 0 || self.pto_count == 0 && self.srtt == 50 * MS {
                self.srtt = rtt;
                self.var = rtt / 2;
            } else {
                self.var = (3 * self.var + self.srtt.abs_diff(rtt)) / 4;
                self.srtt = (7 * self.srtt + rtt) / 8;
            }
        }
        self.detect_lost(now);
        self.pto_count = 0;
        rtt
    }

    fn detect_lost(&mut self, now: Nanos) {
        let Some(largest) = self.largest_acked else {
            return;
        };
        let delay = self.loss_delay();
        let (mut lost, mut newest, mut run_from, mut longest) = (0, 0, None, 0);
        for (number, packet) in (self.first..largest).zip(self.packets.iter_mut()) {
            if packet.fate == Fate::Acked {
                run_from = None;
            }
            if packet.fate != Fate::Unknown {
                continue;
            }
            let is_old = now - packet.sent_at >= delay;
            if !is_old && largest < number + PACKET_THRESHOLD {
                break;
            }
            packet.fate = Fate::Lost;
            lost += 1;
            newest = packet.sent_at;
            longest = longest.max(newest - *run_from.get_or_insert(newest));
        }
        while self
            .packets
            .front()
            .is_some_and(|packet| packet.fate != Fate::Unknown)
        {
            self.packets.pop_front();
            self.first += 1;
        }
        if lost == 0 {
            return;
        }
        self.lost += lost;
        self.in_flight -= lost * MTU;
        if let Some(backlog) = &mut self.backlog {
            *backlog += lost * MTU;
        }
        let persistent = longest > 3 * self.pto();
        let (at, sent_at) = (self.at(now), self.at(newest));
        match &mut self.control {
            Control::Ours(model) => {
                model.lost(sent_at, lost * MTU);
                if persistent {
                    model.collapsed(at);
                }
            }
            Control::Cubic(cubic) => cubic.lost(now, newest),
        }
    }
}
