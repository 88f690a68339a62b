//! Everything at once over one connection: bulk and a numbered datagram every 10 ms both ways, and a hundred requests a second,
//! by whose answers and by the datagrams pauses are measured.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use peerway::Connection;
use peerway_lab::Home;
use sha2::{Digest as _, Sha256};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{PATIENCE, link::Link, progress::Progress};

/// Each way, over all streams together.
const BULK: usize = 64 << 20;
const STREAMS: usize = 4;
const BLOCK: usize = 64 << 10;
const BLOCKS_PER_STREAM: usize = BULK / STREAMS / BLOCK;
/// The pause after each block while the transfer is not to end yet: a minute and a half for all of it.
const PAUSE: Duration = Duration::from_millis(90_000 / BLOCKS_PER_STREAM as u64);
const TICK: Duration = Duration::from_millis(10);
/// How many ticks things are watched for after a fault.
const AFTERMATH: u64 = 100;

type Hash = [u8; 32];

/// A transfer that goes on.
pub(crate) struct Transfer {
    /// Datagrams that came to either side, and answers.
    datagrams: [Arc<Progress>; 2],
    answers: Arc<Progress>,
    listeners: [JoinHandle<()>; 2],
    senders: [JoinHandle<Vec<Hash>>; 2],
    receivers: [JoinHandle<Vec<Hash>>; 2],
    hurry: Arc<AtomicBool>,
}

/// The longest pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    /// Of either side.
    datagrams: Duration,
    answers: Duration,
}

impl Gap {
    pub(crate) fn longest(self) -> Duration {
        self.datagrams.max(self.answers)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { datagrams, answers } = self;
        write!(
            f,
            "longest gap {} ms for datagrams, {} ms for streams",
            datagrams.as_millis(),
            answers.as_millis()
        )
    }
}

impl Transfer {
    pub(crate) fn start(a: &Home, b: &Home, link: &Link) -> Self {
        let hurry = Arc::new(AtomicBool::new(false));
        let sides = [(a, &link.outgoing), (b, &link.incoming)];
        let datagrams = [(); 2].map(|()| Arc::<Progress>::default());
        let answers = Arc::<Progress>::default();
        for (home, connection) in sides {
            home.spawn(tick(connection.clone()));
        }
        b.spawn(answer(link.incoming.clone()));
        a.spawn(ask(link.outgoing.clone(), answers.clone()));
        Self {
            listeners: [0, 1].map(|at| {
                let (home, connection) = sides[at];
                home.spawn(listen(connection.clone(), datagrams[at].clone()))
            }),
            datagrams,
            answers,
            senders: sides
                .map(|(home, connection)| home.spawn(send_all(connection.clone(), hurry.clone()))),
            receivers: sides.map(|(home, connection)| home.spawn(receive_all(connection.clone()))),
            hurry,
        }
    }

    /// Forgets the pauses so far, and makes sure that all is well.
    pub(crate) fn settle(&self) {
        for flow in self.flows() {
            flow.advance(AFTERMATH);
        }
        for flow in self.flows() {
            flow.take_gap();
        }
    }

    /// The longest pauses until things go on.
    pub(crate) fn gap(&self) -> Gap {
        let pause = |flow: &Progress| {
            flow.advance(AFTERMATH);
            flow.take_gap()
        };
        let [a, b] = self.datagrams.each_ref().map(|flow| pause(flow));
        Gap {
            datagrams: a.max(b),
            answers: pause(&self.answers),
        }
    }

    fn flows(&self) -> impl Iterator<Item = &Progress> {
        let all = self.datagrams.iter().chain([&self.answers]);
        all.map(|flow| &**flow)
    }

    /// Lets the rest come as fast as it can, and compares what came with what was sent.
    pub(crate) fn finish(self, a: &Home, b: &Home) {
        let ended = |task: &JoinHandle<Vec<Hash>>| task.is_finished();
        assert!(
            !self.senders.iter().any(ended),
            "the transfer ended before the test did"
        );
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
        let failed = |task: &JoinHandle<()>| task.is_finished();
        assert!(
            !self.listeners.iter().any(failed),
            "a datagram came twice, or none could come"
        );
    }
}

async fn listen(connection: Connection, arrived: Arc<Progress>) {
    let mut numbers = HashSet::new();
    while let Ok(datagram) = connection.read_datagram().await {
        assert!(numbers.insert(datagram), "a datagram came twice");
        arrived.add(1);
    }
}

async fn tick(connection: Connection) {
    let mut ticks = interval(TICK);
    let mut number = 0_u64;
    while connection
        .send_datagram(Bytes::from(number.to_be_bytes().repeat(12)))
        .is_ok()
    {
        number += 1;
        ticks.tick().await;
    }
}

/// One small request after the other, without waiting for the answers.
async fn ask(connection: Connection, answered: Arc<Progress>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Ok((mut send, mut receive)) = connection.open_bi().await {
        let answered = answered.clone();
        tokio::task::spawn(async move {
            send.write_all(&[2; 100]).await.ok()?;
            send.finish().ok()?;
            let answer = receive.read_to_end(100).await.ok()?;
            assert_eq!(answer, [2; 100]);
            answered.add(1);
            Some(())
        });
        ticks.tick().await;
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
    let mut hasher = Sha256::new();
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
            let mut hasher = Sha256::new();
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
