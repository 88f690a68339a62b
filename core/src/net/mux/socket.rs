//! One UDP socket of one address family.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use arc_swap::ArcSwap;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::{io::Interest, net::UdpSocket};

/// At 1 Gbit/s a receive buffer of this size bridges 30 ms in which the task does not run.
const BUFFER_BYTES: usize = 4 << 20;
/// Holds the messages of one peer; there may be hundreds of such sockets, open to everybody's floods.
const SMALL_BUFFER_BYTES: usize = 32 << 10;
/// Errors in a row after which receiving lets other tasks run.
const MAX_ERRORS: usize = 16;

#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    /// What quinn-udp knows of the socket. It switches segmentation offload off for good at the first refusal, so it
    /// can be replaced.
    state: ArcSwap<UdpSocketState>,
    offload: usize,
    local: SocketAddr,
    /// Made ready for bulk data.
    wide: AtomicBool,
}

impl Socket {
    /// A socket for bulk data.
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Self::bind_small(addr)?;
        socket.widen();
        Ok(socket)
    }

    /// A socket for a few messages, until it is [widened](Self::widen).
    pub(super) fn bind_small(addr: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(true)?;
        }
        set_buffers(SockRef::from(&socket), SMALL_BUFFER_BYTES);
        socket.bind(&addr.into())?;
        let socket = std::net::UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self {
            offload: state.max_gso_segments(),
            state: ArcSwap::from_pointee(state),
            local: socket.local_addr()?,
            io: UdpSocket::from_std(socket)?,
            wide: AtomicBool::new(false),
        })
    }

    /// Makes room for bulk data.
    pub(super) fn widen(&self) {
        if !self.wide.swap(true, Ordering::Relaxed) {
            set_buffers(SockRef::from(&self.io), BUFFER_BYTES);
        }
    }

    /// Whether it may carry bulk data.
    pub(super) fn is_wide(&self) -> bool {
        self.wide.load(Ordering::Relaxed)
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn max_transmit_segments(&self) -> usize {
        self.state.load().max_gso_segments()
    }

    pub(super) fn max_receive_segments(&self) -> usize {
        self.state.load().gro_segments()
    }

    pub(super) fn may_fragment(&self) -> bool {
        self.state.load().may_fragment()
    }

    /// Forgets what quinn-udp learnt, if it gave segmentation offload up: another path may well take it.
    pub(super) fn restore_offload(&self) {
        if self.max_transmit_segments() == self.offload {
            return;
        }
        match UdpSocketState::new((&self.io).into()) {
            Ok(state) => self.state.store(Arc::new(state)),
            Err(error) => tracing::debug!(%error, "cannot restore segmentation offload"),
        }
    }

    /// Sends a batch. The only error is `WouldBlock`: all others count as loss on the way.
    pub(super) fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let state = self.state.load();
        let sent = self.io.try_io(Interest::WRITABLE, || {
            state.try_send((&self.io).into(), transmit)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(error) => {
                tracing::trace!(%error, to = %transmit.destination, "not sent");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Sends one datagram without touching the state that carries bulk data.
    #[cfg(target_os = "linux")]
    pub(super) fn send_message(
        &self,
        dst: SocketAddr,
        ttl: Option<u8>,
        bytes: &[u8],
    ) -> io::Result<()> {
        use std::os::fd::AsRawFd;

        use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

        let ttl = ttl.map(i32::from);
        let control = ttl.as_ref().map(|ttl| match dst {
            SocketAddr::V4(_) => ControlMessage::Ipv4Ttl(ttl),
            SocketAddr::V6(_) => ControlMessage::Ipv6HopLimit(ttl),
        });
        sendmsg(
            self.io.as_raw_fd(),
            &[io::IoSlice::new(bytes)],
            control.as_slice(),
            MsgFlags::empty(),
            Some(&SockaddrStorage::from(dst)),
        )?;
        Ok(())
    }

    /// Sends one datagram without touching the state that carries bulk data; the time to live is the system's.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn send_message(
        &self,
        dst: SocketAddr,
        _ttl: Option<u8>,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.io.try_send_to(bytes, dst).map(drop)
    }

    /// Wakes one task, the last that asked.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_send_ready(cx)
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Receives a batch. Errors are none of the caller's business: they are about what was sent before, or pass.
    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<usize> {
        let state = self.state.load();
        for _ in 0..MAX_ERRORS {
            if ready!(self.io.poll_recv_ready(cx)).is_err() {
                return Poll::Pending;
            }
            let received = self.io.try_io(Interest::READABLE, || {
                state.recv((&self.io).into(), bufs, meta)
            });
            match received {
                Ok(count) => return Poll::Ready(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => tracing::trace!(%error, "receive error ignored"),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn set_buffers(socket: SockRef<'_>, bytes: usize) {
    // Best effort: the system's limit is often lower.
    let _ = socket.set_recv_buffer_size(bytes);
    let _ = socket.set_send_buffer_size(bytes);
}
