//! Shares: how much of what there is too little of one party may hold, and who gives way when all of it is taken.
//!
//! A party is a peer, a network or a site. Keys are free, so a share per peer alone would protect nobody; addresses are not.
//! Within its share everybody is served at once. When all is taken, the site that holds most gives way to one that holds less,
//! within it the network that holds most, within that the peer: a flood displaces its own.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::PeerId;

/// Whom something is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// None where no key is known yet.
    pub peer: Option<PeerId>,
    /// Where they are.
    pub ip: IpAddr,
}

/// The most that each party may hold, and all together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub in_all: usize,
    pub of_site: usize,
    pub of_network: usize,
    pub of_peer: usize,
}

/// Whether there is room for one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room<K> {
    /// There is.
    Free,
    /// There is, if one of these gives way: each holds as much as the others.
    Instead(Vec<K>),
    /// All is taken, by parties that hold no more than this one would.
    Full,
    /// A party of theirs has its share.
    Over,
}

/// What is held, by whom.
#[derive(Debug)]
pub struct Shares<K> {
    limits: Limits,
    held: BTreeMap<K, Origin>,
    counts: BTreeMap<Party, usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    /// An IPv4 /24, the smallest block that the internet routes to; an IPv6 /48, the most that one customer is given (RFC 6177).
    Site(IpAddr),
    /// An IPv4 address or an IPv6 /64: what one customer has at least, and may share with a household, or with a carrier's NAT.
    Network(IpAddr),
    Peer(PeerId),
}

impl<K: Copy + Ord> Shares<K> {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            held: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there is room for one more of this origin; of what is held, only that which `yields` may give way.
    pub fn room(&self, origin: Origin, yields: impl Fn(K) -> bool) -> Room<K> {
        if parties(origin).any(|party| self.count(party) >= self.limit(party)) {
            return Room::Over;
        }
        if self.held.len() < self.limits.in_all {
            return Room::Free;
        }
        self.instead(origin, yields)
    }

    /// What may give way to one more of this origin.
    pub(crate) fn instead(&self, origin: Origin, yields: impl Fn(K) -> bool) -> Room<K> {
        let mut most = Weight::default();
        let mut greediest = Vec::new();
        for (key, holder) in self.held.iter().filter(|(key, _)| yields(**key)) {
            let weight = self.weight(*holder);
            if weight > most {
                most = weight;
                greediest.clear();
            }
            if weight == most {
                greediest.push((*key, *holder));
            }
        }
        // By a swap between equals nobody would win.
        greediest.retain(|(_, holder)| self.holds_more(*holder, origin));
        if greediest.is_empty() {
            Room::Full
        } else {
            Room::Instead(greediest.into_iter().map(|(key, _)| key).collect())
        }
    }

    /// Counts one more; `key` is not held yet.
    pub fn take(&mut self, key: K, origin: Origin) {
        self.release(key);
        self.held.insert(key, origin);
        for party in parties(origin) {
            *self.counts.entry(party).or_default() += 1;
        }
    }

    /// It is held no more. Nothing happens if it was not.
    pub fn release(&mut self, key: K) {
        for party in self.held.remove(&key).into_iter().flat_map(parties) {
            if let Some(count) = self.counts.get_mut(&party) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&party);
                }
            }
        }
    }

    /// Whether the holder's party still holds more than the newcomer's after one went from it to them. They are compared where
    /// they part: two sites, two networks of one site, or two peers of one network.
    fn holds_more(&self, holder: Origin, newcomer: Origin) -> bool {
        let pairs = parties(holder).zip(parties(newcomer));
        let apart = pairs.into_iter().find(|(theirs, new)| theirs != new);
        apart.is_none_or(|(theirs, new)| self.count(theirs) > self.count(new) + 1)
    }

    fn weight(&self, origin: Origin) -> Weight {
        let [site, network] = places(origin);
        let peer = origin.peer.map(Party::Peer);
        Weight {
            site: self.count(site),
            network: self.count(network),
            peer: peer.map_or(0, |peer| self.count(peer)),
        }
    }

    fn count(&self, party: Party) -> usize {
        self.counts.get(&party).copied().unwrap_or_default()
    }

    fn limit(&self, party: Party) -> usize {
        match party {
            Party::Site(_) => self.limits.of_site,
            Party::Network(_) => self.limits.of_network,
            Party::Peer(_) => self.limits.of_peer,
        }
    }
}

/// What the parties of a holder hold, widest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    site: usize,
    network: usize,
    peer: usize,
}

fn parties(origin: Origin) -> impl Iterator<Item = Party> {
    let peer = origin.peer.map(Party::Peer);
    places(origin).into_iter().chain(peer)
}

fn places(origin: Origin) -> [Party; 2] {
    match origin.ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let site = Ipv4Addr::new(a, b, c, 0);
            [Party::Site(site.into()), Party::Network(ip.into())]
        }
        IpAddr::V6(ip) => {
            let first = |bits: u32| Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << (128 - bits)));
            [
                Party::Site(first(48).into()),
                Party::Network(first(64).into()),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    const LIMITS: Limits = Limits {
        in_all: 40,
        of_site: 20,
        of_network: 10,
        of_peer: 4,
    };

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn from(ip: &str, seed: u8) -> Origin {
        Origin {
            peer: Some(peer(seed)),
            ip: ip.parse().unwrap(),
        }
    }

    fn any(_: u32) -> bool {
        true
    }

    /// Takes as much as there is room for, as `key`, `key` + 1 and so on; returns how much.
    fn fill(
        shares: &mut Shares<u32>,
        first: u32,
        origins: impl IntoIterator<Item = Origin>,
    ) -> u32 {
        let mut key = first;
        for origin in origins {
            if shares.room(origin, any) == Room::Free {
                shares.take(key, origin);
                key += 1;
            }
        }
        key - first
    }

    #[test]
    fn a_peer_a_network_and_a_site_have_each_their_share() {
        for (what, origins, share) in [
            ("peer", vec![from("90.0.0.1", 1)], 4),
            (
                "network",
                (0..9).map(|key| from("90.0.0.1", key)).collect(),
                10,
            ),
            (
                "site",
                (0..9).map(|at| from(&format!("90.0.0.{at}"), at)).collect(),
                20,
            ),
            (
                "IPv6 network",
                (0..9).map(|at| from(&format!("2a00::{at}"), at)).collect(),
                10,
            ),
            (
                "IPv6 site",
                (0..9)
                    .map(|at| from(&format!("2a00:0:0:{at}::1"), at))
                    .collect(),
                20,
            ),
            (
                "all",
                (0..99)
                    .map(|at| from(&format!("90.0.{at}.1"), at))
                    .collect(),
                40,
            ),
        ] {
            let mut shares = Shares::new(LIMITS);
            let origins = origins.iter().copied().cycle().take(500);
            assert_eq!(fill(&mut shares, 0, origins), share, "{what}");
        }
    }

    #[test]
    fn an_ipv4_address_is_the_same_network_however_it_is_written() {
        let mut shares = Shares::new(LIMITS);
        fill(&mut shares, 0, (0..20).map(|key| from("90.0.0.1", key)));
        assert_eq!(shares.room(from("::ffff:90.0.0.1", 30), any), Room::Over);
        assert_eq!(shares.room(from("::ffff:90.0.0.2", 30), any), Room::Free);
    }

    #[test]
    fn what_is_given_back_is_there_for_others_and_leaves_no_trace() {
        let mut shares = Shares::new(LIMITS);
        let count = fill(&mut shares, 0, (0..99).map(|key| from("90.0.0.1", key)));
        (0..count).for_each(|key| shares.release(key));
        shares.release(7);
        assert!(shares.held.is_empty() && shares.counts.is_empty());
    }

    #[test]
    fn the_site_the_network_and_the_peer_that_hold_most_give_way_in_this_order() {
        let mut shares = Shares::new(LIMITS);
        fill(
            &mut shares,
            0,
            (0..15).map(|at| from(&format!("80.0.{at}.1"), at)),
        );
        let mut flood = vec![from("90.0.0.1", 20); 3];
        flood.extend((21..24).map(|key| from("90.0.0.1", key)));
        flood.extend([from("90.0.0.2", 30); 4]);
        flood.extend((0..10).map(|at| from(&format!("91.0.0.{at}"), 40 + at)));
        fill(&mut shares, 100, flood);
        fill(
            &mut shares,
            200,
            (0..5).map(|at| from(&format!("81.0.{at}.1"), 60 + at)),
        );
        assert_eq!(shares.len(), 40);
        // Two sites hold ten each: in one of them a network holds six, and in that a peer three.
        let room = shares.room(from("82.0.0.1", 70), any);
        assert_eq!(room, Room::Instead(vec![100, 101, 102]));
        let room = shares.room(from("82.0.0.1", 70), |key| key > 101);
        assert_eq!(room, Room::Instead(vec![102]));
        assert_eq!(shares.room(from("82.0.0.1", 70), |_| false), Room::Full);
    }

    #[test]
    fn nobody_gives_way_to_one_that_would_hold_as_much() {
        let mut shares = Shares::new(LIMITS);
        fill(
            &mut shares,
            0,
            (0..40).map(|at| from(&format!("80.0.{at}.1"), at)),
        );
        assert_eq!(shares.room(from("81.0.0.1", 50), any), Room::Full);
        shares.release(0);
        shares.take(0, from("80.0.1.1", 51));
        assert_eq!(
            shares.room(from("81.0.0.1", 50), any),
            Room::Instead(vec![0, 1])
        );
        assert_eq!(shares.room(from("80.0.2.1", 52), any), Room::Full);
    }

    #[test]
    fn a_peer_whose_own_party_holds_most_displaces_its_own() {
        let mut shares = Shares::new(LIMITS);
        fill(
            &mut shares,
            0,
            (0..32).map(|at| from(&format!("80.0.{at}.1"), at)),
        );
        fill(&mut shares, 50, (40..60).map(|key| from("90.0.0.1", key)));
        assert_eq!(shares.len(), 40);
        let second = Origin {
            peer: None,
            ip: "90.0.0.1".parse().unwrap(),
        };
        let Room::Instead(all) = shares.room(second, any) else {
            panic!("there is room");
        };
        assert_eq!(all, (50..58).collect::<Vec<_>>());
    }
}
