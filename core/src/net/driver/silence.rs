//! Links that send and hear nothing back.

use std::time::{Duration, Instant};

use super::{Driver, SAMPLE, now};
use crate::{
    PeerId,
    net::mux::{Link, LinkHandle},
    proto::io::Input,
};

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
    /// Whether the link sent anything since this was last asked.
    fn sees_growth(&mut self, now: Instant, link: &Link) -> bool {
        let directly = self.direct.grows(now, link.direct().sent_bytes);
        self.lane.grows(now, link.lane().sent_bytes) || directly
    }

    /// Whether the lane, silent `since` then, is still being sent on long after, and nobody has looked into it yet.
    fn lane_is_suspect(&mut self, since: Instant, rtt: Duration) -> bool {
        let patience = LANE_PATIENCE.max(rtt * 3);
        let late = |sent: Instant| sent.saturating_duration_since(since) >= patience;
        self.lane.grew.is_some_and(late) && self.asked.replace(since) != Some(since)
    }
}

impl Driver {
    /// Links begin to send.
    pub(super) fn on_activity(&mut self, links: Vec<LinkHandle>) {
        let now = now();
        for handle in links {
            self.watched.insert(handle, now);
            self.active.insert(handle);
            let peer = self.handles.get(&handle);
            if let Some(link) = peer.and_then(|peer| self.links.get_mut(peer)) {
                link.watch.sees_growth(now, &link.link);
            }
        }
    }

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
            let grows = watch.sees_growth(now, mux);
            if grows {
                *active = now;
            }
            let silent = mux
                .silent_since()
                .map(|since| self.vigil.silent_since(since));
            // Nothing answers an acknowledgement; that the path itself answered since is as good.
            let silent = silent.filter(|_| watch.direct.grew > self.machine.direct_heard(peer));
            let uses_lane = watch.lane.grew == Some(*active);
            let is_settled = !grows && !uses_lane && silent.is_none();
            if is_settled || now.saturating_duration_since(*active) > SAMPLE {
                mux.unwatch();
                // Whoever only receives has nothing to send when the relay is gone.
                if uses_lane {
                    lanes.push(peer);
                }
                return false;
            }
            let lane_silent = mux.lane_silent_since();
            if silent.is_none() && lane_silent.is_none() {
                return true;
            }
            let quic = link.connections.first().map(|open| &open.quic);
            let rtt = quic.map(quinn::Connection::rtt).unwrap_or_default();
            if let (Some(since), Some(sent)) = (silent, watch.direct.grew) {
                direct.push(Input::Silence {
                    peer,
                    since,
                    sent,
                    rtt,
                });
            }
            if let Some(since) = lane_silent
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
