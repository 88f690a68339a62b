//! Whom to ask for what one peer alone gives whole, one after the other.

use std::{collections::BTreeSet, time::Duration};

use peerway::PeerId;
use tokio::time::Instant;

/// How long after it had nothing somebody is asked again: who fetches it too may have some by then.
pub(super) const AGAIN: Duration = Duration::from_secs(2);

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<E> {
    /// Ask this one.
    Ask(PeerId),
    /// Wait for others, until this time if there is one.
    Wait(Option<Instant>),
    /// Nobody has it, for this reason.
    GiveUp(E),
}

/// Who was asked.
#[derive(Debug, Default)]
pub(super) struct Round {
    refused: BTreeSet<PeerId>,
    again_at: Option<Instant>,
    is_last: bool,
}

impl Round {
    /// This one has it not.
    pub(super) fn refused(&mut self, peer: PeerId) {
        self.refused.insert(peer);
    }

    /// Those that have it not, as far as they were asked in this round.
    pub(super) fn all_refused(&self) -> &BTreeSet<PeerId> {
        &self.refused
    }

    /// What to do, with these peers at hand, the one at `turn` first; `exhausted` says why nobody else can be reached, if that is so.
    pub(super) fn step<E>(
        &mut self,
        now: Instant,
        peers: &[PeerId],
        turn: usize,
        exhausted: Option<E>,
    ) -> Step<E> {
        if exhausted.is_some() && !self.is_last && self.again_at.is_some_and(|at| at <= now) {
            (self.is_last, self.refused) = (true, BTreeSet::new());
        }
        // Of many who fetch at once not all ask the same.
        let at = usize::from(self.refused.is_empty()) * turn;
        let turned = peers.iter().cycle().skip(at).take(peers.len());
        if let Some(next) = turned.into_iter().find(|it| !self.refused.contains(it)) {
            return Step::Ask(*next);
        }
        let Some(reason) = exhausted else {
            return Step::Wait(None);
        };
        if self.is_last || self.refused.len() < 2 {
            return Step::GiveUp(reason);
        }
        Step::Wait(Some(*self.again_at.get_or_insert(now + AGAIN)))
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    /// Asks until nobody is left to be asked; whoever is asked has nothing.
    fn asked(
        round: &mut Round,
        now: Instant,
        peers: &[PeerId],
        turn: usize,
    ) -> (Vec<PeerId>, Step<()>) {
        let mut asked = Vec::new();
        loop {
            let all = peers.iter().all(|it| round.all_refused().contains(it));
            match round.step(now, peers, turn, all.then_some(())) {
                Step::Ask(peer) => {
                    round.refused(peer);
                    asked.push(peer);
                }
                step @ (Step::Wait(_) | Step::GiveUp(_)) => return (asked, step),
            }
        }
    }

    #[test]
    fn several_who_have_nothing_are_asked_once_more_and_then_given_up() {
        let (mut round, now) = (Round::default(), Instant::now());
        let [a, b, c] = [1, 2, 3].map(peer);
        let again = now + AGAIN;
        assert_eq!(
            asked(&mut round, now, &[a, b], 1),
            (vec![b, a], Step::Wait(Some(again)))
        );
        let early = again - Duration::from_millis(1);
        assert_eq!(
            asked(&mut round, early, &[a, b, c], 0),
            (vec![c], Step::Wait(Some(again))),
            "a newcomer is asked meanwhile, and puts nothing off"
        );
        let (all, step) = asked(&mut round, again, &[a, b, c], 0);
        assert_eq!((all, step), (vec![a, b, c], Step::GiveUp(())));
    }

    #[test]
    fn the_only_one_who_could_have_it_is_asked_once() {
        let (mut round, now) = (Round::default(), Instant::now());
        assert_eq!(
            asked(&mut round, now, &[peer(1)], 0),
            (vec![peer(1)], Step::GiveUp(()))
        );
    }

    #[test]
    fn as_long_as_others_may_be_reached_they_are_waited_for() {
        let (mut round, now) = (Round::default(), Instant::now());
        assert_eq!(round.step(now, &[], 0, None::<()>), Step::Wait(None));
        round.refused(peer(1));
        assert_eq!(round.step(now, &[peer(1)], 0, None::<()>), Step::Wait(None));
    }
}
