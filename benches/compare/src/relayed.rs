//! One stream through a relay: Peerway's and iroh's, in turns.

use std::time::{Duration, Instant};

use peerway::RelayUrl;
use peerway_benches::{
    Ends, Failure,
    loss::{Flow, Receiver, Sender},
    peerway_pair::{self, Way},
    process,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    iroh_pair, median,
    site::{Place, Site, Whose},
};

const MEGABYTE: usize = 1_000_000;
/// Carried before the clock starts.
const WARM_UP: usize = 32;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Rounds of one run of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Megabytes per run.
    #[arg(long, default_value_t = 500)]
    megabytes: usize,
}

/// What one run gave.
#[derive(Clone, Copy)]
struct Figures {
    megabytes_per_second: f64,
    cpu_seconds_per_gigabyte: f64,
}

pub(crate) async fn run(site: &Site, args: &Args) -> Result<(), Failure> {
    let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let mut figures = Vec::new();
        for whose in Whose::in_turns(round) {
            let run = measure(site, whose, args.megabytes).await?;
            println!(
                "round {round}  {whose:?}  {:5.0} MB/s  {:.3} CPU s/GB of the relay",
                run.megabytes_per_second, run.cpu_seconds_per_gigabyte
            );
            figures.push((whose, run));
        }
        figures.sort_by_key(|(whose, _)| *whose == Whose::Iroh);
        if let [(_, ours), (_, theirs)] = figures[..] {
            throughput.push(ours.megabytes_per_second / theirs.megabytes_per_second);
            cpu.push(ours.cpu_seconds_per_gigabyte / theirs.cpu_seconds_per_gigabyte);
        }
    }
    println!(
        "throughput, of iroh's: median {:.2}",
        median(&mut throughput)
    );
    println!(
        "CPU per GB, of iroh-relay's: median {:.3}",
        median(&mut cpu)
    );
    Ok(())
}

async fn measure(site: &Site, whose: Whose, megabytes: usize) -> Result<Figures, Failure> {
    let ends = &site.ends;
    let relay = site.relay(whose).await?;
    let flow = match whose {
        Whose::Peerway => peerway(ends, &relay.line.parse()?).await?,
        Whose::Iroh => iroh_pair::Relayed::connect(ends, site.apart, &relay.line)
            .await?
            .flow(),
    };
    let pid = relay.pid()?;
    let streams = flow.senders.into_iter().zip(flow.receivers).next();
    let (sender, receiver) = streams.ok_or("no stream was opened")?;
    let sending = ends.sending.spawn(send(sender, WARM_UP + megabytes));
    let receiving = ends.receiving.spawn(async move {
        let mut receiver = receiver;
        receive(&mut receiver, WARM_UP).await?;
        let (start, before) = (Instant::now(), process::cpu(pid)?);
        receive(&mut receiver, megabytes).await?;
        Ok::<_, Failure>((start.elapsed(), process::cpu(pid)? - before))
    });
    let (elapsed, cpu): (Duration, Duration) = receiving.await??;
    let sender = sending.await??;
    drop(sender);
    flow.close.await;
    let gigabytes = megabytes as f64 / 1000.0;
    Ok(Figures {
        megabytes_per_second: gigabytes * 1000.0 / elapsed.as_secs_f64(),
        cpu_seconds_per_gigabyte: cpu.as_secs_f64() / gigabytes,
    })
}

async fn peerway(ends: &Ends, relay: &RelayUrl) -> Result<Flow, Failure> {
    let pair = peerway_pair::connect(ends, relay, Way::Relayed, 1).await?;
    let senders = pair.senders.into_iter().map(|it| Box::new(it) as Sender);
    let receivers = pair
        .receivers
        .into_iter()
        .map(|it| Box::new(it) as Receiver);
    Ok(Flow {
        senders: senders.collect(),
        receivers: receivers.collect(),
        close: Box::pin(async {
            for endpoint in pair.endpoints {
                endpoint.close().await;
            }
        }),
    })
}

async fn send(mut sender: Sender, megabytes: usize) -> Result<Sender, Failure> {
    let chunk = vec![0x5a; MEGABYTE];
    for _ in 0..megabytes {
        sender.write_all(&chunk).await?;
    }
    sender.flush().await?;
    Ok(sender)
}

async fn receive(receiver: &mut Receiver, megabytes: usize) -> Result<(), Failure> {
    let mut buffer = vec![0; MEGABYTE];
    for _ in 0..megabytes {
        receiver.read_exact(&mut buffer).await?;
    }
    Ok(())
}
