//! How often others may ask: [`Budgets`]. Pure.

use std::{collections::BTreeMap, time::Duration};

use peerway::PeerId;

use crate::{bucket::Bucket, group::GroupId};

/// Questions a second of one peer, and at once.
const PEER: (f64, f64) = (1.0, 20.0);
/// The same of all members of a group together that are not known otherwise.
const GROUP: (f64, f64) = (2.0, 40.0);
/// The same of all members of a group together, of one of its directories: there are few, which ask nobody else.
const DIRECTORY: (f64, f64) = (10.0, 100.0);
/// Pages of what a node has: of one peer, which may turn all of them at once, and of all members of a group together.
const PEER_PAGES: (f64, f64) = (2.0, 100.0);
const GROUP_PAGES: (f64, f64) = (4.0, 200.0);
/// Peers whose questions are counted.
const MAX_PEERS: usize = 4_096;

/// What is left to each.
#[derive(Debug, Default)]
pub struct Budgets {
    peers: BTreeMap<PeerId, Bucket>,
    groups: BTreeMap<GroupId, Bucket>,
    refused: u64,
}

impl Budgets {
    /// Takes a question from a member of a group to one of its directories; if it or the group asks too often, after how long it may ask
    /// again.
    pub(super) fn take_for_directory(
        &mut self,
        peer: PeerId,
        group: GroupId,
        now: Duration,
    ) -> Result<(), Duration> {
        self.counted((peer, PEER), Some((group, DIRECTORY)), now)
    }

    /// Takes a page from a peer, as [`take`](Self::take) does a question. Pages are counted in budgets of their own, so that who has looked
    /// around may search.
    pub(super) fn take_page(
        &mut self,
        peer: PeerId,
        group: Option<GroupId>,
        now: Duration,
    ) -> Result<(), Duration> {
        let group = group.map(|group| (group, GROUP_PAGES));
        self.counted((peer, PEER_PAGES), group, now)
    }

    /// Takes a question from a peer, which comes as a member of a group or is known otherwise; if it or the group asks too often, after
    /// how long it may ask again.
    pub fn take(
        &mut self,
        peer: PeerId,
        group: Option<GroupId>,
        now: Duration,
    ) -> Result<(), Duration> {
        self.counted((peer, PEER), group.map(|group| (group, GROUP)), now)
    }

    fn counted(
        &mut self,
        peer: (PeerId, (f64, f64)),
        group: Option<(GroupId, (f64, f64))>,
        now: Duration,
    ) -> Result<(), Duration> {
        let taken = self.try_take(peer, group, now);
        self.refused += u64::from(taken.is_err());
        taken
    }

    fn try_take(
        &mut self,
        (peer, rate): (PeerId, (f64, f64)),
        group: Option<(GroupId, (f64, f64))>,
        now: Duration,
    ) -> Result<(), Duration> {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            self.peers.retain(|_, bucket| bucket.is_in_use(now));
            if self.peers.len() >= MAX_PEERS {
                return Err(Duration::from_secs(1));
            }
        }
        // First, so that who asks too often takes nothing from its group.
        if !take(&mut self.peers, peer, rate, now) {
            return Err(Duration::from_secs_f64(1.0 / rate.0));
        }
        self.groups.retain(|_, bucket| bucket.is_in_use(now));
        match group {
            Some((group, rate)) if !take(&mut self.groups, group, rate, now) => {
                Err(Duration::from_secs_f64(1.0 / rate.0))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Questions that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

fn take<K: Ord>(
    buckets: &mut BTreeMap<K, Bucket>,
    key: K,
    (rate, burst): (f64, f64),
    now: Duration,
) -> bool {
    let new = || Bucket::new(rate, burst, now);
    buckets.entry(key).or_insert_with(new).take(now)
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn id(seed: u16) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&seed.to_be_bytes());
        SecretKey::from_seed(&bytes).id()
    }

    /// How many of a peer's questions are answered that comes every tenth of a second for so long.
    fn answered(
        budgets: &mut Budgets,
        peers: &[PeerId],
        group: Option<GroupId>,
        seconds: u64,
    ) -> usize {
        let times = (0..seconds * 10).map(|tick| Duration::from_millis(100 * tick));
        let asked = times.flat_map(|now| peers.iter().map(move |peer| (*peer, now)));
        asked
            .filter(|(peer, now)| budgets.take(*peer, group, *now).is_ok())
            .count()
    }

    #[test]
    fn who_asks_too_often_hurts_only_itself() {
        let mut budgets = Budgets::default();
        let group = GroupId::from_bytes([1; 32]);
        // One that floods has twenty, and one more each second.
        assert_eq!(answered(&mut budgets, &[id(1)], Some(group), 10), 29);
        assert_eq!(budgets.refused(), 71);
        let now = Duration::from_millis(10_500);
        assert_eq!(budgets.take(id(1), Some(group), now), Ok(()));
        assert_eq!(
            budgets.take(id(1), Some(group), now),
            Err(Duration::from_secs(1))
        );
        for _ in 0..20 {
            assert_eq!(budgets.take(id(2), Some(group), now), Ok(()));
        }
    }

    #[test]
    fn a_group_has_two_questions_a_second_and_takes_none_from_others() {
        let mut budgets = Budgets::default();
        let [group, other] = [1, 2].map(|seed| GroupId::from_bytes([seed; 32]));
        let members: Vec<_> = (0..30).map(id).collect();
        let taken = answered(&mut budgets, &members, Some(group), 10);
        assert!((55..=60).contains(&taken), "{taken}");
        assert_eq!(budgets.refused(), 3_000 - taken as u64);
        let now = Duration::from_secs(10);
        assert_eq!(budgets.take(id(100), Some(other), now), Ok(()));
        assert_eq!(budgets.take(id(101), None, now), Ok(()));
    }

    #[test]
    fn who_turns_all_pages_of_a_large_list_does_so_at_once_and_then_twice_a_second() {
        let mut pages = Budgets::default();
        let group = Some(GroupId::from_bytes([1; 32]));
        let mut turned = |now| {
            let each = (0..200).filter(|_| pages.take_page(id(1), group, now).is_ok());
            each.count()
        };
        assert_eq!(turned(Duration::ZERO), 100);
        assert_eq!(turned(Duration::from_secs(10)), 20);
    }

    #[test]
    fn ever_new_peers_take_no_more_memory() {
        let mut budgets = Budgets::default();
        let now = Duration::ZERO;
        let taken = (0..5_000).filter(|seed| budgets.take(id(*seed), None, now).is_ok());
        assert_eq!(taken.count(), MAX_PEERS);
        assert_eq!(
            budgets.take(id(5_001), None, Duration::from_secs(60)),
            Ok(())
        );
        assert_eq!(budgets.peers.len(), 1);
    }
}
