//! What the relay decides, without sockets, clocks or tasks: who is registered, whose datagrams go where, and how much.
//!
//! A client counts as being at the address its QUIC handshake came from, because only the handshake proves that it can
//! receive there; a client that moved registers anew. So nobody can have anything sent to an address that is not theirs.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use peerway::{
    PeerId,
    wire::{
        lane::Channel,
        relay::{CloseReason, GoneReason, Payload, ToClient, ToRelay, VERSION},
    },
};

pub mod admission;
mod bucket;
mod hold;
mod limits;
mod pairs;
#[cfg(test)]
mod tests;

use bucket::Bucket;
pub use bucket::Rate;
use hold::Holds;
pub use limits::Limits;
use pairs::{End, Pairs};

/// How long a lane datagram waits for its channel: the first data and the SIGNAL leave together, by different ways.
pub const HOLD_TIME: Duration = Duration::from_millis(250);
/// Bytes that a SIGNAL costs its sender besides its payload, for the work it makes.
const SIGNAL_COST: usize = 256;

/// Where a client is, and at which of our addresses it talks to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The client's address, as the socket shows it.
    pub remote: SocketAddr,
    /// Our address, where the socket has several.
    pub local: Option<IpAddr>,
}

/// Names one registration; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

/// The present, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals.
    pub instant: Instant,
    /// For clients: milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write a frame to a client.
    Send { to: ClientId, frame: ToClient },
    /// End a client's connection; it is no longer registered.
    Close {
        client: ClientId,
        reason: CloseReason,
    },
    /// Send a lane datagram that was held back.
    Release { to: Route, datagram: Vec<u8> },
}

/// What becomes of lane datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send them there.
    Forward(Route),
    /// Give each to [`Server::hold`]: the SIGNAL that opens their channel may be on its way.
    Hold(ClientId),
    /// Drop them.
    Drop,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lane bytes that were to be forwarded.
    pub lane_bytes: u64,
    /// Lane bytes dropped because their sender is not at one end of the channel.
    pub stranger_bytes: u64,
    /// Lane bytes dropped because a budget was used up.
    pub over_budget_bytes: u64,
    /// SIGNAL frames delivered.
    pub signals: u64,
}

#[derive(Debug)]
struct Client {
    key: PeerId,
    route: Route,
    /// The address that its last frame came from.
    last_seen: SocketAddr,
    budget: Bucket,
}

/// The relay's state.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    clients: HashMap<ClientId, Client>,
    by_key: HashMap<PeerId, ClientId>,
    by_addr: HashMap<SocketAddr, ClientId>,
    pairs: Pairs,
    holds: Holds,
    commands: VecDeque<Command>,
    last_id: u64,
    counters: Counters,
}

impl Server {
    /// A relay without clients.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            pairs: Pairs::new(limits.pairs_per_client),
            limits,
            clients: HashMap::new(),
            by_key: HashMap::new(),
            by_addr: HashMap::new(),
            holds: Holds::default(),
            commands: VecDeque::new(),
            last_id: 0,
            counters: Counters::default(),
        }
    }

    /// A connection that proved to hold `key` and to be at `route` said HELLO.
    ///
    /// An older registration of the same key ends and leaves its channels to this one.
    pub fn register(&mut self, now: Now, key: PeerId, route: Route) -> ClientId {
        self.last_id += 1;
        let id = ClientId(self.last_id);
        if let Some(old) = self.by_key.insert(key, id) {
            self.forget_client(old);
            self.pairs.move_client(old, End { client: id, route });
            self.commands.push_back(Command::Close {
                client: old,
                reason: CloseReason::Replaced,
            });
        }
        self.by_addr.insert(route.remote, id);
        self.clients.insert(
            id,
            Client {
                key,
                route,
                last_seen: route.remote,
                budget: Bucket::default(),
            },
        );
        self.send(
            id,
            ToClient::Welcome {
                version: VERSION,
                time_ms: now.unix_ms,
                observed: canonical(route.remote),
            },
        );
        id
    }

    /// A client's connection ended. Nothing happens if it was replaced before.
    pub fn unregister(&mut self, id: ClientId) {
        let Some(key) = self.clients.get(&id).map(|client| client.key) else {
            return;
        };
        self.forget_client(id);
        self.by_key.remove(&key);
        self.pairs.remove_client(id);
    }

    /// A frame of client `id` came, from the address `from`.
    pub fn handle_frame(&mut self, now: Now, id: ClientId, from: SocketAddr, frame: ToRelay) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        self.holds.expire(now.instant);
        if client.last_seen != from {
            client.last_seen = from;
            let addr = canonical(from);
            self.send(id, ToClient::Observed { addr });
        }
        match frame {
            ToRelay::Signal { to, payload } => {
                if let Err(reason) = self.signal(now, id, to, payload) {
                    self.send(id, ToClient::Gone { peer: to, reason });
                }
            }
            ToRelay::KeepAlive => self.send(id, ToClient::KeepAliveAck),
            ToRelay::Hello { .. } | _ => self.close(id, CloseReason::Protocol),
        }
    }

    /// Lane datagrams of one channel, `len` bytes in all, came from `src`.
    pub fn lane(&mut self, now: Instant, src: SocketAddr, channel: Channel, len: usize) -> Verdict {
        let Some(pair) = self.pairs.get_mut(channel) else {
            return match self.by_addr.get(&src) {
                Some(id) => Verdict::Hold(*id),
                None => self.drop_stranger(len),
            };
        };
        let Some((from, to)) = pair.ends_for(src) else {
            return self.drop_stranger(len);
        };
        let Some(client) = self.clients.get_mut(&from) else {
            return self.drop_stranger(len);
        };
        let within_budget = client.budget.take(self.limits.client_rate, now, len)
            && pair.budget.take(self.limits.pair_rate, now, len);
        if !within_budget {
            self.counters.over_budget_bytes += len as u64;
            return Verdict::Drop;
        }
        pair.last_used = now;
        self.counters.lane_bytes += len as u64;
        Verdict::Forward(to)
    }

    /// Keeps a lane datagram that [`Server::lane`] gave [`Verdict::Hold`], until its channel opens or for [`HOLD_TIME`].
    pub fn hold(&mut self, now: Instant, id: ClientId, channel: Channel, datagram: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client
            .budget
            .take(self.limits.client_rate, now, datagram.len())
        {
            self.holds.push(now, id, channel, datagram);
        }
    }

    /// The next thing for the shell to do.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// How many clients are registered.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How many channels are open.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.pairs.len()
    }

    /// What happened since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn signal(
        &mut self,
        now: Now,
        id: ClientId,
        to: PeerId,
        payload: Payload,
    ) -> Result<(), GoneReason> {
        let sender = self.clients.get_mut(&id).ok_or(GoneReason::Refused)?;
        let cost = SIGNAL_COST + payload.as_bytes().len();
        if !sender
            .budget
            .take(self.limits.client_rate, now.instant, cost)
        {
            return Err(GoneReason::Busy);
        }
        let (from, route) = (sender.key, sender.route);
        if from == to {
            return Err(GoneReason::Refused);
        }
        let receiver = *self.by_key.get(&to).ok_or(GoneReason::NotRegistered)?;
        let receiver_route = self
            .clients
            .get(&receiver)
            .ok_or(GoneReason::NotRegistered)?
            .route;
        let ends = [
            End { client: id, route },
            End {
                client: receiver,
                route: receiver_route,
            },
        ];
        self.open(now.instant, Channel::between(from, to), ends)?;
        self.counters.signals += 1;
        self.send(
            receiver,
            ToClient::Deliver {
                from,
                time_ms: now.unix_ms,
                observed: canonical(route.remote),
                payload,
            },
        );
        Ok(())
    }

    /// Opens the channel between two clients, unless it is open, and lets out what was held for it.
    fn open(&mut self, now: Instant, channel: Channel, ends: [End; 2]) -> Result<(), GoneReason> {
        if self.pairs.get_mut(channel).is_some() {
            return Ok(());
        }
        if !self.pairs.open(now, channel, ends) {
            return Err(GoneReason::Busy);
        }
        let [a, b] = ends;
        for (from, to) in [(a, b), (b, a)] {
            for datagram in self.holds.release(now, from.client, channel) {
                self.commands.push_back(Command::Release {
                    to: to.route,
                    datagram,
                });
            }
        }
        Ok(())
    }

    fn send(&mut self, to: ClientId, frame: ToClient) {
        self.commands.push_back(Command::Send { to, frame });
    }

    fn close(&mut self, client: ClientId, reason: CloseReason) {
        self.unregister(client);
        self.commands.push_back(Command::Close { client, reason });
    }

    fn forget_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        self.holds.remove_client(id);
        if self.by_addr.get(&client.route.remote) == Some(&id) {
            self.by_addr.remove(&client.route.remote);
        }
    }

    fn drop_stranger(&mut self, len: usize) -> Verdict {
        self.counters.stranger_bytes += len as u64;
        Verdict::Drop
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
