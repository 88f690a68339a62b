//! What the relay decides, without sockets, clocks or tasks: who is registered, whose datagrams go where, and how much.
//!
//! A client counts as being at the address its QUIC handshake came from, because only the handshake proves that it can
//! receive there; a client that moved registers anew. So nobody can have anything sent to an address that is not theirs.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::Hash,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use peerway_carrier::numbered::number_of;
use peerway_proto::{
    Item, PeerId,
    wire::relay::{CloseReason, DhtOutcome, GoneReason, ToClient, ToRelay, VERSION},
};

mod access;
pub mod admission;
mod backlog;
mod bucket;
mod channels;
mod handshakes;
mod hold;
mod invites;
mod lane;
mod limits;
mod lookups;
mod network;
mod outbox;
mod settle;
mod shares;
mod signal;
mod sources;
#[cfg(test)]
mod tests;
mod volume;

pub use access::{Access, Credentials};
use backlog::Backlog;
pub use backlog::Datagrams;
use bucket::Bucket;
pub use bucket::Rate;
use channels::{Channels, Member};
pub(crate) use handshakes::Handshakes;
use hold::Holds;
use invites::Invites;
pub use invites::{Invite, InviteId, TooManyInvites};
pub use lane::{Due, Verdict};
pub use limits::Limits;
use lookups::{Asker, Lookups};
pub use lookups::{Work, WorkId};
pub(crate) use network::Network;
use outbox::{Next, Outbox};
use settle::Rates;
pub use settle::{Records, Talker, TalkingPair};
pub(crate) use shares::Shares;
use sources::Sources;
use volume::Volumes;
pub use volume::{Month, VolumeLimits};

/// How long a lane datagram waits for its channel: the first data and the SIGNAL leave together, by different ways.
pub const HOLD_TIME: Duration = Duration::from_millis(250);
/// Bytes that a frame costs its sender besides its payload, for the work it makes.
const FRAME_COST: usize = 256;
/// Signallers that are remembered per client, to be told if it does not acknowledge what they said.
const SIGNALLERS: usize = 256;

/// Where a client is, and at which of our addresses it talks to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientPath {
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
    /// Something is to be written to a client: take it from [`Server::poll_frame`].
    Wake { client: ClientId },
    /// End a client's connection; it is no longer registered.
    Close {
        client: ClientId,
        reason: CloseReason,
    },
    /// Send a lane datagram that was held back.
    Release { to: ClientPath, datagram: Vec<u8> },
    /// There is something to be done in the DHT: take it from [`Server::poll_work`].
    Work,
}

/// What to write to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// This frame.
    Now(ToClient),
    /// Nothing before this time.
    At(Instant),
    /// Nothing, until [`Command::Wake`] says so.
    Nothing,
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
    /// SIGNAL frames dropped because their pair signals too often.
    pub signals_dropped: u64,
    /// Frames to clients that were dropped because too many wait for them.
    pub frames_dropped: u64,
    /// STUN requests that were not answered, as too many come from their network.
    pub stun_dropped: u64,
    /// Clients that were told to come again, as too many registered at once.
    pub turned_away: u64,
    /// SIGNAL frames that were answered with [`GoneReason::Busy`].
    pub busy: u64,
    /// GET and PUT frames that were carried out, or are.
    pub dht_asks: u64,
    /// GET and PUT frames that were not, as there were too many.
    pub dht_busy: u64,
}

#[derive(Debug)]
struct Client {
    key: PeerId,
    route: ClientPath,
    /// The address that its last frame came from.
    last_seen: SocketAddr,
    budget: Bucket,
    /// For what it asks about the DHT.
    asked: Bucket,
    outbox: Outbox,
    /// Whether the shell knows that there is something in it.
    awake: bool,
    /// Whose signals were written to it since it was last heard.
    signallers: BTreeSet<PeerId>,
    /// It acknowledges nothing, so nothing more is written to it.
    silent: bool,
    /// It is here to meet members.
    visits: bool,
}

impl Client {
    fn note_signal(&mut self, frame: &ToClient) {
        if let ToClient::Deliver { from, .. } = frame
            && self.signallers.len() < SIGNALLERS
        {
            self.signallers.insert(*from);
        }
    }
}

/// The relay's state.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    access: Access,
    invites: Invites,
    volumes: Volumes,
    rates: Rates,
    /// Boxed: a table keeps the size that it once had.
    clients: HashMap<ClientId, Box<Client>>,
    by_key: HashMap<PeerId, ClientId>,
    by_addr: HashMap<SocketAddr, ClientId>,
    channels: Channels,
    holds: Holds,
    backlog: Backlog,
    /// What goes on the lane in all.
    lane: Bucket,
    /// What calls that wait hold in memory.
    call_bytes: Shares,
    stun: Sources,
    lookups: Lookups,
    commands: VecDeque<Command>,
    last_id: u64,
    counters: Counters,
}

impl Server {
    /// A relay without clients.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            channels: Channels::new(limits),
            limits,
            access: Access::default(),
            invites: Invites::default(),
            volumes: Volumes::new(limits.volumes),
            rates: Rates::default(),
            clients: HashMap::new(),
            by_key: HashMap::new(),
            by_addr: HashMap::new(),
            holds: Holds::default(),
            backlog: Backlog::default(),
            lane: Bucket::default(),
            call_bytes: Shares::default(),
            stun: Sources::new(limits.stun_per_network),
            lookups: Lookups::default(),
            commands: VecDeque::new(),
            last_id: 0,
            counters: Counters::default(),
        }
    }

    /// Registers `key`, which is at `route`.
    ///
    /// An older registration of the same key ends and leaves its channels to this one.
    pub fn register(&mut self, now: Now, key: PeerId, route: ClientPath) -> ClientId {
        self.volumes.enter(Month::of(now.unix_ms));
        self.last_id += 1;
        let id = ClientId(self.last_id);
        let mut outbox = Outbox::default();
        if let Some(old) = self.by_key.insert(key, id) {
            let calls = self.forget_client(old).map(|client| client.outbox);
            outbox = calls.map(Outbox::only_calls).unwrap_or_default();
            let new = Member { client: id, route };
            self.channels.move_client(now.instant, old, new);
            self.commands.push_back(Command::Close {
                client: old,
                reason: CloseReason::Replaced,
            });
        }
        self.by_addr.insert(route.remote, id);
        self.clients.insert(
            id,
            Box::new(Client {
                key,
                route,
                last_seen: route.remote,
                budget: Bucket::default(),
                asked: Bucket::default(),
                outbox,
                awake: false,
                signallers: BTreeSet::new(),
                silent: false,
                visits: false,
            }),
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
        self.settle_client(id);
        let Some(client) = self.forget_client(id) else {
            return;
        };
        self.by_key.remove(&client.key);
        shrink(&mut self.by_key);
        self.channels.remove_client(id);
        for call in client.outbox.into_calls() {
            self.call_bytes.remove(call.network, call.bytes);
        }
    }

    /// The stream at this address ended, and with it the connection of whoever is registered there.
    pub fn on_tcp_ended(&mut self, addr: SocketAddr) {
        if let Some(client) = self.by_addr.get(&addr).copied() {
            self.close(client, CloseReason::Goodbye);
        }
    }

    /// Whether a client is registered from this address.
    #[must_use]
    pub fn is_registered_at(&self, addr: SocketAddr) -> bool {
        self.by_addr.contains_key(&addr)
    }

    /// A frame of client `id` came, from the address `from`.
    pub fn handle_frame(&mut self, now: Now, id: ClientId, from: SocketAddr, frame: ToRelay) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.silent = false;
        self.holds.expire(now.instant);
        self.channels.expire(now.instant);
        let moved = std::mem::replace(&mut client.last_seen, from) != from;
        let rate = self.limits.client_rate;
        let is_answered =
            frame != ToRelay::KeepAlive || client.budget.take(rate, now.instant, FRAME_COST);
        if moved {
            let addr = canonical(from);
            self.send(id, ToClient::Observed { addr });
        }
        match frame {
            ToRelay::Signal {
                to,
                hidden,
                payload,
            } => {
                if let Err(reason) = self.signal(now, id, (to, hidden), payload) {
                    self.gone(id, to, reason);
                }
            }
            ToRelay::KeepAlive if is_answered => self.send(id, ToClient::KeepAliveAck),
            ToRelay::KeepAlive => {}
            ToRelay::Get { ask, key } => self.ask(id, ask, |lookups, asked, asker| {
                lookups.get(now.instant, asked, asker, key)
            }),
            ToRelay::Put { ask, item } => self.ask(id, ask, |lookups, asked, asker| {
                lookups.put(now.instant, asked, asker, item)
            }),
            ToRelay::Hello { .. } | _ => self.close(id, CloseReason::Protocol),
        }
    }

    /// Takes out what is to be written to a client next. Call it when [`Command::Wake`] says so, after each frame that was
    /// written, and at the time that [`Write::At`] names.
    pub fn poll_frame(&mut self, now: Instant, id: ClientId) -> Write {
        let Some(client) = self.clients.get_mut(&id) else {
            return Write::Nothing;
        };
        if client.silent {
            client.awake = false;
            return Write::Nothing;
        }
        match client.outbox.poll(now, self.limits.calls_per_client) {
            Next::Frame(frame) => {
                client.note_signal(&frame);
                Write::Now(frame)
            }
            Next::Call(call) => {
                client.note_signal(&call.frame);
                self.call_bytes.remove(call.network, call.bytes);
                self.counters.signals += 1;
                Write::Now(call.frame)
            }
            Next::At(time) => {
                client.awake = false;
                Write::At(time)
            }
            Next::Nothing => {
                client.awake = false;
                Write::Nothing
            }
        }
    }

    /// A client did not acknowledge what was written to it for so long that its way is broken, or it is. Whoever signals to it is
    /// told; what they say waits until it is [heard](Server::heard) or registers anew.
    pub fn unheard(&mut self, id: ClientId) {
        let client = self.clients.get_mut(&id);
        let Some(client) = client.filter(|client| !client.silent) else {
            return;
        };
        client.silent = true;
        let peer = client.key;
        let mut signallers = std::mem::take(&mut client.signallers);
        signallers.extend(client.outbox.callers());
        for signaller in signallers {
            if let Some(signaller) = self.by_key.get(&signaller) {
                self.send(*signaller, ToClient::Unreached { peer });
            }
        }
    }

    /// Something came from a client since something was written to it.
    pub fn heard(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.silent = false;
            client.signallers = BTreeSet::new();
        }
    }

    /// Whether a STUN request from `source` is answered. Its address may be forged: nobody gets many answers.
    pub fn takes_stun(&mut self, now: Instant, source: SocketAddr) -> bool {
        let takes = self.stun.take(now, Network::of(source));
        self.counters.stun_dropped += u64::from(!takes);
        takes
    }

    /// Other rates than [`Server::new`] got, also for who is registered and for channels that are open.
    pub fn set_rates(&mut self, lane: Option<Rate>, client: Rate, pair: Rate) {
        self.limits.lane_rate = lane;
        (self.limits.client_rate, self.limits.pair_rate) = (client, pair);
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
        self.channels.len()
    }

    /// What happened since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// A client was told to come again later.
    pub(crate) fn note_turned_away(&mut self) {
        self.counters.turned_away += 1;
    }

    /// From now on somebody carries out what [`Self::poll_work`] gives.
    pub fn serve_dht(&mut self) {
        self.lookups.is_on = true;
    }

    /// What is to be done next in the DHT for clients, each to be ended with [`Self::on_dealt`]. See [`Command::Work`].
    pub fn poll_work(&mut self) -> Option<Work> {
        self.lookups.poll()
    }

    /// A node of the DHT gave something for a key that is looked up.
    pub fn on_item(&mut self, key: &[u8; 32], item: &Item) {
        for Asker { client, ask, .. } in self.lookups.found(key, item) {
            let item = item.clone();
            self.send(client, ToClient::Item { ask, item });
        }
    }

    /// Work in the DHT is over.
    pub fn on_dealt(&mut self, work: WorkId, outcome: DhtOutcome) {
        for Asker { client, ask, .. } in self.lookups.done(work) {
            self.send(client, ToClient::Dealt { ask, outcome });
        }
    }

    fn ask(
        &mut self,
        id: ClientId,
        ask: u32,
        take: impl FnOnce(&mut Lookups, &mut Bucket, Asker) -> Result<Vec<Item>, DhtOutcome>,
    ) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let asker = Asker {
            client: id,
            network: Network::of(client.route.remote),
            ask,
        };
        match take(&mut self.lookups, &mut client.asked, asker) {
            Ok(found) => {
                self.counters.dht_asks += 1;
                self.commands.push_back(Command::Work);
                for item in found {
                    self.send(id, ToClient::Item { ask, item });
                }
            }
            Err(outcome) => {
                self.counters.dht_busy += u64::from(outcome == DhtOutcome::Busy);
                self.send(id, ToClient::Dealt { ask, outcome });
            }
        }
    }

    fn gone(&mut self, to: ClientId, peer: PeerId, reason: GoneReason) {
        self.counters.busy += u64::from(reason == GoneReason::Busy);
        self.send(to, ToClient::Gone { peer, reason });
    }

    fn send(&mut self, to: ClientId, frame: ToClient) {
        let Some(client) = self.clients.get_mut(&to) else {
            return;
        };
        if !client.outbox.push(frame) {
            self.counters.frames_dropped += 1;
        }
        self.wake(to);
    }

    fn wake(&mut self, client: ClientId) {
        if let Some(state) = self.clients.get_mut(&client)
            && !std::mem::replace(&mut state.awake, true)
        {
            self.commands.push_back(Command::Wake { client });
        }
    }

    fn close(&mut self, client: ClientId, reason: CloseReason) {
        self.unregister(client);
        self.commands.push_back(Command::Close { client, reason });
    }

    fn forget_client(&mut self, id: ClientId) -> Option<Box<Client>> {
        let client = self.clients.remove(&id)?;
        self.holds.remove_client(id);
        if self.by_addr.get(&client.route.remote) == Some(&id) {
            self.by_addr.remove(&client.route.remote);
        }
        shrink(&mut self.clients);
        shrink(&mut self.by_addr);
        Some(client)
    }
}

/// Gives back the room of a table that was much larger once.
fn shrink<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    if table.capacity() > 64 + 4 * table.len() {
        table.shrink_to(2 * table.len());
    }
}

/// What a client is told: without a port if that is one of TCP, where no datagram would find it.
fn canonical(addr: SocketAddr) -> SocketAddr {
    let port = if number_of(addr).is_some() {
        0
    } else {
        addr.port()
    };
    SocketAddr::new(addr.ip().to_canonical(), port)
}
