//! One link that sends, and whether it hears anything back.

use std::time::{Duration, Instant};

use super::{Seen, vigil::Vigil};
use crate::timing::{LANE_PATIENCE, LOOK_FOR};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Watch {
    direct: Sending,
    lane: Sending,
    /// When it last sent; none unless it is being watched.
    active: Option<Instant>,
    /// The silence of the lane that the relay was last asked about.
    asked: Option<Instant>,
}

/// Bytes sent on one kind of path when they were last looked at, and when they had last grown.
#[derive(Debug, Default)]
struct Sending {
    bytes: u64,
    grew: Option<Instant>,
}

/// What is thought of a link after a look at it.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Since when the direct path is silent, and when it was last sent on.
    pub(super) silent: Option<(Instant, Instant)>,
    /// The lane is silent, or has fallen quiet.
    pub(super) doubts_relay: bool,
    /// There is nothing more to see for now.
    pub(super) is_over: bool,
}

impl Watch {
    pub(super) fn is_on(&self) -> bool {
        self.active.is_some()
    }

    /// The link begins to send.
    pub(super) fn begin(&mut self, now: Instant, seen: &Seen) {
        self.active = Some(now);
        self.sees_growth(now, seen);
    }

    pub(super) fn look(&mut self, now: Instant, seen: &Seen, vigil: &Vigil) -> Verdict {
        let Some(mut active) = self.active else {
            return Verdict::default();
        };
        let grows = self.sees_growth(now, seen);
        if grows {
            active = now;
        }
        self.active = Some(active);
        let silent = seen
            .direct
            .silent_since
            .map(|since| vigil.silent_since(since));
        // Nothing answers an acknowledgement; that the path itself answered since is as good.
        let silent = silent
            .filter(|_| self.direct.grew > seen.direct_heard)
            .zip(self.direct.grew);
        let uses_lane = self.lane.grew == Some(active);
        let is_settled = !grows && !uses_lane && silent.is_none();
        if is_settled || now.saturating_duration_since(active) > LOOK_FOR {
            self.active = None;
            return Verdict {
                silent: None,
                // Whoever only receives has nothing to send when the relay is gone.
                doubts_relay: uses_lane,
                is_over: true,
            };
        }
        let lane = seen.lane.silent_since;
        Verdict {
            silent,
            doubts_relay: lane.is_some_and(|since| self.lane_is_suspect(since, seen.rtt)),
            is_over: false,
        }
    }

    /// Whether the link sent anything since this was last asked.
    fn sees_growth(&mut self, now: Instant, seen: &Seen) -> bool {
        let directly = self.direct.grows(now, seen.direct.bytes);
        self.lane.grows(now, seen.lane.bytes) || directly
    }

    /// Whether the lane, silent `since` then, is still being sent on long after, and nobody has looked into it yet.
    fn lane_is_suspect(&mut self, since: Instant, rtt: Duration) -> bool {
        let patience = LANE_PATIENCE.max(rtt * 3);
        let late = |sent: Instant| sent.saturating_duration_since(since) >= patience;
        self.lane.grew.is_some_and(late) && self.asked.replace(since) != Some(since)
    }
}

impl Sending {
    fn grows(&mut self, now: Instant, bytes: u64) -> bool {
        let grows = std::mem::replace(&mut self.bytes, bytes) != bytes;
        if grows {
            self.grew = Some(now);
        }
        grows
    }
}
