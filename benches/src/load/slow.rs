//! TCP connections that become nothing, and clients that do not read.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use super::{
    flood::newcomers,
    goals::Goals,
    line::Carrier,
    registered::{address, now},
    target::{At, Target},
    times::Times,
};
use crate::Failure;

/// Of whoever was hung up on.
const PAUSE: Duration = Duration::from_millis(100);
/// What two busy processors may add, s.
const SLACK: f64 = 0.5;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Connections; whoever is hung up on dials again.
    #[arg(long, default_value_t = 2000)]
    connections: usize,
    #[arg(long, default_value_t = 40)]
    seconds: u64,
}

/// What a connection says, a byte a second.
const WORDS: [&[u8]; 3] = [
    b"",
    // A record of TLS that announces 16 KiB.
    b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03................................................",
    b"GET /peerway/relay/1 HTTP/1.1\r\nHost: relay\r\nX: ........................",
];

/// Holds connections that say nothing, or a byte at a time, while real clients register over TCP.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let relay = Target::start(10_000).await?;
    let lasts = Duration::from_secs(args.seconds);
    println!(
        "quiet: new clients: {}",
        newcomers(relay.at, Carrier::Tcp, lasts / 8).await?
    );
    let (before, cpu) = (relay.memory_kib()?, relay.cpu()?);
    let (mut slow, held) = (JoinSet::new(), Arc::new(Mutex::new(Vec::new())));
    for nth in 0..args.connections {
        slow.spawn(hold(relay.at, nth, held.clone()));
    }
    sleep(Duration::from_secs(2)).await;
    let mut most = before;
    let watching = async {
        let mut ticks = interval(Duration::from_secs(1));
        let began = now();
        while began.elapsed() < lasts {
            ticks.tick().await;
            most = most.max(relay.memory_kib()?);
        }
        Ok(())
    };
    let ((), newcomers) = tokio::try_join!(watching, newcomers(relay.at, Carrier::Tcp, lasts))?;
    println!("{} slow ones: new clients: {newcomers}", args.connections);
    println!(
        "the relay: {:+.0} KiB at most, {:.1} % of a core",
        most - before,
        100.0 * (relay.cpu()? - cpu).as_secs_f64() / lasts.as_secs_f64()
    );
    let held = held.lock().map(|held| held.clone()).unwrap_or_default();
    let held = Times::of(held);
    println!("{} were hung up on, after {held}", held.len());
    let mut goals = Goals::default();
    let all = args.connections as f64;
    goals.at_least("slow ones that were hung up on", held.len() as f64, all);
    goals.at_most(
        "longest of them, s",
        held.quantile(1.0).as_secs_f64(),
        10.0 + SLACK,
    );
    goals.at_most("new clients that failed", newcomers.failed as f64, 0.0);
    goals.at_most(
        "p99 of new clients, s",
        newcomers.took.quantile(0.99).as_secs_f64(),
        1.0,
    );
    goals.reached()
}

/// A connection after the other that says its words slowly; notes how long the relay bore it.
async fn hold(relay: At, nth: usize, held: Arc<Mutex<Vec<Duration>>>) {
    loop {
        if let Ok(mut tcp) = dial(relay, nth).await {
            let began = now();
            let words = WORDS.get(nth % WORDS.len()).copied().unwrap_or_default();
            let _ = say_slowly(&mut tcp, words).await;
            if let Ok(mut held) = held.lock() {
                held.push(began.elapsed());
            }
        }
        sleep(PAUSE).await;
    }
}

async fn dial(relay: At, nth: usize) -> Result<TcpStream, Failure> {
    let socket = TcpSocket::new_v4()?;
    // Other networks than those of real clients.
    socket.bind(SocketAddr::from((address(250_000 + nth)?, 0)))?;
    Ok(socket.connect(relay.addr).await?)
}

/// Returns when the relay hangs up.
async fn say_slowly(tcp: &mut TcpStream, words: &[u8]) -> std::io::Result<()> {
    let mut words = words.iter();
    let mut byte = [0];
    loop {
        let heard = timeout(Duration::from_secs(1), tcp.peek(&mut byte)).await;
        if heard.is_ok() {
            return Ok(());
        }
        if let Some(word) = words.next() {
            tcp.write_all(&[*word]).await?;
        }
    }
}
