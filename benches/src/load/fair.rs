//! Pairs that all send more than there is room for: whether each gets as much.

use std::time::Duration;

use peerway::wire::lane::Channel;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep},
};

use super::{
    flow::{datagram, meet},
    goals::Goals,
    line::Carrier,
    registered::{Heard, Registered},
    target::Target,
};
use crate::Failure;

/// Until all queues are as full as they get.
const BEGINNING: Duration = Duration::from_secs(2);
/// Datagrams that each sends in each of so many milliseconds.
const EACH: usize = 2;
const TICK: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 200)]
    pairs: usize,
    /// What the relay forwards in a second, of the 120,000 bytes that each pair sends.
    #[arg(long, default_value_t = 8_000_000)]
    lane_rate: u64,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// Prints Jain's index of what the pairs got: 1 if all got the same, and a part of it if only that part got anything.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let relay = Target::start_limited(10_000, args.lane_rate).await?;
    let mut pairs = Vec::new();
    for nth in 0..args.pairs {
        let mut sender = Registered::register(relay.at, Carrier::Udp, nth).await?;
        let receiver = Registered::register(relay.at, Carrier::Udp, args.pairs + nth);
        let mut receiver = receiver.await?;
        meet(&mut sender, &mut receiver).await?;
        pairs.push((sender, receiver));
    }
    let (counts, counting) = watch::channel(false);
    let mut sending = JoinSet::new();
    for (sender, receiver) in pairs {
        sending.spawn(count(sender, receiver, counting.clone()));
    }
    drop(counting);
    sleep(BEGINNING).await;
    let cpu = relay.cpu()?;
    counts.send_replace(true);
    sleep(Duration::from_secs(args.seconds)).await;
    let cpu = relay.cpu()? - cpu;
    drop(counts);
    let mut got = Vec::new();
    while let Some(count) = sending.join_next().await {
        got.push(count?? as f64);
    }
    let sum: f64 = got.iter().sum();
    println!(
        "{} pairs: {:.0} datagrams a second, least {:.0} and most {:.0} each; {:.1} % of a core",
        got.len(),
        sum / args.seconds as f64,
        got.iter().copied().fold(f64::INFINITY, f64::min),
        got.iter().copied().fold(0.0, f64::max),
        100.0 * cpu.as_secs_f64() / args.seconds as f64
    );
    let mut goals = Goals::default();
    goals.at_least("Jain's index", jain(&got), 0.9);
    goals.reached()
}

fn jain(got: &[f64]) -> f64 {
    let (sum, squares) = (got.iter().sum::<f64>(), got.iter().map(|got| got * got));
    sum * sum / (got.len() as f64 * squares.sum::<f64>())
}

/// Sends from one to the other until nobody asks any more how much arrives; counts it while `counting`.
async fn count(
    mut sender: Registered,
    mut receiver: Registered,
    mut counting: watch::Receiver<bool>,
) -> Result<usize, Failure> {
    let channel = Channel::between(sender.key, receiver.key);
    let mut ticks = interval(TICK);
    let mut got = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                for _ in 0..EACH {
                    sender.send_lane(&datagram(channel, Duration::ZERO));
                }
            }
            heard = receiver.hear() => if let Heard::Lane(_) = heard? {
                got += usize::from(*counting.borrow());
            },
            heard = sender.hear() => drop(heard?),
            changed = counting.changed() => if changed.is_err() {
                return Ok(got);
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_part_that_got_anything() {
        assert_eq!(jain(&[5.0; 8]), 1.0);
        assert_eq!(jain(&[8.0, 0.0, 0.0, 0.0]), 0.25);
    }
}
