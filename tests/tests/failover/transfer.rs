//! Everything at once over one connection, both ways: bulk, requests, and a datagram every 10 ms by which pauses are measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use blake2::{Blake2s256, Digest as _};
use bytes::Bytes;
use peerway::Connection;
use peerway_tui::lab::Home;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{interval, sleep, timeout},
};

use crate::{PATIENCE, link::Link, progress::Progress};

/// Each way, over all streams together. Debug builds encrypt and hash slowly.
const BULK: usize = if cfg!(debug_assertions) {
    8 << 20
} else {
    64 << 20
};
const STREAMS: usize = 4;
const BLOCK: usize = 64 << 10;
const BLOCKS_PER_STREAM: usize = BULK / STREAMS / BLOCK;
/// The pause after each block while the transfer is not to end yet: half a minute for all of it.
const PAUSE: Duration = Duration::from_millis(30_000 / BLOCKS_PER_STREAM as u64);
const TICK: Duration = Duration::from_millis(10);
/// How many ticks fault and recovery have to be watched for after things settled.
const AFTERMATH: u64 = 100;

type Hash = [u8; 32];

/// A transfer that goes on.
pub(crate) struct Transfer {
    /// Datagrams and responses that came to either side.
    arrived: [Arc<Progress>; 2],
    senders: [JoinHandle<Vec<Hash>>; 2],
    receivers: [JoinHandle<Vec<Hash>>; 2],
    hurry: Arc<AtomicBool>,
}

impl Transfer {
    pub(crate) fn start(a: &Home, b: &Home, link: &Link) -> Self {
        let hurry = Arc::new(AtomicBool::new(false));
        let sides = [(a, &link.outgoing), (b, &link.incoming)];
        let arrived = sides.map(|(home, connection)| listen(home, connection));
        for (home, connection) in sides {
            home.spawn(tick(connection.clone()));
            home.spawn(answer(connection.clone()));
        }
        a.spawn(ask(link.outgoing.clone(), arrived[0].clone()));
        Self {
            arrived,
            senders: sides
                .map(|(home, connection)| home.spawn(send_all(connection.clone(), hurry.clone()))),
            receivers: sides.map(|(home, connection)| home.spawn(receive_all(connection.clone()))),
            hurry,
        }
    }

    /// Forgets the pauses so far, and makes sure that all is well.
    pub(crate) fn settle(&self) {
        for side in &self.arrived {
            side.advance(AFTERMATH);
        }
        for side in &self.arrived {
            side.take_gap();
        }
    }

    /// The longest pause of either side until things go on.
    pub(crate) fn gap(&self) -> Duration {
        let pause = |side: &Arc<Progress>| {
            side.advance(AFTERMATH);
            side.take_gap()
        };
        self.arrived.iter().map(pause).max().unwrap()
    }

    /// Lets the rest come as fast as it can, and compares what came with what was sent.
    pub(crate) fn finish(self, a: &Home, b: &Home) {
        self.hurry.store(true, Ordering::Relaxed);
        let [sent_by_a, sent_by_b] = self.senders;
        let [came_to_a, came_to_b] = self.receivers;
        for (home, sent, there, came) in
            [(a, sent_by_a, b, came_to_b), (b, sent_by_b, a, came_to_a)]
        {
            let sent = home.block_on(async { timeout(2 * PATIENCE, sent).await });
            let came = there.block_on(async { timeout(2 * PATIENCE, came).await });
            let (mut sent, mut came) = (sent.unwrap().unwrap(), came.unwrap().unwrap());
            sent.sort_unstable();
            came.sort_unstable();
            assert!(
                sent.len() == STREAMS && sent == came,
                "what came is not what was sent"
            );
        }
    }
}

fn listen(home: &Home, connection: &Connection) -> Arc<Progress> {
    let progress = Arc::new(Progress::default());
    let (connection, seen) = (connection.clone(), progress.clone());
    home.spawn(async move {
        while connection.read_datagram().await.is_ok() {
            seen.add(1);
        }
    });
    progress
}

async fn tick(connection: Connection) {
    let mut ticks = interval(TICK);
    while connection
        .send_datagram(Bytes::from_static(&[1; 100]))
        .is_ok()
    {
        ticks.tick().await;
    }
}

/// One small request after the other.
async fn ask(connection: Connection, answered: Arc<Progress>) {
    let mut ticks = interval(TICK);
    while let Ok((mut send, mut receive)) = connection.open_bi().await {
        ticks.tick().await;
        let answered = answered.clone();
        let asking = async move {
            send.write_all(&[2; 100]).await.ok()?;
            send.finish().ok()?;
            receive.read_to_end(100).await.ok()
        };
        if asking.await.is_some_and(|answer| answer == [2; 100]) {
            answered.add(1);
        }
    }
}

async fn answer(connection: Connection) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        tokio::task::spawn(async move {
            let request = receive.read_to_end(100).await.ok()?;
            send.write_all(&request).await.ok()?;
            send.finish().ok()
        });
    }
}

async fn send_all(connection: Connection, hurry: Arc<AtomicBool>) -> Vec<Hash> {
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        streams.spawn(send_one(connection.clone(), number, hurry.clone()));
    }
    streams.join_all().await
}

async fn send_one(connection: Connection, number: usize, hurry: Arc<AtomicBool>) -> Hash {
    let mut stream = connection.open_uni().await.unwrap();
    let mut hasher = Blake2s256::new();
    for at in 0..BLOCKS_PER_STREAM {
        let block = block(number, at);
        hasher.update(&block);
        stream.write_all(&block).await.unwrap();
        if !hurry.load(Ordering::Relaxed) {
            sleep(PAUSE).await;
        }
    }
    stream.finish().unwrap();
    stream.stopped().await.unwrap();
    hasher.finalize().into()
}

async fn receive_all(connection: Connection) -> Vec<Hash> {
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let mut stream = connection.accept_uni().await.unwrap();
        streams.spawn(async move {
            let mut hasher = Blake2s256::new();
            while let Some(chunk) = stream.read_chunk(BLOCK, true).await.unwrap() {
                hasher.update(&chunk.bytes);
            }
            hasher.finalize().into()
        });
    }
    streams.join_all().await
}

/// No two blocks are alike.
fn block(stream: usize, at: usize) -> Vec<u8> {
    let first = (stream << 40 | at << 20) as u64;
    let words = (first..).map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    words.take(BLOCK / 8).flatten().collect()
}
