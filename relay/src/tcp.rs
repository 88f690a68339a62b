//! The relay's TCP port, for clients whose networks carry no UDP.
//!
//! It takes WebSockets in TLS and `/healthz`, and ends everything else with a word. Each binary message carries datagrams, which
//! go the way of those that came by UDP, from a source that is [numbered](peerway_carrier::numbered): QUIC with the client and the
//! lane know no difference. A first byte that begins no TLS begins plain HTTP: what is behind a reverse proxy needs no second
//! TLS, as QUIC inside of it proves who is who.

mod certificate;
mod door;
mod http;
mod real;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use peerway_carrier::{
    Datagrams, Outbox, Side, UNSENT, carry, numbered::numbered, prepare, progress::Watched,
};
use peerway_proto::SecretKey;
use quinn_udp::RecvMeta;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tracing::debug;

pub use self::certificate::CertificateError;
use self::{
    certificate::Tls,
    door::{Door, Place},
    http::Web,
};
use crate::{hub::now, relay::Drain, server::Limits, socket::Sorter};

/// From the first byte to the end of the upgrade.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A WebSocket that nobody is registered over for this long ends.
const UNUSED: Duration = Duration::from_secs(15);
/// Connections that the kernel holds until we look.
const BACKLOG: i32 = 1024;
/// After the system refused to hand out a connection, as it does without descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How to serve clients over TCP.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    /// Where to listen; by default at the address and number of the UDP port. Clients try that, and 443.
    pub bind: Option<SocketAddr>,
    /// What to show to whoever asks for a certificate; Peerway's nodes ask for the relay's key, and need none.
    pub certificate: Option<Certificate>,
    /// Reverse proxies that are believed where a client is (`X-Forwarded-For`, and the first version of the PROXY protocol).
    pub trusted_proxies: Vec<IpAddr>,
    /// Connections that the system has descriptors for, besides all else that the process opens; where they are fewer than
    /// [`Limits::clients`], they are shared out as those are. No such bound without it.
    pub room: Option<usize>,
}

/// Files of an operator's certificate, in PEM. They are read again when they change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Certificate {
    /// The certificate, and those above it.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificate {
    /// A certificate from these files.
    #[must_use]
    pub fn new(chain: PathBuf, key: PathBuf) -> Self {
        Self { chain, key }
    }
}

/// A TCP port that is open.
#[derive(Debug)]
pub(crate) struct Port {
    io: TcpListener,
    tls: Tls,
    trusted_proxies: Vec<IpAddr>,
    door: Door,
    last: AtomicU32,
}

impl Port {
    pub(crate) fn open(addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(!addr.ip().is_unspecified())?;
        }
        // A port whose last connections are still fading out is free to us.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    }

    pub(crate) fn new(
        io: TcpListener,
        config: &Tcp,
        key: &SecretKey,
        host: &str,
        limits: Limits,
    ) -> Result<Self, CertificateError> {
        Ok(Self {
            io,
            tls: Tls::new(key, host, config.certificate.clone())?,
            trusted_proxies: config.trusted_proxies.clone(),
            door: Door::new(limits, config.room.unwrap_or(usize::MAX)),
            last: AtomicU32::new(0),
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Streams that are open.
    pub(crate) fn streams(&self) -> usize {
        self.door.streams()
    }

    /// Serves as long as it is awaited.
    pub(crate) async fn serve(
        self: Arc<Self>,
        sorter: Arc<Sorter>,
        draining: watch::Receiver<Option<Drain>>,
    ) {
        let mut guests = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.io.accept() => match accepted {
                    Ok((tcp, from)) => {
                        let is_proxy = self.is_trusted(from);
                        let entered = self.door.enter(from, is_proxy);
                        let guest = Guest {
                            port: self.clone(),
                            sorter: sorter.clone(),
                            draining: draining.clone(),
                            from,
                        };
                        guests.spawn(guest.serve(tcp, entered));
                    }
                    Err(error) => {
                        debug!(%error, "cannot accept");
                        sleep(PAUSE).await;
                    }
                },
                Some(_) = guests.join_next() => {}
            }
        }
    }

    fn is_trusted(&self, from: SocketAddr) -> bool {
        self.trusted_proxies.contains(&from.ip().to_canonical())
    }

    fn number(&self) -> NonZeroU32 {
        loop {
            let number = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if let Some(number) = NonZeroU32::new(number) {
                return number;
            }
        }
    }
}

/// Whoever knocked.
struct Guest {
    port: Arc<Port>,
    sorter: Arc<Sorter>,
    draining: watch::Receiver<Option<Drain>>,
    from: SocketAddr,
}

impl Guest {
    async fn serve(self, tcp: TcpStream, entered: Place) {
        let until = Instant::now() + HANDSHAKE;
        // Boxed: what a task once had room for it keeps, and a handshake takes twice as much as what comes after it.
        let receiving = Box::pin(self.receive(tcp));
        let received = tokio::select! {
            received = timeout_at(until, receiving) => received,
            () = entered.displaced() => {
                return debug!("a TCP connection that became no stream gave way to another");
            }
        };
        match received {
            Ok(Ok(Some(web))) => {
                let Some(stream) = entered.stays(web.from) else {
                    return;
                };
                self.carry(web, &stream).await;
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => debug!(%error, "a TCP connection did not become a stream"),
            Err(_) => debug!("a TCP connection did not become a stream in time"),
        }
    }

    /// Begins the WebSocket, or answers what else is asked.
    async fn receive(&self, mut tcp: TcpStream) -> io::Result<Option<Web>> {
        prepare(&tcp, UNSENT)?;
        let is_proxy = self.port.is_trusted(self.from);
        let from = if is_proxy {
            real::from_proxy_line(&mut tcp).await?.unwrap_or(self.from)
        } else {
            self.from
        };
        let mut first = [0];
        if tcp.peek(&mut first).await? == 0 {
            return Ok(None);
        }
        let draining = self.draining.borrow().is_some();
        let visit = http::Visit {
            from,
            is_proxy,
            draining,
        };
        if first == [certificate::HANDSHAKE_RECORD] {
            if !has_turn(&self.port.door, from).await {
                return Ok(None);
            }
            let tcp = Watched::new(tcp);
            let progress = tcp.progress();
            let tls = self.port.tls.accept(tcp).await?;
            http::receive(Box::new(tls), progress, visit).await
        } else {
            let tcp = Watched::new(tcp);
            let progress = tcp.progress();
            http::receive(Box::new(tcp), progress, visit).await
        }
    }

    async fn carry(&self, web: Web, place: &Place) {
        let addr = numbered(web.from, self.port.number());
        let outbox = self.sorter.ports.streams.open(addr);
        let ended = tokio::select! {
            ended = carry(web.socket, &outbox, Side::Relay(&web.progress), |datagrams| sort(&self.sorter, addr, datagrams)) => ended,
            () = self.unused(addr) => Ok(()),
            () = place.displaced() => Ok(()),
        };
        if let Err(error) = ended {
            debug!(%error, "a stream ended");
        }
        self.sorter.ports.streams.close(addr);
        self.sorter.ended(addr).await;
    }

    /// Ends when nobody is registered over the stream.
    async fn unused(&self, addr: SocketAddr) {
        loop {
            sleep(UNUSED).await;
            if !self.sorter.hub.lock().is_registered_at(addr) {
                return;
            }
        }
    }
}

/// Waits until there is time for a TLS handshake; false where that would be later than it may take, so that others get the place.
async fn has_turn(door: &Door, from: SocketAddr) -> bool {
    while let Err(again) = door.begin_tls(now().instant, from) {
        if again >= HANDSHAKE {
            return false;
        }
        sleep(again).await;
    }
    true
}

/// Gives the sorter what came in one message as the kernel would: datagrams of one length together.
fn sort(sorter: &Sorter, addr: SocketAddr, datagrams: Datagrams) {
    let mut inbox = Inbox {
        sorter,
        addr,
        // Not kept, as most streams are idle most of the time.
        buffer: Vec::with_capacity(datagrams.byte_len()),
    };
    let mut stride = 0;
    for datagram in datagrams {
        let is_last = datagram.len() < stride;
        if datagram.len() > stride && stride > 0 {
            inbox.sort(stride);
            stride = 0;
        }
        if stride == 0 {
            stride = datagram.len();
        }
        inbox.buffer.extend_from_slice(&datagram);
        if is_last {
            inbox.sort(stride);
            stride = 0;
        }
    }
    inbox.sort(stride);
}

/// Datagrams of one length.
struct Inbox<'a> {
    sorter: &'a Sorter,
    addr: SocketAddr,
    buffer: Vec<u8>,
}

impl Inbox<'_> {
    fn sort(&mut self, stride: usize) {
        if self.buffer.is_empty() {
            return;
        }
        let mut meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (self.addr, self.buffer.len(), stride);
        let sort = || self.sorter.take(now().instant, &self.buffer, &meta);
        self.sorter.hub.contain("a datagram of a stream", sort);
        self.buffer.clear();
    }
}

/// The streams' outboxes, by their addresses.
#[derive(Debug, Default)]
pub(crate) struct Streams(std::sync::RwLock<std::collections::HashMap<SocketAddr, Arc<Outbox>>>);

impl Streams {
    fn open(&self, addr: SocketAddr) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::default());
        let mut streams = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.insert(addr, outbox.clone());
        outbox
    }

    fn close(&self, addr: SocketAddr) {
        let mut streams = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.remove(&addr);
        if streams.capacity() > 64 + 4 * streams.len() {
            streams.shrink_to_fit();
        }
    }

    /// The outbox of this stream, if it is still open.
    pub(crate) fn get(&self, addr: SocketAddr) -> Option<Arc<Outbox>> {
        let streams = self
            .0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.get(&addr).cloned()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn who_would_have_to_wait_for_too_long_is_let_go_at_once() {
        let (door, from) = (
            Door::new(Limits::default(), usize::MAX),
            ([192, 0, 2, 1], 1).into(),
        );
        assert!(has_turn(&door, from).await);
        let is_soon = |again| again < HANDSHAKE * 2;
        while door
            .begin_tls(now().instant, from)
            .map_or_else(is_soon, |()| true)
        {}
        let at_once = timeout(Duration::ZERO, has_turn(&door, from)).await;
        assert_eq!(at_once, Ok(false));
    }
}
