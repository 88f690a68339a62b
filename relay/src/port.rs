//! The UDP ports of the relay: batches in, batches out; and what goes to a stream instead.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
};

use peerway_carrier::numbered::number_of;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;

use crate::{lane::Batch, server::ClientPath, tcp::Streams};

#[cfg(target_os = "linux")]
mod together;

/// Room for a burst while the task is elsewhere; the kernel may grant less.
const BUFFER: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct Ports {
    /// QUIC, lane and STUN.
    pub(crate) main: Port,
    /// STUN only: the other port of RFC 5780.
    pub(crate) stun: Port,
    pub(crate) streams: Streams,
}

impl Ports {
    /// Sends a datagram or a batch of them to a client, over what it is connected by; what is not taken is dropped.
    pub(crate) fn send(&self, transmit: &Transmit<'_>) {
        if !self.send_on_tcp(transmit) {
            self.main.send(transmit);
        }
    }

    /// Sends lane datagrams to a client.
    pub(crate) fn forward(&self, batch: &Batch<'_>, to: ClientPath) {
        if number_of(to.remote).is_none() && self.main.send_together(batch, to) {
            return;
        }
        for run in batch.runs() {
            self.send(&Transmit {
                destination: to.remote,
                ecn: batch.ecn,
                contents: run,
                segment_size: (run.len() > batch.stride).then_some(batch.stride),
                src_ip: to.local,
            });
        }
    }

    /// The same for QUIC, which waits where the kernel has no room.
    pub(crate) fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.send_on_tcp(transmit) {
            return Ok(());
        }
        self.main.try_send(transmit)
    }

    /// False if the destination is none of TCP.
    fn send_on_tcp(&self, transmit: &Transmit<'_>) -> bool {
        let addr = transmit.destination;
        if number_of(addr).is_none() {
            return false;
        }
        if let Some(outbox) = self.streams.get(addr) {
            let len = transmit.segment_size.unwrap_or(transmit.contents.len());
            outbox.push(transmit.contents.chunks(len.max(1)));
        }
        true
    }
}

#[derive(Debug)]
pub(crate) struct Port {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    sends_dropped: AtomicU64,
}

impl Port {
    /// Opens a port; an unspecified IPv6 address takes IPv4 as well.
    pub(crate) fn open(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(!addr.ip().is_unspecified())?;
        }
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        let buffers = SockRef::from(&socket);
        buffers.set_recv_buffer_size(BUFFER)?;
        buffers.set_send_buffer_size(BUFFER)?;
        Ok(Self {
            io: tokio::net::UdpSocket::from_std(socket)?,
            state,
            sends_dropped: AtomicU64::new(0),
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// How many datagrams one call may send.
    pub(crate) fn max_send_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Datagrams and batches that the kernel did not take.
    pub(crate) fn sends_dropped(&self) -> u64 {
        self.sends_dropped.load(Ordering::Relaxed)
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Receives what is there; `Ok(0)` if there was nothing after all.
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        ready!(self.io.poll_recv_ready(cx))?;
        let received = self.io.try_io(Interest::READABLE, || {
            self.state.recv((&self.io).into(), bufs, metas)
        });
        Poll::Ready(Ok(received.unwrap_or(0)))
    }

    /// Sends for QUIC, which waits where the kernel has no room.
    pub(crate) fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || {
            self.state.send((&self.io).into(), transmit)
        })
    }

    /// Sends a datagram or a batch of them; what the kernel does not take is dropped.
    pub(crate) fn send(&self, transmit: &Transmit<'_>) {
        let Err(error) = self.send_now(transmit) else {
            return;
        };
        match transmit.segment_size {
            Some(segment) if error.kind() != io::ErrorKind::WouldBlock => {
                self.send_one_by_one(transmit, segment);
            }
            _ => self.count_drop(),
        }
    }

    /// Sends a batch that came in several parts by one call; false if that cannot be, and its parts are to be sent one by one.
    #[cfg(target_os = "linux")]
    fn send_together(&self, batch: &Batch<'_>, to: ClientPath) -> bool {
        let runs = batch.runs();
        let Some(stride) = u16::try_from(batch.stride).ok().filter(|_| runs.len() > 1) else {
            return false;
        };
        let socket = SockRef::from(&self.io);
        match together::send(socket, to.remote, to.local, batch.ecn, stride, runs) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.count_drop();
                true
            }
            Err(_) => false,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn send_together(&self, _: &Batch<'_>, _: ClientPath) -> bool {
        false
    }

    /// The way out where a batch fails: no segmentation offload, or segments too large for the network to this receiver.
    fn send_one_by_one(&self, transmit: &Transmit<'_>, segment: usize) {
        for contents in transmit.contents.chunks(segment.max(1)) {
            let one = Transmit {
                contents,
                segment_size: None,
                ..transmit.clone()
            };
            if self.send_now(&one).is_err() {
                self.count_drop();
            }
        }
    }

    /// Bypasses tokio's readiness: what does not fit now is dropped, so nobody waits for room.
    fn send_now(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.state.try_send((&self.io).into(), transmit)
    }

    fn count_drop(&self) {
        self.sends_dropped.fetch_add(1, Ordering::Relaxed);
    }
}
