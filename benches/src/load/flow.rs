//! Two clients, of whom one sends the other datagrams through the relay.

use std::time::{Duration, Instant};

use bytes::Bytes;
use peerway::wire::{
    lane::{Channel, HEADER_LEN},
    relay::{Payload, ToClient, ToRelay},
};
use tokio::time::{interval, sleep};

use super::{
    line::Carrier,
    registered::{Heard, Registered, now},
    target::At,
    times::Times,
};
use crate::Failure;

const EVERY: Duration = Duration::from_millis(5);
const LENGTH: usize = 1200;
/// What a packet of QUIC may begin with.
const SHORT_HEADER: u8 = 0x40;
const KEEPALIVE: Duration = Duration::from_secs(10);
/// After the last datagram was sent.
const REST: Duration = Duration::from_millis(500);

pub(super) fn show(when: &str, report: &Report) {
    let Report { sent, took } = report;
    println!("{when}: {} of {sent} relayed, {took}", took.len());
}

/// A pair whose channel is open.
pub(super) struct Flow {
    sender: Registered,
    receiver: Registered,
}

/// What became of the datagrams.
pub(super) struct Report {
    pub(super) sent: usize,
    pub(super) took: Times,
}

impl Flow {
    /// Of two clients with numbers beyond those of any crowd.
    pub(super) async fn open(relay: At) -> Result<Self, Failure> {
        let mut sender = Registered::register(relay, Carrier::Udp, 1_000_000).await?;
        let mut receiver = Registered::register(relay, Carrier::Udp, 1_000_001).await?;
        meet(&mut sender, &mut receiver).await?;
        Ok(Self { sender, receiver })
    }

    /// Sends for so long.
    pub(super) async fn run(&mut self, lasts: Duration) -> Result<Report, Failure> {
        let (began, channel) = (now(), Channel::between(self.sender.key, self.receiver.key));
        let end = began + lasts;
        let Self { sender, receiver } = self;
        let sending = async {
            let mut ticks = interval(EVERY);
            let mut keepalive = interval(KEEPALIVE);
            let mut sent = 0;
            while now() < end {
                tokio::select! {
                    due = ticks.tick() => {
                        sender.send_lane(&datagram(channel, due.into_std() - began));
                        sent += 1;
                    }
                    _ = keepalive.tick() => sender.say(&ToRelay::KeepAlive),
                    heard = sender.hear() => drop(heard?),
                }
            }
            sleep(REST).await;
            Ok::<_, Failure>(sent)
        };
        let mut took = Vec::new();
        let receiving = async {
            let mut keepalive = interval(KEEPALIVE);
            loop {
                tokio::select! {
                    heard = receiver.hear() => if let Heard::Lane(datagram) = heard? {
                        took.extend(age(began, &datagram));
                    },
                    _ = keepalive.tick() => receiver.say(&ToRelay::KeepAlive),
                }
            }
        };
        let sent = tokio::select! {
            sent = sending => sent?,
            failed = receiving => return failed,
        };
        Ok(Report {
            sent,
            took: Times::of(took),
        })
    }
}

/// Has both signal, which opens their channel and answers it.
pub(super) async fn meet(one: &mut Registered, other: &mut Registered) -> Result<(), Failure> {
    signal(one, other).await?;
    signal(other, one).await
}

async fn signal(from: &mut Registered, to: &mut Registered) -> Result<(), Failure> {
    let payload = Payload::try_from(b"flow".to_vec())?;
    from.say(&ToRelay::Signal {
        to: to.key,
        hidden: false,
        payload,
    });
    loop {
        tokio::select! {
            heard = from.hear() => drop(heard?),
            heard = to.hear() => if let Heard::Frame(ToClient::Deliver { .. }) = heard? {
                return Ok(());
            },
        }
    }
}

/// Says when it was due to be sent.
pub(super) fn datagram(channel: Channel, after: Duration) -> Vec<u8> {
    let mut bytes = channel.header().to_vec();
    bytes.push(SHORT_HEADER);
    bytes.extend_from_slice(&(after.as_nanos() as u64).to_be_bytes());
    bytes.resize(LENGTH, 0);
    bytes
}

/// How long ago it was due to be sent.
fn age(began: Instant, datagram: &Bytes) -> Option<Duration> {
    let nanos = datagram.get(HEADER_LEN + 1..)?.first_chunk()?;
    let sent = began + Duration::from_nanos(u64::from_be_bytes(*nanos));
    Some(now().saturating_duration_since(sent))
}
