//! Clients that come, talk, break things and go, for long: whether the relay keeps anything of them.

use std::{sync::Mutex, time::Duration};

use peerway::wire::lane::Channel;
use tokio::{
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use super::{
    flow::{datagram, meet},
    goals::Goals,
    line::Carrier,
    registered::{Registered, now},
    target::{At, Target},
};
use crate::Failure;

/// Visitors at a time, and how long each of them stays at most.
const AT_ONCE: usize = 200;
const VISIT: Duration = Duration::from_secs(5);
/// Memory is looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// Until all have left, and QUIC has forgotten those who vanished.
const REST: Duration = Duration::from_secs(55);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 180)]
    seconds: u64,
}

/// Prints how fast memory grows after a third of the time, and what is left when all have gone.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let relay = Target::start(10_000).await?;
    let lasts = Duration::from_secs(args.seconds);
    let (empty, descriptors) = (relay.memory_kib()?, relay.descriptors()?);
    let began = now();
    let (mut visits, mut nth, mut done, mut failed) = (JoinSet::new(), 0, 0_u64, 0_u64);
    let (mut looks, mut grown) = (interval(LOOK), Vec::new());
    while began.elapsed() < lasts {
        while visits.len() < AT_ONCE {
            visits.spawn(visit(relay.at, nth));
            nth += 1;
        }
        tokio::select! {
            Some(visited) = visits.join_next() => match visited? {
                Ok(()) => done += 1,
                Err(_) => failed += 1,
            },
            _ = looks.tick() => {
                let after = began.elapsed();
                if after >= lasts / 3 {
                    grown.push((after.as_secs_f64() / 60.0, relay.memory_kib()? / 1024.0));
                }
            }
        }
    }
    visits.shutdown().await;
    let full = relay.memory_kib()?;
    sleep(REST).await;
    println!(
        "{done} visits, {failed} failed; memory: {:.1} MiB before, {:.1} at the end, {:.1} when all had left; {} descriptors before, {} then",
        empty / 1024.0,
        full / 1024.0,
        relay.memory_kib()? / 1024.0,
        descriptors,
        relay.descriptors()?
    );
    let mut goals = Goals::default();
    goals.at_most("growth of memory, MiB a minute", slope(&grown), 1.0);
    goals.at_most(
        "more descriptors",
        relay.descriptors()? as f64 - descriptors as f64,
        0.0,
    );
    goals.at_most(
        "% of visits that failed",
        100.0 * failed as f64 / (done + failed).max(1) as f64,
        1.0,
    );
    goals.reached()
}

/// What a client may do: talk and leave, vanish, break the protocol, stay deaf, or come and go at once.
async fn visit(at: At, nth: usize) -> Result<(), Failure> {
    let carrier = if nth.is_multiple_of(3) {
        Carrier::Tcp
    } else {
        Carrier::Udp
    };
    // Few networks, so that some come back.
    let place = 2 * (nth % 2000);
    let mut one = Registered::register_at_last(at, carrier, place).await;
    let answers = Mutex::default();
    match nth % 5 {
        0 => {
            let mut other = Registered::register_at_last(at, Carrier::Udp, place + 1).await;
            meet(&mut one, &mut other).await?;
            let channel = Channel::between(one.key, other.key);
            for _ in 0..100 {
                one.send_lane(&datagram(channel, Duration::ZERO));
            }
            let _ = timeout(VISIT, other.stay(&answers)).await;
            other.leave();
            one.leave();
        }
        1 => drop(one),
        2 => {
            one.say_bytes(&[0xff, 0xff, 2]);
            let ends = async { while one.hear().await.is_ok() {} };
            timeout(VISIT, ends).await?;
        }
        3 => {
            one.turn_deaf();
            sleep(VISIT / 2).await;
        }
        _ => one.leave(),
    }
    Ok(())
}

/// Of the straight line that is nearest to these points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let of = |(at, value): &(f64, f64)| ((at - x) * (value - y), (at - x) * (at - x));
    let (both, own) =
        (points.iter().map(of)).fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    both / own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_has_its_slope() {
        let line: Vec<_> = (0..10)
            .map(|at| (f64::from(at), 3.0 + 2.0 * f64::from(at)))
            .collect();
        assert!((slope(&line) - 2.0).abs() < 1e-9);
    }
}
