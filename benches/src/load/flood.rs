//! Datagrams of nobody in numbers, while others talk through the relay.

use std::{fmt, net::Ipv4Addr, time::Duration};

use peerway::SecretKey;
use tokio::{net::UdpSocket, task::JoinSet, time::interval};

use super::{
    client::Client,
    flow::{Flow, show},
    line::Carrier,
    registered::{Registered, now},
    target::{At, Target},
    times::Times,
};
use crate::Failure;

/// Addresses that the flood comes from.
const SOURCES: u8 = 64;
/// Different datagrams, which are sent in turn.
const DATAGRAMS: usize = 2048;
const TICK: Duration = Duration::from_millis(1);
/// How long the flow is measured before.
const QUIET: Duration = Duration::from_secs(10);
const LONGEST: usize = 1400;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value = "garbage")]
    kind: Kind,
    /// Datagrams a second.
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Nothing that a relay takes, though it may look so.
    Garbage,
    /// Beginnings of real handshakes that never go on.
    Initials,
}

/// What a flood sent, and what came back.
#[derive(Debug, Default)]
struct Flooded {
    sent: u64,
    sent_bytes: u64,
    answers: u64,
    answered_bytes: u64,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let relay = Target::start(1 << 16).await?;
    let mut flow = Flow::open(relay.at).await?;
    let datagrams = match args.kind {
        Kind::Garbage => (0..DATAGRAMS).map(garbage).collect::<Result<Vec<_>, _>>()?,
        Kind::Initials => (0..DATAGRAMS)
            .map(|_| initial(relay.at))
            .collect::<Result<Vec<_>, _>>()?,
    };
    show("quiet", &flow.run(QUIET).await?);
    let (memory, cpu) = (relay.memory_kib()?, relay.cpu()?);
    let lasts = Duration::from_secs(args.seconds);
    let (report, flooded, newcomers) = tokio::try_join!(
        flow.run(lasts),
        flood(relay.at, &datagrams, args.rate, lasts),
        newcomers(relay.at, Carrier::Udp, lasts)
    )?;
    show("flooded", &report);
    let lasted = lasts.as_secs_f64();
    println!(
        "{:?}: {:.0} datagrams a second, {} MB; answered: {} datagrams, {} bytes",
        args.kind,
        flooded.sent as f64 / lasted,
        flooded.sent_bytes / 1_000_000,
        flooded.answers,
        flooded.answered_bytes
    );
    println!("new clients meanwhile: {newcomers}");
    println!(
        "the relay: {:+.0} KiB, {:.1} % of a core",
        relay.memory_kib()? - memory,
        100.0 * (relay.cpu()? - cpu).as_secs_f64() / lasted
    );
    Ok(())
}

/// Clients that came one after the other.
pub(super) struct Newcomers {
    pub(super) took: Times,
    pub(super) failed: usize,
}

impl fmt::Display for Newcomers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_all = self.took.len() + self.failed;
        write!(f, "{}; {} of {in_all} failed", self.took, self.failed)
    }
}

/// Has a client register each second.
pub(super) async fn newcomers(
    relay: At,
    carrier: Carrier,
    lasts: Duration,
) -> Result<Newcomers, Failure> {
    let (began, mut ticks) = (now(), interval(Duration::from_secs(1)));
    let mut visits = JoinSet::new();
    for nth in 0.. {
        ticks.tick().await;
        if began.elapsed() >= lasts {
            break;
        }
        visits.spawn(async move {
            let began = now();
            let registered = Registered::register(relay, carrier, 500_000 + nth).await;
            registered.map(Registered::leave).map(|()| began.elapsed())
        });
    }
    let in_all = visits.len();
    let took: Vec<_> = visits.join_all().await.into_iter().flatten().collect();
    Ok(Newcomers {
        failed: in_all - took.len(),
        took: Times::of(took),
    })
}

async fn flood(
    relay: At,
    datagrams: &[Vec<u8>],
    rate: u32,
    lasts: Duration,
) -> Result<Flooded, Failure> {
    let mut sources = Vec::new();
    for nth in 0..SOURCES {
        let source = UdpSocket::bind((Ipv4Addr::new(127, 200, nth, 1), 0)).await?;
        source.writable().await?;
        sources.push(source);
    }
    let mut flooded = Flooded::default();
    let mut next = datagrams.iter().cycle().zip(sources.iter().cycle());
    let (began, mut ticks) = (now(), interval(TICK));
    let mut buffer = [0; 2048];
    while began.elapsed() < lasts {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while flooded.sent < due
            && let Some((datagram, source)) = next.next()
        {
            drop(source.try_send_to(datagram, relay.addr));
            flooded.sent += 1;
            flooded.sent_bytes += datagram.len() as u64;
        }
        for source in &sources {
            while let Ok(len) = source.try_recv(&mut buffer) {
                flooded.answers += 1;
                flooded.answered_bytes += len as u64;
            }
        }
    }
    Ok(flooded)
}

/// Random bytes behind what the kinds of datagrams begin with that a relay knows.
fn garbage(nth: usize) -> Result<Vec<u8>, Failure> {
    const BEGINNINGS: [&[u8]; 10] = [
        &[],
        // QUIC: a short header, an Initial and a Handshake of version 1, another version.
        &[0x40],
        &[0xc0, 0, 0, 0, 1, 8],
        &[0xe0, 0, 0, 0, 1, 8],
        &[0xc0, 0xba, 0xba, 0xba, 0xba, 8],
        // The lane, and a lane that is cut short.
        &[0x20],
        &[0x20, 0x01, 0x02],
        // STUN: a request that is none, an answer that nobody asked for.
        &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
        &[1, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42],
        &[0x80],
    ];
    let beginning = BEGINNINGS.get(nth % BEGINNINGS.len()).copied();
    let mut bytes = beginning.unwrap_or_default().to_vec();
    let more = match nth / BEGINNINGS.len() % 4 {
        0 => 0,
        1 => 1200_usize.saturating_sub(bytes.len()),
        _ => getrandom::u32()? as usize % LONGEST,
    };
    let begins = bytes.len();
    bytes.resize(begins + more, 0);
    getrandom::fill(bytes.get_mut(begins..).unwrap_or_default())?;
    Ok(bytes)
}

/// The first datagram of a client.
fn initial(relay: At) -> Result<Vec<u8>, Failure> {
    let key = SecretKey::generate()?;
    let mut client = Client::dial(now(), relay.addr, relay.key, &key)?;
    let mut datagram = Vec::new();
    client.poll_transmit(now(), &mut datagram);
    Ok(datagram)
}
