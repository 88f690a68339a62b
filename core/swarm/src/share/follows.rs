//! Who is asked what it has of an object and tells it, who had nothing, and who is asked again: [`Follows`]. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use peerway::PeerId;

use super::round::AGAIN;

/// Who is asked, and who had nothing.
#[derive(Debug)]
pub(super) struct Follows {
    /// On how many streams each is asked or tells: on two where another connection took the place of one that has not ended.
    under_way: BTreeMap<PeerId, usize>,
    refused: BTreeSet<PeerId>,
    /// When those who had nothing are asked again.
    again_at: Duration,
    /// Those of them who were and have not answered.
    awaited: BTreeSet<PeerId>,
    end: End,
}

/// What is still to be tried where nobody has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// All are to be asked once more.
    Near,
    /// They were.
    Here,
}

impl Follows {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            under_way: BTreeMap::new(),
            refused: BTreeSet::new(),
            again_at: now + AGAIN,
            awaited: BTreeSet::new(),
            end: End::Open,
        }
    }

    /// This one is asked by another stream.
    pub(super) fn begin(&mut self, peer: PeerId) {
        *self.under_way.entry(peer).or_default() += 1;
    }

    /// A stream ended; whether the peer tells nothing by another one.
    pub(super) fn ended(&mut self, peer: PeerId) -> bool {
        let left = self.under_way.remove(&peer).unwrap_or(0).saturating_sub(1);
        if left > 0 {
            self.under_way.insert(peer, left);
            return false;
        }
        self.awaited.remove(&peer);
        true
    }

    /// It has nothing of it.
    pub(super) fn refused(&mut self, peer: PeerId) {
        self.refused.insert(peer);
        self.awaited.remove(&peer);
    }

    /// It has some, or is another connection's and has said nothing yet.
    pub(super) fn not_refused(&mut self, peer: PeerId) {
        self.refused.remove(&peer);
        self.awaited.remove(&peer);
    }

    /// Those that have nothing of it.
    pub(super) fn all_refused(&self) -> &BTreeSet<PeerId> {
        &self.refused
    }

    /// Those of these who are to be asked again now, as they may fetch it too and have some by then.
    pub(super) fn again(
        &mut self,
        peers: impl IntoIterator<Item = PeerId>,
        now: Duration,
    ) -> Vec<PeerId> {
        if now < self.again_at {
            return Vec::new();
        }
        self.again_at = now + AGAIN;
        if self.end == End::Near {
            self.end = End::Here;
        }
        let is_due =
            |peer: &PeerId| self.refused.contains(peer) && !self.under_way.contains_key(peer);
        let due: Vec<_> = peers.into_iter().filter(is_due).collect();
        self.awaited.extend(&due);
        due
    }

    /// The reason why nobody else can be reached, if there is one and those who had nothing were asked once more; one alone is not.
    pub(super) fn give_up<E>(&mut self, exhausted: Option<E>, now: Duration) -> Option<E> {
        let reason = exhausted?;
        if self.refused.len() < 2 {
            return Some(reason);
        }
        if self.end == End::Open {
            (self.end, self.again_at) = (End::Near, now + AGAIN);
        }
        (self.end == End::Here && self.awaited.is_empty()).then_some(reason)
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    const START: Duration = Duration::from_secs(7);

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn follows(peers: &[PeerId]) -> Follows {
        let mut follows = Follows::new(START);
        peers.iter().for_each(|peer| follows.begin(*peer));
        follows
    }

    fn has_nothing(follows: &mut Follows, peer: PeerId) {
        follows.refused(peer);
        assert!(follows.ended(peer));
    }

    #[test]
    fn who_is_still_being_asked_is_not_asked_again() {
        let all = [1, 2, 3].map(peer);
        let [a, waits, other] = all;
        let mut follows = follows(&all);
        for peer in [a, waits] {
            has_nothing(&mut follows, peer);
        }
        // What it has is of another size, which it goes on to tell.
        follows.refused(other);
        assert_eq!(follows.again(all, START), []);
        let now = START + AGAIN;
        assert_eq!(follows.again(all, now), [a, waits]);
        for peer in [a, waits] {
            follows.begin(peer);
        }
        has_nothing(&mut follows, a);
        assert_eq!(follows.again(all, now + AGAIN), [a]);
    }

    #[test]
    fn who_tells_by_two_streams_has_gone_when_both_have_ended() {
        let mut follows = follows(&[peer(1), peer(1)]);
        assert!(!follows.ended(peer(1)));
        assert!(follows.ended(peer(1)));
    }

    #[test]
    fn several_who_have_nothing_are_asked_once_more_before_that_is_said() {
        let all = [1, 2].map(peer);
        let mut follows = follows(&all);
        for peer in all {
            has_nothing(&mut follows, peer);
        }
        let (first, again) = (START + AGAIN / 2, START + AGAIN / 2 + AGAIN);
        assert_eq!(follows.give_up(Some(()), first), None);
        assert_eq!(follows.again(all, START + AGAIN), []);
        assert_eq!(follows.give_up(Some(()), again), None);
        assert_eq!(follows.again(all, again), all);
        for peer in all {
            assert_eq!(follows.give_up(Some(()), again), None, "it is asked now");
            follows.begin(peer);
            has_nothing(&mut follows, peer);
        }
        assert_eq!(follows.give_up(None::<()>, again), None, "others are there");
        assert_eq!(follows.give_up(Some(()), again), Some(()));
    }

    #[test]
    fn the_only_one_who_could_have_it_is_asked_once() {
        let mut follows = follows(&[peer(1)]);
        has_nothing(&mut follows, peer(1));
        assert_eq!(follows.give_up(Some(()), START), Some(()));
    }
}
