//! One stream over a direct path, Peerway against raw quinn.

use peerway::RelayUrl;

use crate::{
    Ends, Failure,
    peerway_pair::{self, Way},
    process::cpu_of_this_process,
    quinn_pair,
    stats::Estimate,
    transfer::{self, Figures, Receiver, Sender},
};

/// Runs the pairs and prints each, then the median ratios of Peerway to quinn.
pub(crate) async fn run(
    ends: &Ends,
    relay: &RelayUrl,
    pairs: usize,
    megabytes: usize,
) -> Result<(), Failure> {
    let mut throughput = Vec::new();
    let mut cpu = Vec::new();
    for pair in 1..=pairs {
        let (quinn, peerway) = if pair % 2 == 0 {
            let quinn = quinn(ends, megabytes).await?;
            (quinn, peerway(ends, relay, megabytes).await?)
        } else {
            let peerway = peerway(ends, relay, megabytes).await?;
            (quinn(ends, megabytes).await?, peerway)
        };
        throughput.push(peerway.megabytes_per_second / quinn.megabytes_per_second);
        cpu.push(peerway.cpu_seconds_per_gigabyte / quinn.cpu_seconds_per_gigabyte);
        println!("pair {pair:2}  quinn {quinn}  peerway {peerway}");
    }
    println!("throughput ratio  {}", Estimate::of(throughput));
    println!("CPU per GB ratio  {}", Estimate::of(cpu));
    Ok(())
}

async fn quinn(ends: &Ends, megabytes: usize) -> Result<Figures, Failure> {
    let pair = quinn_pair::connect(ends).await?;
    let figures = transfer::measure(
        ends,
        Sender::Quinn(pair.sender),
        Receiver::Quinn(pair.receiver),
        megabytes,
        cpu_of_this_process,
    )
    .await;
    for endpoint in pair.endpoints {
        endpoint.close(0_u32.into(), b"");
        endpoint.wait_idle().await;
    }
    figures
}

async fn peerway(ends: &Ends, relay: &RelayUrl, megabytes: usize) -> Result<Figures, Failure> {
    let mut pair = peerway_pair::connect(ends, relay, Way::Direct, 1).await?;
    let streams = pair.senders.pop().zip(pair.receivers.pop());
    let (sender, receiver) = streams.ok_or("no stream was opened")?;
    let figures = transfer::measure(
        ends,
        Sender::Peerway(sender),
        Receiver::Peerway(receiver),
        megabytes,
        cpu_of_this_process,
    )
    .await;
    for endpoint in pair.endpoints {
        endpoint.close().await;
    }
    figures
}
