//! What clients cost a relay that only stay registered.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::sleep,
};

use super::{
    goals::Goals,
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
            measure(carrier, clients, args.seconds).await?.reached()?;
        }
    }
    Ok(())
}

async fn measure(carrier: Carrier, clients: usize, seconds: u64) -> Result<Goals, Failure> {
    let relay = Target::start(clients).await?;
    let (before, cpu, began) = (relay.memory_kib()?, relay.cpu()?, now());
    let answers = Arc::new(Mutex::new(Vec::new()));
    let (door, mut staying) = (Door::new(), JoinSet::new());
    for nth in 0..clients {
        let (door, at, answers) = (door.clone(), relay.at, answers.clone());
        staying.spawn(async move {
            let mut client = door.register(at, carrier, nth).await;
            client.stay(&answers).await;
        });
    }
    door.all(clients).await?;
    let registering = relay.cpu()? - cpu;
    println!(
        "{carrier:?}: {clients} registered in {:.1} s, {:.0} µs of the relay's processor time each",
        began.elapsed().as_secs_f64(),
        registering.as_secs_f64() * 1e6 / clients as f64
    );
    sleep(REST).await;
    let cpu = relay.cpu()?;
    sleep(Duration::from_secs(seconds)).await;
    let share = (relay.cpu()? - cpu).as_secs_f64() / seconds.max(1) as f64;
    let memory = relay.memory_kib()?;
    let mut lost = 0;
    while staying.try_join_next().is_some() {
        lost += 1;
    }
    println!("{carrier:?}: {memory:.0} KiB in all");
    let answers = answers.lock().map(|answers| answers.clone());
    println!(
        "{carrier:?}: answers {}",
        Times::of(answers.unwrap_or_default())
    );
    let each = match carrier {
        Carrier::Udp => 16.0,
        Carrier::Tcp => 40.0,
    };
    let mut goals = Goals::default();
    goals.at_most("KiB a client", (memory - before) / clients as f64, each);
    goals.at_most("% of a core", 100.0 * share, 15.0);
    goals.at_most("clients lost", f64::from(lost), 0.0);
    Ok(goals)
}

/// Lets some register at once. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    turns: Arc<Semaphore>,
    registered: Arc<watch::Sender<usize>>,
}

impl Door {
    pub(super) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            registered: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Registers when it is this one's turn. Whoever calls this has to go on hearing at once: what the relay says last is
    /// acknowledged then.
    pub(super) async fn register(&self, relay: At, carrier: Carrier, nth: usize) -> Registered {
        let turn = self.turns.acquire().await;
        let registered = Registered::register_at_last(relay, carrier, nth).await;
        drop(turn);
        self.registered.send_modify(|count| *count += 1);
        registered
    }

    /// Waits until so many are registered.
    pub(super) async fn all(&self, clients: usize) -> Result<(), Failure> {
        let mut registered = self.registered.subscribe();
        registered.wait_for(|count| *count >= clients).await?;
        Ok(())
    }
}
