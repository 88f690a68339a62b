//! Registrations in numbers: so many a second, and all at once when a relay comes back.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{interval, timeout},
};

use super::{
    idle::register_all,
    line::Carrier,
    registered::{Registered, now},
    target::Target,
    times::Times,
};
use crate::Failure;

/// How long a client of the storm stays.
const VISIT: Duration = Duration::from_secs(5);
/// By when nearly all are to be back.
const GOAL: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub(crate) struct Storm {
    /// Registrations a second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    #[arg(long, default_value = "udp")]
    by: Carrier,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Failover {
    #[arg(long, default_value_t = 5000)]
    clients: usize,
    #[arg(long, default_value = "udp")]
    by: Carrier,
    /// All find out in the moment in which the relay is killed, and not when it owes them an answer.
    #[arg(long)]
    at_once: bool,
}

/// Has clients register at a steady rate, each of them for some seconds.
pub(super) async fn storm(args: &Storm) -> Result<(), Failure> {
    let relay = Target::start(1 << 16).await?;
    let (cpu, began) = (relay.cpu()?, now());
    let mut visits = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / args.rate.max(1));
    let visits_in_all = args.rate * args.seconds;
    for nth in 0..visits_in_all {
        // From when it was to begin, so that a tool that falls behind is not taken for a quick relay.
        let due = ticks.tick().await.into_std();
        let (at, carrier) = (relay.at, args.by);
        visits.spawn(async move {
            let mut registered = Registered::register(at, carrier, nth as usize).await.ok()?;
            let took = due.elapsed();
            let answers = Mutex::default();
            let stayed = timeout(VISIT, registered.stay(&answers)).await.is_err();
            registered.leave();
            stayed.then_some(took)
        });
    }
    let lasted = began.elapsed();
    let cpu = relay.cpu()? - cpu;
    let took: Vec<_> = visits.join_all().await.into_iter().flatten().collect();
    let failed = visits_in_all as usize - took.len();
    println!(
        "{:?}: {visits_in_all} registrations, {:.0} a second: {}; {failed} failed; {:.1} % of a core of the relay, {:.0} MiB",
        args.by,
        f64::from(visits_in_all) / lasted.as_secs_f64(),
        Times::of(took),
        100.0 * cpu.as_secs_f64() / lasted.as_secs_f64(),
        relay.memory_kib()? / 1024.0
    );
    Ok(())
}

/// Kills a relay, starts it again, and sees when its clients are back.
pub(super) async fn failover(args: &Failover) -> Result<(), Failure> {
    let relay = Target::start(args.clients).await?;
    let mut crowd = register_all(relay.at, args.by, args.clients).await?;
    let (at, carrier, killed) = (relay.at, args.by, now());
    let answers = Arc::new(Mutex::new(Vec::new()));
    let mut coming_back = JoinSet::new();
    for (nth, mut client) in crowd.drain(..).enumerate() {
        let (answers, at_once) = (answers.clone(), args.at_once);
        coming_back.spawn(async move {
            if !at_once {
                client.stay(&answers).await;
            }
            drop(client);
            let back = Registered::register_at_last(at, carrier, nth).await;
            (killed.elapsed(), back)
        });
    }
    let relay = relay.crash().await?;
    let (mut took, mut back) = (Vec::new(), Vec::new());
    while let Some(done) = coming_back.join_next().await {
        let (after, client) = done?;
        took.push(after);
        back.push(client);
    }
    let in_time = took.iter().filter(|took| **took <= GOAL).count();
    let cpu = relay.cpu()?;
    let share = 100.0 * in_time as f64 / took.len().max(1) as f64;
    let took = Times::of(took);
    println!(
        "{carrier:?}: {} back: {took}; {share:.1} % within {} s; {:.2} s of the relay's processor time",
        took.len(),
        GOAL.as_secs(),
        cpu.as_secs_f64()
    );
    Ok(())
}
