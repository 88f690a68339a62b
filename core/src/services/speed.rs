//! Throughput of a link, as the receiving side measures it.
//!
//! A request is one stream: version, direction, and how long to send in milliseconds (u32, big endian). For a download the
//! peer sends on the same stream; for an upload we send and the peer answers with the bytes it received (u64) and the
//! microseconds that took (u64). The sender ends by resetting the stream, so that a slow path need not drain a full buffer.

use std::{panic::resume_unwind, time::Duration};

use bytes::Bytes;
use quinn::{ConnectionError, ReadError, ReadExactError, VarInt, WriteError};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, timeout},
};
use tracing::debug;

use crate::{Connection, RecvStream, SendStream};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/speed/2";

/// The longest measurement that a peer takes part in, per direction.
pub const MAX_DURATION: Duration = Duration::from_secs(60);

const VERSION: u8 = 1;
const DOWNLOAD: u8 = 0;
const UPLOAD: u8 = 1;
const HEADER_LEN: usize = 6;
/// Streams of one measurement: more than one, so that no single flow-control window is what gets measured.
const STREAMS: usize = 4;
/// Streams that a peer serves at a time; more wait.
const MAX_SERVED: usize = 16;
/// Stream error code (RFC 9000 section 20.2): the time is over.
const DONE: VarInt = VarInt::from_u32(0);
/// Stream error code: the request is not understood.
const REFUSED: VarInt = VarInt::from_u32(1);
/// What the last bytes and the peer's answer may take beyond the measurement itself.
const GRACE: Duration = Duration::from_secs(5);

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// What arrived, and how long that took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Throughput {
    /// Bytes that the receiver got out of its streams.
    pub bytes: u64,
    /// From its first byte to its last.
    pub elapsed: Duration,
}

impl Throughput {
    /// Megabits (10^6) per second; 0 if nothing arrived.
    #[must_use]
    pub fn mbps(&self) -> f64 {
        if self.elapsed.is_zero() {
            return 0.0;
        }
        self.bytes as f64 * 8.0 / 1e6 / self.elapsed.as_secs_f64()
    }

    /// Both together, when measured at the same time.
    fn beside(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            elapsed: self.elapsed.max(other.elapsed),
        }
    }
}

/// Measures the way from the peer to us for `duration`, at most [`MAX_DURATION`].
///
/// # Errors
/// See [`SpeedError`].
pub async fn download(
    connection: &Connection,
    duration: Duration,
) -> Result<Throughput, SpeedError> {
    measure(connection, duration, download_stream).await
}

/// Measures the way from us to the peer for `duration`, at most [`MAX_DURATION`].
///
/// # Errors
/// See [`SpeedError`].
pub async fn upload(connection: &Connection, duration: Duration) -> Result<Throughput, SpeedError> {
    measure(connection, duration, upload_stream).await
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpeedError {
    /// Dial again.
    #[error("the connection ended: {}", crate::quic::ended(.0))]
    Connection(#[from] ConnectionError),
    /// The peer does not know this version of the protocol.
    #[error("the peer does not know this way to measure: update the older of the two programs")]
    Refused,
    /// The peer gave the measurement up, or its program broke a rule of the protocol; try again.
    #[error("the peer ended the measurement early; try again")]
    Aborted,
    /// The path may have failed; try again.
    #[error("the peer did not finish the measurement in time; try again")]
    Timeout,
}

async fn measure<F, R>(
    connection: &Connection,
    duration: Duration,
    stream: F,
) -> Result<Throughput, SpeedError>
where
    F: Fn(Connection, Duration) -> R,
    R: Future<Output = Result<Throughput, SpeedError>> + Send + 'static,
{
    let duration = duration.min(MAX_DURATION);
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(timeout(
            duration + GRACE,
            stream(connection.clone(), duration),
        ));
    }
    let mut total = Throughput::default();
    while let Some(joined) = streams.join_next().await {
        let one = match joined.map_err(JoinError::try_into_panic) {
            Ok(result) => result.map_err(|_| SpeedError::Timeout)??,
            Err(Ok(panic)) => resume_unwind(panic),
            // The runtime shuts down.
            Err(Err(_)) => return Err(ConnectionError::LocallyClosed.into()),
        };
        total = total.beside(one);
    }
    Ok(total)
}

async fn download_stream(
    connection: Connection,
    duration: Duration,
) -> Result<Throughput, SpeedError> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&header(DOWNLOAD, duration)).await?;
    receive(&mut recv).await
}

async fn upload_stream(
    connection: Connection,
    duration: Duration,
) -> Result<Throughput, SpeedError> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&header(UPLOAD, duration)).await?;
    match transmit(&mut send, duration).await {
        // A peer that stops reading says in its answer why.
        Ok(()) | Err(SpeedError::Aborted) => {}
        Err(error) => return Err(error),
    }
    let mut answer = [0; 16];
    recv.read_exact(&mut answer).await?;
    let [bytes, micros] = [&answer[..8], &answer[8..]].map(|field| {
        field
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    });
    Ok(Throughput {
        bytes,
        elapsed: Duration::from_micros(micros),
    })
}

fn header(direction: u8, duration: Duration) -> [u8; HEADER_LEN] {
    let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    let [a, b, c, d] = millis.to_be_bytes();
    [VERSION, direction, a, b, c, d]
}

/// Takes part in measurements until the connection ends: a handler for a [`Router`](crate::Router).
pub async fn serve(connection: Connection) {
    let mut streams = JoinSet::new();
    while let Ok((send, recv)) = connection.accept_bi().await {
        while streams.len() >= MAX_SERVED {
            streams.join_next().await;
        }
        streams.spawn(async {
            if let Err(error) = serve_stream(send, recv).await {
                debug!(%error, "speed stream ended early");
            }
        });
    }
}

async fn serve_stream(mut send: SendStream, mut recv: RecvStream) -> Result<(), SpeedError> {
    let mut header = [0; HEADER_LEN];
    timeout(GRACE, recv.read_exact(&mut header))
        .await
        .map_err(|_| SpeedError::Timeout)??;
    let [version, direction, millis @ ..] = header;
    let duration = Duration::from_millis(u32::from_be_bytes(millis).into()).min(MAX_DURATION);
    match (version, direction) {
        (VERSION, DOWNLOAD) => transmit(&mut send, duration).await,
        (VERSION, UPLOAD) => {
            let received = timeout(duration + GRACE, receive(&mut recv))
                .await
                .map_err(|_| SpeedError::Timeout)??;
            let micros = received.elapsed.as_micros() as u64;
            send.write_all(&received.bytes.to_be_bytes()).await?;
            send.write_all(&micros.to_be_bytes()).await?;
            Ok(())
        }
        _ => {
            let _ = send.reset(REFUSED);
            Err(SpeedError::Refused)
        }
    }
}

/// Sends zeros for `duration`.
async fn transmit(send: &mut SendStream, duration: Duration) -> Result<(), SpeedError> {
    let sending = async {
        loop {
            send.write_chunk(Bytes::from_static(&ZEROS)).await?;
        }
    };
    match timeout(duration, sending).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(_) => {
            let _ = send.reset(DONE);
            Ok(())
        }
    }
}

/// Counts what comes until the sender is done.
async fn receive(recv: &mut RecvStream) -> Result<Throughput, SpeedError> {
    let mut total = Throughput::default();
    let mut first = None;
    loop {
        match recv.read_chunk(usize::MAX, false).await {
            Ok(Some(chunk)) => {
                let now = Instant::now();
                total.bytes += chunk.bytes.len() as u64;
                total.elapsed = now - *first.get_or_insert(now);
            }
            Ok(None) | Err(ReadError::Reset(DONE)) => return Ok(total),
            Err(error) => return Err(error.into()),
        }
    }
}

impl From<WriteError> for SpeedError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Connection(error),
            WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Aborted
            }
        }
    }
}

impl From<ReadError> for SpeedError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Connection(error),
            ReadError::Reset(REFUSED) => Self::Refused,
            ReadError::Reset(_)
            | ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Aborted,
        }
    }
}

impl From<ReadExactError> for SpeedError {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(error) => error.into(),
            ReadExactError::FinishedEarly(_) => Self::Aborted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::testing::pair;

    #[tokio::test(flavor = "multi_thread")]
    async fn both_directions_are_measured_where_the_bytes_arrive() {
        let pair = pair(ALPN).await;
        let client = pair.client.clone();
        let measured = async {
            let duration = Duration::from_millis(200);
            let down = download(&client, duration).await.unwrap();
            let up = upload(&client, duration).await.unwrap();
            client.close(0, b"");
            (down, up)
        };
        let ((down, up), ()) = tokio::join!(measured, serve(pair.server.clone()));
        for throughput in [down, up] {
            assert!(throughput.bytes > 0);
            assert!(throughput.mbps() > 0.0);
        }
    }

    #[tokio::test]
    async fn an_unknown_version_is_refused() {
        let pair = pair(ALPN).await;
        let client = pair.client.clone();
        let strange = async {
            let (mut send, mut recv) = client.open_bi().await.unwrap();
            send.write_all(&[9; HEADER_LEN]).await.unwrap();
            let end = recv.read_chunk(1, true).await;
            client.close(0, b"");
            end
        };
        let (end, ()) = tokio::join!(strange, serve(pair.server.clone()));
        assert_eq!(end.unwrap_err(), ReadError::Reset(VarInt::from_u32(1)));
    }

    #[tokio::test]
    async fn a_refusal_is_told_from_a_measurement_that_broke_off() {
        let pair = pair(ALPN).await;
        let client = pair.client.clone();
        let server = async {
            for code in [REFUSED, REFUSED, VarInt::from_u32(7), VarInt::from_u32(7)] {
                for _ in 0..STREAMS {
                    let (mut send, mut recv) = pair.server.accept_bi().await.unwrap();
                    recv.read_exact(&mut [0; HEADER_LEN]).await.unwrap();
                    send.reset(code).unwrap();
                    recv.stop(code).unwrap();
                }
            }
        };
        let measured = async {
            let duration = Duration::from_secs(1);
            for expected in [SpeedError::Refused, SpeedError::Aborted] {
                let error = download(&client, duration).await.unwrap_err();
                assert_eq!(error, expected);
                let error = upload(&client, duration).await.unwrap_err();
                assert_eq!(error, expected);
            }
        };
        tokio::join!(measured, server);
    }

    #[test]
    fn a_rate_is_in_megabits_per_second() {
        let throughput = Throughput {
            bytes: 2_500_000,
            elapsed: Duration::from_secs(2),
        };
        assert!((throughput.mbps() - 10.0).abs() < 1e-9);
        assert!(Throughput::default().mbps().abs() < 1e-9);
    }
}
