//! Registrations in numbers: so many a second, and all at once when a relay comes back.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use super::{
    flood::newcomers,
    idle::register_all,
    line::Carrier,
    registered::{Registered, now},
    target::Target,
    times::Times,
};
use crate::Failure;

/// How long a client of the storm stays.
const VISIT: Duration = Duration::from_secs(5);
/// How long clients wait before the relay is killed; longer than between two keepalives.
const SPREAD: Duration = Duration::from_secs(15);
/// How long the relay is watched that they come to.
const WATCHED: Duration = Duration::from_secs(25);
/// Who registers meanwhile, one a second.
const NEWCOMERS: usize = 64;
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
    /// They come back to the same relay, which is started again, and not to another.
    #[arg(long)]
    restart: bool,
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

/// Kills a relay, and sees when its clients are at the other, or at the same again.
pub(super) async fn failover(args: &Failover) -> Result<(), Failure> {
    let relay = Target::start(args.clients).await?;
    // Room for the newcomers too.
    let standby = Target::start(args.clients + NEWCOMERS).await?;
    let mut crowd = register_all(relay.at, args.by, args.clients).await?;
    let then = if args.restart { relay.at } else { standby.at };
    let answers = Arc::new(Mutex::new(Vec::new()));
    let (kill, killed) = watch::channel(None::<Instant>);
    let mut coming_back = JoinSet::new();
    for (nth, mut client) in crowd.drain(..).enumerate() {
        let (answers, carrier, at_once) = (answers.clone(), args.by, args.at_once);
        let mut killed = killed.clone();
        coming_back.spawn(async move {
            if !at_once {
                client.stay(&answers).await;
            }
            let since = killed
                .wait_for(Option::is_some)
                .await
                .ok()
                .and_then(|at| *at);
            drop(client);
            let back = Registered::register_at_last(then, carrier, nth).await;
            (since.map(|at| at.elapsed()), back)
        });
    }
    // All are somewhere between two keepalives.
    sleep(SPREAD).await;
    kill.send_replace(Some(now()));
    let relay = if args.restart {
        relay.crash().await?
    } else {
        relay.kill().await?;
        standby
    };
    let mut back = Vec::new();
    let coming = async {
        while let Some(done) = coming_back.join_next().await {
            let (after, client) = done?;
            back.push((after.ok_or("a client left before the relay did")?, client));
        }
        Ok::<_, Failure>(())
    };
    let (busiest, newcomers, ()) = tokio::try_join!(
        busiest(&relay),
        newcomers(relay.at, args.by, WATCHED),
        coming
    )?;
    let took: Vec<_> = back.iter().map(|(after, _)| *after).collect();
    let in_time = took.iter().filter(|took| **took <= GOAL).count();
    let share = 100.0 * in_time as f64 / took.len().max(1) as f64;
    println!(
        "{:?}: {} back: {}; {share:.1} % within {} s; the relay: {:.1} % of a core in its busiest 10 s, {:.2} s in all",
        args.by,
        took.len(),
        Times::of(took),
        GOAL.as_secs(),
        100.0 * busiest,
        relay.cpu()?.as_secs_f64()
    );
    println!("new clients meanwhile: {newcomers}");
    Ok(())
}

/// The share of a processor that the relay takes in the busiest ten of these seconds.
async fn busiest(relay: &Target) -> Result<f64, Failure> {
    let (began, mut ticks) = (now(), interval(Duration::from_secs(1)));
    let mut used = Vec::new();
    while began.elapsed() < WATCHED {
        ticks.tick().await;
        used.push((now(), relay.cpu()?));
    }
    let shares = used.iter().zip(used.iter().skip(10)).map(|(from, to)| {
        let lasted = to.0 - from.0;
        (to.1 - from.1).as_secs_f64() / lasted.as_secs_f64()
    });
    Ok(shares.fold(0.0, f64::max))
}
