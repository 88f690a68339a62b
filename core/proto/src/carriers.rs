//! By what a relay is reached: UDP where it gets through, TCP where it does not.
//!
//! A dial begins with UDP and goes on by TCP as well after a head start; whichever the relay answers first is taken. Over TCP,
//! UDP is asked for again and again, and taken as soon as it answers. Over UDP, a relay that owes an answer is dialled by TCP
//! beside it. That UDP did not get through is remembered for the network it happened in.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use crate::Carrier;

/// How long a dial waits for UDP alone. Most relays have answered by then.
pub const HEAD_START: Duration = Duration::from_millis(150);
/// The pause before UDP is asked for again over TCP: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// UDP that stops again sooner than this after its return is asked for later the next time, and the latest.
const FLAPS: Duration = Duration::from_secs(120);
const LONGEST_AFTER_FLAPS: Duration = Duration::from_secs(600);
/// How long a relay may owe an answer over UDP before it is dialled by TCP: two lost packets' time, or so many round trips.
const PATIENCE: Duration = Duration::from_millis(400);
const PATIENCE_ROUND_TRIPS: u32 = 4;
/// After TCP was tried in vain.
const TCP_PAUSE: Duration = Duration::from_secs(1);
/// Networks that are remembered, and for how long.
const NETWORKS: usize = 16;
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Where a node is in the internet, as far as it tells networks apart: its own address, or the /64 it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whereabouts(IpAddr);

impl Whereabouts {
    /// By the address that packets to relays leave from.
    pub fn of(own: IpAddr) -> Self {
        Self(match own.to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }
}

/// The networks where UDP did not get through, for all relays of a node.
#[derive(Debug, Default)]
pub struct Blocked(BTreeMap<Whereabouts, Instant>);

impl Blocked {
    /// How long UDP alone is tried.
    pub fn head_start(&self, now: Instant, network: Whereabouts) -> Duration {
        let since = self.0.get(&network);
        let is_blocked =
            since.is_some_and(|since| now.saturating_duration_since(*since) < REMEMBERED_FOR);
        if is_blocked {
            Duration::ZERO
        } else {
            HEAD_START
        }
    }

    /// A relay was reached, where TCP had been begun too if it was over UDP.
    pub fn reached(&mut self, now: Instant, network: Whereabouts, over: Carrier) {
        if over == Carrier::Udp {
            self.0.remove(&network);
            return;
        }
        self.0.insert(network, now);
        if self.0.len() > NETWORKS
            && let Some(oldest) = self.0.iter().min_by_key(|(_, since)| **since)
        {
            let oldest = *oldest.0;
            self.0.remove(&oldest);
        }
    }
}

/// How one relay is reached.
#[derive(Debug, Default)]
pub struct Carriers {
    over: Option<(Carrier, Instant)>,
    /// When UDP was taken again after TCP.
    returned: Option<Instant>,
    /// The pause before UDP is asked for the next time, and when that is.
    pause: Option<Duration>,
    ask_at: Option<Instant>,
    /// Times that UDP came back and stopped again.
    flaps: u32,
    /// TCP was tried in vain.
    no_tcp_before: Option<Instant>,
}

impl Carriers {
    /// Registered over this carrier.
    pub fn on_registered(&mut self, now: Instant, over: Carrier) {
        let before = self.over.replace((over, now)).map(|(over, _)| over);
        if over == Carrier::Udp {
            (self.pause, self.ask_at) = (None, None);
            if before == Some(Carrier::Tcp) {
                self.returned = Some(now);
            }
            return;
        }
        if before == Some(Carrier::Tcp) && self.ask_at.is_some() {
            return;
        }
        match self.returned.take() {
            Some(returned) if now.saturating_duration_since(returned) < FLAPS => self.flaps += 1,
            _ => self.flaps = 0,
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.flaps.min(16));
        self.ask_after(now, doubled.min(LONGEST_AFTER_FLAPS));
    }

    /// The relay was dialled by the other carrier, and did not answer.
    pub fn on_other_silent(&mut self, now: Instant) {
        if self.over() == Some(Carrier::Udp) {
            self.no_tcp_before = Some(now + TCP_PAUSE);
            return;
        }
        let pause = self.pause.unwrap_or(FIRST_PAUSE);
        self.ask_after(now, (2 * pause).min(LONGEST_PAUSE.max(pause)));
    }

    /// The network is another one: nothing is known of it.
    pub fn on_network_changed(&mut self) {
        *self = Self::default();
    }

    /// What the relay is reached over.
    pub fn over(&self) -> Option<Carrier> {
        self.over.map(|(over, _)| over)
    }

    /// When UDP is to be asked for again.
    pub fn ask_udp_at(&self) -> Option<Instant> {
        self.ask_at
    }

    /// When to dial by TCP, given since when the relay owes an answer over UDP.
    pub fn dial_tcp_at(&self, owed_since: Option<Instant>, rtt: Duration) -> Option<Instant> {
        let patience = PATIENCE.max(rtt.saturating_mul(PATIENCE_ROUND_TRIPS));
        owed_since
            .filter(|_| self.over() == Some(Carrier::Udp))
            .map(|since| (since + patience).max(self.no_tcp_before.unwrap_or(since)))
    }

    fn ask_after(&mut self, now: Instant, pause: Duration) {
        self.pause = Some(pause);
        self.ask_at = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now)
    }

    /// Asks as often as it is due, in vain, for so long; returns when.
    fn ask_in_vain(carriers: &mut Carriers, start: Instant, for_: Duration) -> Vec<u64> {
        let mut asked = Vec::new();
        while let Some(at) = carriers.ask_udp_at().filter(|at| *at <= start + for_) {
            asked.push((at - start).as_secs());
            carriers.on_other_silent(at);
        }
        asked
    }

    #[test]
    fn over_tcp_udp_is_asked_for_every_half_minute_at_the_latest() {
        let mut carriers = Carriers::default();
        assert_eq!(carriers.ask_udp_at(), None);
        carriers.on_registered(start(), Carrier::Tcp);
        let asked = ask_in_vain(&mut carriers, start(), 120 * SECOND);
        assert_eq!(asked, [5, 15, 35, 65, 95]);
        carriers.on_registered(start(), Carrier::Udp);
        assert_eq!(carriers.ask_udp_at(), None);
    }

    #[test]
    fn a_new_registration_over_tcp_does_not_begin_the_pauses_anew() {
        let mut carriers = Carriers::default();
        carriers.on_registered(start(), Carrier::Tcp);
        let at = carriers.ask_udp_at();
        carriers.on_registered(start() + SECOND, Carrier::Tcp);
        assert_eq!(carriers.ask_udp_at(), at);
    }

    #[test]
    fn udp_that_comes_and_goes_is_asked_for_ever_later_and_one_that_held_at_once() {
        let mut carriers = Carriers::default();
        let mut now = start();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            carriers.on_registered(now, Carrier::Tcp);
            pauses.push((carriers.ask_udp_at().unwrap() - now).as_secs());
            now += 10 * SECOND;
            carriers.on_registered(now, Carrier::Udp);
            now += 10 * SECOND;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        now += FLAPS;
        carriers.on_registered(now, Carrier::Tcp);
        assert_eq!(carriers.ask_udp_at(), Some(now + FIRST_PAUSE));
    }

    #[test]
    fn a_relay_that_owes_an_answer_is_dialled_by_tcp_only_while_over_udp() {
        let mut carriers = Carriers::default();
        let at = |carriers: &Carriers, rtt| carriers.dial_tcp_at(Some(start()), rtt);
        assert_eq!(at(&carriers, SECOND), None);
        carriers.on_registered(start(), Carrier::Udp);
        assert_eq!(carriers.dial_tcp_at(None, SECOND), None);
        assert_eq!(at(&carriers, SECOND / 100), Some(start() + PATIENCE));
        assert_eq!(at(&carriers, SECOND), Some(start() + 4 * SECOND));
        carriers.on_registered(start(), Carrier::Tcp);
        assert_eq!(at(&carriers, SECOND), None);
    }

    #[test]
    fn where_udp_was_blocked_tcp_begins_at_once_until_udp_is_back() {
        let here = Whereabouts::of("192.168.1.2".parse().unwrap());
        let there = Whereabouts::of("192.168.1.3".parse().unwrap());
        let mut blocked = Blocked::default();
        assert_eq!(blocked.head_start(start(), here), HEAD_START);
        blocked.reached(start(), here, Carrier::Tcp);
        assert_eq!(blocked.head_start(start(), here), Duration::ZERO);
        assert_eq!(blocked.head_start(start(), there), HEAD_START);
        assert_eq!(
            blocked.head_start(start() + REMEMBERED_FOR, here),
            HEAD_START
        );
        blocked.reached(start(), here, Carrier::Udp);
        assert_eq!(blocked.head_start(start(), here), HEAD_START);
    }

    #[test]
    fn a_network_is_known_by_its_64_bits_and_by_an_ipv4_address_in_any_clothes() {
        let at = |ip: &str| Whereabouts::of(ip.parse().unwrap());
        assert_eq!(at("2001:db8:1:2:3::4"), at("2001:db8:1:2::5"));
        assert_ne!(at("2001:db8:1:2::5"), at("2001:db8:1:3::5"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    #[test]
    fn tcp_that_did_not_answer_either_is_tried_again_after_a_second_and_udp_is_not_asked_for() {
        let mut carriers = Carriers::default();
        carriers.on_registered(start(), Carrier::Udp);
        carriers.on_other_silent(start() + SECOND / 2);
        assert_eq!(carriers.ask_udp_at(), None);
        let at = carriers.dial_tcp_at(Some(start()), SECOND / 100);
        assert_eq!(at, Some(start() + SECOND / 2 + TCP_PAUSE));
    }

    #[test]
    fn long_pauses_of_udp_that_flaps_stay_long_until_the_network_is_another() {
        let mut carriers = Carriers::default();
        let mut now = start();
        for _ in 0..6 {
            carriers.on_registered(now, Carrier::Udp);
            carriers.on_registered(now, Carrier::Tcp);
            now += SECOND;
        }
        let asks = |carriers: &Carriers, now: Instant| carriers.ask_udp_at().unwrap() - now;
        let pause = asks(&carriers, now - SECOND);
        assert!(pause > LONGEST_PAUSE);
        carriers.on_other_silent(now);
        assert_eq!(asks(&carriers, now), pause);
        carriers.on_network_changed();
        assert_eq!((carriers.over(), carriers.ask_udp_at()), (None, None));
        carriers.on_registered(now, Carrier::Tcp);
        assert_eq!(asks(&carriers, now), FIRST_PAUSE);
    }

    #[test]
    fn few_networks_are_remembered_the_latest_ones() {
        let at = |last: u8| Whereabouts::of(IpAddr::from([10, 0, 0, last]));
        let mut blocked = Blocked::default();
        for last in 0..100_u8 {
            blocked.reached(start() + SECOND * last.into(), at(last), Carrier::Tcp);
        }
        assert_eq!(blocked.0.len(), NETWORKS);
        assert!(blocked.0.contains_key(&at(99)));
    }
}
