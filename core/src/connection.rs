//! One QUIC connection to a peer: [`Connection`].

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    Cause, Explanation, PathInfo, PeerId, PeerState, RecvStream, SendStream,
    net::flow::{Flow, LinkMemory},
};

/// A QUIC connection (RFC 9000) to a peer, over whatever path its link has at the moment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(crate) quic: quinn::Connection,
    pub(crate) flow: Arc<Flow>,
    pub(crate) peer: PeerId,
    pub(crate) path: watch::Receiver<LinkStatus>,
}

impl Connection {
    pub(crate) fn new(
        quic: quinn::Connection,
        peer: PeerId,
        path: watch::Receiver<LinkStatus>,
        memory: LinkMemory,
    ) -> Self {
        Self {
            flow: Flow::new(quic.clone(), memory),
            quic,
            peer,
            path,
        }
    }

    /// The peer's verified id.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The application protocol both sides agreed on.
    #[must_use]
    pub fn alpn(&self) -> Vec<u8> {
        self.quic
            .handshake_data()
            .and_then(|data| {
                data.downcast::<quinn::crypto::rustls::HandshakeData>()
                    .ok()?
                    .protocol
            })
            .unwrap_or_default()
    }

    /// Opens a stream in both directions; the peer sees it with the first byte.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), quinn::ConnectionError> {
        self.flow.open_bi().await
    }

    /// The next stream that the peer opened in both directions.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), quinn::ConnectionError> {
        self.flow.accept_bi().await
    }

    /// Opens a stream from us to the peer.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn open_uni(&self) -> Result<SendStream, quinn::ConnectionError> {
        self.flow.open_uni().await
    }

    /// The next stream from the peer to us.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn accept_uni(&self) -> Result<RecvStream, quinn::ConnectionError> {
        self.flow.accept_uni().await
    }

    /// Sends an unreliable datagram (RFC 9221).
    ///
    /// # Errors
    /// Too large for the path, or the connection's end.
    pub fn send_datagram(&self, data: bytes::Bytes) -> Result<(), quinn::SendDatagramError> {
        self.quic.send_datagram(data)
    }

    /// The next datagram from the peer.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn read_datagram(&self) -> Result<bytes::Bytes, quinn::ConnectionError> {
        self.quic.read_datagram().await
    }

    /// Smoothed round-trip time on the current path.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.quic.rtt()
    }

    /// How many acknowledgements (RFC 9000 section 13.2) came from the peer. While something is on its way to it and these do not
    /// grow, nobody answers there.
    #[must_use]
    pub fn acks(&self) -> u64 {
        self.quic.stats().frame_rx.acks
    }

    /// What QUIC counted so far, over all paths the connection has had, and the window and round trip of the present one.
    #[must_use]
    pub fn stats(&self) -> quinn::ConnectionStats {
        self.quic.stats()
    }

    /// The link's state and path, as a value to read or to wait on for changes.
    #[must_use]
    pub fn path(&self) -> watch::Receiver<LinkStatus> {
        self.path.clone()
    }

    /// Ends the connection at once; data not yet acknowledged may be lost.
    pub fn close(&self, code: u32, reason: &[u8]) {
        self.quic.close(code.into(), reason);
    }

    /// Waits for the end of the connection and says why it ended.
    pub async fn closed(&self) -> quinn::ConnectionError {
        self.quic.closed().await
    }
}

/// Where the link to a peer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStatus {
    /// The state.
    pub state: PeerState,
    /// The path that carries data now, if any.
    pub path: Option<PathInfo>,
    /// Why it is so; absent when nothing is wanted from the peer. Its evidence is as of the last change of state, path or cause.
    pub why: Option<Explanation>,
}

impl LinkStatus {
    /// Whether the peer is called, and its relay does not reach it.
    pub(crate) fn is_unreached(&self) -> bool {
        let cause = self.why.as_ref().map(|why| why.cause);
        self.state != PeerState::Failed && cause == Some(Cause::PeerUnreached)
    }
}
