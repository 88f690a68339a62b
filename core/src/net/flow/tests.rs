//! Real quinn connections over a line that takes its time, in virtual time.

mod line;

use std::time::Duration;

use bytes::Bytes;
use quinn::{VarInt, WriteError};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use self::line::{LinePair, ROUND_TRIP};
use super::*;
use crate::{
    Connection,
    proto::{
        credit::{FLOOR, LINK},
        outbound,
    },
};

/// What a stream is opened for, as its first byte says.
const ECHO: u8 = 0;
const LEAVE_UNREAD: u8 = 1;
const SEND_WITHOUT_END: u8 = 2;

/// As many as a link may have.
const STALLED: usize = 4000;

#[tokio::test(start_paused = true)]
async fn four_thousand_uploads_that_nobody_reads_hold_up_nothing_else() {
    let pair = LinePair::new().await;
    pair.client.quic.set_send_window(outbound::FLOOR);
    let _serving = serve(&pair.server);
    let mut old = Echo::open(&pair.client).await;
    old.exchange().await;
    let mut stalled = JoinSet::new();
    for _ in 0..STALLED {
        let client = pair.client.clone();
        stalled.spawn(async move {
            let (mut send, _recv) = client.open_bi().await.unwrap();
            send.write_all(&[LEAVE_UNREAD]).await.unwrap();
            send.write_all(&vec![0; 1 << 20]).await
        });
    }
    sleep(Duration::from_secs(60)).await;
    assert!(
        stalled.try_join_next().is_none(),
        "an upload was not stopped"
    );
    assert_all_is_answered(&pair, &mut old).await;
    assert_held(&pair.server, STALLED as u64 * INITIAL..=LINK);
}

#[tokio::test(start_paused = true)]
async fn four_thousand_downloads_that_nobody_reads_hold_up_nothing_else() {
    let pair = LinePair::new().await;
    let _serving = serve(&pair.server);
    let mut old = Echo::open(&pair.client).await;
    old.exchange().await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let (mut send, recv) = pair.client.open_bi().await.unwrap();
        send.write_all(&[SEND_WITHOUT_END]).await.unwrap();
        stalled.push((send, recv));
    }
    sleep(Duration::from_secs(60)).await;
    assert_all_is_answered(&pair, &mut old).await;
    assert_held(&pair.client, STALLED as u64 * INITIAL..=LINK);
}

#[tokio::test(start_paused = true)]
async fn streams_that_the_program_does_not_even_take_hold_up_nothing_else() {
    let pair = LinePair::new().await;
    let _serving = serve(&pair.server);
    let mut waiting = JoinSet::new();
    for _ in 0..STALLED {
        let client = pair.client.clone();
        waiting.spawn(async move {
            let mut send = client.open_uni().await.unwrap();
            send.write_all(&vec![0; 1 << 20]).await
        });
    }
    sleep(Duration::from_secs(60)).await;
    let mut late = Echo::open(&pair.client).await;
    assert!(late.exchange().await < ROUND_TRIP * 3);
}

#[tokio::test(start_paused = true)]
async fn one_stream_over_a_long_line_carries_more_than_400_megabits() {
    const MEASURED: usize = 32 << 20;
    let pair = LinePair::new().await;
    let (mut send, receiver) = (pair.client.open_uni().await.unwrap(), pair.server.clone());
    let _sending = JoinSet::from_iter([async move {
        let data = Bytes::from(vec![0; 1 << 20]);
        while send.write_chunk(data.clone()).await.is_ok() {}
    }]);
    let mut recv = receiver.accept_uni().await.unwrap();
    skip(&mut recv, 32 << 20).await;
    let began = Instant::now();
    skip(&mut recv, MEASURED).await;
    let mbps = (MEASURED * 8) as f64 / 1e6 / began.elapsed().as_secs_f64();
    assert!(mbps > 400.0, "{mbps:.0} Mbit/s");
}

#[tokio::test(start_paused = true)]
async fn a_writer_without_credit_learns_that_the_stream_was_stopped_and_that_the_connection_ended()
{
    let pair = LinePair::new().await;
    let mut send = pair.client.open_uni().await.unwrap();
    let mut other = pair.client.open_uni().await.unwrap();
    let stopping = async {
        let mut recv = pair.server.accept_uni().await.unwrap();
        let _other = pair.server.accept_uni().await.unwrap();
        sleep(Duration::from_secs(5)).await;
        recv.stop(VarInt::from_u32(7)).unwrap();
        sleep(Duration::from_secs(5)).await;
        pair.server.close(9, b"");
    };
    let data = vec![0; 1 << 20];
    let (stopped, ended, ()) =
        tokio::join!(send.write_all(&data), other.write_all(&data), stopping);
    assert_eq!(stopped, Err(WriteError::Stopped(VarInt::from_u32(7))));
    assert!(matches!(ended, Err(WriteError::ConnectionLost(_))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_keeps_to_no_credit_is_held_by_the_connections_window() {
    let pair = LinePair::new().await;
    let _serving = serve(&pair.server);
    let mut sending = JoinSet::new();
    let sent = Arc::new(AtomicU64::new(0));
    for _ in 0..8 {
        let (client, sent) = (pair.client.quic.clone(), sent.clone());
        sending.spawn(async move {
            let mut send = client.open_uni().await.unwrap();
            while send.write_all(&[0; 1000]).await.is_ok() {
                sent.fetch_add(1000, Ordering::Relaxed);
            }
        });
    }
    sleep(Duration::from_secs(60)).await;
    let held = FLOOR + 4 * 8 * INITIAL;
    assert!(sent.load(Ordering::Relaxed) <= held);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_gives_no_credit_or_an_absurd_one_stops_only_that_stream() {
    let pair = LinePair::new().await;
    let _serving = serve(&pair.server);
    let (mut send, _recv) = pair.client.open_bi().await.unwrap();
    send.write_all(&[LEAVE_UNREAD]).await.unwrap();
    let data = vec![0; 64 << 20];
    let absurd = async {
        sleep(Duration::from_secs(5)).await;
        let stream = VarInt::from(send.id()).into_inner();
        for offset in [u64::MAX, 0, INITIAL] {
            pair.client.flow.hear(wire_credit(stream, offset));
            pair.client.flow.hear(wire_credit(u64::MAX, offset));
        }
    };
    absurd.await;
    let written = timeout(Duration::from_secs(60), send.write_all(&data)).await;
    assert!(written.is_err(), "QUIC's own windows hold then");
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_opened_and_reset_without_end_leave_nothing_behind() {
    let pair = LinePair::new().await;
    let _serving = serve(&pair.server);
    for round in 0..50 {
        for _ in 0..200 {
            let (mut send, mut recv) = pair.client.open_bi().await.unwrap();
            send.write_all(&[LEAVE_UNREAD; 1000]).await.unwrap();
            send.reset(VarInt::from_u32(round)).unwrap();
            recv.stop(VarInt::from_u32(round)).unwrap();
        }
        sleep(ROUND_TRIP).await;
    }
    sleep(ROUND_TRIP * 4).await;
    let mut late = Echo::open(&pair.client).await;
    assert!(late.exchange().await < ROUND_TRIP * 3);
    let known = pair.client.flow.lock().credits.len();
    assert!(known < 10, "{known} streams of 10,000 are still known");
}

/// Answers each stream as its first byte asks, until the connection ends.
fn serve(server: &Connection) -> JoinSet<()> {
    let server = server.clone();
    JoinSet::from_iter([async move {
        let mut streams = JoinSet::new();
        let datagrams = async {
            while let Ok(datagram) = server.read_datagram().await {
                server.send_datagram(datagram).unwrap();
            }
        };
        let accepting = async {
            while let Ok((send, recv)) = server.accept_bi().await {
                streams.spawn(serve_stream(send, recv));
            }
        };
        tokio::join!(datagrams, accepting);
    }])
}

async fn serve_stream(mut send: SendStream, mut recv: RecvStream) {
    let mut kind = [0];
    if recv.read_exact(&mut kind).await.is_err() {
        return;
    }
    match kind[0] {
        ECHO => {
            let mut bytes = [0; 100];
            while recv.read_exact(&mut bytes).await.is_ok() {
                send.write_all(&bytes).await.unwrap();
            }
        }
        SEND_WITHOUT_END => while send.write_all(&[0; 1 << 16]).await.is_ok() {},
        _ => {
            let _ = recv.received_reset().await;
        }
    }
}

struct Echo {
    send: SendStream,
    recv: RecvStream,
}

impl Echo {
    async fn open(connection: &Connection) -> Self {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        send.write_all(&[ECHO]).await.unwrap();
        Self { send, recv }
    }

    async fn exchange(&mut self) -> Duration {
        let began = Instant::now();
        let mut bytes = [7; 100];
        let exchange = async {
            self.send.write_all(&bytes).await.unwrap();
            self.recv.read_exact(&mut bytes).await.unwrap();
        };
        let answered = timeout(ROUND_TRIP * 100, exchange).await;
        assert!(answered.is_ok(), "not answered at all");
        began.elapsed()
    }
}

async fn assert_all_is_answered(pair: &LinePair, old: &mut Echo) {
    for _ in 0..5 {
        let took = old.exchange().await;
        assert!(took < ROUND_TRIP * 3, "old stream: {took:?}");
        let began = Instant::now();
        Echo::open(&pair.client).await.exchange().await;
        let took = began.elapsed();
        assert!(took < ROUND_TRIP * 3, "new stream: {took:?}");
        let began = Instant::now();
        pair.client
            .send_datagram(Bytes::from_static(b"ping"))
            .unwrap();
        pair.client.read_datagram().await.unwrap();
        let took = began.elapsed();
        assert!(took < ROUND_TRIP * 2, "datagram: {took:?}");
    }
}

fn assert_held(connection: &Connection, expected: std::ops::RangeInclusive<u64>) {
    let held = connection.flow.lock().inbound.receive_window();
    assert!(expected.contains(&held), "{held} not in {expected:?}");
}

fn wire_credit(stream: u64, offset: u64) -> crate::wire::credit::Credit {
    crate::wire::credit::Credit::new(stream, offset)
}

async fn skip(recv: &mut RecvStream, mut bytes: usize) {
    while bytes > 0 {
        bytes -= recv
            .read_chunk(bytes, true)
            .await
            .unwrap()
            .unwrap()
            .bytes
            .len();
    }
}
