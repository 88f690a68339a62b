//! One QUIC connection and its only stream, the control stream.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::server::{Month, Now};
use bytes::Bytes;
use peerway_keys::tls;
use peerway_proto::{
    PeerId,
    wire::relay::{CloseReason, MAX_BODY},
};
use quinn_proto::{
    ConnectionEvent, Dir, EndpointEvent, Event, ReadError, StreamEvent, StreamId, Transmit,
    WriteError,
};

#[derive(Debug)]
pub(super) struct Connection {
    quic: quinn_proto::Connection,
    stream: Option<StreamId>,
    /// Whether there may be something to read.
    is_readable: bool,
}

/// What a connection's owner must hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// The handshake is done.
    Connected,
    /// The client ended the connection, or it broke.
    Lost,
}

/// What comes from the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(Bytes),
    /// Nothing yet.
    Nothing,
    /// The client will say no more.
    Finished,
    /// The stream is of no use any more.
    Broken,
}

/// The stream takes nothing any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stopped;

impl Connection {
    pub(super) fn new(quic: quinn_proto::Connection) -> Self {
        Self {
            quic,
            stream: None,
            is_readable: true,
        }
    }

    pub(super) fn handle_event(&mut self, event: ConnectionEvent) {
        self.quic.handle_event(event);
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.quic.poll_timeout().is_some_and(|time| time <= now) {
            self.quic.handle_timeout(now);
        }
    }

    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        self.quic.poll_timeout()
    }

    pub(super) fn poll_endpoint_event(&mut self) -> Option<EndpointEvent> {
        self.quic.poll_endpoint_events()
    }

    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        self.quic.poll_transmit(now, segments, buffer)
    }

    pub(super) fn poll(&mut self) -> Option<Happened> {
        while let Some(event) = self.quic.poll() {
            match event {
                Event::Connected => return Some(Happened::Connected),
                Event::ConnectionLost { .. } => return Some(Happened::Lost),
                Event::Stream(StreamEvent::Opened { .. } | StreamEvent::Readable { .. }) => {
                    self.is_readable = true;
                }
                Event::Stream(_)
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
        None
    }

    /// Takes what came on the stream next, up to the size of the largest frame.
    pub(super) fn read(&mut self) -> Read {
        if !self.is_readable {
            return Read::Nothing;
        }
        if self.stream.is_none() {
            self.stream = self.quic.streams().accept(Dir::Bi);
        }
        let Some(id) = self.stream else {
            self.is_readable = false;
            return Read::Nothing;
        };
        let mut stream = self.quic.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else {
            return Read::Broken;
        };
        let read = match chunks.next(MAX_BODY) {
            Ok(Some(chunk)) => Read::Bytes(chunk.bytes),
            Ok(None) => Read::Finished,
            Err(ReadError::Blocked) => Read::Nothing,
            Err(ReadError::Reset(_)) => Read::Broken,
        };
        // Whether credit is to be sent is seen at the next transmit.
        let _ = chunks.finalize();
        self.is_readable = read != Read::Nothing;
        read
    }

    /// Writes to the stream; returns how much of it there was room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize, Stopped> {
        let id = self.stream.ok_or(Stopped)?;
        match self.quic.send_stream(id).write(bytes) {
            Ok(len) => Ok(len),
            Err(WriteError::Blocked) => Ok(0),
            Err(WriteError::Stopped(_) | WriteError::ClosedStream) => Err(Stopped),
        }
    }

    /// Ends the connection; nothing happens if it has ended before.
    pub(super) fn close(&mut self, now: Now, reason: CloseReason) {
        let text = if reason.is_of_a_month() {
            let day = Month::of(now.unix_ms).next_begins();
            format!("{} until {day}", reason.text()).into()
        } else {
            Bytes::from_static(reason.text().as_bytes())
        };
        self.quic.close(now.instant, reason.code().into(), text);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.quic.is_closed()
    }

    /// The key that the client proved to hold.
    pub(super) fn peer_id(&self) -> Option<PeerId> {
        tls::peer_id_in(self.quic.crypto_session().peer_identity()?)
    }

    /// Where the last datagram came from; not proven.
    pub(super) fn remote(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    pub(super) fn rtt(&self) -> Duration {
        self.quic.rtt()
    }

    /// Datagrams that came so far.
    pub(super) fn datagrams(&self) -> u64 {
        self.quic.stats().udp_rx.datagrams
    }
}
