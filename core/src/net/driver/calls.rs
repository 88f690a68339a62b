//! Calls: what peers open, from the first packet of a handshake to the connection that waits to be accepted.
//!
//! Who gets one is decided by [`Admission`]; its verdicts are carried out here.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Instant,
};

use futures_util::future::{AbortHandle, abortable};
use tokio::time::timeout;

use super::{Done, Driver, now};
use crate::{
    Connection, PeerId,
    net::mux::{Called, handle_of},
    proto::{
        admission::{Admission, CallId, Verdict},
        endpoint::Whereabouts,
        shares::Origin,
        timing::CONNECT_TIMEOUT,
    },
    quic::close,
    tls,
};

/// The calls that are counted.
#[derive(Default)]
pub(super) struct Calls {
    admission: Admission,
    handshakes: BTreeMap<CallId, AbortHandle>,
    open: BTreeMap<CallId, quinn::Connection>,
}

impl Calls {
    /// A handshake begins; one that has to give way to it ends.
    fn begin(&mut self, origin: Origin, proven: bool) -> Verdict {
        let verdict = self.admission.begin(origin, proven);
        if let Verdict::Admit {
            displaced: Some(displaced),
            ..
        } = verdict
            && let Some(handshake) = self.handshakes.remove(&displaced)
        {
            handshake.abort();
        }
        verdict
    }

    /// A handshake became a connection; one that has to give way to it ends. False if there is no room for it.
    fn complete(
        &mut self,
        now: Instant,
        id: CallId,
        origin: Origin,
        quic: &quinn::Connection,
    ) -> bool {
        self.handshakes.remove(&id);
        let open = &self.open;
        let activity = |id| open.get(&id).map_or(0, uses);
        let Verdict::Admit { displaced, .. } = self.admission.complete(now, id, origin, activity)
        else {
            return false;
        };
        if let Some(displaced) = displaced.and_then(|id| self.open.remove(&id)) {
            displaced.close(
                close::BUSY.into(),
                b"it was idle for longest, and others need the room",
            );
        }
        self.open.insert(id, quic.clone());
        true
    }

    /// It is over.
    pub(super) fn end(&mut self, id: CallId) {
        self.admission.end(id);
        self.handshakes.remove(&id);
        self.open.remove(&id);
    }
}

/// How often a connection was used so far.
fn uses(quic: &quinn::Connection) -> u64 {
    let stats = quic.stats();
    let of = |frames: quinn::FrameStats| frames.stream + frames.datagram;
    of(stats.frame_rx) + of(stats.frame_tx)
}

impl Driver {
    /// From now on the protocols that the program names are taken, by connections that are yet to come.
    pub(super) fn take_alpns(&mut self) {
        match tls::quic_server(&self.key, &self.alpns.borrow_and_update()) {
            Ok(server) => self.server = server,
            Err(error) => return tracing::error!(%error, "cannot take other protocols"),
        }
        self.announce();
    }

    /// quinn saw an Initial of a link's peer.
    pub(super) fn on_incoming(&mut self, incoming: quinn::Incoming) {
        // The program may have named its protocols before it told anybody where we are.
        if self.alpns.has_changed().unwrap_or(false) {
            self.take_alpns();
        }
        let peer = handle_of(incoming.remote_address())
            .and_then(|handle| self.handles.get(&handle))
            .copied();
        let Some(peer) = peer.filter(|peer| self.is_linked(*peer)) else {
            return incoming.ignore();
        };
        let (origin, proven) = self.origin(peer);
        let proven = proven || incoming.remote_address_validated();
        let id = match self.calls.begin(origin, proven) {
            Verdict::Admit { id, .. } => id,
            Verdict::Retry => {
                if let Err(error) = incoming.retry() {
                    error.into_incoming().ignore();
                }
                return;
            }
            Verdict::Busy => {
                tracing::debug!(peer = %peer.short(), "no room for another connection");
                return incoming.refuse();
            }
        };
        let mut server = self.server.clone();
        let link = self.link(peer);
        server.transport_config(link.transport(quinn::Side::Server));
        let link = link.link.clone();
        let called = Called::new(server.crypto, self.mux.clone(), link);
        server.crypto = called.clone();
        match incoming.accept_with(Arc::new(server)) {
            Ok(connecting) => {
                let (handshake, abort) = abortable(timeout(CONNECT_TIMEOUT, connecting));
                self.calls.handshakes.insert(id, abort);
                self.pending.push(Box::pin(async move {
                    let in_time = handshake.await.ok().and_then(Result::ok);
                    called.end();
                    Done::Handshake {
                        call: id,
                        peer,
                        quic: in_time.and_then(Result::ok),
                    }
                }));
            }
            Err(error) => {
                called.end();
                self.calls.end(id);
                tracing::debug!(%error, "incoming handshake");
            }
        }
    }

    pub(super) fn on_handshake(
        &mut self,
        call: CallId,
        peer: PeerId,
        quic: Option<quinn::Connection>,
    ) {
        let Some(quic) = quic else {
            return self.calls.end(call);
        };
        if let Err((code, reason)) = self.judge(call, peer, &quic) {
            self.calls.end(call);
            return quic.close(code.into(), reason);
        }
        let link = self.link(peer);
        let (status, memory) = (link.status.subscribe(), link.memory.clone());
        let connection = Connection::new(quic, peer, status, memory);
        self.adopt(connection.clone(), Some(call));
        self.outlets.accepted.push(connection);
    }

    /// Whether the connection may stay.
    ///
    /// # Errors
    /// The code and the reason that it is to be closed with.
    fn judge(
        &mut self,
        call: CallId,
        peer: PeerId,
        quic: &quinn::Connection,
    ) -> Result<(), (u32, &'static [u8])> {
        if tls::peer_id(quic) != Some(peer) {
            return Err((close::IDENTITY_MISMATCH, b"identity mismatch"));
        }
        if !self.is_linked(peer) {
            return Err((close::NOT_LET_IN, b"not let in any more"));
        }
        let (origin, _) = self.origin(peer);
        if !self.calls.complete(now(), call, origin, quic) {
            return Err((close::BUSY, b"busy: no room for another connection"));
        }
        Ok(())
    }

    /// Where the peer is, and whether it showed that.
    fn origin(&self, peer: PeerId) -> (Origin, bool) {
        const NOWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let (ip, proven) = match self.machine.whereabouts(peer) {
            Some(Whereabouts::Proven(ip)) => (ip, true),
            Some(Whereabouts::Attested { relay, ip }) => (self.relays.believed(&relay, ip), true),
            Some(Whereabouts::Claimed(ip)) => (ip, false),
            None => (NOWHERE, false),
        };
        let peer = Some(peer);
        (Origin { peer, ip }, proven)
    }
}
