//! When a peer was last heard, and whether it leaves a hello unanswered that its relay took: a relay goes on having a peer
//! registered that was killed, until that runs out.

use std::time::{Duration, Instant};

use super::{Context, Peer};

/// What is heard of a peer.
#[derive(Default)]
pub(super) struct Hearing {
    /// When something of it last came in.
    last: Option<Instant>,
    /// Whether its relay was given a hello since then, in vain.
    in_vain: bool,
}

impl Hearing {
    pub(super) fn heard(&mut self, now: Instant) {
        (self.last, self.in_vain) = (Some(now), false);
    }

    /// For how long a peer has been silent that was asked in vain.
    pub(super) fn silence(&self, now: Instant) -> Option<Duration> {
        let last = self.last.filter(|_| self.in_vain)?;
        Some(now.saturating_duration_since(last))
    }
}

impl Peer {
    /// The time for an answer to our hello is over.
    pub(super) fn asked_in_vain(&mut self, ctx: &Context<'_>) {
        let attempt = self.attempt.as_ref();
        let was_said = attempt.is_some_and(|attempt| attempt.initiation.is_some());
        self.hearing.in_vain |= was_said && self.live_via(ctx.local).is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    #[test]
    fn a_peer_is_silent_only_if_it_was_asked_since_it_was_last_heard() {
        let now = Instant::now();
        let mut hearing = Hearing {
            last: None,
            in_vain: true,
        };
        assert_eq!(hearing.silence(now), None, "it was never heard");
        hearing.heard(now);
        let later = now + Duration::from_secs(12);
        assert_eq!(hearing.silence(later), None, "nobody asked");
        hearing.in_vain = true;
        assert_eq!(hearing.silence(later), Some(Duration::from_secs(12)));
        hearing.heard(later);
        assert_eq!(hearing.silence(later), None);
    }
}
