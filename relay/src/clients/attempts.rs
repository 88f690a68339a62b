//! From an attempt to a connection that has a seat.

use peerway_carrier::numbered::number_of;
use peerway_proto::wire::relay::{Busy, CloseReason};
use quinn_proto::{ConnectionHandle, EndpointEvent, Incoming, Transmit};
use tracing::debug;

use super::{Clients, Packet, Slot, connection::Connection, session::ControlConnection};
use crate::server::{
    ClientPath, Now,
    admission::{Admitted, Decision},
};

impl Clients {
    /// Decides on an attempt.
    pub(super) fn attempt(&mut self, now: Now, incoming: Incoming) {
        if let Some(busy) = self.refusals.told(incoming.orig_dst_cid()) {
            return self.turn_away(now, incoming, busy);
        }
        let remote = incoming.remote_address();
        // TCP has proven it.
        let proven = incoming.remote_address_validated() || number_of(remote).is_some();
        let decision = self.admission.attempt(now.instant, remote, proven);
        self.close_displaced(now);
        match decision {
            Decision::Accept(admitted) => self.accept(now, incoming, admitted),
            Decision::Retry if incoming.may_retry() => {
                let mut bytes = Vec::new();
                if let Ok(transmit) = self.endpoint.retry(incoming, &mut bytes) {
                    self.respond(&transmit, bytes);
                }
            }
            Decision::Retry | Decision::Refuse => {
                let mut bytes = Vec::new();
                let transmit = self.endpoint.refuse(incoming, &mut bytes);
                self.respond(&transmit, bytes);
            }
            Decision::Busy(busy) => {
                self.refusals.note(*incoming.orig_dst_cid(), busy);
                self.hub.lock().note_turned_away();
                self.turn_away(now, incoming, busy);
            }
        }
    }

    /// Refuses an attempt with a word why.
    fn turn_away(&mut self, now: Now, incoming: Incoming, busy: Busy) {
        let (_, usual) = &self.config;
        let server = self.refusals.server(usual, busy);
        let mut bytes = Vec::new();
        match (self.endpoint).accept(incoming, now.instant, &mut bytes, Some(server)) {
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.respond(&transmit, bytes);
                }
            }
            // It was the second half of what the client says first, which says nothing by itself.
            Ok((handle, _)) => {
                self.endpoint.handle_event(handle, EndpointEvent::drained());
            }
        }
    }

    fn accept(&mut self, now: Now, incoming: Incoming, admitted: Admitted) {
        let route = ClientPath {
            remote: incoming.remote_address(),
            local: incoming.local_ip(),
        };
        let mut bytes = Vec::new();
        let hub = self.hub.clone();
        let accept = || {
            let accepted = (self.endpoint).accept(incoming, now.instant, &mut bytes, None);
            accepted.map_err(Box::new)
        };
        match hub.contain("an attempt", accept) {
            Some(Ok((handle, connection))) => {
                if let Some(seat) = admitted.seat() {
                    self.seats.insert(seat, handle);
                }
                let slot = Slot {
                    connection: Connection::new(connection),
                    session: ControlConnection::new(now.instant, route, admitted),
                    armed: None,
                    is_ready: false,
                    has_failed: false,
                };
                self.slots.insert(handle, Box::new(slot));
                self.ready(handle);
            }
            Some(Err(error)) => {
                debug!(error = %error.cause, "an attempt failed");
                self.admission.end(admitted);
                if let Some(transmit) = error.response {
                    self.respond(&transmit, bytes);
                }
            }
            None => self.admission.end(admitted),
        }
    }

    /// A handshake is done: takes a seat, or ends the connection if there is none or its key is not let in.
    pub(super) fn seat(&mut self, now: Now, handle: ConnectionHandle) {
        let Some(slot) = self.slots.get_mut(&handle) else {
            return;
        };
        let key = slot.connection.peer_id();
        let is_denied = key.is_some_and(|key| self.hub.lock().is_denied(key));
        let admitted = slot.session.take_admitted();
        let turned_away = if self.is_draining && self.successor.is_none() {
            Some(CloseReason::GoingAway)
        } else {
            is_denied.then_some(CloseReason::Forbidden)
        };
        if let Some(reason) = turned_away {
            if let Some(admitted) = admitted {
                self.admission.end(admitted);
            }
            return self.close(now, handle, reason);
        }
        let admitted = admitted.and_then(|admitted| self.admission.proven(admitted));
        match (admitted, key) {
            (Some(admitted), Some(key)) => {
                if let Some(seat) = admitted.seat() {
                    self.seats.insert(seat, handle);
                }
                slot.session.connected(now.instant, key, admitted);
            }
            (Some(admitted), None) => {
                self.admission.end(admitted);
                self.close(now, handle, CloseReason::Protocol);
            }
            (None, _) => self.close(now, handle, CloseReason::Full),
        }
        self.close_displaced(now);
    }

    fn close_displaced(&mut self, now: Now) {
        while let Some(seat) = self.admission.poll_displaced() {
            if let Some(handle) = self.seats.remove(&seat) {
                self.close(now, handle, CloseReason::Displaced);
            }
        }
    }

    /// Sends what belongs to no connection.
    pub(super) fn respond(&mut self, transmit: &Transmit, mut bytes: Vec<u8>) {
        bytes.truncate(transmit.size);
        self.packets.push_back(Packet {
            to: ClientPath {
                remote: transmit.destination,
                local: transmit.src_ip,
            },
            bytes,
        });
    }
}
