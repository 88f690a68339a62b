//! The one shared thing: the pure server, and the ways to its clients.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use peerway::{
    PeerId,
    wire::relay::{CloseReason, ToClient, ToRelay},
};
use quinn_udp::Transmit;
use tokio::sync::mpsc;
use tracing::{debug, trace};

use crate::{
    port::Port,
    server::{ClientId, Command, Limits, Now, Route, Server},
};

/// Frames that wait for one client; the rest is dropped, as a signal is repeated by its sender.
const QUEUE: usize = 128;

/// Where frames to one client go, and how its connection is ended.
#[derive(Debug)]
struct Outlet {
    frames: mpsc::Sender<ToClient>,
    connection: quinn::Connection,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) server: Server,
    outlets: HashMap<ClientId, Outlet>,
}

#[derive(Debug)]
pub(crate) struct Hub {
    /// QUIC, lane and STUN.
    pub(crate) port: Port,
    /// STUN only: the other port of RFC 5780.
    pub(crate) stun_port: Port,
    state: Mutex<State>,
}

impl Hub {
    pub(crate) fn new(port: Port, stun_port: Port, limits: Limits) -> Self {
        Self {
            port,
            stun_port,
            state: Mutex::new(State {
                server: Server::new(limits),
                outlets: HashMap::new(),
            }),
        }
    }

    /// Registers a client; the frames for it come out of the returned queue.
    pub(crate) fn register(
        &self,
        key: PeerId,
        route: Route,
        connection: quinn::Connection,
    ) -> (ClientId, mpsc::Receiver<ToClient>) {
        let (frames, queue) = mpsc::channel(QUEUE);
        let mut state = self.lock();
        let id = state.server.register(now(), key, route);
        state.outlets.insert(id, Outlet { frames, connection });
        self.obey(&mut state);
        (id, queue)
    }

    pub(crate) fn unregister(&self, id: ClientId) {
        let mut state = self.lock();
        state.server.unregister(id);
        state.outlets.remove(&id);
        self.obey(&mut state);
    }

    pub(crate) fn handle_frame(&self, id: ClientId, from: SocketAddr, frame: ToRelay) {
        let mut state = self.lock();
        state.server.handle_frame(now(), id, from, frame);
        self.obey(&mut state);
    }

    /// The state. A client's task that panicked has not left it half changed: only the server's own methods run under the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what the server decided, still under the lock, so that each client gets its frames in order.
    fn obey(&self, state: &mut State) {
        while let Some(command) = state.server.poll_command() {
            match command {
                Command::Send { to, frame } => {
                    if let Some(outlet) = state.outlets.get(&to)
                        && outlet.frames.try_send(frame).is_err()
                    {
                        trace!(client = ?to, "frame dropped: the queue is full or closed");
                    }
                }
                Command::Close { client, reason } => {
                    if let Some(outlet) = state.outlets.remove(&client) {
                        close(&outlet.connection, reason);
                    }
                }
                Command::Release { to, datagram } => self.port.send(&Transmit {
                    destination: to.remote,
                    ecn: None,
                    contents: &datagram,
                    segment_size: None,
                    src_ip: to.local,
                }),
            }
        }
    }
}

pub(crate) fn close(connection: &quinn::Connection, reason: CloseReason) {
    debug!(?reason, "closing a control connection");
    connection.close(reason.code().into(), reason.text().as_bytes());
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shell reads the clocks for the server"
)]
fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        instant: Instant::now(),
        unix_ms: unix.as_millis() as u64,
    }
}
