//! What the mux has seen of links, for [`Liveness`](crate::proto::liveness::Liveness), and what that has us do.

use super::{Driver, SAMPLE, now, time_asleep};
use crate::{
    EventKind, PeerId,
    net::mux::LinkHandle,
    proto::{
        io::Input,
        liveness::{Event, Seen, Sent},
    },
};

impl Driver {
    pub(super) fn rest(&mut self) {
        self.liveness.rest(now(), SAMPLE);
    }

    pub(super) fn wake(&mut self) {
        let Some(away) = self.liveness.wake(now(), time_asleep()) else {
            return;
        };
        self.network_changed();
        self.feed(Input::Resumed);
        self.tell(EventKind::NetworkChanged {
            what: format!("woke up after {} s", away.as_secs()),
        });
    }

    /// Links begin to send.
    pub(super) fn on_activity(&mut self, links: Vec<LinkHandle>) {
        for handle in links {
            self.active.insert(handle);
            if let Some(peer) = self.handles.get(&handle).copied()
                && let Some(seen) = self.seen_of(peer)
            {
                self.liveness.on_activity(now(), peer, &seen);
            }
        }
    }

    /// Has links looked at that are due, and does what that shows to be necessary.
    pub(super) fn drive_liveness(&mut self) {
        self.liveness.handle_timeout(now());
        while let Some(event) = self.liveness.poll_event() {
            match event {
                Event::Look { peer } => {
                    if let Some(seen) = self.seen_of(peer) {
                        self.liveness.on_seen(now(), peer, &seen);
                    }
                }
                Event::Silence {
                    peer,
                    since,
                    sent,
                    rtt,
                } => self.feed(Input::Silence {
                    peer,
                    since,
                    sent,
                    rtt,
                }),
                Event::CheckRelays { peer } => self.check_relays(peer),
                Event::Unwatch { peer } => {
                    if let Some(link) = self.links.get(&peer) {
                        link.link.unwatch();
                    }
                }
            }
        }
    }

    fn seen_of(&self, peer: PeerId) -> Option<Seen> {
        let link = self.links.get(&peer)?;
        let quic = link.connections.first().map(|open| &open.quic);
        let mux = &link.link;
        Some(Seen {
            direct: Sent {
                bytes: mux.direct().sent_bytes,
                silent_since: mux.silent_since(),
            },
            lane: Sent {
                bytes: mux.lane().sent_bytes,
                silent_since: mux.lane_silent_since(),
            },
            direct_heard: self.machine.direct_heard(peer),
            rtt: quic.map(quinn::Connection::rtt).unwrap_or_default(),
        })
    }
}
