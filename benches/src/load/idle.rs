//! What clients cost a relay that only stay registered.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};

use super::{
    line::Carrier,
    registered::{Registered, now},
    target::{At, Target},
    times::Times,
};
use crate::Failure;

/// Clients that register at once.
const AT_ONCE: usize = 64;
/// Until all clients have asked the relay once, and what the registrations left behind has passed.
const REST: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Clients over UDP.
    #[arg(long, default_value_t = 10_000)]
    udp: usize,
    /// Clients over TCP.
    #[arg(long, default_value_t = 5000)]
    tcp: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    for (carrier, clients) in [(Carrier::Udp, args.udp), (Carrier::Tcp, args.tcp)] {
        if clients > 0 {
            measure(carrier, clients, args.seconds).await?;
        }
    }
    Ok(())
}

async fn measure(carrier: Carrier, clients: usize, seconds: u64) -> Result<(), Failure> {
    let relay = Target::start(clients).await?;
    let (before, cpu, began) = (relay.memory_kib()?, relay.cpu()?, now());
    let crowd = register_all(relay.at, carrier, clients).await?;
    let registering = relay.cpu()? - cpu;
    println!(
        "{carrier:?}: {clients} registered in {:.1} s, {:.0} µs of the relay's processor time each",
        began.elapsed().as_secs_f64(),
        registering.as_secs_f64() * 1e6 / clients as f64
    );
    let answers = Arc::new(Mutex::new(Vec::new()));
    let mut staying = JoinSet::new();
    for mut client in crowd {
        let answers = answers.clone();
        staying.spawn(async move { client.stay(&answers).await });
    }
    sleep(REST).await;
    let cpu = relay.cpu()?;
    sleep(Duration::from_secs(seconds)).await;
    let share = (relay.cpu()? - cpu).as_secs_f64() / seconds.max(1) as f64;
    let memory = relay.memory_kib()?;
    let mut lost = 0;
    while staying.try_join_next().is_some() {
        lost += 1;
    }
    println!(
        "{carrier:?}: {:.1} KiB a client ({memory:.0} KiB in all), {:.1} % of a core, {lost} lost",
        (memory - before) / clients as f64,
        100.0 * share
    );
    let answers = answers.lock().map(|answers| answers.clone());
    println!(
        "{carrier:?}: answers {}",
        Times::of(answers.unwrap_or_default())
    );
    Ok(())
}

/// Registers so many, some at once.
pub(super) async fn register_all(
    relay: At,
    carrier: Carrier,
    clients: usize,
) -> Result<Vec<Registered>, Failure> {
    let (mut registering, mut crowd) = (JoinSet::new(), Vec::new());
    for nth in 0..clients {
        if registering.len() >= AT_ONCE
            && let Some(registered) = registering.join_next().await
        {
            crowd.push(registered?);
        }
        registering.spawn(Registered::register_at_last(relay, carrier, nth));
    }
    while let Some(registered) = registering.join_next().await {
        crowd.push(registered?);
    }
    Ok(crowd)
}
