//! Links that send and hear nothing back.

use std::time::{Duration, Instant};

use super::{Driver, SAMPLE, now};
use crate::{PeerId, proto::io::Input};

/// A lane that is sent on for this long, or three round trips if that is longer, without an answer has its relay checked.
const LANE_PATIENCE: Duration = Duration::from_millis(250);

/// What a link was seen to send.
#[derive(Default)]
pub(super) struct Watch {
    direct: Sending,
    lane: Sending,
    /// The silence of the lane that the relay was last asked about.
    asked: Option<Instant>,
}

/// Bytes sent on one kind of path when they were last looked at, and when they had last grown.
#[derive(Default)]
struct Sending {
    bytes: u64,
    grew: Option<Instant>,
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

impl Watch {
    /// Whether the lane, silent `since` then, is still being sent on long after, and nobody has looked into it yet.
    fn lane_is_suspect(&mut self, since: Instant, rtt: Duration) -> bool {
        let patience = LANE_PATIENCE.max(rtt * 3);
        let late = |sent: Instant| sent.saturating_duration_since(since) >= patience;
        self.lane.grew.is_some_and(late) && self.asked.replace(since) != Some(since)
    }
}

impl Driver {
    /// Hands to the machine which direct paths have been silent for how long, and checks the relays behind lanes that are silent or
    /// have fallen quiet.
    pub(super) fn look_for_silence(&mut self) {
        self.wake();
        let now = now();
        let mut direct = Vec::new();
        let mut lanes: Vec<PeerId> = Vec::new();
        self.watched.retain(|handle, active| {
            let peer = self.handles.get(handle).copied();
            let Some((peer, link)) = peer.and_then(|peer| Some((peer, self.links.get_mut(&peer)?)))
            else {
                return false;
            };
            let (mux, watch) = (&link.link, &mut link.watch);
            let sends_directly = watch.direct.grows(now, mux.direct().sent_bytes);
            if watch.lane.grows(now, mux.lane().sent_bytes) || sends_directly {
                *active = now;
            } else if now.saturating_duration_since(*active) > SAMPLE {
                mux.unwatch();
                // Whoever only receives has nothing to send when the relay is gone.
                if watch.lane.grew == Some(*active) {
                    lanes.push(peer);
                }
                return false;
            }
            let quic = link.connections.first().map(|open| &open.quic);
            let rtt = quic.map(quinn::Connection::rtt).unwrap_or_default();
            if let (Some(since), Some(sent)) = (mux.silent_since(), watch.direct.grew) {
                direct.push(Input::Silence {
                    peer,
                    since: self.vigil.silent_since(since),
                    sent,
                    rtt,
                });
            }
            if let Some(since) = mux.lane_silent_since()
                && watch.lane_is_suspect(since, rtt)
            {
                lanes.push(peer);
            }
            true
        });
        for silence in direct {
            self.feed(silence);
        }
        for peer in lanes {
            self.check_relays(peer);
        }
    }
}
