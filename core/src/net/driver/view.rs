//! What the node shows of itself: snapshots and rates.

use std::sync::Arc;

use super::{Driver, now, unix_ms};
use crate::{net::view, proto::io::Input};

impl Driver {
    /// Takes the second's samples and shows them.
    pub(super) fn sample(&mut self) {
        let sampled = self.links.sample(now());
        self.view.touch_peers(sampled.changed);
        for (peer, heard) in sampled.used {
            self.feed(Input::Traffic { peer, heard });
        }
        for peer in sampled.lossy {
            self.feed(Input::Losses { peer });
        }
        let shown = self.outlets.snapshot.borrow().clone();
        self.view.touch_peers(view::unsettled(&shown));
        self.view.touch();
    }

    /// Shows the node as it is. Only peers to which something happened are looked at.
    pub(super) fn publish(&mut self) {
        let now = now();
        self.view.touch_peers(self.machine.take_touched());
        let mut changed = Vec::new();
        for id in self.view.show(now) {
            let view = self.machine.peer(id, now);
            if let Some(view) = &view {
                self.update_status(view);
            }
            let mut shown = view.map(|view| self.links.show(view, now));
            if let Some(peer) = &mut shown {
                peer.called = self.looking.was_called(id);
                if peer.called {
                    view::explain_call(peer);
                }
            }
            changed.push((id, shown));
        }
        let (local, home) = (self.machine.local(), self.registrations.relays.home());
        self.outlets.snapshot.send_modify(|shown| {
            let shown = Arc::make_mut(shown);
            let uptime = now.saturating_duration_since(self.started);
            view::replace_peers(shown, changed, uptime);
            shown.at_ms = unix_ms();
            let ticket = view::ticket(self.key.id(), home, local);
            shown.ticket = ticket.with_discovery(self.discovery);
            shown.network = view::network(local, &self.nat, &self.gathering);
            shown.network.publishing.clone_from(&self.publishing);
            shown.relays = view::relays(now, &self.registrations);
            shown.strangers = self.mux.strangers();
            shown.turned_away = self.machine.turned_away(now);
        });
    }
}
