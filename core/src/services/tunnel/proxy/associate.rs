//! UDP ASSOCIATE (RFC 1928 section 7): datagrams of a program to UDP services of peers, for as long as its connection lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex as Short, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::{Mutex, Semaphore},
    task::{JoinSet, yield_now},
};

use super::{
    Forwarder, Proxy, ProxyError, ServiceName,
    socks::{self, Datagram},
};
use crate::PeerId;

/// Programs that have datagrams carried at a time.
const MAX_ASSOCIATIONS: usize = 64;
/// Services that one of them sends to at a time; of more the one unused for longest gives way.
const MAX_DESTINATIONS: usize = 16;
/// Names that were asked for in vain are told of once for each program, so many of them.
const MAX_TOLD: usize = 64;
/// The longest that UDP has.
const MAX_DATAGRAM: usize = 65_535;

/// What became of datagrams by SOCKS so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssociateCounts {
    /// Led to a service.
    pub sent: u64,
    /// Answers that programs were given.
    pub received: u64,
    /// Dropped: pieces of larger ones, which nobody puts together.
    pub fragments: u64,
    /// Dropped: to what is no service of a peer, or no datagram of SOCKS, or refused by the system.
    pub refused: u64,
    /// Dropped: from another address than the program's.
    pub strangers: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    fragments: AtomicU64,
    refused: AtomicU64,
    strangers: AtomicU64,
}

/// What all programs' associations share.
#[derive(Debug)]
pub(super) struct Associations {
    room: Semaphore,
    lanes: Mutex<BTreeMap<(PeerId, ServiceName), Weak<Lane>>>,
    counters: Arc<Counters>,
}

impl Default for Associations {
    fn default() -> Self {
        Self {
            room: Semaphore::new(MAX_ASSOCIATIONS),
            lanes: Mutex::default(),
            counters: Arc::default(),
        }
    }
}

impl Associations {
    pub(super) fn counts(&self) -> AssociateCounts {
        let counters = &self.counters;
        AssociateCounts {
            sent: counters.sent.load(Relaxed),
            received: counters.received.load(Relaxed),
            fragments: counters.fragments.load(Relaxed),
            refused: counters.refused.load(Relaxed),
            strangers: counters.strangers.load(Relaxed),
        }
    }
}

/// A socket of this computer that leads to a service, which every program that sends there has a socket of its own for.
#[derive(Debug)]
struct Lane {
    addr: SocketAddr,
    _running: JoinSet<()>,
}

impl Proxy {
    /// Carries a program's datagrams until it ends the connection. `announced` is where it says that it sends from.
    pub(super) async fn associate(
        &self,
        mut tcp: TcpStream,
        announced: Option<SocketAddr>,
        refused: impl Fn(&str, &ProxyError) + Clone + Send + 'static,
    ) -> io::Result<()> {
        let (local, peer) = (tcp.local_addr()?, tcp.peer_addr()?);
        let seat = self.associations.room.try_acquire();
        let (Ok(_seat), Ok(outer)) = (seat, UdpSocket::bind((local.ip(), 0)).await) else {
            return tcp.write_all(&socks::NO_ROOM).await;
        };
        tcp.write_all(&socks::associated(outer.local_addr()?))
            .await?;
        let association = Association {
            proxy: self,
            client: Client {
                ip: peer.ip(),
                port: announced.map(|addr| addr.port()).filter(|port| *port != 0),
            },
            outer: Arc::new(outer),
            destinations: BTreeMap::new(),
            turn: 0,
            told: BTreeSet::new(),
        };
        tokio::select! {
            () = end(&mut tcp) => Ok(()),
            run = association.run(refused) => run,
        }
    }

    async fn lane(
        &self,
        host: &str,
        refused: impl Fn(&str, &ProxyError) + Send + 'static,
    ) -> Result<Arc<Lane>, ProxyError> {
        let (service, peer) = self.meant(host)?;
        let mut lanes = self.associations.lanes.lock().await;
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let key = (peer.id(), service.clone());
        if let Some(lane) = lanes.get(&key).and_then(Weak::upgrade) {
            return Ok(lane);
        }
        let opened = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let inner = opened.map_err(super::ForwardError::from)?;
        let addr = inner.local_addr().map_err(super::ForwardError::from)?;
        // Its connection is its own, of which each carries the datagrams of one service.
        let forwarder = Forwarder::new(self.endpoint.clone(), peer, service);
        let (host, last) = (host.to_owned(), Arc::new(Short::new(String::new())));
        let refused = Arc::new(Short::new(refused));
        let failed = move |error: &super::ForwardError| {
            let text = error.to_string();
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if *last != text {
                *last = text;
                let refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused(&host, &ProxyError::Forward(error.clone()));
            }
        };
        let mut running = JoinSet::new();
        running.spawn(async move { forwarder.run_udp(inner, failed).await });
        let lane = Arc::new(Lane {
            addr,
            _running: running,
        });
        lanes.insert(key, Arc::downgrade(&lane));
        Ok(lane)
    }
}

/// Ready when the program has ended the connection. What it says on it means nothing.
async fn end(tcp: &mut TcpStream) {
    let mut said = [0; 256];
    while let Ok(1..) = tcp.read(&mut said).await {}
}

/// Where a program sends from.
struct Client {
    ip: IpAddr,
    /// The one of its first datagram, if it did not say.
    port: Option<u16>,
}

impl Client {
    fn is(&mut self, from: SocketAddr) -> bool {
        from.ip() == self.ip && *self.port.get_or_insert_with(|| from.port()) == from.port()
    }
}

struct Association<'a> {
    proxy: &'a Proxy,
    client: Client,
    outer: Arc<UdpSocket>,
    /// By the head of datagrams there.
    destinations: BTreeMap<Vec<u8>, Destination>,
    turn: u64,
    told: BTreeSet<String>,
}

/// A service that the program sends to; its answers come as long as this lives.
struct Destination {
    socket: Arc<UdpSocket>,
    used: u64,
    _lane: Arc<Lane>,
    _answers: JoinSet<()>,
}

impl Association<'_> {
    async fn run(
        mut self,
        refused: impl Fn(&str, &ProxyError) + Clone + Send + 'static,
    ) -> io::Result<()> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let Ok((len, from)) = self.outer.recv_from(&mut buffer).await else {
                // What became of an earlier answer.
                yield_now().await;
                continue;
            };
            let counters = self.counters();
            if !self.client.is(from) {
                counters.strangers.fetch_add(1, Relaxed);
                continue;
            }
            let (head, host, payload) = match socks::datagram(buffer.get(..len).unwrap_or_default())
            {
                Datagram::To {
                    head,
                    host,
                    payload,
                } => (head, host, payload),
                Datagram::Fragment => {
                    counters.fragments.fetch_add(1, Relaxed);
                    continue;
                }
                Datagram::Foreign => {
                    counters.refused.fetch_add(1, Relaxed);
                    self.tell("an address", &ProxyError::Foreign, &refused);
                    continue;
                }
                Datagram::Malformed => {
                    counters.refused.fetch_add(1, Relaxed);
                    continue;
                }
            };
            let sent = match self.destination((head, host), from, refused.clone()).await {
                Ok(socket) => socket.try_send(payload).is_ok(),
                Err(error) => {
                    self.tell(host, &error, &refused);
                    false
                }
            };
            let counter = if sent {
                &counters.sent
            } else {
                &counters.refused
            };
            counter.fetch_add(1, Relaxed);
        }
    }

    async fn destination(
        &mut self,
        (head, host): (&[u8], &str),
        client: SocketAddr,
        refused: impl Fn(&str, &ProxyError) + Send + 'static,
    ) -> Result<Arc<UdpSocket>, ProxyError> {
        self.turn += 1;
        if let Some(known) = self.destinations.get_mut(head) {
            known.used = self.turn;
            return Ok(known.socket.clone());
        }
        let lane = self.proxy.lane(host, refused).await?;
        let socket = Arc::new(
            connected(lane.addr)
                .await
                .map_err(super::ForwardError::from)?,
        );
        if self.destinations.len() >= MAX_DESTINATIONS {
            let oldest = self.destinations.iter().min_by_key(|(_, it)| it.used);
            if let Some(oldest) = oldest.map(|(head, _)| head.clone()) {
                self.destinations.remove(&oldest);
            }
        }
        let mut answers = JoinSet::new();
        answers.spawn(answer(
            (socket.clone(), self.outer.clone()),
            head.to_vec(),
            client,
            self.counters(),
        ));
        let destination = Destination {
            socket: socket.clone(),
            used: self.turn,
            _lane: lane,
            _answers: answers,
        };
        self.destinations.insert(head.to_vec(), destination);
        Ok(socket)
    }

    /// Once for each name, as programs send to many in vain.
    fn tell(&mut self, host: &str, error: &ProxyError, refused: &impl Fn(&str, &ProxyError)) {
        if self.told.len() < MAX_TOLD && self.told.insert(host.to_owned()) {
            refused(host, error);
        }
    }

    fn counters(&self) -> Arc<Counters> {
        self.proxy.associations.counters.clone()
    }
}

async fn connected(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(addr).await?;
    // Until it is known to be, nothing is sent without waiting.
    socket.writable().await?;
    Ok(socket)
}

/// Gives the program what comes from a service, with the head of what it sent there.
async fn answer(
    (inner, outer): (Arc<UdpSocket>, Arc<UdpSocket>),
    head: Vec<u8>,
    client: SocketAddr,
    counters: Arc<Counters>,
) {
    let start = head.len();
    let mut buffer = head;
    buffer.resize(start + MAX_DATAGRAM, 0);
    loop {
        let Some(Ok(len)) = read(&inner, &mut buffer, start).await else {
            yield_now().await;
            continue;
        };
        let sent = outer
            .send_to(buffer.get(..start + len).unwrap_or_default(), client)
            .await;
        let counter = match sent {
            Ok(_) => &counters.received,
            Err(_) => &counters.refused,
        };
        counter.fetch_add(1, Relaxed);
    }
}

async fn read(inner: &UdpSocket, buffer: &mut [u8], start: usize) -> Option<io::Result<usize>> {
    Some(inner.recv(buffer.get_mut(start..)?).await)
}
