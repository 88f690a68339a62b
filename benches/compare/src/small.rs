//! Datagrams of 64 bytes that pairs send to and fro through a relay, each in a packet of its own: Peerway's relay and iroh's, in turns.

use std::time::{Duration, Instant};

use bytes::Bytes;
use peerway_benches::{
    Failure,
    peerway_pair::{self, Way},
    process,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    iroh_pair, median,
    site::{Place, Site, Whose},
};

const DATAGRAM: [u8; 64] = [0x5a; 64];
/// What is not back by then was lost, and is sent again.
const LOST: Duration = Duration::from_millis(200);
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Rounds of one run of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Pairs, each with one datagram under way.
    #[arg(long, default_value_t = 16)]
    pairs: usize,
    /// Seconds per run.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// One side of a pair.
#[derive(Clone)]
enum Connection {
    Peerway(peerway::Connection),
    Iroh(iroh::endpoint::Connection),
}

impl Connection {
    fn send(&self) -> Result<(), Failure> {
        let datagram = Bytes::from_static(&DATAGRAM);
        match self {
            Self::Peerway(connection) => connection.send_datagram(datagram)?,
            Self::Iroh(connection) => connection.send_datagram(datagram)?,
        }
        Ok(())
    }

    async fn receive(&self) -> Result<(), Failure> {
        match self {
            Self::Peerway(connection) => drop(connection.read_datagram().await?),
            Self::Iroh(connection) => drop(connection.read_datagram().await?),
        }
        Ok(())
    }
}

/// The endpoints of a pair, which live as long as its connections.
enum Endpoints {
    Peerway([peerway::Endpoint; 2]),
    Iroh([iroh::Endpoint; 2]),
}

impl Endpoints {
    async fn close(self) {
        match self {
            Self::Peerway([one, other]) => {
                one.close().await;
                other.close().await;
            }
            Self::Iroh([one, other]) => {
                one.close().await;
                other.close().await;
            }
        }
    }
}

/// What one run gave.
#[derive(Clone, Copy)]
struct Figures {
    datagrams_per_second: f64,
    relay_micros_per_datagram: f64,
}

pub(crate) async fn run(site: &Site, args: &Args) -> Result<(), Failure> {
    let mut ratios = Vec::new();
    for round in 1..=args.rounds {
        let mut figures = Vec::new();
        for whose in Whose::in_turns(round) {
            let run = measure(site, whose, args).await?;
            println!(
                "round {round}  {whose:?}  {:6.0} datagrams/s relayed  {:.2} µs of the relay for each",
                run.datagrams_per_second, run.relay_micros_per_datagram
            );
            figures.push((whose, run));
        }
        figures.sort_by_key(|(whose, _)| *whose == Whose::Iroh);
        if let [(_, ours), (_, theirs)] = figures[..] {
            ratios.push(theirs.relay_micros_per_datagram / ours.relay_micros_per_datagram);
        }
    }
    println!(
        "datagrams per second of the relay's processor, of iroh-relay's: median {:.2}",
        median(&mut ratios)
    );
    Ok(())
}

async fn measure(site: &Site, whose: Whose, args: &Args) -> Result<Figures, Failure> {
    let relay = site.relay(whose).await?;
    let mut endpoints = Vec::new();
    let (mut asking, mut answering) = (JoinSet::new(), JoinSet::new());
    let (counted, counting) = tokio::sync::watch::channel(false);
    for _ in 0..args.pairs {
        let ([here, there], owners) = connect(site, whose, &relay.line).await?;
        endpoints.push(owners);
        answering.spawn(site.ends.receiving.spawn(answer(there)));
        asking.spawn(site.ends.sending.spawn(ask(here, counting.clone())));
    }
    drop(counting);
    sleep(WARM_UP).await;
    let pid = relay.pid()?;
    counted.send_replace(true);
    let (start, before) = (Instant::now(), process::cpu(pid)?);
    sleep(Duration::from_secs(args.seconds)).await;
    let (elapsed, cpu) = (start.elapsed(), process::cpu(pid)? - before);
    drop(counted);
    let mut datagrams = 0;
    while let Some(asked) = asking.join_next().await {
        // There and back.
        datagrams += 2 * asked???;
    }
    answering.abort_all();
    for pair in endpoints {
        pair.close().await;
    }
    Ok(Figures {
        datagrams_per_second: datagrams as f64 / elapsed.as_secs_f64(),
        relay_micros_per_datagram: cpu.as_secs_f64() * 1e6 / datagrams as f64,
    })
}

async fn connect(
    site: &Site,
    whose: Whose,
    relay: &str,
) -> Result<([Connection; 2], Endpoints), Failure> {
    Ok(match whose {
        Whose::Peerway => {
            let relay = relay.parse()?;
            let pair = peerway_pair::connect(&site.ends, &relay, Way::Relayed, 1).await?;
            let connections = pair.connections.map(Connection::Peerway);
            (connections, Endpoints::Peerway(pair.endpoints))
        }
        Whose::Iroh => {
            let pair = iroh_pair::Relayed::connect(&site.ends, site.apart, relay).await?;
            let connections = pair.connections.map(Connection::Iroh);
            (connections, Endpoints::Iroh(pair.endpoints))
        }
    })
}

/// Sends one after the other until nobody counts any more; returns how many came back while they were counted.
async fn ask(
    connection: Connection,
    mut counting: tokio::sync::watch::Receiver<bool>,
) -> Result<usize, Failure> {
    let mut came_back = 0;
    loop {
        connection.send()?;
        tokio::select! {
            answered = timeout(LOST, connection.receive()) => if let Ok(answered) = answered {
                answered?;
                came_back += usize::from(*counting.borrow());
            },
            changed = counting.changed() => if changed.is_err() {
                return Ok(came_back);
            },
        }
    }
}

async fn answer(connection: Connection) -> Result<(), Failure> {
    loop {
        connection.receive().await?;
        connection.send()?;
    }
}
