//! Clients that register and break the protocol, or do not read.

use std::time::Duration;

use peerway::wire::lane::Channel;
use tokio::{
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use super::{
    flow::{Flow, datagram, meet, show},
    goals::Goals,
    line::Carrier,
    registered::{Heard, Registered},
    target::Target,
};
use crate::Failure;

/// Beyond what a registered client is granted to say nonsense, it is to be gone.
const PATIENCE: Duration = Duration::from_secs(20);
/// The queue of a client over TCP, what TLS and the message that is being written hold, and some air.
const DEAF_KIB: f64 = 400.0;
const LOST_PERCENT: f64 = 0.1;
const WAITED_MS: f64 = 100.0;
/// What no frame begins with, or ends in the middle.
const NONSENSE: [&[u8]; 4] = [
    // A body of 65,535 bytes.
    &[0xff, 0xff, 0x02],
    // HELLO with a body that is too long, and one that is empty.
    &[0, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    &[0, 0, 1],
    // SIGNAL whose body is shorter than a key.
    &[0, 3, 2, 1, 2, 3],
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Clients over TCP that never read, each with somebody who sends to it. Many take all of the processor for themselves.
    #[arg(long, default_value_t = 40)]
    deaf: usize,
    /// Clients that say what is no frame.
    #[arg(long, default_value_t = 400)]
    broken: usize,
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let relay = Target::start(10_000).await?;
    let mut flow = Flow::open(relay.at).await?;
    let lasts = Duration::from_secs(args.seconds);
    show("quiet", &flow.run(lasts / 4).await?);
    let mut broken = JoinSet::new();
    for nth in 0..args.broken {
        let at = relay.at;
        broken.spawn(async move {
            let mut client = Registered::register(at, Carrier::Udp, nth).await?;
            client.say_bytes(
                NONSENSE
                    .get(nth % NONSENSE.len())
                    .copied()
                    .unwrap_or_default(),
            );
            let ends = async { while client.hear().await.is_ok() {} };
            Ok::<_, Failure>(timeout(PATIENCE, ends).await.is_ok())
        });
    }
    let ended = broken.join_all().await.into_iter();
    let ended = ended.filter(|ended| matches!(ended, Ok(true))).count();
    let mut goals = Goals::default();
    let unclosed = args.broken - ended;
    goals.at_most(
        &format!("of {} that broke the protocol, not closed", args.broken),
        unclosed as f64,
        0.0,
    );

    let before = relay.memory_kib()?;
    let mut pairs = Vec::new();
    for nth in 0..args.deaf {
        let mut deaf = Registered::register(relay.at, Carrier::Tcp, 2 * nth).await?;
        let mut sender = Registered::register(relay.at, Carrier::Udp, 2 * nth + 1).await?;
        meet(&mut sender, &mut deaf).await?;
        deaf.turn_deaf();
        pairs.push((sender, deaf));
    }
    let met = relay.memory_kib()?;
    let mut sending = JoinSet::new();
    for (sender, deaf) in pairs {
        sending.spawn(send(sender, deaf));
    }
    let mut most = met;
    let watching = async {
        loop {
            sleep(Duration::from_millis(200)).await;
            most = most.max(relay.memory_kib()?);
        }
    };
    let report = tokio::select! {
        report = flow.run(lasts) => report?,
        failed = watching => return failed,
    };
    show("beside the deaf", &report);
    println!(
        "{} deaf: {:+.0} KiB for them and their peers, {:+.0} at most while they are sent to",
        args.deaf,
        met - before,
        most - met
    );
    let each = (most - met) / args.deaf.max(1) as f64;
    goals.at_most("KiB for one that never reads", each, DEAF_KIB);
    let lost = report.sent.saturating_sub(report.took.len());
    let lost = 100.0 * lost as f64 / report.sent.max(1) as f64;
    goals.at_most("% of others' datagrams lost", lost, LOST_PERCENT);
    let waited = 1e3 * report.took.quantile(0.99).as_secs_f64();
    goals.at_most("p99 of others' datagrams, ms", waited, WAITED_MS);
    goals.reached()
}

/// Sends 1.2 MB a second to a client for as long as the sender is registered.
async fn send(mut sender: Registered, to: Registered) {
    let channel = Channel::between(sender.key, to.key);
    let mut ticks = interval(Duration::from_millis(10));
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                for _ in 0..10 {
                    sender.send_lane(&datagram(channel, Duration::ZERO));
                }
            }
            heard = sender.hear() => match heard {
                Ok(Heard::Frame(_) | Heard::Lane(_)) => {}
                Err(_) => return,
            },
        }
    }
}
