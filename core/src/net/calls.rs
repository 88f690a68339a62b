//! Calls: what peers open, from the first packet of a handshake to the connection that waits to be accepted.
//!
//! Who gets one is decided by [`Admission`]; its verdicts are carried out here.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use futures_util::future::{AbortHandle, abortable};
use tokio::{sync::watch, time::timeout};

use super::{
    links::PeerLink,
    mux::{Called, Mux},
};
use crate::{
    PeerId, SecretKey,
    proto::{
        admission::{Admission, CallId, Verdict},
        shares::Origin,
        timing::CONNECT_TIMEOUT,
    },
    quic::close,
    tls,
};

/// Who calls.
pub(super) struct Caller {
    pub(super) peer: PeerId,
    pub(super) origin: Origin,
    /// Whether it showed that it is there.
    pub(super) proven: bool,
    /// Whether there is a link to it: if not, it was never let in, or is not any more.
    pub(super) is_linked: bool,
}

/// A handshake is over.
pub(super) struct Handshake {
    pub(super) call: CallId,
    pub(super) peer: PeerId,
    /// None if it failed.
    pub(super) quic: Option<quinn::Connection>,
}

/// The calls that are counted.
pub(super) struct Calls {
    key: SecretKey,
    mux: Arc<Mux>,
    /// The application protocols that are taken, and the settings that go with them.
    alpns: watch::Receiver<Vec<Vec<u8>>>,
    server: quinn::ServerConfig,
    admission: Admission,
    handshakes: BTreeMap<CallId, AbortHandle>,
    open: BTreeMap<CallId, quinn::Connection>,
}

impl Calls {
    pub(super) fn new(
        key: SecretKey,
        mux: Arc<Mux>,
        server: quinn::ServerConfig,
        alpns: watch::Receiver<Vec<Vec<u8>>>,
    ) -> Self {
        Self {
            key,
            mux,
            alpns,
            server,
            admission: Admission::default(),
            handshakes: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// Ends when the program has named other protocols.
    pub(super) async fn renamed(&mut self) {
        if self.alpns.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether any protocol is taken.
    pub(super) fn are_taken(&self) -> bool {
        !self.alpns.borrow().is_empty()
    }

    /// Whether the program has named others than are taken.
    pub(super) fn are_renamed(&self) -> bool {
        self.alpns.has_changed().unwrap_or(false)
    }

    /// From now on the protocols that the program names are taken, by connections that are yet to come.
    pub(super) fn take_alpns(&mut self) {
        match tls::quic_server(&self.key, &self.alpns.borrow_and_update()) {
            Ok(server) => self.server = server,
            Err(error) => tracing::error!(%error, "cannot take other protocols"),
        }
    }

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

    /// Begins a handshake, which the future goes through; none if there is no room for it, or the caller is to prove its address
    /// first.
    pub(super) fn answer(
        &mut self,
        incoming: quinn::Incoming,
        caller: &Caller,
        link: &PeerLink,
    ) -> Option<impl Future<Output = Handshake> + Send + 'static> {
        let peer = caller.peer;
        let proven = caller.proven || incoming.remote_address_validated();
        let call = match self.begin(caller.origin, proven) {
            Verdict::Admit { id, .. } => id,
            Verdict::Retry => {
                if let Err(error) = incoming.retry() {
                    error.into_incoming().ignore();
                }
                return None;
            }
            Verdict::Busy => {
                tracing::debug!(peer = %peer.short(), "no room for another connection");
                incoming.refuse();
                return None;
            }
        };
        let mut server = self.server.clone();
        server.transport_config(link.transport(quinn::Side::Server));
        let called = Called::new(server.crypto, Arc::clone(&self.mux), Arc::clone(&link.link));
        server.crypto = called.clone();
        match incoming.accept_with(Arc::new(server)) {
            Ok(connecting) => {
                let (handshake, abort) = abortable(timeout(CONNECT_TIMEOUT, connecting));
                self.handshakes.insert(call, abort);
                Some(async move {
                    let in_time = handshake.await.ok().and_then(Result::ok);
                    called.end();
                    Handshake {
                        call,
                        peer,
                        quic: in_time.and_then(Result::ok),
                    }
                })
            }
            Err(error) => {
                called.end();
                self.end(call);
                tracing::debug!(%error, "incoming handshake");
                None
            }
        }
    }

    /// A handshake became a connection; one that has to give way to it ends.
    ///
    /// # Errors
    /// The code and the reason that it is to be closed with.
    pub(super) fn complete(
        &mut self,
        now: Instant,
        call: CallId,
        caller: &Caller,
        quic: &quinn::Connection,
    ) -> Result<(), (u32, &'static [u8])> {
        self.handshakes.remove(&call);
        if tls::peer_id(quic) != Some(caller.peer) {
            return Err((close::IDENTITY_MISMATCH, b"identity mismatch"));
        }
        if !caller.is_linked {
            return Err((close::NOT_LET_IN, b"not let in any more"));
        }
        let open = &self.open;
        let activity = |id| open.get(&id).map_or(0, uses);
        let verdict = (self.admission).complete(now, call, caller.origin, activity);
        let Verdict::Admit { displaced, .. } = verdict else {
            return Err((close::BUSY, b"busy: no room for another connection"));
        };
        if let Some(displaced) = displaced.and_then(|id| self.open.remove(&id)) {
            let reason = b"it was idle for longest, and others need the room";
            displaced.close(close::BUSY.into(), reason);
        }
        self.open.insert(call, quic.clone());
        Ok(())
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
