//! Whether the peer is there: when it was last heard, what its relay says of it, and whether it leaves a hello unanswered that its
//! relay took: a relay goes on having a peer registered that was killed, until that runs out.

use std::time::{Duration, Instant};

/// What is heard of a peer.
#[derive(Default)]
pub(super) struct Presence {
    /// When something of it last came in.
    last: Option<Instant>,
    /// Whether its relay was given a hello since then, in vain.
    in_vain: bool,
    /// The relay of the link last said that it does not know the peer.
    absent: bool,
    /// When its relay last said that the peer is registered, but acknowledges nothing, while we call it.
    unreached: Option<Instant>,
    /// The peer said goodbye; what is left of its connections ends by itself.
    left: bool,
}

impl Presence {
    /// Something came in that need not be the peer's newest.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.last, self.in_vain) = (Some(now), false);
    }

    /// It said something in one of its sessions.
    pub(super) fn spoke(&mut self, now: Instant) {
        self.heard(now);
        self.absent = false;
        self.unreached = None;
    }

    /// It said hello, or answered ours.
    pub(super) fn met(&mut self, now: Instant) {
        self.spoke(now);
        self.left = false;
    }

    /// For how long a peer has been silent that was asked in vain.
    pub(super) fn silence(&self, now: Instant) -> Option<Duration> {
        let last = self.last.filter(|_| self.in_vain)?;
        Some(now.saturating_duration_since(last))
    }

    /// Its relay took a hello for it, and the time for an answer is over.
    pub(super) fn asked_in_vain(&mut self) {
        self.in_vain = true;
    }

    pub(super) fn is_absent(&self) -> bool {
        self.absent
    }

    /// The relay of the link does not know the peer.
    pub(super) fn is_gone(&mut self) {
        self.absent = true;
    }

    pub(super) fn is_unreached(&self) -> bool {
        self.unreached.is_some()
    }

    /// The relay's packets to the peer are not acknowledged.
    pub(super) fn unreached(&mut self, now: Instant) {
        self.unreached = Some(now);
    }

    /// What the relay said before then does not count.
    pub(super) fn unreached_since(&mut self, from: Instant) {
        self.unreached = self.unreached.filter(|told| *told >= from);
    }

    /// Another call, or none: what the relay said of the last does not count.
    pub(super) fn forget_unreached(&mut self) {
        self.unreached = None;
    }

    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    /// It said goodbye, or what it said is not to count.
    pub(super) fn set_left(&mut self, left: bool) {
        self.left = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    #[test]
    fn a_peer_is_silent_only_if_it_was_asked_since_it_was_last_heard() {
        let now = Instant::now();
        let mut presence = Presence::default();
        presence.asked_in_vain();
        assert_eq!(presence.silence(now), None, "it was never heard");
        presence.heard(now);
        let later = now + Duration::from_secs(12);
        assert_eq!(presence.silence(later), None, "nobody asked");
        presence.asked_in_vain();
        assert_eq!(presence.silence(later), Some(Duration::from_secs(12)));
        presence.heard(later);
        assert_eq!(presence.silence(later), None);
    }
}
