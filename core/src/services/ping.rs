//! Round-trip times over a link, one datagram each way, with the path that carried it.
//!
//! Datagrams (RFC 9221) are not sent again when lost, so a loss shows as a loss, not as a long round trip.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::{Connection, PathInfo};

/// The application protocol: every datagram comes back unchanged.
pub const ALPN: &[u8] = b"peerway/ping/1";

/// An answered ping.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The sequence number it was sent with.
    pub seq: u32,
    /// From sending it to reading the answer.
    pub rtt: Duration,
    /// The path at the time of the answer.
    pub path: Option<PathInfo>,
}

/// Sends one ping and waits for its answer; none if it does not come within `timeout`.
///
/// # Errors
/// See [`PingError`].
pub async fn ping(
    connection: &Connection,
    seq: u32,
    timeout: Duration,
) -> Result<Option<Reply>, PingError> {
    let sent_at = Instant::now();
    connection.send_datagram(Bytes::copy_from_slice(&seq.to_be_bytes()))?;
    let answer = async {
        // Answers to earlier pings may still arrive, too late to count.
        while connection.read_datagram().await?[..] != seq.to_be_bytes() {}
        Ok(Reply {
            seq,
            rtt: sent_at.elapsed(),
            path: connection.path(),
        })
    };
    timeout_at(sent_at + timeout, answer).await.ok().transpose()
}

/// Why a ping could not be sent or its answer not awaited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// Dial again.
    #[error("the connection ended: {}", crate::quic::ended(.0))]
    Connection(#[from] quinn::ConnectionError),
    /// The peer runs something else under the name of ping.
    #[error("the peer takes no ping: {0}; what it runs under that name is something else")]
    Datagram(quinn::SendDatagramError),
}

impl From<quinn::SendDatagramError> for PingError {
    fn from(error: quinn::SendDatagramError) -> Self {
        if let quinn::SendDatagramError::ConnectionLost(why) = error {
            return Self::Connection(why);
        }
        Self::Datagram(error)
    }
}

/// Answers pings until the connection ends: a handler for a [`Router`](crate::Router).
pub async fn serve(connection: Connection) {
    while let Ok(datagram) = connection.read_datagram().await {
        // A datagram too large for the path as it is now is lost, as on any network.
        let _ = connection.send_datagram(datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::testing::pair;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn every_ping_is_answered_under_its_own_number() {
        let pair = pair(ALPN).await;
        let (client, server) = (pair.client.clone(), pair.server.clone());
        let pings = async {
            for seq in 1..=3 {
                let reply = ping(&client, seq, PATIENCE).await.unwrap().unwrap();
                assert_eq!((reply.seq, reply.path), (seq, Some(pair.path())));
            }
            client.close(0, b"");
        };
        tokio::join!(pings, serve(server));
    }

    #[tokio::test]
    async fn a_connection_that_ended_is_told_with_its_reason() {
        let pair = pair(ALPN).await;
        pair.server.close(7, b"enough of it");
        pair.client.closed().await;
        let error = ping(&pair.client, 1, PATIENCE).await.unwrap_err();
        assert!(matches!(error, PingError::Connection(_)), "{error}");
        assert!(error.to_string().contains("enough of it"), "{error}");
    }

    #[tokio::test]
    async fn a_lost_ping_shows_as_lost_and_its_late_answer_does_not_count() {
        let pair = pair(ALPN).await;
        let short = Duration::from_millis(20);
        assert_eq!(ping(&pair.client, 1, short).await, Ok(None));
        let (second, ()) = tokio::join!(ping(&pair.client, 2, PATIENCE), async {
            for _ in 0..2 {
                let datagram = pair.server.read_datagram().await.unwrap();
                pair.server.send_datagram(datagram).unwrap();
            }
        });
        assert_eq!(second.unwrap().unwrap().seq, 2);
    }

    #[tokio::test]
    async fn a_ping_over_a_dead_connection_is_an_error() {
        let pair = pair(ALPN).await;
        pair.server.close(0, b"");
        let _ = pair.client.closed().await;
        assert!(ping(&pair.client, 1, PATIENCE).await.is_err());
    }
}
