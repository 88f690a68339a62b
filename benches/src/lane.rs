//! One stream through a relay on one processor, beside raw quinn through a forwarder that only passes batches on.

use std::time::Duration;

use peerway::RelayUrl;

use crate::{
    Ends, Failure,
    peerway_pair::{self, Way},
    process::{self, Beside},
    quinn_pair,
    stats::Estimate,
    transfer::{self, Figures, Receiver, Sender},
};

/// The processor of whatever is between the ends.
const CORE: Option<u32> = Some(0);

/// Runs the pairs and prints each, then the median ratios of the relay to the forwarder.
pub(crate) async fn run(
    ends: &Ends,
    relay: &RelayUrl,
    pairs: usize,
    megabytes: usize,
    rate: Option<u64>,
) -> Result<(), Failure> {
    let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
    for pair in 1..=pairs {
        let forwarder = through_forwarder(ends, megabytes).await?;
        let relayed = through_relay(ends, relay, megabytes, rate).await?;
        throughput.push(relayed.megabytes_per_second / forwarder.megabytes_per_second);
        cpu.push(relayed.cpu_seconds_per_gigabyte / forwarder.cpu_seconds_per_gigabyte);
        println!("pair {pair:2}  forwarder {forwarder}  relay {relayed}");
    }
    println!("throughput ratio  {}", Estimate::of(throughput));
    println!("CPU per GB ratio  {}", Estimate::of(cpu));
    Ok(())
}

async fn through_relay(
    ends: &Ends,
    relay: &RelayUrl,
    megabytes: usize,
    rate: Option<u64>,
) -> Result<Figures, Failure> {
    let (relay, rate) = (relay.to_string(), rate.map(|rate| rate.to_string()));
    let mut arguments = vec!["serve", "relay", &relay];
    arguments.extend(rate.iter().flat_map(|rate| ["--rate", rate]));
    let server = Beside::run(&arguments, CORE).await?;
    let url = server.line.parse()?;
    let mut pair = peerway_pair::connect(ends, &url, Way::Relayed, 1).await?;
    let streams = pair.senders.pop().zip(pair.receivers.pop());
    let (sender, receiver) = streams.ok_or("no stream was opened")?;
    let (sender, receiver) = (Sender::Peerway(sender), Receiver::Peerway(receiver));
    let cpu = cpu_of(&server)?;
    let figures = transfer::measure(ends, sender, receiver, megabytes, cpu).await;
    for endpoint in pair.endpoints {
        endpoint.close().await;
    }
    figures
}

async fn through_forwarder(ends: &Ends, megabytes: usize) -> Result<Figures, Failure> {
    let mut between = None;
    let pair = quinn_pair::connect_through(ends, async |addr| {
        let forwarder = Beside::run(&["forward", &addr.to_string()], CORE).await?;
        let addr = forwarder.line.parse()?;
        between = Some(forwarder);
        Ok(addr)
    })
    .await?;
    let between = between.ok_or("no forwarder was started")?;
    let (sender, receiver) = (Sender::Quinn(pair.sender), Receiver::Quinn(pair.receiver));
    let cpu = cpu_of(&between)?;
    let figures = transfer::measure(ends, sender, receiver, megabytes, cpu).await;
    for endpoint in pair.endpoints {
        endpoint.close(0_u32.into(), b"");
        endpoint.wait_idle().await;
    }
    figures
}

fn cpu_of(
    server: &Beside,
) -> Result<impl Fn() -> Result<Duration, Failure> + Send + use<>, Failure> {
    let pid = server.pid()?;
    Ok(move || Ok(process::cpu(pid)?))
}
