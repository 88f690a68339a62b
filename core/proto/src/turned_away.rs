//! Who proved an id, asked to be let in and was not: for the owner to hear of, once each.
//!
//! Keys are free, so whoever makes many displaces only their own: networks and sites have shares, and where all is taken the site
//! that holds most gives way to one that holds less. As each such step makes them more equal, there are few in [`FORGOTTEN`].

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    Caller, PeerId,
    shares::{Limits, Origin, Room, Shares},
};

/// A household has its share, and a screen shows them all.
const KEPT: Limits = Limits {
    in_all: 64,
    of_site: 16,
    of_network: 8,
    of_peer: 1,
};
/// Who still calls after this is told of again.
const FORGOTTEN: Duration = Duration::from_secs(3600);

pub(super) struct TurnedAway {
    told: BTreeMap<PeerId, (Instant, u64)>,
    shares: Shares<PeerId>,
}

impl Default for TurnedAway {
    fn default() -> Self {
        Self {
            told: BTreeMap::new(),
            shares: Shares::new(KEPT),
        }
    }
}

impl TurnedAway {
    /// Notes somebody who called from this address. Whether that is to be told: it was not yet, and there is room.
    pub(super) fn note(&mut self, now: Instant, unix_ms: u64, peer: PeerId, ip: IpAddr) -> bool {
        let age = |at: Instant| now.saturating_duration_since(at);
        let old = self
            .told
            .iter()
            .filter(|(_, told)| age(told.0) >= FORGOTTEN);
        for peer in old.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.forget(peer);
        }
        if self.told.contains_key(&peer) {
            return false;
        }
        let origin = Origin {
            peer: Some(peer),
            ip,
        };
        let told_at = |peer: &PeerId| self.told.get(peer).map(|told| told.0);
        match self.shares.room(origin, |_| true) {
            Room::Free => {}
            Room::Instead(greediest) => match greediest.into_iter().min_by_key(told_at) {
                Some(oldest) => self.forget(oldest),
                None => return false,
            },
            Room::Full | Room::Over => return false,
        }
        self.told.insert(peer, (now, unix_ms));
        self.shares.take(peer, origin);
        true
    }

    /// Forgets whom this is true of: they are let in.
    pub(super) fn forget_if(&mut self, is_let_in: impl Fn(PeerId) -> bool) {
        let known = self.told.keys().copied();
        for peer in known.filter(|peer| is_let_in(*peer)).collect::<Vec<_>>() {
            self.forget(peer);
        }
    }

    /// All of them, the latest first.
    pub(super) fn callers(&self, now: Instant) -> Vec<Caller> {
        let known = self.told.iter();
        let mut callers: Vec<_> = known
            .filter(|(_, told)| now.saturating_duration_since(told.0) < FORGOTTEN)
            .map(|(id, (_, at_ms))| Caller {
                id: *id,
                at_ms: *at_ms,
            })
            .collect();
        callers.sort_by_key(|caller| (std::cmp::Reverse(caller.at_ms), caller.id));
        callers
    }

    fn forget(&mut self, peer: PeerId) {
        self.told.remove(&peer);
        self.shares.release(peer);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::SecretKey;

    fn peer(number: u64) -> PeerId {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        SecretKey::from_seed(&seed).id()
    }

    fn home(number: u32) -> IpAddr {
        Ipv4Addr::from(0x3e00_0001 + (number << 8)).into()
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn who_calls_again_and_again_is_told_of_once_an_hour() {
        let (now, mut away) = (start(), TurnedAway::default());
        let seconds = (0..7200).step_by(5);
        let told = seconds.filter(|at| {
            let later = now + Duration::from_secs(*at);
            away.note(later, *at, peer(1), home(1))
        });
        assert_eq!(told.collect::<Vec<_>>(), [0, 3600]);
    }

    #[test]
    fn one_network_with_many_keys_fills_its_share_and_nobody_elses() {
        let (now, mut away) = (start(), TurnedAway::default());
        let own: IpAddr = Ipv6Addr::new(0x2a01, 4, 5, 6, 0, 0, 0, 1).into();
        let flood = (0..5000).filter(|key| away.note(now, 0, peer(*key), own));
        assert_eq!(flood.count(), KEPT.of_network);
        let site = (0..5000_u16).filter(|subnet| {
            let ip = Ipv6Addr::new(0x2a01, 4, 5, *subnet, 0, 0, 0, 2).into();
            away.note(now, 0, peer(10_000 + u64::from(*subnet)), ip)
        });
        assert_eq!(site.count(), KEPT.of_site - KEPT.of_network);
        assert!(away.note(now, 0, peer(20_000), home(1)));
    }

    #[test]
    fn sites_that_took_all_the_room_with_many_keys_give_way_to_others() {
        let (now, mut away) = (start(), TurnedAway::default());
        let mut note = |key: u32, site: u32, host: u32| {
            let IpAddr::V4(ip) = home(site) else {
                return false;
            };
            let ip = Ipv4Addr::from(u32::from(ip) + host);
            away.note(now, 0, peer(key.into()), ip.into())
        };
        let flood = (0..400).filter(|key| note(*key, key % 4, key % 100));
        assert_eq!(flood.count(), KEPT.in_all);
        // Until all sites hold as much, which is one each.
        let others = (0..200).filter(|key| note(1000 + key, 10 + key, 0));
        assert_eq!(others.count(), KEPT.in_all - 4);
        let again = (0..400).filter(|key| note(2000 + key, key % 4, key % 100));
        assert_eq!(
            again.count(),
            0,
            "those were told of, and are not displaced"
        );
    }

    #[test]
    fn a_flood_of_many_sites_is_told_of_no_faster_than_it_is_forgotten() {
        let (now, mut away) = (start(), TurnedAway::default());
        let mut told = 0;
        for key in 0..20_000_u32 {
            let at = now + Duration::from_millis(u64::from(key) * 100);
            told += usize::from(away.note(at, 0, peer(key.into()), home(key % 300)));
        }
        // Two thousand seconds.
        assert_eq!(told, KEPT.in_all);
        assert_eq!(away.callers(now).len(), KEPT.in_all);
    }

    #[test]
    fn who_is_let_in_is_forgotten_and_told_of_anew_when_it_is_not_any_more() {
        let (now, mut away) = (start(), TurnedAway::default());
        assert!(away.note(now, 7, peer(1), home(1)) && away.note(now, 8, peer(2), home(1)));
        let ids = |away: &TurnedAway| away.callers(now).iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!(ids(&away), [peer(2), peer(1)]);
        away.forget_if(|id| id == peer(1));
        assert_eq!(ids(&away), [peer(2)]);
        assert!(away.note(now, 9, peer(1), home(1)));
    }
}
