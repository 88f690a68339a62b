//! One QUIC connection to a peer: [`Connection`].

use std::{fmt, sync::Arc, time::Duration};

use quinn::crypto::rustls::HandshakeData;
use tokio::sync::watch;

use crate::{
    Cause, Explanation, PathInfo, PeerId, PeerState, RecvStream, SendStream,
    net::flow::{Flow, LinkMemory, Usage},
    quic::{ConnectionError, ConnectionStats, SendDatagramError},
};

/// A QUIC connection (RFC 9000) to a peer, over whatever path its link has at the moment. Cheap to clone.
///
/// When the last clone and the last of its streams are dropped it is closed, and what the peer has not acknowledged is lost: whoever
/// sends last waits for [`SendStream::stopped`] or [`closed`](Self::closed) first.
///
/// ```no_run
/// # async fn example(connection: peerway::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let (mut send, mut recv) = connection.open_bi().await?;
/// send.write_all(b"the time, please\n").await?;
/// send.finish()?;
/// let answer = recv.read_to_end(1024).await?;
/// println!("{} answers {:?} over {}", connection.peer().short(), answer, connection.status());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connection {
    pub(crate) quic: quinn::Connection,
    pub(crate) flow: Usage,
    pub(crate) peer: PeerId,
    alpn: Arc<[u8]>,
    pub(crate) status: watch::Receiver<LinkStatus>,
}

impl Connection {
    pub(crate) fn new(
        quic: quinn::Connection,
        peer: PeerId,
        status: watch::Receiver<LinkStatus>,
        memory: LinkMemory,
    ) -> Self {
        let agreed = quic
            .handshake_data()
            .and_then(|data| data.downcast::<HandshakeData>().ok()?.protocol);
        Self {
            alpn: agreed.unwrap_or_default().into(),
            flow: Usage::begin(Flow::new(quic.clone(), memory)),
            quic,
            peer,
            status,
        }
    }

    /// The peer's verified id.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The application protocol both sides agreed on.
    #[must_use]
    pub fn alpn(&self) -> &[u8] {
        &self.alpn
    }

    /// Opens a stream in both directions; the peer sees it with the first byte.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        self.flow.open_bi().await
    }

    /// The next stream that the peer opened in both directions.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        self.flow.accept_bi().await
    }

    /// Opens a stream from us to the peer.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        self.flow.open_uni().await
    }

    /// The next stream from the peer to us.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        self.flow.accept_uni().await
    }

    /// Sends an unreliable datagram (RFC 9221).
    ///
    /// # Errors
    /// Too large for the path, or the connection's end.
    pub fn send_datagram(&self, data: bytes::Bytes) -> Result<(), SendDatagramError> {
        self.quic.send_datagram(data)
    }

    /// How large a datagram may be now; none if the peer takes none. It changes with the path.
    #[must_use]
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.quic.max_datagram_size()
    }

    /// The next datagram from the peer.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn read_datagram(&self) -> Result<bytes::Bytes, ConnectionError> {
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
    pub fn stats(&self) -> ConnectionStats {
        self.quic.stats()
    }

    /// The path that carries the data now; none while there is none.
    #[must_use]
    pub fn path(&self) -> Option<PathInfo> {
        self.status.borrow().path.clone()
    }

    /// Where the link to the peer stands, and why it does not stand better.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        self.status.borrow().clone()
    }

    /// [`status`](Self::status) as a value to wait on for changes.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<LinkStatus> {
        self.status.clone()
    }

    /// Waits until the data goes straight to the peer, and gives that path.
    ///
    /// Some pairs of routers allow no direct path: put a limit of time around it, and ask [`status`](Self::status) for the reason then.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn until_direct(&self) -> Result<PathInfo, ConnectionError> {
        let mut status = self.watch_status();
        let is_direct = |status: &LinkStatus| {
            status.state == PeerState::Direct
                && matches!(status.path, Some(PathInfo::Direct { .. }))
        };
        let direct = async {
            match status.wait_for(is_direct).await {
                Ok(status) => status.path.clone(),
                Err(_) => None,
            }
        };
        tokio::select! {
            biased;
            error = self.closed() => Err(error),
            Some(path) = direct => Ok(path),
        }
    }

    /// Ends the connection at once; data not yet acknowledged may be lost. Programs choose their codes outside of
    /// [`close::RESERVED`](crate::quic::close::RESERVED).
    pub fn close(&self, code: u32, reason: &[u8]) {
        self.quic.close(code.into(), reason);
    }

    /// Why the connection ended; none while it stands.
    #[must_use]
    pub fn close_reason(&self) -> Option<ConnectionError> {
        self.quic.close_reason()
    }

    /// Waits for the end of the connection and says why it ended.
    pub async fn closed(&self) -> ConnectionError {
        self.quic.closed().await
    }
}

/// Where the link to a peer stands; shown as one line, `direct: 192.0.2.1:5000` or `relayed: both routers choose random ports`.
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

impl fmt::Display for LinkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, &self.why) {
            (Some(path @ PathInfo::Direct { .. }), _) if self.state == PeerState::Direct => {
                write!(f, "{path}")
            }
            (_, Some(why)) => f.write_str(&why.line()),
            _ => write!(f, "{}", self.state),
        }
    }
}
