//! The one shared thing: the pure server, and the ways to its clients.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use peerway_proto::{
    PeerId,
    wire::relay::{CloseReason, Frame, ToRelay},
};
use quinn_udp::Transmit;
use tokio::sync::Notify;
use tracing::{debug, error};

use crate::{
    port::Port,
    server::{ClientId, Command, Limits, Now, Route, Server, Write},
};

/// How a client's task learns that there is something to write, and how its connection is ended.
#[derive(Debug)]
struct Outlet {
    wake: Arc<Notify>,
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
    panics: AtomicU64,
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
            panics: AtomicU64::new(0),
        }
    }

    /// Registers a client; whenever there is something to write to it, it is notified.
    pub(crate) fn register(
        &self,
        key: PeerId,
        route: Route,
        connection: quinn::Connection,
    ) -> (ClientId, Arc<Notify>) {
        let wake = Arc::new(Notify::new());
        let outlet = Outlet {
            wake: wake.clone(),
            connection,
        };
        let mut state = self.lock();
        let id = state.server.register(now(), key, route);
        state.outlets.insert(id, outlet);
        self.obey(&mut state);
        (id, wake)
    }

    /// Appends what is to be written to a client now, up to about `len` bytes. Returns when to ask again, if that has a time.
    pub(crate) fn take_frames(
        &self,
        id: ClientId,
        len: usize,
        bytes: &mut Vec<u8>,
    ) -> Option<Instant> {
        let mut state = self.lock();
        let now = now().instant;
        while bytes.len() < len {
            match state.server.poll_frame(now, id) {
                Write::Now(frame) => frame.emit(bytes),
                Write::At(time) => return Some(time),
                Write::Nothing => return None,
            }
        }
        None
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

    /// Says of a client whether something came from it since something was written to it.
    pub(crate) fn note_hearing(&self, id: ClientId, heard: bool) {
        let mut state = self.lock();
        if heard {
            state.server.heard(id);
        } else {
            state.server.unheard(id);
        }
        self.obey(&mut state);
    }

    /// Does `work`. If it panics, what it was about is lost and nothing else.
    pub(crate) fn contain<T>(&self, about: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(work));
        if done.is_err() {
            self.note_panic(about, &"see above");
        }
        done.ok()
    }

    /// Handling something failed, which is a fault of ours.
    pub(crate) fn note_panic(&self, about: &'static str, error: &dyn fmt::Display) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        error!(about, %error, "handling it failed; this is a fault of the relay, please report it");
    }

    /// How often that happened.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// The state. A client's task that panicked has not left it half changed: only the server's own methods run under the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what the server decided.
    fn obey(&self, state: &mut State) {
        while let Some(command) = state.server.poll_command() {
            match command {
                Command::Wake { client } => {
                    if let Some(outlet) = state.outlets.get(&client) {
                        outlet.wake.notify_one();
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
pub(crate) fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        instant: Instant::now(),
        unix_ms: unix.as_millis() as u64,
    }
}
