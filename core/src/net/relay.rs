//! The client half of the relay control protocol: stays registered with one relay, whatever happens to it or to the network.
//!
//! The task that [`spawn`] starts resolves the relay's name, has the caller admit the address it found, dials, says HELLO,
//! and then carries signals both ways. It registers anew, with growing pauses, whenever the connection is lost; and without a
//! pause when the relay sees us at a new address or the network changed, keeping the old connection until the new one is
//! registered, so that the relay can hand over our channels.

mod backoff;
mod dht;
mod error;
mod inbox;
mod other;
mod registrations;
mod session;
mod stream;
mod task;
mod trouble;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::{ClientConfig, Endpoint, IdleTimeout, TransportConfig, VarInt};
use tokio::sync::mpsc;

use crate::{
    Item, PeerId, RelayUrl, SecretKey, tls,
    wire::relay::{ALPN, DhtOutcome, GoneReason, Payload, ToRelay, VERSION},
};

pub use crate::proto::relays::Over;
pub(crate) use dht::{Answer, Question};
pub use dht::{RelayDht, RelayDhtError, RelayLookup};
pub use error::RelayError;
pub(crate) use registrations::{Deed, Happened, Registrations};
pub(crate) use stream::Streams;
pub use stream::{ProxyTrouble, StreamError};
pub use trouble::RelayTrouble;

/// Commands that may wait for the task; those beyond are dropped.
const QUEUE: usize = 64;
/// Of these, what signals leave free: the task waits for the answer where to dial, and of changes one is enough.
const RESERVED: usize = 8;
/// A relay that is silent for this long is gone; KEEPALIVE makes it answer four times as often.
const IDLE_TIMEOUT_MS: u32 = 45_000;
/// Round-trip time assumed before the first measurement.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// What happens at a relay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RelayEvent {
    /// The relay is to be dialled at this address: admit it, and answer with [`RelayHandle::dial`].
    Resolved {
        /// The address.
        addr: SocketAddr,
        /// An address that the relay has in the other family.
        other: Option<SocketAddr>,
    },
    /// Registered. Comes again without a [`RelayEvent::Down`] in between when the registration moved to a new address.
    Up {
        /// Round-trip time to the relay.
        rtt: Duration,
        /// Our address as the relay sees it; without a port over TCP.
        observed: SocketAddr,
        /// The relay's clock, milliseconds since the Unix epoch.
        relay_time_ms: u64,
        /// By what it is reached.
        over: Over,
    },
    /// The relay answered; round-trip time to it.
    Rtt(Duration),
    /// The relay has owed an answer for longer than usual, and may be gone.
    Silent,
    /// The relay sees us at a new address. The registration follows by itself.
    Observed(SocketAddr),
    /// A peer signalled.
    Deliver {
        /// The peer; the relay vouches for it.
        from: PeerId,
        /// The peer's address as the relay sees it, unless the peer hides it.
        attested: Option<SocketAddr>,
        /// The relay's clock, milliseconds since the Unix epoch.
        relay_time_ms: u64,
        /// The payload.
        payload: Vec<u8>,
    },
    /// The relay is about to stop. It carries on until then; [`RelayHandle::leave`] when nothing goes by it any more.
    Draining,
    /// The relay's operator names another one for its place; [`RelayEvent::Draining`] follows.
    Moved {
        /// That relay.
        to: RelayUrl,
    },
    /// A signal was not delivered.
    Gone {
        /// Whom it was for.
        peer: PeerId,
        /// Why.
        reason: GoneReason,
    },
    /// A peer that was signalled to is registered, but acknowledges nothing.
    Unreached {
        /// Which peer.
        peer: PeerId,
    },
    /// A node of the Mainline DHT gave the relay something that we had asked for.
    Item {
        /// By which number we asked.
        ask: u32,
        /// What it gave.
        item: Item,
    },
    /// The relay is done with something that we had asked of the Mainline DHT.
    Dealt {
        /// By which number we asked.
        ask: u32,
        /// What came of it.
        outcome: DhtOutcome,
    },
    /// Not registered; another try follows.
    Down {
        /// Why.
        error: RelayError,
        /// When the next try starts, from now.
        next_try: Duration,
    },
}

#[derive(Debug)]
enum Command {
    Dial(Place),
    /// A SIGNAL.
    Signal(Box<ToRelay>),
    /// Something about the Mainline DHT.
    Ask(Box<ToRelay>),
    KeepAlive,
    NetworkChanged,
    /// Register anew with this greeting.
    Greet(Vec<ToRelay>),
    Leave,
}

/// Where a relay is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// On the endpoint's socket.
    at: SocketAddr,
    /// On any other.
    real: SocketAddr,
}

/// Talks to the task of one relay, which ends when the handle is dropped.
#[derive(Debug)]
pub struct RelayHandle {
    commands: mpsc::Sender<Command>,
}

impl RelayHandle {
    /// Answers [`RelayEvent::Resolved`]: dial here.
    pub fn dial(&self, addr: SocketAddr) {
        self.dial_at(addr, addr);
    }

    /// As [`RelayHandle::dial`], where `at` stands for the address `real` on the endpoint's socket.
    pub(crate) fn dial_at(&self, at: SocketAddr, real: SocketAddr) {
        self.send(Command::Dial(Place { at, real }));
    }

    /// Has the relay carry `payload` to a peer, and open the lane to it; if `hidden`, it tells the peer no address of ours. Lost while
    /// the relay is down: repeat what matters.
    pub fn signal(&self, to: PeerId, hidden: bool, payload: Payload) {
        let signal = ToRelay::Signal {
            to,
            hidden,
            payload,
        };
        self.send(Command::Signal(Box::new(signal)));
    }

    /// Has the relay do something in the Mainline DHT. Lost while the relay is down.
    pub(crate) fn ask(&self, frame: ToRelay) {
        self.send(Command::Ask(Box::new(frame)));
    }

    /// Checks the connection now. It is lost if the relay does not answer within 3 s.
    pub fn keepalive(&self) {
        self.send(Command::KeepAlive);
    }

    /// Leaves a relay that is about to stop, and comes back when it wants to see us again.
    pub fn leave(&self) {
        self.send(Command::Leave);
    }

    /// Registers anew, no longer as a visitor; `url` may have an invitation.
    pub(crate) fn settle(&self, url: &RelayUrl) {
        self.send(Command::Greet(greeting(url, true)));
    }

    /// Registers anew at once: the network is not what it was.
    pub fn network_changed(&self) {
        self.send(Command::NetworkChanged);
    }

    fn send(&self, command: Command) {
        let spared = match command {
            Command::Dial(_) | Command::NetworkChanged | Command::Greet(_) | Command::Leave => 0,
            Command::Signal(_) | Command::Ask(_) | Command::KeepAlive => RESERVED,
        };
        if self.commands.capacity() <= spared || self.commands.try_send(command).is_err() {
            tracing::debug!("a command to the relay's task was dropped: too many wait");
        }
    }
}

/// Starts to keep `key` registered with the relay `url`. Events go to `events`, each with the relay it is about; the task
/// waits while that is full and ends when it is closed.
///
/// # Errors
/// rustls' error, if it refuses the key.
pub fn spawn(
    endpoint: Endpoint,
    url: RelayUrl,
    key: &SecretKey,
    events: mpsc::Sender<(RelayUrl, RelayEvent)>,
) -> Result<RelayHandle, rustls::Error> {
    let standing = Standing {
        is_home: true,
        is_stranger: false,
    };
    spawn_with(endpoint, url, key, events, None, standing)
}

/// What a relay is to the node that registers with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// One of ours; another is only visited.
    pub(crate) is_home: bool,
    /// Known only as others named it: no proxy is given its name, as that may stand for another address there than the one that was
    /// looked at here.
    pub(crate) is_stranger: bool,
}

/// As [`spawn`], and by TCP as well if there are streams to be had.
pub(crate) fn spawn_with(
    endpoint: Endpoint,
    url: RelayUrl,
    key: &SecretKey,
    events: mpsc::Sender<(RelayUrl, RelayEvent)>,
    streams: Option<Arc<Streams>>,
    standing: Standing,
) -> Result<RelayHandle, rustls::Error> {
    let (commands, inbox) = mpsc::channel(QUEUE);
    let dialer = session::Dialer {
        endpoint,
        config: client_config(key)?,
        streams,
        greeting: greeting(&url, standing.is_home),
        is_stranger: standing.is_stranger,
    };
    let task = task::Task::new(url, dialer, inbox::Inbox::new(inbox), events);
    #[expect(
        clippy::disallowed_methods,
        reason = "each relay has a task, which owns its connection and nothing else"
    )]
    tokio::spawn(task.run());
    Ok(RelayHandle { commands })
}

/// What is said to a relay, up to HELLO.
fn greeting(url: &RelayUrl, is_home: bool) -> Vec<ToRelay> {
    let token = url.invite().cloned();
    let invited = token.map(|token| ToRelay::Invited { token });
    let visit = (!is_home).then_some(ToRelay::Visit);
    let hello = ToRelay::Hello { version: VERSION };
    invited.into_iter().chain(visit).chain([hello]).collect()
}

fn client_config(key: &SecretKey) -> Result<ClientConfig, rustls::Error> {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .initial_rtt(INITIAL_RTT)
        .mtu_discovery_config(None)
        .max_concurrent_bidi_streams(0_u32.into())
        .max_concurrent_uni_streams(0_u32.into())
        .datagram_receive_buffer_size(None);
    let mut config = ClientConfig::new(Arc::new(tls::client_config(key, ALPN)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_wait_in_numbers_do_not_keep_the_task_from_learning_where_to_dial() {
        let (commands, mut inbox) = mpsc::channel(QUEUE);
        let handle = RelayHandle { commands };
        let peer = SecretKey::from_seed(&[1; 32]).id();
        for _ in 0..2 * QUEUE {
            handle.signal(peer, false, Payload::try_from(vec![0]).unwrap());
        }
        let addr = "127.0.0.1:4433".parse().unwrap();
        handle.dial(addr);
        let last = std::iter::from_fn(|| inbox.try_recv().ok()).last();
        assert!(matches!(last, Some(Command::Dial(to)) if to.at == addr));
    }
}
