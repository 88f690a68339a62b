//! Who sent what was wrong: [`Liars`].

use std::{collections::BTreeMap, time::Duration};

use peerway::PeerId;

/// How long nothing is fetched from a peer that sent a wrong unit.
const FOR: Duration = Duration::from_secs(3600);
/// How many are remembered; of more, those whose time ends last.
const MOST: usize = 1024;

/// Peers from which nothing is fetched for an hour. Pure.
#[derive(Debug, Default)]
pub struct Liars(BTreeMap<PeerId, Duration>);

impl Liars {
    /// A peer sent what was wrong.
    pub fn note(&mut self, peer: PeerId, now: Duration) {
        self.0.retain(|_, until| *until > now);
        if self.0.len() >= MOST {
            let first = self.0.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(peer, _)| *peer) {
                self.0.remove(&first);
            }
        }
        self.0.insert(peer, now + FOR);
    }

    /// Whether it did within the last hour.
    #[must_use]
    pub fn is_one(&self, peer: PeerId, now: Duration) -> bool {
        self.0.get(&peer).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    #[test]
    fn a_liar_is_one_for_an_hour() {
        let (peer, at) = (SecretKey::from_seed(&[1; 32]).id(), Duration::from_secs(5));
        let mut liars = Liars::default();
        assert!(!liars.is_one(peer, at));
        liars.note(peer, at);
        assert!(liars.is_one(peer, at + FOR - Duration::from_secs(1)));
        assert!(!liars.is_one(peer, at + FOR));
    }
}
