//! What the relay says and hears on one control connection, from the handshake on.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use peerway_proto::{
    PeerId, RelayUrl,
    wire::relay::{CloseReason, Frame, FrameReader, ToClient, ToRelay, VERSION},
};
use tracing::{debug, info};

use super::connection::{Connection, Read, Stopped};
use crate::{
    faults,
    hub::Hub,
    server::{ClientId, ClientPath, Credentials, Now, Write, admission::Admitted},
};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Within this time a connection must say HELLO.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Within this time a client must take what is written to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// A client must be heard within this time after something was written to it, or within three round trips if that is longer.
const HEARD_WITHIN: Duration = Duration::from_millis(1500);
/// How often is looked whether a silent client is back.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Bytes from which on no further frame joins a write.
const WRITE_BATCH: usize = 16 << 10;
/// Frames that are handled before other clients get their turn.
const FRAMES: usize = 32;

/// A connection is to end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End(pub(super) CloseReason);

impl From<Stopped> for End {
    fn from(Stopped: Stopped) -> Self {
        Self(CloseReason::Goodbye)
    }
}

#[derive(Debug)]
pub(super) struct ControlConnection {
    phase: Phase,
    admitted: Option<Admitted>,
    frames: FrameReader<ToRelay>,
}

#[derive(Debug)]
enum Phase {
    /// The handshake goes on.
    Handshake {
        until: Instant,
        route: ClientPath,
    },
    /// The client is to say HELLO.
    Greeting(Box<Greeting>),
    Registered(Client),
    /// The connection ended.
    Over,
}

/// Who is about to register, and what they said of it so far.
#[derive(Debug)]
struct Greeting {
    until: Instant,
    route: ClientPath,
    key: PeerId,
    credentials: Credentials,
}

/// A registered client.
#[derive(Debug)]
struct Client {
    id: ClientId,
    /// Whether the server may have something for it.
    is_woken: bool,
    /// When the server has something for it.
    due: Option<Instant>,
    /// What there was no room for yet. Hardly anybody has that, so it is boxed.
    writing: Option<Box<Writing>>,
    hearing: Hearing,
    leaving: Leaving,
}

/// Whether a client acknowledges what is written to it.
#[derive(Debug, Default)]
struct Hearing {
    /// Datagrams that had come from it when that was last looked at.
    datagrams: u64,
    /// When to look again.
    look: Option<Instant>,
}

/// Whether a client was asked to come back later.
#[derive(Debug)]
enum Leaving {
    No,
    ToBeAsked(Farewell),
    Asked,
}

/// What is said to a client that is to leave.
#[derive(Clone, Debug)]
pub(super) struct Farewell {
    pub(super) reconnect_in_ms: u32,
    /// The relay that takes this one's place.
    pub(super) successor: Option<Arc<RelayUrl>>,
}

impl ControlConnection {
    /// An attempt at `route` was accepted.
    pub(super) fn new(now: Instant, route: ClientPath, admitted: Admitted) -> Self {
        Self {
            phase: Phase::Handshake {
                until: now + HANDSHAKE_TIMEOUT,
                route,
            },
            admitted: Some(admitted),
            frames: FrameReader::default(),
        }
    }

    pub(super) fn take_admitted(&mut self) -> Option<Admitted> {
        self.admitted.take()
    }

    /// The handshake is done, and there is a seat.
    pub(super) fn connected(&mut self, now: Instant, key: PeerId, admitted: Admitted) {
        self.admitted = Some(admitted);
        if let Phase::Handshake { route, .. } = self.phase {
            self.phase = Phase::Greeting(Box::new(Greeting {
                until: now + HELLO_TIMEOUT,
                route,
                key,
                credentials: Credentials::default(),
            }));
        }
    }

    /// Who it is, once it is registered.
    pub(super) fn client(&self) -> Option<ClientId> {
        match &self.phase {
            Phase::Registered(client) => Some(client.id),
            Phase::Handshake { .. } | Phase::Greeting(_) | Phase::Over => None,
        }
    }

    /// The server has something to write.
    pub(super) fn wake(&mut self) {
        if let Phase::Registered(client) = &mut self.phase {
            client.is_woken = true;
        }
    }

    /// Asks the client to leave.
    pub(super) fn ask_to_leave(&mut self, farewell: Farewell) {
        if let Phase::Registered(client) = &mut self.phase {
            client.leaving = Leaving::ToBeAsked(farewell);
        }
    }

    /// The connection ended; nothing happens from now on.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Over;
        self.frames = FrameReader::default();
    }

    /// When to look again, if nothing happens before.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Handshake { until, .. } => Some(*until),
            Phase::Greeting(greeting) => Some(greeting.until),
            Phase::Registered(client) => client.next_timeout(),
            Phase::Over => None,
        }
    }

    /// Handles what came. True if there may be more, which waits until others had their turn.
    pub(super) fn read(
        &mut self,
        now: Now,
        connection: &mut Connection,
        hub: &Hub,
    ) -> Result<bool, End> {
        self.check_time(now.instant)?;
        for _ in 0..FRAMES {
            if !self.listens() {
                return Ok(false);
            }
            let Some(frame) = self.next_frame(connection)? else {
                return Ok(false);
            };
            self.handle(now, connection.remote(), frame, hub)?;
        }
        Ok(true)
    }

    /// Writes what the server has for the client, as far as there is room.
    pub(super) fn write(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        hub: &Hub,
    ) -> Result<(), End> {
        match &mut self.phase {
            Phase::Registered(client) => client.write(now, connection, hub),
            Phase::Handshake { .. } | Phase::Greeting(_) | Phase::Over => Ok(()),
        }
    }

    fn check_time(&self, now: Instant) -> Result<(), End> {
        let (until, reason) = match &self.phase {
            Phase::Handshake { until, .. } => (until, CloseReason::Goodbye),
            Phase::Greeting(greeting) => (&greeting.until, CloseReason::Protocol),
            Phase::Registered(_) | Phase::Over => return Ok(()),
        };
        if *until <= now {
            return Err(End(reason));
        }
        Ok(())
    }

    /// Whether the next frame is taken: a client that does not read is not heard either.
    pub(super) fn listens(&self) -> bool {
        match &self.phase {
            Phase::Greeting(_) => true,
            Phase::Registered(client) => client.writing.is_none(),
            Phase::Handshake { .. } | Phase::Over => false,
        }
    }

    fn next_frame(&mut self, connection: &mut Connection) -> Result<Option<ToRelay>, End> {
        loop {
            match self.frames.poll() {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(error) => {
                    debug!(%error, "a client broke the protocol");
                    return Err(End(CloseReason::Protocol));
                }
            }
            match connection.read() {
                Read::Bytes(bytes) => self.frames.push(&bytes),
                Read::Nothing => return Ok(None),
                Read::Finished | Read::Broken => return Err(End(CloseReason::Goodbye)),
            }
        }
    }

    fn handle(&mut self, now: Now, from: SocketAddr, frame: ToRelay, hub: &Hub) -> Result<(), End> {
        match &mut self.phase {
            Phase::Greeting(greeting) => match frame {
                ToRelay::Invited { token } => greeting.credentials.token = Some(token),
                ToRelay::Visit => greeting.credentials.visits = true,
                ToRelay::Yield => greeting.credentials.yields = true,
                ToRelay::Hello { version: VERSION } => {
                    let (key, route) = (greeting.key, greeting.route);
                    let id = (hub.lock())
                        .admit(now, key, route, &greeting.credentials)
                        .map_err(End)?;
                    info!(client = %key.short(), "registered");
                    self.phase = Phase::Registered(Client::new(id));
                }
                ToRelay::Hello { .. } | _ => return Err(End(CloseReason::Protocol)),
            },
            Phase::Registered(client) => {
                if let ToRelay::Signal { payload, .. } = &frame {
                    faults::trip(payload.as_bytes());
                }
                hub.lock().handle_frame(now, client.id, from, frame);
            }
            Phase::Handshake { .. } | Phase::Over => {}
        }
        Ok(())
    }
}

impl Client {
    fn new(id: ClientId) -> Self {
        Self {
            id,
            is_woken: false,
            due: None,
            writing: None,
            hearing: Hearing::default(),
            leaving: Leaving::No,
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let writing = self.writing.as_ref().map(|writing| writing.until);
        [self.due, self.hearing.look, writing]
            .into_iter()
            .flatten()
            .min()
    }

    fn write(&mut self, now: Instant, connection: &mut Connection, hub: &Hub) -> Result<(), End> {
        self.look_if_due(now, connection, hub);
        loop {
            if let Some(writing) = &mut self.writing {
                if !writing.go_on(now, connection, hub, self.id)? {
                    return Ok(());
                }
                self.writing = None;
            }
            let bytes = self.next_bytes(now, hub);
            if bytes.is_empty() {
                return Ok(());
            }
            self.listen_for_an_answer(now, connection);
            let mut writing = Writing::new(now, connection, bytes);
            if !writing.go_on(now, connection, hub, self.id)? {
                self.writing = Some(Box::new(writing));
                return Ok(());
            }
        }
    }

    /// What is to be written now.
    fn next_bytes(&mut self, now: Instant, hub: &Hub) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.is_woken || self.due.is_some_and(|due| due <= now) {
            self.take_frames(now, hub, &mut bytes);
        }
        if bytes.is_empty()
            && let Leaving::ToBeAsked(farewell) = &self.leaving
        {
            if let Some(to) = &farewell.successor {
                let to = RelayUrl::clone(to);
                ToClient::Moved { to }.emit(&mut bytes);
            }
            let reconnect_in_ms = farewell.reconnect_in_ms;
            ToClient::Drain { reconnect_in_ms }.emit(&mut bytes);
            self.leaving = Leaving::Asked;
        }
        bytes
    }

    fn take_frames(&mut self, now: Instant, hub: &Hub, bytes: &mut Vec<u8>) {
        let mut server = hub.lock();
        while bytes.len() < WRITE_BATCH {
            let due = match server.poll_frame(now, self.id) {
                Write::Now(frame) => {
                    frame.emit(bytes);
                    continue;
                }
                Write::At(time) => Some(time),
                Write::Nothing => None,
            };
            (self.is_woken, self.due) = (false, due);
            return;
        }
    }

    fn listen_for_an_answer(&mut self, now: Instant, connection: &Connection) {
        if self.hearing.look.is_none() {
            self.hearing = Hearing {
                datagrams: connection.datagrams(),
                look: Some(now + HEARD_WITHIN.max(connection.rtt() * 3)),
            };
        }
    }

    /// Looks from time to time whether anything came from the client since something was written to it.
    fn look_if_due(&mut self, now: Instant, connection: &Connection, hub: &Hub) {
        if self.hearing.look.is_none_or(|at| at > now) {
            return;
        }
        let datagrams = connection.datagrams();
        let heard = datagrams != self.hearing.datagrams;
        let look = (!heard).then(|| now + LOOK_EVERY);
        self.hearing = Hearing { datagrams, look };
        if heard {
            hub.lock().heard(self.id);
        } else {
            hub.lock().unheard(self.id);
        }
    }
}

/// Bytes that a client is to take.
#[derive(Debug)]
struct Writing {
    bytes: Vec<u8>,
    written: usize,
    /// Datagrams that had come from it before.
    datagrams: u64,
    until: Instant,
}

impl Writing {
    fn new(now: Instant, connection: &Connection, bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            written: 0,
            datagrams: connection.datagrams(),
            until: now + WRITE_TIMEOUT,
        }
    }

    /// True when all is written.
    fn go_on(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        hub: &Hub,
        id: ClientId,
    ) -> Result<bool, End> {
        while let Some(rest) = self.bytes.get(self.written..)
            && !rest.is_empty()
        {
            match connection.write(rest)? {
                0 if self.until > now => return Ok(false),
                0 if connection.datagrams() != self.datagrams => {
                    return Err(End(CloseReason::TooSlow));
                }
                // It is not slow, but away: QUIC ends the connection if that lasts.
                0 => {
                    self.until = now + WRITE_TIMEOUT;
                    hub.lock().unheard(id);
                    return Ok(false);
                }
                len => self.written += len,
            }
        }
        Ok(true)
    }
}
