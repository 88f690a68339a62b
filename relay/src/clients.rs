//! All control connections, as a state machine: datagrams and the time come in, datagrams go out.
//!
//! QUIC itself is quinn-proto's. Nearly all clients wait nearly all the time, so a waiting one is an entry here and nothing
//! else: no task, no timer of its own, no channel. Those for whom something happened have turns, one after the other.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use peerway_keys::tls;
use peerway_proto::{RelayUrl, wire::relay::CloseReason};
use quinn_proto::{
    ConnectionHandle, DatagramEvent, EcnCodepoint, Endpoint, EndpointConfig, EndpointEvent,
    ServerConfig, Transmit,
};
use tracing::debug;

mod attempts;
mod connection;
mod refusals;
mod session;
#[cfg(test)]
mod tests;
mod timers;

use crate::{
    hub::Hub,
    server::{
        ClientId, ClientPath, Command, Limits, Now,
        admission::{Admission, SeatId},
    },
};
use connection::{Connection, Happened};
use refusals::Refusals;
use session::{ControlConnection, End, Farewell};
use timers::Timers;

/// Upper bound of the random time after which a client of a stopping relay is to come back.
const DRAIN_JITTER_MS: u32 = 1000;

/// A QUIC datagram that came.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) bytes: BytesMut,
}

/// What the clients' task is told.
#[derive(Debug)]
pub(crate) enum Arrival {
    Datagram(Datagram),
    /// The stream at this address is gone.
    Ended(SocketAddr),
}

/// A datagram to send that belongs to no connection, and is not missed if there is no room for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) to: ClientPath,
    pub(crate) bytes: Vec<u8>,
}

/// What is kept of a connection.
#[derive(Debug)]
struct Slot {
    connection: Connection,
    session: ControlConnection,
    /// Its time in [`Timers`].
    armed: Option<Instant>,
    /// Whether it waits for its turn.
    is_ready: bool,
    /// Whether handling it failed before.
    has_failed: bool,
}

#[derive(Debug)]
pub(crate) struct Clients {
    hub: Arc<Hub>,
    config: (Arc<EndpointConfig>, Arc<ServerConfig>),
    endpoint: Endpoint,
    admission: Admission,
    refusals: Refusals,
    /// Boxed: a table keeps the room that it once had.
    slots: BTreeMap<ConnectionHandle, Box<Slot>>,
    seats: BTreeMap<SeatId, ConnectionHandle>,
    registered: BTreeMap<ClientId, ConnectionHandle>,
    ready: VecDeque<ConnectionHandle>,
    timers: Timers,
    packets: VecDeque<Packet>,
    is_draining: bool,
    /// The relay that takes the place of this one, which is taken out of service.
    successor: Option<Arc<RelayUrl>>,
    /// Who is to be asked to leave.
    to_ask: VecDeque<ConnectionHandle>,
}

impl Clients {
    pub(crate) fn new(
        hub: Arc<Hub>,
        limits: Limits,
        endpoint: EndpointConfig,
        (server, tls): (ServerConfig, Arc<tls::ServerConfig>),
    ) -> Self {
        let config = (Arc::new(endpoint), Arc::new(server));
        Self {
            hub,
            endpoint: new_endpoint(&config),
            config,
            admission: Admission::new(limits.clients, limits.connections_per_ip),
            refusals: Refusals::new(tls),
            slots: BTreeMap::new(),
            seats: BTreeMap::new(),
            registered: BTreeMap::new(),
            ready: VecDeque::new(),
            timers: Timers::default(),
            packets: VecDeque::new(),
            is_draining: false,
            successor: None,
            to_ask: VecDeque::new(),
        }
    }

    /// Takes a datagram that came.
    pub(crate) fn receive(&mut self, now: Now, datagram: Datagram) {
        let mut about = None;
        let hub = self.hub.clone();
        let done = hub.contain("a QUIC datagram", || self.handle(now, datagram, &mut about));
        if let (None, Some(handle)) = (done, about) {
            self.give_up(now, handle);
        }
    }

    /// A stream is gone, and with it whoever was registered over it.
    pub(crate) fn on_tcp_ended(&self, addr: SocketAddr) {
        self.hub.lock().on_tcp_ended(addr);
    }

    /// Gives turns to those whose time has come.
    pub(crate) fn expire(&mut self, now: Now) {
        while let Some(handle) = self.timers.pop(now.instant) {
            if let Some(slot) = self.slots.get_mut(&handle) {
                slot.armed = None;
            }
            self.ready(handle);
        }
    }

    /// When to call [`Clients::expire`] next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next datagram that belongs to no connection.
    pub(crate) fn poll_packet(&mut self) -> Option<Packet> {
        self.packets.pop_front()
    }

    /// The next datagrams of a connection, at most `segments`, with their bytes in `buffer`. None if all had their turn.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Now,
        segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let hub = self.hub.clone();
        loop {
            hub.contain("a decision", || self.obey(now));
            let handle = self.ready.pop_front()?;
            buffer.clear();
            let turn = || self.turn(now, handle, segments, buffer);
            match hub.contain("a client", turn) {
                Some(None) => {}
                Some(transmit) => return transmit,
                None => self.give_up(now, handle),
            }
        }
    }

    /// Registers nobody any more, but those to whom it can name the relay that takes its place. Clients that were asked to leave
    /// before are asked again where that is news.
    pub(crate) fn drain(&mut self, successor: Option<RelayUrl>) {
        let is_known = self.successor.as_deref() == successor.as_ref();
        if self.is_draining && is_known {
            return;
        }
        self.is_draining = true;
        self.successor = successor.map(Arc::new);
        self.to_ask = self.registered.values().copied().collect();
    }

    /// After [`Self::drain`], asks the first of so many parts of those who were not asked yet to go elsewhere, or to come back
    /// after this time.
    pub(crate) fn ask_some(&mut self, parts: usize, back_in: Duration) {
        for _ in 0..self.to_ask.len().div_ceil(parts.max(1)) {
            if let Some(handle) = self.to_ask.pop_front() {
                self.ask_to_leave(handle, back_in);
            }
        }
    }

    /// Ends all connections.
    pub(crate) fn close_all(&mut self, now: Now) {
        let handles: Vec<_> = self.slots.keys().copied().collect();
        for handle in handles {
            self.close(now, handle, CloseReason::Goodbye);
        }
    }

    /// Whether all clients have left, though what ends their connections may still be under way.
    pub(crate) fn all_left(&self) -> bool {
        self.slots.values().all(|slot| slot.connection.is_closed())
    }

    /// Whether nothing is left of any connection.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn handle(&mut self, now: Now, datagram: Datagram, about: &mut Option<ConnectionHandle>) {
        let Datagram {
            remote,
            local,
            ecn,
            bytes,
        } = datagram;
        let mut response = Vec::new();
        let event = self
            .endpoint
            .handle(now.instant, remote, local, ecn, bytes, &mut response);
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                *about = Some(handle);
                if let Some(slot) = self.slots.get_mut(&handle) {
                    slot.connection.handle_event(event);
                    self.ready(handle);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.attempt(now, incoming),
            Some(DatagramEvent::Response(transmit)) => self.respond(&transmit, response),
            None => {}
        }
    }

    /// Does what there is to do for one connection, and takes what it has to send.
    fn turn(
        &mut self,
        now: Now,
        handle: ConnectionHandle,
        segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let slot = self.slots.get_mut(&handle)?;
        slot.is_ready = false;
        slot.connection.expire(now.instant);
        self.settle(handle);
        self.note_events(now, handle);
        let more = self.talk(now, handle);
        let slot = self.slots.get_mut(&handle)?;
        let transmit = slot.connection.poll_transmit(now.instant, segments, buffer);
        self.settle(handle);
        let Some(slot) = self.slots.get_mut(&handle) else {
            return transmit;
        };
        let times = [slot.connection.next_timeout(), slot.session.next_timeout()];
        let next = times.into_iter().flatten().min();
        self.timers.arm(handle, &mut slot.armed, next);
        if more || transmit.is_some() {
            self.ready(handle);
        }
        transmit
    }

    /// Carries events between a connection and the endpoint, and forgets the connection after its last.
    fn settle(&mut self, handle: ConnectionHandle) {
        while let Some(slot) = self.slots.get_mut(&handle)
            && let Some(event) = slot.connection.poll_endpoint_event()
        {
            if event.is_drained() {
                self.forget(handle);
            } else if let Some(event) = self.endpoint.handle_event(handle, event) {
                slot.connection.handle_event(event);
            }
        }
    }

    fn note_events(&mut self, now: Now, handle: ConnectionHandle) {
        while let Some(slot) = self.slots.get_mut(&handle)
            && let Some(happened) = slot.connection.poll()
        {
            match happened {
                Happened::Connected => self.seat(now, handle),
                Happened::Lost => self.leave(handle),
            }
        }
    }

    /// Reads and writes on a control stream. True if there may be more to read.
    fn talk(&mut self, now: Now, handle: ConnectionHandle) -> bool {
        let Some(slot) = self.slots.get_mut(&handle) else {
            return false;
        };
        let before = slot.session.client();
        let read = slot.session.read(now, &mut slot.connection, &self.hub);
        if let (None, Some(client)) = (before, slot.session.client()) {
            self.registered.insert(client, handle);
            if self.is_draining {
                self.to_ask.push_back(handle);
            }
        }
        self.obey(now);
        let more = match read {
            Ok(more) => more,
            Err(End(reason)) => {
                self.close(now, handle, reason);
                return false;
            }
        };
        let Some(slot) = self.slots.get_mut(&handle) else {
            return false;
        };
        let listened = slot.session.listens();
        let wrote = (slot.session).write(now.instant, &mut slot.connection, &self.hub);
        let more = more || slot.session.listens() && !listened;
        if let Err(End(reason)) = wrote {
            self.close(now, handle, reason);
        }
        more
    }

    /// Carries out what the server decided.
    fn obey(&mut self, now: Now) {
        while let Some(command) = self.next_command() {
            match command {
                Command::Wake { client } => {
                    if let Some(handle) = self.registered.get(&client).copied()
                        && let Some(slot) = self.slots.get_mut(&handle)
                    {
                        slot.session.wake();
                        self.ready(handle);
                    }
                }
                Command::Close { client, reason } => {
                    if let Some(handle) = self.registered.get(&client).copied() {
                        self.close(now, handle, reason);
                    }
                }
                Command::Release { to, datagram } => self.packets.push_back(Packet {
                    to,
                    bytes: datagram,
                }),
                Command::Work => self.hub.hasten_dht(),
            }
        }
    }

    fn next_command(&self) -> Option<Command> {
        self.hub.lock().poll_command()
    }

    fn ask_to_leave(&mut self, handle: ConnectionHandle, back_in: Duration) {
        if let Some(slot) = self.slots.get_mut(&handle) {
            let jitter = getrandom::u32().unwrap_or_default() % (DRAIN_JITTER_MS + 1);
            let back_in_ms = u32::try_from(back_in.as_millis()).unwrap_or(u32::MAX);
            slot.session.ask_to_leave(Farewell {
                reconnect_in_ms: back_in_ms.saturating_add(jitter),
                successor: self.successor.clone(),
            });
            self.ready(handle);
        }
    }

    fn close(&mut self, now: Now, handle: ConnectionHandle, reason: CloseReason) {
        if let Some(slot) = self.slots.get_mut(&handle) {
            debug!(?reason, "closing a control connection");
            slot.connection.close(now, reason);
            self.leave(handle);
            self.ready(handle);
        }
    }

    /// A connection ended: frees its seat and its registration.
    fn leave(&mut self, handle: ConnectionHandle) {
        let Some(slot) = self.slots.get_mut(&handle) else {
            return;
        };
        let client = slot.session.client();
        let admitted = slot.session.take_admitted();
        slot.session.end();
        if let Some(admitted) = admitted {
            if let Some(seat) = admitted.seat() {
                self.seats.remove(&seat);
            }
            self.admission.end(admitted);
        }
        if let Some(client) = client {
            debug!(?client, "gone");
            self.registered.remove(&client);
            self.hub.lock().unregister(client);
        }
    }

    /// Handling a connection failed, which is a fault of ours: it ends, or is forgotten if even that fails.
    fn give_up(&mut self, now: Now, handle: ConnectionHandle) {
        let Some(slot) = self.slots.get_mut(&handle) else {
            return;
        };
        let has_failed = std::mem::replace(&mut slot.has_failed, true);
        let hub = self.hub.clone();
        let close = || self.close(now, handle, CloseReason::Goodbye);
        if has_failed || hub.contain("the end of a client", close).is_none() {
            self.leave(handle);
            self.forget(handle);
        }
    }

    /// The end of a connection for QUIC, too.
    fn forget(&mut self, handle: ConnectionHandle) {
        self.leave(handle);
        if let Some(mut slot) = self.slots.remove(&handle) {
            self.timers.arm(handle, &mut slot.armed, None);
            self.endpoint.handle_event(handle, EndpointEvent::drained());
        }
        if self.slots.is_empty() && !self.is_draining {
            // Its tables keep the size that they once had.
            self.endpoint = new_endpoint(&self.config);
        }
    }

    /// Gives a connection a turn.
    fn ready(&mut self, handle: ConnectionHandle) {
        if let Some(slot) = self.slots.get_mut(&handle)
            && !std::mem::replace(&mut slot.is_ready, true)
        {
            self.ready.push_back(handle);
        }
    }
}

fn new_endpoint((endpoint, server): &(Arc<EndpointConfig>, Arc<ServerConfig>)) -> Endpoint {
    Endpoint::new(endpoint.clone(), Some(server.clone()), false, None)
}
