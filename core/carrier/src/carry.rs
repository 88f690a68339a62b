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

use crate::{MAX_MESSAGE, Outbox, progress::Progress};

/// How often the relay pings: reverse proxies end what is idle after 50 s and more.
const PING: Duration = Duration::from_secs(25);
/// No message came for this long, not even an answer to a ping: the TCP connection is of no use.
const SILENCE: Duration = Duration::from_secs(60);
/// A message that has not left after this long.
const STALL: Duration = Duration::from_secs(10);
/// The same at the relay where not even a byte of it leaves: the client does not read, or its line is dead, and others want the
/// room. A line of 32 kbit/s gets on, as the kernel asks for more whenever half of what it may hold [unsent](crate::UNSENT) has
/// left.
const STUCK: Duration = Duration::from_secs(2);
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

/// Which end of a TCP connection this is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Side<'a> {
    /// It answers pings, and waits for a slow line.
    Client,
    /// It pings, and leaves whom it cannot write to.
    Relay(&'a Progress),
}

/// Carries datagrams until the outbox is closed and empty, or the TCP connection ends.
///
/// # Errors
/// See [`Broken`]; none if this end closed the outbox.
pub async fn carry<S>(
    mut socket: WebSocketStream<S>,
    outbox: &Outbox,
    side: Side<'_>,
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
        let ends_at = writer.ends_at(side, heard);
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
            () = sleep_until(next_ping), if matches!(side, Side::Relay(_)) => {
                next_ping += PING;
                socket.start_send_unpin(Message::ping(Bytes::new()))?;
                writer.started();
            }
            // What leaves meanwhile puts the end off.
            () = sleep_until(ends_at) => if writer.ends_at(side, heard) <= ends_at {
                return Err(Broken::Stalled);
            },
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

    /// When the connection is of no use if nothing leaves and nothing is heard until then.
    fn ends_at(&self, side: Side<'_>, heard: Instant) -> Instant {
        let silent = heard + SILENCE;
        let Some(since) = self.since else {
            return silent;
        };
        let stalled = silent.min(since + STALL);
        match side {
            Side::Client => stalled,
            Side::Relay(progress) => stalled.min(progress.last().max(since) + STUCK),
        }
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

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_websockets::{ClientBuilder, ServerBuilder};

    use super::*;
    use crate::progress::Watched;

    type Near = WebSocketStream<DuplexStream>;
    type Far = WebSocketStream<Watched<DuplexStream>>;

    /// A client's end and a relay's, with what is noted of the latter.
    fn pair() -> (Near, Far, Arc<Progress>) {
        let (near, far, progress) = raw_pair();
        (ClientBuilder::new().take_over(near), far, progress)
    }

    /// The same, where the client does as it likes.
    fn raw_pair() -> (DuplexStream, Far, Arc<Progress>) {
        let (near, far) = duplex(4 * MAX_MESSAGE);
        let far = Watched::new(far);
        let progress = far.progress();
        (near, ServerBuilder::new().serve(far), progress)
    }

    /// More than what is between both ends takes.
    fn fill(outbox: &Outbox) {
        let mut packet = [0x40; 1200];
        packet[0] = 0x20;
        outbox.push(std::iter::repeat_n(&packet[..], 200));
    }

    #[tokio::test(start_paused = true)]
    async fn datagrams_arrive_in_order_and_a_closed_outbox_ends_both_ends() {
        let (near, far, progress) = pair();
        let (outbox, silent) = (Outbox::default(), Outbox::default());
        let sent: Vec<Vec<u8>> = (1..100_u8).map(|len| vec![0x20; len.into()]).collect();
        outbox.push(sent.iter().map(Vec::as_slice));
        outbox.close();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let take = |datagrams: Datagrams| heard.lock().unwrap().extend(datagrams);
        let (left, ended) = tokio::join!(
            carry(near, &outbox, Side::Client, |_| {}),
            carry(far, &silent, Side::Relay(&progress), take),
        );
        left.unwrap();
        assert!(matches!(ended, Err(Broken::Closed)), "{ended:?}");
        assert_eq!(*heard.lock().unwrap(), sent);
    }

    #[tokio::test(start_paused = true)]
    async fn pings_keep_an_idle_stream_and_silence_ends_it() {
        let (near, far, progress) = pair();
        let (outbox, silent) = (Outbox::default(), Outbox::default());
        let both = async {
            tokio::select! {
                ended = carry(near, &outbox, Side::Client, |_| {}) => ended,
                ended = carry(far, &silent, Side::Relay(&progress), |_| {}) => ended,
            }
        };
        assert!(timeout(10 * SILENCE, both).await.is_err());
        let (_open, far, progress) = pair();
        let ended = carry(far, &silent, Side::Relay(&progress), |_| {}).await;
        assert!(matches!(ended, Err(Broken::Stalled)), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_left() {
        let began = Instant::now();
        let (_near, far, progress) = pair();
        let outbox = Outbox::default();
        fill(&outbox);
        let ended = carry(far, &outbox, Side::Relay(&progress), |_| {}).await;
        assert!(matches!(ended, Err(Broken::Stalled)), "{ended:?}");
        assert_eq!(began.elapsed(), STUCK, "by the relay");

        let began = Instant::now();
        let (near, _far) = duplex(4 * MAX_MESSAGE);
        let near = ClientBuilder::new().take_over(near);
        fill(&outbox);
        let ended = carry(near, &outbox, Side::Client, |_| {}).await;
        assert!(matches!(ended, Err(Broken::Stalled)), "{ended:?}");
        assert_eq!(began.elapsed(), STALL, "by a client");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_waited_for_as_long_as_it_gets_on() {
        let (mut near, far, progress) = raw_pair();
        let outbox = Outbox::default();
        let reading = async {
            let mut bytes = [0; 4 * 1024];
            for _ in 0..25 {
                fill(&outbox);
                tokio::time::sleep(STUCK - Duration::from_millis(1)).await;
                near.read_exact(&mut bytes).await.unwrap();
            }
        };
        let carrying = carry(far, &outbox, Side::Relay(&progress), |_| {});
        let mut carrying = std::pin::pin!(carrying);
        tokio::select! {
            () = reading => {}
            ended = &mut carrying => panic!("{ended:?}"),
        }
        let read_last = Instant::now();
        let ended = carrying.await;
        assert!(matches!(ended, Err(Broken::Stalled)), "{ended:?}");
        assert_eq!(read_last.elapsed(), STUCK);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_a_byte_a_minute_is_left() {
        let (mut near, far, progress) = raw_pair();
        let outbox = Outbox::default();
        let began = Instant::now();
        let sending = async {
            // The beginning of a masked binary message of 126 bytes, and of a ping.
            for byte in [0x82, 0xfe, 0, 126, 0, 0, 0, 0].into_iter().cycle() {
                near.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(Duration::from_secs(59)).await;
            }
        };
        let ended = tokio::select! {
            () = sending => unreachable!(),
            ended = carry(far, &outbox, Side::Relay(&progress), |_| {}) => ended,
        };
        assert!(matches!(ended, Err(Broken::Stalled)), "{ended:?}");
        assert_eq!(began.elapsed(), SILENCE);
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
            let (mut near, far, _) = pair();
            near.send(message).await.unwrap();
            let ended = carry(far, &Outbox::default(), Side::Client, |_| {}).await;
            assert!(
                matches!(ended, Err(Broken::Protocol | Broken::Frame(_))),
                "{ended:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_pings_and_does_not_read_is_left() {
        let (mut near, far, progress) = pair();
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
            ended = carry(far, &outbox, Side::Relay(&progress), |_| {}) => {
                assert!(matches!(ended, Err(Broken::Protocol | Broken::Stalled)), "{ended:?}");
            }
        }
    }
}
