//! Which peer is due next, so that nobody looks at all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::io::Deadline;
use crate::PeerId;

/// The next deadline of each peer that has one.
#[derive(Default)]
pub(super) struct Agenda {
    by_time: BTreeSet<(Instant, Deadline, PeerId)>,
    by_peer: BTreeMap<PeerId, (Instant, Deadline)>,
}

impl Agenda {
    /// The peer's next deadline is this one now.
    pub(super) fn set(&mut self, peer: PeerId, next: Option<(Instant, Deadline)>) {
        let before = match next {
            Some(next) => self.by_peer.insert(peer, next),
            None => self.by_peer.remove(&peer),
        };
        if before == next {
            return;
        }
        if let Some((at, deadline)) = before {
            self.by_time.remove(&(at, deadline, peer));
        }
        if let Some((at, deadline)) = next {
            self.by_time.insert((at, deadline, peer));
        }
    }

    /// The next deadline of all.
    pub(super) fn next(&self) -> Option<(Instant, Deadline)> {
        let (at, deadline, _) = self.by_time.first()?;
        Some((*at, *deadline))
    }

    /// The peers that are due, longest first.
    pub(super) fn due(&self, now: Instant) -> Vec<PeerId> {
        let due = self.by_time.iter().take_while(|(at, ..)| *at <= now);
        due.map(|(.., peer)| *peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::SecretKey;

    #[test]
    fn only_the_newest_deadline_of_a_peer_counts() {
        let [a, b] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
        let epoch = epoch();
        let at = |seconds| (epoch + Duration::from_secs(seconds), Deadline::KeepAlive);
        let mut agenda = Agenda::default();
        agenda.set(a, Some(at(3)));
        agenda.set(b, Some(at(2)));
        agenda.set(b, Some(at(4)));
        assert_eq!(agenda.next(), Some(at(3)));
        assert_eq!(agenda.due(at(2).0), []);
        assert_eq!(agenda.due(at(4).0), [a, b]);
        agenda.set(a, None);
        assert_eq!(agenda.next(), Some(at(4)));
        agenda.set(b, None);
        assert_eq!(agenda.next(), None);
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn epoch() -> Instant {
        Instant::now()
    }
}
