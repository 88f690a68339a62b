//! TCP connections as the mux sees them: sockets that take frames and reach one address.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use quinn_udp::Transmit;
use tokio::sync::Notify;

use super::{ForDriver, Link, Mux};
use crate::{
    proto::io::{Pair, Sock},
    wire::{datagram::DatagramKind, tcp},
};

/// Bytes that wait to be written. What comes on top is lost, as in a router: QUIC slows down by that.
const CAPACITY: usize = 256 * 1024;

/// What waits to be written to a TCP connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: Vec<u8>,
    closed: bool,
}

impl Outbox {
    /// Puts the frames that wait into `frames`; false if there are none and there will be none. For one task only.
    pub(crate) async fn next(&self, frames: &mut Vec<u8>) -> bool {
        frames.clear();
        loop {
            let closed = {
                let mut waiting = self.lock();
                mem::swap(&mut waiting.frames, frames);
                waiting.closed
            };
            if !frames.is_empty() || closed {
                return !frames.is_empty();
            }
            self.changed.notified().await;
        }
    }

    fn push<'a>(&self, datagrams: impl Iterator<Item = &'a [u8]>) {
        let mut waiting = self.lock();
        for datagram in datagrams {
            let Some(header) = tcp::header(datagram.len()) else {
                continue;
            };
            if waiting.closed || waiting.frames.len() + header.len() + datagram.len() > CAPACITY {
                break;
            }
            waiting.frames.extend_from_slice(&header);
            waiting.frames.extend_from_slice(datagram);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mux {
    /// Makes a socket of a TCP connection; what is sent from it is in the outbox.
    pub(crate) fn add_tcp(&self, sock: Sock) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::default());
        self.edit(|tables| {
            tables.streams.insert(sock, outbox.clone());
        });
        outbox
    }

    /// Takes nothing more from a TCP connection's socket; what is in the outbox still leaves.
    pub(crate) fn remove_tcp(&self, sock: Sock) {
        if let Some(outbox) = self.tables.load().streams.get(&sock) {
            outbox.close();
        }
        self.edit(|tables| {
            tables.streams.remove(&sock);
        });
    }

    /// Takes a datagram that came on a TCP connection of the link's peer.
    pub(crate) fn take_from_stream(&self, pair: Pair, link: &Link, datagram: Bytes) {
        match DatagramKind::of(&datagram) {
            Some(DatagramKind::Quic) => {
                link.received_direct(1, datagram.len());
                if !link.hold(&datagram) {
                    self.inject(link.handle(), datagram);
                }
            }
            Some(
                DatagramKind::Intro
                | DatagramKind::IntroAck
                | DatagramKind::Stale
                | DatagramKind::Probe
                | DatagramKind::Sealed,
            ) => {
                self.outlets.to_driver(|| ForDriver::Message {
                    sock: pair.sock,
                    source: pair.addr,
                    bytes: datagram.into(),
                });
            }
            Some(_) | None => self.outlets.stranger(),
        }
    }

    /// Sends a message of ours on a TCP connection; lost if there is none.
    pub(super) fn send_message_on_tcp(&self, sock: Sock, message: &[u8]) {
        if let Some(outbox) = self.tables.load().streams.get(&sock) {
            outbox.push(std::iter::once(message));
        }
    }

    /// Sends what quinn gave us on a TCP connection; true if the driver must be told of it.
    pub(super) fn send_on_tcp(&self, sock: Sock, link: &Link, transmit: &Transmit<'_>) -> bool {
        let tables = self.tables.load();
        let Some(outbox) = tables.streams.get(&sock) else {
            return false;
        };
        let len = transmit.contents.len();
        let segment = transmit.segment_size.unwrap_or(len).max(1);
        outbox.push(transmit.contents.chunks(segment));
        link.sent_direct(len.div_ceil(segment) as u64, len as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_outbox_holds_a_quarter_of_a_megabyte_and_loses_what_comes_on_top() {
        let outbox = Outbox::default();
        let packet = [0x40; 1400];
        outbox.push(std::iter::repeat_n(&packet[..], 1000));
        let mut frames = Vec::new();
        assert!(outbox.next(&mut frames).await);
        assert_eq!(frames.len(), CAPACITY / 1402 * 1402);
        assert_eq!(tcp::frame_len(&frames), Ok(Some(1402)));
    }

    #[tokio::test]
    async fn a_closed_outbox_gives_what_is_in_it_and_then_ends() {
        let outbox = Outbox::default();
        outbox.push(std::iter::once(&[0x40, 1][..]));
        outbox.close();
        outbox.push(std::iter::once(&[0x40, 2][..]));
        let mut frames = Vec::new();
        assert!(outbox.next(&mut frames).await);
        assert_eq!(frames, [0, 2, 0x40, 1]);
        assert!(!outbox.next(&mut frames).await);
    }
}
