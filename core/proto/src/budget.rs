//! How much may be sent to addresses that have not proved that they want it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    io::Sock,
    timing::{
        ATTESTED_PROBES, CREDIT_FACTOR, GUESS_SPACING, HELLOS_PER_SECOND, PROBES_PER_SECOND,
        ROUND_SPACING, TCP_DIALS_PER_MINUTE, UNATTESTED_PER_MINUTE,
    },
};
use crate::{PeerId, wire::probe};

/// The budget that all peers share.
pub(crate) struct Budget {
    probes: Bucket,
    hellos: Bucket,
    unattested: PerMinute<IpAddr>,
    tcp: PerMinute<SocketAddr>,
    /// For whom ports are guessed now, and when that may begin for another.
    turn: (Option<PeerId>, Instant),
    /// Sockets that were opened so far: each has a name of its own.
    sockets: u32,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            probes: Bucket::new(now, PROBES_PER_SECOND),
            hellos: Bucket::new(now, HELLOS_PER_SECOND),
            unattested: PerMinute::new(UNATTESTED_PER_MINUTE),
            tcp: PerMinute::new(TCP_DIALS_PER_MINUTE),
            turn: (None, now),
            sockets: 0,
        }
    }

    /// Takes one probe out of the common rate.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.probes.take(now)
    }

    /// Takes the opening of one INTRO that no relay vouches for out of the common rate.
    pub(crate) fn take_hello(&mut self, now: Instant) -> bool {
        self.hellos.take(now)
    }

    /// Counts one probe to an address of this peer's that no relay attests; false if the address, or the peer, had its share.
    pub(crate) fn take_unattested(&mut self, now: Instant, peer: PeerId, ip: IpAddr) -> bool {
        self.unattested.take(now, peer, ip)
    }

    /// Counts one TCP connection dialled to an address of this peer's; false if the address, or the peer, had its share.
    pub(crate) fn take_tcp(&mut self, now: Instant, peer: PeerId, addr: SocketAddr) -> bool {
        self.tcp.take(now, peer, addr)
    }

    /// Takes the turn to guess ports, which one peer has at a time.
    ///
    /// # Errors
    /// When it will be free, if nobody takes it before.
    pub(crate) fn take_turn(&mut self, now: Instant, peer: PeerId) -> Result<(), Instant> {
        match self.turn {
            (Some(holder), _) if holder != peer => Err(now + GUESS_SPACING),
            (None, free) if now < free => Err(free),
            _ => {
                self.turn = (Some(peer), now);
                Ok(())
            }
        }
    }

    /// Gives the turn back.
    pub(crate) fn end_turn(&mut self, now: Instant, peer: PeerId) {
        if self.turn.0 == Some(peer) {
            self.turn = (None, now + GUESS_SPACING);
        }
    }

    /// Names for this many sockets, the first of them.
    pub(crate) fn name_sockets(&mut self, count: u16) -> Sock {
        /// From here on names are the driver's.
        const END: u32 = 1 << 30;
        let count = u32::from(count);
        if self.sockets + count >= END {
            self.sockets = 0;
        }
        let first = Sock(self.sockets + 1);
        self.sockets += count;
        first
    }
}

/// So many a minute for each address.
struct PerMinute<K> {
    limit: u32,
    /// Since when, how often, and for whom at first.
    counted: BTreeMap<K, (Instant, u32, PeerId)>,
}

/// Addresses that are counted at a time; beyond, there is nothing for new ones.
const MAX_COUNTED: usize = 1024;
/// Of these for one peer, so that none takes them from all others.
const MAX_COUNTED_EACH: usize = 64;
const MINUTE: Duration = Duration::from_secs(60);

impl<K: Ord> PerMinute<K> {
    fn new(limit: u32) -> Self {
        Self {
            limit,
            counted: BTreeMap::new(),
        }
    }

    fn take(&mut self, now: Instant, peer: PeerId, key: K) -> bool {
        self.counted
            .retain(|_, (since, ..)| now.saturating_duration_since(*since) < MINUTE);
        let theirs = self.counted.values().filter(|(.., first)| *first == peer);
        let full = self.counted.len() >= MAX_COUNTED || theirs.count() >= MAX_COUNTED_EACH;
        if full && !self.counted.contains_key(&key) {
            return false;
        }
        let (_, count, _) = self.counted.entry(key).or_insert((now, 0, peer));
        *count += 1;
        *count <= self.limit
    }
}

/// A token bucket that holds a quarter of a second's worth.
struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(now: Instant, rate: u32) -> Self {
        let rate = f64::from(rate);
        Self {
            rate,
            tokens: rate / 4.0,
            filled: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(self.rate / 4.0);
        self.filled = now;
        let some = self.tokens >= 1.0;
        if some {
            self.tokens -= 1.0;
        }
        some
    }
}

/// One peer's credit: it never goes below zero.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    bytes: i64,
    attested_probes: i64,
    /// When these were last granted.
    granted: Option<Instant>,
}

/// No peer can hoard more than this: some hundred probes.
const MAX_CREDIT: i64 = 16 * 1024;

impl Credit {
    /// An authenticated message of this length came from the peer.
    pub(crate) fn earn(&mut self, len: usize) {
        self.bytes = (self.bytes + CREDIT_FACTOR * len as i64).min(MAX_CREDIT);
    }

    /// A round begins: the attested address gets its own probes again, unless it just did.
    pub(crate) fn begin_round(&mut self, now: Instant) {
        if self
            .granted
            .is_none_or(|granted| now >= granted + ROUND_SPACING)
        {
            (self.attested_probes, self.granted) = (ATTESTED_PROBES, Some(now));
        }
    }

    /// Pays for one probe to an unproven address; false if there is nothing left.
    pub(crate) fn pay(&mut self, attested: bool) -> bool {
        if attested && self.attested_probes > 0 {
            self.attested_probes -= 1;
            return true;
        }
        let cost = probe::PACKET_LEN as i64;
        if self.bytes < cost {
            return false;
        }
        self.bytes -= cost;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn an_intro_pays_for_45_probes_and_not_one_more() {
        let mut credit = Credit::default();
        assert!(!credit.pay(false));
        credit.earn(1200);
        assert_eq!((0..100).filter(|_| credit.pay(false)).count(), 45);
    }

    #[test]
    fn an_attested_address_has_64_probes_of_its_own_each_round_and_each_second() {
        let mut credit = Credit::default();
        let mut now = epoch();
        for probes in [64, 0, 64] {
            credit.begin_round(now);
            assert_eq!((0..100).filter(|_| credit.pay(true)).count(), probes);
            now += ROUND_SPACING / 2;
        }
    }

    #[test]
    fn all_peers_together_stay_below_the_common_rate() {
        let start = epoch();
        let mut budget = Budget::new(start);
        let sent = (0..10_000)
            .filter(|step| budget.take(start + Duration::from_millis(*step)))
            .count();
        assert!(
            (4000..=4000 + PROBES_PER_SECOND as usize / 4).contains(&sent),
            "{sent}"
        );
    }

    #[test]
    fn an_unattested_address_gets_ten_probes_a_minute() {
        let start = epoch();
        let mut budget = Budget::new(start);
        let ip = IpAddr::from([192, 0, 2, 1]);
        let take = |budget: &mut Budget, at| {
            let probes = 0..50u8;
            probes
                .filter(|from| budget.take_unattested(at, peer(from % 5), ip))
                .count()
        };
        assert_eq!(take(&mut budget, start), 10);
        assert_eq!(take(&mut budget, start + MINUTE / 2), 0);
        assert_eq!(take(&mut budget, start + MINUTE), 10);
    }

    #[test]
    fn a_peer_that_names_ever_new_addresses_leaves_the_others_theirs() {
        let now = epoch();
        let mut budget = Budget::new(now);
        let take = |budget: &mut Budget, from: u8, at: u32| {
            budget.take_unattested(now, peer(from), IpAddr::from((91 << 24 | at).to_be_bytes()))
        };
        let taken = (0..5000).filter(|at| take(&mut budget, 1, *at)).count();
        assert_eq!(taken, MAX_COUNTED_EACH);
        assert!(take(&mut budget, 2, 6000));
    }

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn epoch() -> Instant {
        Instant::now()
    }
}
