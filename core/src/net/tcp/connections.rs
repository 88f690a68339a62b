//! The TCP connections of a node: dialled, or opened by peers, offered to whoever decides on them, and in use.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
};

use tokio::{sync::mpsc, time::sleep};

use super::{Established, Listener, Tls, carry};
use crate::{
    PeerId,
    net::{
        GOODBYE,
        mux::{Link, Mux, virtual_addr},
    },
    proto::{
        io::{Input, Pair, Sock},
        shares::{Limits, Origin, Room, Shares},
    },
};

/// Connections in use that peers opened: each takes a file descriptor, of which a process may have but a thousand.
const STREAMS: Limits = Limits {
    in_all: 256,
    of_site: 128,
    of_network: 64,
    of_peer: 4,
};
/// Connections that have proved a key and wait for us to look.
const WAITING: usize = 16;

/// See the [module](self).
pub(crate) struct Connections {
    mux: Arc<Mux>,
    /// None if there are to be no TCP connections.
    tls: Option<Tls>,
    listeners: Vec<Listener>,
    sender: mpsc::Sender<Established>,
    accepted: mpsc::Receiver<Established>,
    dialling: BTreeSet<(PeerId, SocketAddr)>,
    /// Those that are yet to be decided on.
    offered: BTreeMap<Sock, Established>,
    /// Those in use.
    open: BTreeMap<Pair, PeerId>,
    /// Of these and those offered, what peers opened.
    taken: Shares<Pair>,
    next: u32,
}

/// A TCP connection was dialled.
pub(crate) struct TcpDialled {
    peer: PeerId,
    addr: SocketAddr,
    tcp: io::Result<Box<Established>>,
}

/// A TCP connection that is to be decided on.
pub(crate) struct Offer {
    peer: PeerId,
    tcp: Pair,
    dialled: bool,
}

impl Offer {
    /// The question whether it is of use.
    pub(crate) fn into_input(self) -> Input<'static> {
        let Self { peer, tcp, dialled } = self;
        Input::TcpUp { peer, tcp, dialled }
    }
}

impl Connections {
    pub(crate) fn new(mux: Arc<Mux>, tls: Option<Tls>) -> Self {
        let (sender, accepted) = mpsc::channel(WAITING);
        Self {
            mux,
            tls,
            listeners: Vec::new(),
            sender,
            accepted,
            dialling: BTreeSet::new(),
            offered: BTreeMap::new(),
            open: BTreeMap::new(),
            taken: Shares::new(STREAMS),
            next: 0,
        }
    }

    /// The next connection that somebody opened to us.
    pub(crate) async fn accept(&mut self) -> Option<Established> {
        self.accepted.recv().await
    }

    /// Listens from now on. Whether anybody may come; none if that is decided already.
    pub(crate) fn listen(&mut self) -> Option<bool> {
        let tls = self.tls.as_ref().filter(|_| self.listeners.is_empty())?;
        let addrs = [self.mux.local_v4(), self.mux.local_v6()];
        for addr in addrs.into_iter().flatten() {
            match Listener::spawn(addr, tls.clone(), self.sender.clone()) {
                Ok(listener) => self.listeners.push(listener),
                Err(error) => tracing::debug!(%addr, %error, "cannot listen on TCP"),
            }
        }
        Some(!self.listeners.is_empty())
    }

    /// Dials a peer, unless that is under way.
    pub(crate) fn dial(
        &mut self,
        peer: PeerId,
        addr: SocketAddr,
    ) -> Option<impl Future<Output = TcpDialled> + Send + 'static> {
        let tls = self.tls.clone()?;
        if !self.dialling.insert((peer, addr)) {
            return None;
        }
        let from = self.mux.source_towards(addr.ip());
        Some(async move {
            TcpDialled {
                peer,
                addr,
                tcp: tls.dial(peer, from, addr).await.map(Box::new),
            }
        })
    }

    pub(crate) fn on_dialled(&mut self, dialled: TcpDialled) -> Option<Offer> {
        let TcpDialled { peer, addr, tcp } = dialled;
        self.dialling.remove(&(peer, addr));
        match tcp {
            Ok(tcp) => Some(self.offer(*tcp, true)),
            Err(error) => {
                tracing::debug!(peer = %peer.short(), %error, "no stream");
                None
            }
        }
    }

    /// Takes in a TCP connection that a peer opened, if there is room for it.
    pub(crate) fn on_accepted(&mut self, tcp: Established) -> Option<Offer> {
        let sock = Sock::tcp(self.next);
        let (peer, addr) = (tcp.peer, tcp.addr);
        self.make_room(peer, Pair { sock, addr })
            .then(|| self.offer(tcp, false))
    }

    fn offer(&mut self, tcp: Established, dialled: bool) -> Offer {
        let sock = Sock::tcp(self.next);
        self.next = self.next.wrapping_add(1);
        let (peer, addr) = (tcp.peer, tcp.addr);
        self.offered.insert(sock, tcp);
        Offer {
            peer,
            tcp: Pair { sock, addr },
            dialled,
        }
    }

    /// Counts one more connection that a peer opened; false if there is no room for it.
    fn make_room(&mut self, peer: PeerId, tcp: Pair) -> bool {
        let origin = Origin {
            peer: Some(peer),
            ip: tcp.addr.ip(),
        };
        match self.taken.room(origin, |_| true) {
            Room::Free => {}
            Room::Instead(greediest) => {
                // The numbers of TCP connections grow: the oldest is the first.
                for oldest in greediest.into_iter().take(1) {
                    self.taken.release(oldest);
                    self.mux.remove_tcp(oldest.sock);
                }
            }
            Room::Full | Room::Over => {
                tracing::debug!(peer = %peer.short(), "no room for another stream");
                return false;
            }
        }
        self.taken.take(tcp, origin);
        true
    }

    pub(crate) fn is_offered(&self, sock: Sock) -> bool {
        self.offered.contains_key(&sock)
    }

    /// Has an offered connection carry what the mux sends on it, and take what comes as the link's. The future ends with it.
    pub(crate) fn take(
        &mut self,
        peer: PeerId,
        sock: Sock,
        link: Arc<Link>,
    ) -> Option<impl Future<Output = Pair> + Send + 'static> {
        let tcp = self.offered.remove(&sock)?;
        let pair = Pair {
            sock,
            addr: tcp.addr,
        };
        tracing::debug!(peer = %peer.short(), link = %virtual_addr(link.handle()), "stream");
        let (mux, outbox) = (Arc::clone(&self.mux), self.mux.add_tcp(sock));
        #[expect(
            clippy::disallowed_methods,
            reason = "it carries bytes, decides nothing, and ends with its stream"
        )]
        let task = tokio::spawn(async move {
            let take = |datagram| mux.take_from_stream(pair, &link, datagram);
            carry(tcp, &outbox, take).await;
        });
        self.open.insert(pair, peer);
        Some(async move {
            let _ = task.await;
            pair
        })
    }

    /// Lets go of a TCP connection that is not wanted, or no more; the future ends when what was sent on it has had time to leave.
    pub(crate) fn close(
        &mut self,
        sock: Sock,
    ) -> Option<impl Future<Output = Sock> + Send + 'static> {
        if let Some(Established { addr, .. }) = self.offered.remove(&sock) {
            self.taken.release(Pair { sock, addr });
            return None;
        }
        Some(async move {
            sleep(GOODBYE).await;
            sock
        })
    }

    /// A TCP connection ended; whose it was, if it was in use.
    pub(crate) fn on_ended(&mut self, tcp: Pair) -> Option<PeerId> {
        self.mux.remove_tcp(tcp.sock);
        self.taken.release(tcp);
        self.open.remove(&tcp)
    }

    /// Lets go of all TCP connections; what was sent on them leaves.
    pub(crate) fn close_all(&mut self) {
        for tcp in std::mem::take(&mut self.open).into_keys() {
            self.mux.remove_tcp(tcp.sock);
        }
    }
}
