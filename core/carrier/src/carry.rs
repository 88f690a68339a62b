//! Datagrams into a WebSocket and out of it.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use peerway_proto::wire::{Malformed, tcp};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until, timeout},
};
use tokio_websockets::{CloseCode, Message, WebSocketStream};

use crate::{MAX_MESSAGE, Outbox};

/// How often the relay pings: reverse proxies end what is idle after 50 s and more.
const PING: Duration = Duration::from_secs(25);
/// Nothing came for this long, not even an answer to a ping, or nothing could be written: the TCP connection is of no use.
const SILENCE: Duration = Duration::from_secs(60);
const STALL: Duration = Duration::from_secs(10);
/// Pings that are answered before what was written has left.
const PINGS: usize = 8;
/// The time for the last words. A bare FIN would have proxies cut off what is on its way to us.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a TCP connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The system's or TLS' word, or the WebSocket's.
    #[error("the connection broke: {0}")]
    Stream(#[from] tokio_websockets::Error),
    /// What came is no message of ours.
    #[error("the other end broke the protocol: {0}")]
    Frame(#[from] Malformed),
    /// More pings than it takes answers, or text.
    #[error("the other end broke the protocol")]
    Protocol,
    /// The other end said that it leaves, or something on the way did.
    #[error("the other end closed the connection")]
    Closed,
    /// Nothing comes, or nothing leaves.
    #[error("the connection stalled")]
    Stalled,
}

impl From<Broken> for io::Error {
    fn from(error: Broken) -> Self {
        Self::other(error)
    }
}

/// Carries datagrams until the outbox is closed and empty, or the TCP connection ends. `pings` says whether this end is to ping.
///
/// # Errors
/// See [`Broken`]; none if this end closed the outbox.
pub async fn carry<S>(
    mut socket: WebSocketStream<S>,
    outbox: &Outbox,
    pings: bool,
    mut take: impl FnMut(Datagrams),
) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut writer = Writer::default();
    let mut message = BytesMut::new();
    let mut heard = Instant::now();
    let mut next_ping = heard + PING;
    loop {
        let is_idle = writer.since.is_none();
        let written_by = writer.since.map_or(heard + SILENCE, |since| since + STALL);
        tokio::select! {
            happened = poll_fn(|cx| writer.poll(&mut socket, cx)) => {
                let Some(message) = happened? else { continue };
                heard = Instant::now();
                if message.is_binary() {
                    let bytes = BytesMut::from(message.into_payload()).freeze();
                    take(Datagrams::check(bytes)?);
                } else if message.is_ping() {
                    writer.owe_pong()?;
                } else if message.is_close() {
                    return Err(Broken::Closed);
                } else if !message.is_pong() {
                    return Err(Broken::Protocol);
                }
            }
            more = outbox.next(&mut message), if is_idle => {
                if !more {
                    break;
                }
                socket.start_send_unpin(Message::binary(std::mem::take(&mut message)))?;
                writer.started();
            }
            () = sleep_until(next_ping), if pings => {
                next_ping += PING;
                socket.start_send_unpin(Message::ping(Bytes::new()))?;
                writer.started();
            }
            () = sleep_until(written_by.min(heard + SILENCE)) => return Err(Broken::Stalled),
        }
    }
    let goodbye = async {
        socket
            .send(Message::close(Some(CloseCode::NORMAL_CLOSURE), ""))
            .await?;
        while let Some(Ok(_)) = socket.next().await {}
        Ok(())
    };
    timeout(GOODBYE, goodbye).await.unwrap_or(Ok(()))
}

/// What is being written.
#[derive(Debug, Default)]
struct Writer {
    /// Since when something has not left yet.
    since: Option<Instant>,
    pongs: usize,
}

impl Writer {
    fn started(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// The socket answers a ping by itself, with whatever is written next.
    fn owe_pong(&mut self) -> Result<(), Broken> {
        self.pongs += 1;
        self.started();
        (self.pongs <= PINGS).then_some(()).ok_or(Broken::Protocol)
    }

    /// Writes on, and reads. None if what was written has left.
    fn poll<S>(
        &mut self,
        socket: &mut WebSocketStream<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Broken>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.since.is_some()
            && let Poll::Ready(flushed) = socket.poll_flush_unpin(cx)
        {
            flushed?;
            (self.since, self.pongs) = (None, 0);
            return Poll::Ready(Ok(None));
        }
        let received = ready!(socket.poll_next_unpin(cx));
        Poll::Ready(
            received
                .ok_or(Broken::Closed)?
                .map(Some)
                .map_err(Broken::from),
        )
    }
}

/// The datagrams of one message.
#[derive(Clone, Debug)]
pub struct Datagrams(Bytes);

impl Datagrams {
    /// Makes sure that all of the message is frames.
    fn check(message: Bytes) -> Result<Self, Malformed> {
        let mut rest = &message[..];
        if rest.len() > MAX_MESSAGE {
            return Err(Malformed::Field("message length"));
        }
        while !rest.is_empty() {
            let len = tcp::frame_len(rest)?.ok_or(Malformed::Field("frame length"))?;
            rest = rest.get(len..).unwrap_or_default();
        }
        Ok(Self(message))
    }

    /// Bytes of the message, which are more than those of the datagrams.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }
}

impl Iterator for Datagrams {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let len = tcp::frame_len(&self.0).ok().flatten()?;
        let mut frame = self.0.split_to(len);
        frame.advance(tcp::HEADER_LEN);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{DuplexStream, duplex};
    use tokio_websockets::{ClientBuilder, ServerBuilder};

    use super::*;

    fn pair() -> (WebSocketStream<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (near, far) = duplex(4 * MAX_MESSAGE);
        (
            ClientBuilder::new().take_over(near),
            ServerBuilder::new().serve(far),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn datagrams_arrive_in_order_and_a_closed_outbox_ends_both_ends() {
        let (near, far) = pair();
        let (outbox, silent) = (Outbox::default(), Outbox::default());
        let sent: Vec<Vec<u8>> = (1..100_u8).map(|len| vec![0x20; len.into()]).collect();
        outbox.push(sent.iter().map(Vec::as_slice));
        outbox.close();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let take = |datagrams: Datagrams| heard.lock().unwrap().extend(datagrams);
        let (left, ended) = tokio::join!(
            carry(near, &outbox, false, |_| {}),
            carry(far, &silent, true, take),
        );
        left.unwrap();
        assert!(matches!(ended, Err(Broken::Closed)), "{ended:?}");
        assert_eq!(*heard.lock().unwrap(), sent);
    }

    #[tokio::test(start_paused = true)]
    async fn pings_keep_an_idle_stream_and_silence_ends_it() {
        let (near, far) = pair();
        let (outbox, silent) = (Outbox::default(), Outbox::default());
        let both = async {
            tokio::select! {
                ended = carry(near, &outbox, false, |_| {}) => ended,
                ended = carry(far, &silent, true, |_| {}) => ended,
            }
        };
        assert!(timeout(10 * SILENCE, both).await.is_err());
        let (_open, far) = pair();
        let ended = carry(far, &silent, true, |_| {}).await;
        assert!(matches!(ended, Err(Broken::Stalled)), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_left() {
        let (_near, far) = pair();
        let outbox = Outbox::default();
        let mut packet = [0x40; 1200];
        packet[0] = 0x20;
        outbox.push(std::iter::repeat_n(&packet[..], 200));
        let began = Instant::now();
        let ended = carry(far, &outbox, true, |_| {}).await;
        assert!(matches!(ended, Err(Broken::Stalled)), "{ended:?}");
        assert!(began.elapsed() <= STALL + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_message_of_ours_ends_the_stream() {
        let wrong = [
            Message::text("hello"),
            Message::binary(vec![0, 9, 1]),
            Message::binary(vec![0, 0]),
            Message::binary(vec![0; MAX_MESSAGE + 1]),
        ];
        for message in wrong {
            let (mut near, far) = pair();
            near.send(message).await.unwrap();
            let ended = carry(far, &Outbox::default(), false, |_| {}).await;
            assert!(
                matches!(ended, Err(Broken::Protocol | Broken::Frame(_))),
                "{ended:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_pings_and_does_not_read_is_left() {
        let (mut near, far) = pair();
        let outbox = Outbox::default();
        let flood = async {
            loop {
                let ping = Message::ping(vec![0; 125]);
                if near.send(ping).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = flood => {}
            ended = carry(far, &outbox, false, |_| {}) => {
                assert!(matches!(ended, Err(Broken::Protocol | Broken::Stalled)), "{ended:?}");
            }
        }
    }
}
