//! What peers open.

use std::net::{IpAddr, Ipv6Addr};

use futures_util::FutureExt;

use super::{Done, Driver, now};
use crate::{
    Connection, PeerId, PeerState,
    net::{
        calls::{Caller, Handshake},
        mux::handle_of,
    },
    proto::{endpoint::Whereabouts, shares::Origin},
};

impl Driver {
    /// From now on the protocols that the program names are taken.
    pub(super) fn take_alpns(&mut self) {
        self.calls.take_alpns();
        self.announce();
    }

    /// quinn saw an Initial of a link's peer.
    pub(super) fn on_incoming(&mut self, incoming: quinn::Incoming) {
        // The program may have named its protocols before it told anybody where we are.
        if self.calls.are_renamed() {
            self.take_alpns();
        }
        let handle = handle_of(incoming.remote_address());
        let peer = handle.and_then(|handle| self.links.peer_of(handle));
        let Some(caller) = peer.map(|it| self.caller(it)).filter(|it| it.is_linked) else {
            return incoming.ignore();
        };
        let link = self.links.of(caller.peer);
        let handshake = self.calls.answer(incoming, &caller, link);
        let handshake = handshake.map(|it| it.map(Done::Handshake).boxed());
        self.pending.extend(handshake);
    }

    pub(super) fn on_handshake(&mut self, handshake: Handshake) {
        let Handshake { call, peer, quic } = handshake;
        let Some(quic) = quic else {
            return self.calls.end(call);
        };
        let caller = self.caller(peer);
        if let Err((code, reason)) = self.calls.complete(now(), call, &caller, &quic) {
            self.calls.end(call);
            return quic.close(code.into(), reason);
        }
        let link = self.link(peer);
        let (status, memory) = (link.status.subscribe(), link.memory.clone());
        let connection = Connection::new(quic, peer, status, memory);
        self.adopt(connection.clone(), Some(call));
        self.outlets.accepted.push(connection);
    }

    fn caller(&self, peer: PeerId) -> Caller {
        const NOWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let (ip, proven) = match self.machine.whereabouts(peer) {
            Some(Whereabouts::Proven(ip)) => (ip, true),
            Some(Whereabouts::Attested { relay, ip }) => {
                (self.registrations.relays.believed(&relay, ip), true)
            }
            Some(Whereabouts::Claimed(ip)) => (ip, false),
            None => (NOWHERE, false),
        };
        let state = self.machine.peer(peer, now()).map(|peer| peer.state);
        Caller {
            peer,
            origin: Origin {
                peer: Some(peer),
                ip,
            },
            proven,
            is_linked: !matches!(state, None | Some(PeerState::Idle)),
        }
    }
}
