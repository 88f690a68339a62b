//! A client of a relay as a state machine: QUIC, the control stream, and nothing else.

use std::{fmt, net::SocketAddr, sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use peerway::{
    PeerId, SecretKey, tls,
    wire::relay::{ALPN, Busy, Frame, FrameReader, MAX_BODY, ToClient, ToRelay, VERSION},
};
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint,
    Event, IdleTimeout, StreamId, TransportConfig, VarInt,
};

use crate::Failure;

/// As a node has it.
const IDLE_TIMEOUT_MS: u32 = 45_000;
const INITIAL_RTT_MS: u64 = 100;

pub(super) struct Client {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    quic: Connection,
    relay: SocketAddr,
    stream: Option<StreamId>,
    frames: FrameReader<ToClient>,
    unsaid: Vec<u8>,
    is_lost: bool,
}

/// What its owner is to know.
pub(super) enum Happened {
    Heard(ToClient),
    Lost(Failure),
}

/// The relay has no time now.
#[derive(Clone, Copy, Debug)]
pub(super) struct TurnedAway(pub(super) Busy);

impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for TurnedAway {}

impl Client {
    /// Begins to dial, and says HELLO as soon as it can.
    pub(super) fn dial(
        now: Instant,
        relay: SocketAddr,
        relay_key: PeerId,
        key: &SecretKey,
    ) -> Result<Self, Failure> {
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
            .initial_rtt(std::time::Duration::from_millis(INITIAL_RTT_MS))
            .mtu_discovery_config(None)
            .datagram_receive_buffer_size(None);
        let mut config = ClientConfig::new(Arc::new(tls::client_config(key, ALPN)?));
        config.transport_config(Arc::new(transport));
        let settings = Arc::new(tls::endpoint_config(key, "load"));
        let mut endpoint = Endpoint::new(settings, None, false, None);
        let name = tls::server_name(relay_key);
        let (handle, quic) = endpoint.connect(now, config, relay, &name)?;
        let mut client = Self {
            endpoint,
            handle,
            quic,
            relay,
            stream: None,
            frames: FrameReader::default(),
            unsaid: Vec::new(),
            is_lost: false,
        };
        client.say(&ToRelay::Hello { version: VERSION });
        Ok(client)
    }

    pub(super) fn say(&mut self, frame: &ToRelay) {
        frame.emit(&mut self.unsaid);
    }

    /// Says what may be no frame.
    pub(super) fn say_bytes(&mut self, bytes: &[u8]) {
        self.unsaid.extend_from_slice(bytes);
    }

    pub(super) fn receive(&mut self, now: Instant, datagram: BytesMut) {
        let mut answer = Vec::new();
        let event = (self.endpoint).handle(now, self.relay, None, None, datagram, &mut answer);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            self.quic.handle_event(event);
        }
    }

    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        self.quic.poll_timeout()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        if self.quic.poll_timeout().is_some_and(|time| time <= now) {
            self.quic.handle_timeout(now);
        }
    }

    /// The next datagram to send.
    pub(super) fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> bool {
        self.write();
        buffer.clear();
        let some = self.quic.poll_transmit(now, 1, buffer).is_some();
        while let Some(event) = self.quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.quic.handle_event(event);
            }
        }
        some
    }

    pub(super) fn poll(&mut self) -> Option<Happened> {
        while let Some(event) = self.quic.poll() {
            match event {
                Event::Connected => self.stream = self.quic.streams().open(Dir::Bi),
                Event::ConnectionLost { reason } => {
                    self.is_lost = true;
                    return Some(Happened::Lost(why(reason)));
                }
                Event::Stream(_)
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
        if self.is_lost {
            return None;
        }
        loop {
            match self.frames.poll() {
                Ok(Some(frame)) => return Some(Happened::Heard(frame)),
                Ok(None) => {}
                Err(error) => return Some(Happened::Lost(error.into())),
            }
            let bytes = self.read()?;
            self.frames.push(&bytes);
        }
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.quic.close(now, 0_u32.into(), Bytes::new());
    }

    fn write(&mut self) {
        let Some(stream) = self.stream else {
            return;
        };
        if self.unsaid.is_empty() {
            return;
        }
        // If it takes nothing, that is heard elsewhere.
        if let Ok(len) = self.quic.send_stream(stream).write(&self.unsaid) {
            self.unsaid.drain(..len);
        }
    }

    fn read(&mut self) -> Option<Bytes> {
        let mut stream = self.quic.recv_stream(self.stream?);
        let mut chunks = stream.read(true).ok()?;
        let chunk = chunks.next(MAX_BODY).ok()?;
        let _ = chunks.finalize();
        chunk.map(|chunk| chunk.bytes)
    }
}

fn why(reason: ConnectionError) -> Failure {
    if let ConnectionError::ConnectionClosed(close) = &reason
        && let Some(busy) = Busy::parse(&close.reason)
    {
        return TurnedAway(busy).into();
    }
    reason.into()
}
