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
    client::TurnedAway,
    flood::newcomers,
    flow::{Flow, show},
    goals::Goals,
    idle::Door,
    line::Carrier,
    registered::{Registered, now, wait_for},
    target::{At, Target},
    times::Times,
};
use crate::Failure;

/// How long the pair is measured before.
const QUIET: Duration = Duration::from_secs(5);
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

/// Has clients register at a steady rate, each of them for some seconds, beside a pair that talks. Who is told to come again does.
pub(super) async fn storm(args: &Storm) -> Result<(), Failure> {
    let relay = Target::start(1 << 16).await?;
    let mut flow = Flow::open(relay.at).await?;
    let quiet = flow.run(QUIET).await?;
    show("quiet", &quiet);
    let lasts = Duration::from_secs(args.seconds.into());
    let (cpu, began) = (relay.cpu()?, now());
    let (beside, visits) = tokio::try_join!(flow.run(lasts), visits(relay.at, args))?;
    let cpu = (relay.cpu()? - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    show("in the storm", &beside);
    let visits: Vec<_> = visits.join_all().await;
    let in_all = visits.len();
    let (late, at_once): (Vec<_>, Vec<_>) = visits
        .into_iter()
        .flatten()
        .partition(|visit| visit.tries > 1);
    let took = |visits: &[Visit]| Times::of(visits.iter().map(|visit| visit.took).collect());
    let (first, again) = (took(&at_once), took(&late));
    println!(
        "{:?}: {in_all} registrations; {} at once: {first}; {} told to come again: {again}; {:.1} % of a core of the relay, {:.0} MiB",
        args.by,
        first.len(),
        again.len(),
        100.0 * cpu,
        relay.memory_kib()? / 1024.0
    );
    let failed = in_all - first.len() - again.len();
    let added = beside
        .took
        .quantile(0.99)
        .saturating_sub(quiet.took.quantile(0.99));
    let mut goals = Goals::default();
    goals.at_most("registrations that failed", failed as f64, 0.0);
    goals.at_most(
        "p99 of those at once, ms",
        1e3 * first.quantile(0.99).as_secs_f64(),
        250.0,
    );
    goals.at_most(
        "added to p99 of what is relayed, ms",
        1e3 * added.as_secs_f64(),
        50.0,
    );
    goals.reached()
}

/// A registration: how long it took, with so many tries.
struct Visit {
    took: Duration,
    tries: usize,
}

/// Begins them all.
async fn visits(at: At, args: &Storm) -> Result<JoinSet<Option<Visit>>, Failure> {
    let mut visits = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / args.rate.max(1));
    for nth in 0..args.rate * args.seconds {
        // From when it was to begin, so that a tool that falls behind is not taken for a quick relay.
        let due = ticks.tick().await.into_std();
        let carrier = args.by;
        visits.spawn(async move { visit(due, at, carrier, nth as usize).await });
    }
    Ok(visits)
}

/// None if it failed.
async fn visit(due: Instant, at: At, carrier: Carrier, nth: usize) -> Option<Visit> {
    let mut tries = 1;
    let mut registered = loop {
        match Registered::register(at, carrier, nth).await {
            Ok(registered) => break registered,
            Err(error) => {
                let TurnedAway(busy) = error.downcast_ref()?;
                wait_for(*busy).await;
                tries += 1;
            }
        }
    };
    let took = due.elapsed();
    let answers = Mutex::default();
    let stayed = timeout(VISIT, registered.stay(&answers)).await.is_err();
    registered.leave();
    stayed.then_some(Visit { took, tries })
}

/// Kills a relay, and sees when its clients are at the other, or at the same again.
pub(super) async fn failover(args: &Failover) -> Result<(), Failure> {
    let relay = Target::start(args.clients).await?;
    // Room for the newcomers too.
    let standby = Target::start(args.clients + NEWCOMERS).await?;
    let then = if args.restart { relay.at } else { standby.at };
    let answers = Arc::new(Mutex::new(Vec::new()));
    let (kill, killed) = watch::channel(None::<Instant>);
    let (door, mut coming_back) = (Door::new(), JoinSet::new());
    for nth in 0..args.clients {
        let (answers, carrier, at_once) = (answers.clone(), args.by, args.at_once);
        let (door, first, mut killed) = (door.clone(), relay.at, killed.clone());
        coming_back.spawn(async move {
            let mut client = door.register(first, carrier, nth).await;
            tokio::select! {
                () = client.stay(&answers) => {}
                _ = killed.wait_for(Option::is_some), if at_once => {}
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
    door.all(args.clients).await?;
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
        "{:?}: {} back: {}; the relay: {:.2} s of a processor in all",
        args.by,
        took.len(),
        Times::of(took),
        relay.cpu()?.as_secs_f64()
    );
    println!("new clients meanwhile: {newcomers}");
    let mut goals = Goals::default();
    goals.at_least("% back within 15 s", share, 99.0);
    goals.at_most("% of a core in its busiest 10 s", 100.0 * busiest, 80.0);
    goals.reached()
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
