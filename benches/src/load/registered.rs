//! A registered client, which does what a node does that has nothing to say.

use std::{
    net::Ipv4Addr,
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::Bytes;
use peerway::{
    PeerId, SecretKey,
    wire::{
        datagram::DatagramKind,
        relay::{Busy, ToClient, ToRelay},
    },
};
use peerway_proto::relays::keepalive::{Due, Keepalive};
use tokio::time::{sleep, sleep_until, timeout};

use super::{
    client::{Client, Happened, TurnedAway},
    line::{Carrier, Line},
    target::At,
};
use crate::Failure;

/// As a node has them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const BUSY_JITTER: Duration = Duration::from_secs(1);
/// To the relay, at most.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// Clients behind one address; a relay takes 64 by default.
const BEHIND_ONE: usize = 50;

pub(super) struct Registered {
    client: Client,
    line: Line,
    pub(super) key: PeerId,
    buffer: Vec<u8>,
}

/// What comes from the relay.
pub(super) enum Heard {
    Frame(ToClient),
    Lane(Bytes),
}

impl Registered {
    /// Registers with a new key, from an address that the client shares with some others.
    pub(super) async fn register(relay: At, carrier: Carrier, nth: usize) -> Result<Self, Failure> {
        timeout(CONNECT_TIMEOUT, Self::dial(relay, carrier, nth)).await?
    }

    /// Tries as a node does until it is registered.
    pub(super) async fn register_at_last(relay: At, carrier: Carrier, nth: usize) -> Self {
        let mut bound = FIRST_PAUSE;
        loop {
            let error = match Self::register(relay, carrier, nth).await {
                Ok(registered) => return registered,
                Err(error) => error,
            };
            if let Some(TurnedAway(busy)) = error.downcast_ref() {
                wait_for(*busy).await;
            } else {
                sleep(bound.mul_f64(chance())).await;
                bound = LONGEST_PAUSE.min(bound * 2);
            }
        }
    }

    async fn dial(relay: At, carrier: Carrier, nth: usize) -> Result<Self, Failure> {
        let line = Line::open(carrier, address(nth)?, relay).await?;
        let key = SecretKey::generate()?;
        let mut dialled = Self {
            client: Client::dial(now(), relay.addr, relay.key, &key)?,
            line,
            key: key.id(),
            buffer: Vec::new(),
        };
        loop {
            if let Heard::Frame(ToClient::Welcome { .. }) = dialled.hear().await? {
                return Ok(dialled);
            }
        }
    }

    /// What the relay says next. Nothing is lost if the future is dropped.
    pub(super) async fn hear(&mut self) -> Result<Heard, Failure> {
        loop {
            match self.client.poll() {
                Some(Happened::Heard(frame)) => return Ok(Heard::Frame(frame)),
                Some(Happened::Lost(why)) => return Err(why),
                None => {}
            }
            self.flush();
            let timeout = self.client.next_timeout();
            tokio::select! {
                datagram = self.line.receive() => {
                    let datagram = datagram?;
                    if DatagramKind::of(&datagram) == Some(DatagramKind::Lane) {
                        return Ok(Heard::Lane(datagram.freeze()));
                    }
                    self.client.receive(now(), datagram);
                }
                () = at(timeout) => self.client.expire(now()),
            }
        }
    }

    pub(super) fn say(&mut self, frame: &ToRelay) {
        self.client.say(frame);
        self.flush();
    }

    pub(super) fn say_bytes(&mut self, bytes: &[u8]) {
        self.client.say_bytes(bytes);
        self.flush();
    }

    pub(super) fn send_lane(&self, datagram: &[u8]) {
        self.line.send(datagram);
    }

    /// Reads nothing any more that comes by TCP.
    pub(super) fn turn_deaf(&self) {
        self.line.turn_deaf();
    }

    /// Stays registered, and notes how long each answer takes. Returns when the registration is lost.
    pub(super) async fn stay(&mut self, answers: &Mutex<Vec<Duration>>) {
        let mut keepalive = Keepalive::new(now(), random());
        loop {
            let (due_at, _) = keepalive.next(ROUND_TRIP);
            let due = tokio::select! {
                heard = self.hear() => {
                    let asked = keepalive.owed();
                    match heard {
                        Ok(Heard::Frame(ToClient::KeepAliveAck)) => {
                            if let (Some(asked), Ok(mut answers)) = (asked, answers.lock()) {
                                answers.push(now() - asked);
                            }
                        }
                        Ok(Heard::Frame(_) | Heard::Lane(_)) => {}
                        Err(_) => return,
                    }
                    keepalive.on_heard();
                    continue;
                }
                () = at(Some(due_at)) => keepalive.poll(now(), ROUND_TRIP, random()),
            };
            match due {
                Some(Due::Ask) => self.say(&ToRelay::KeepAlive),
                Some(Due::Lost) => return,
                Some(Due::Silent) | None => {}
            }
        }
    }

    /// Says goodbye.
    pub(super) fn leave(mut self) {
        self.client.close(now());
        self.flush();
    }

    fn flush(&mut self) {
        while self.client.poll_transmit(now(), &mut self.buffer) {
            self.line.send(&self.buffer);
        }
    }
}

/// Waits as a relay said that has no time.
pub(super) async fn wait_for(busy: Busy) {
    sleep(busy.retry_in() + BUSY_JITTER.mul_f64(chance())).await;
}

/// One of many addresses of this computer.
pub(super) fn address(nth: usize) -> Result<Ipv4Addr, Failure> {
    let [high, low] = u16::try_from(nth / BEHIND_ONE)?.to_be_bytes();
    Ok(Ipv4Addr::new(127, 10 + high, low, 1))
}

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// Between 0 and 1.
fn chance() -> f64 {
    f64::from(random()) / f64::from(u32::MAX)
}
