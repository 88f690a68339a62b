//! The streams of a node: dialled, or opened by peers, offered to whoever decides on them, and in use.

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

/// Streams in use that peers opened: each takes a file descriptor, of which a process may have but a thousand.
const STREAMS: Limits = Limits {
    in_all: 256,
    of_site: 128,
    of_network: 64,
    of_peer: 4,
};
/// Streams that have proved a key and wait for us to look.
const WAITING: usize = 16;

/// See the [module](self).
pub(crate) struct Streams {
    mux: Arc<Mux>,
    /// None if there are to be no streams.
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

/// A stream was dialled.
pub(crate) struct StreamDialled {
    peer: PeerId,
    addr: SocketAddr,
    stream: io::Result<Box<Established>>,
}

/// A stream that is to be decided on.
pub(crate) struct Offer {
    peer: PeerId,
    stream: Pair,
    dialled: bool,
}

impl Offer {
    /// The question whether it is of use.
    pub(crate) fn into_input(self) -> Input<'static> {
        let Self {
            peer,
            stream,
            dialled,
        } = self;
        Input::StreamUp {
            peer,
            stream,
            dialled,
        }
    }
}

impl Streams {
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

    /// The next stream that somebody opened to us.
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
    ) -> Option<impl Future<Output = StreamDialled> + Send + 'static> {
        let tls = self.tls.clone()?;
        if !self.dialling.insert((peer, addr)) {
            return None;
        }
        let from = self.mux.source_towards(addr.ip());
        Some(async move {
            StreamDialled {
                peer,
                addr,
                stream: tls.dial(peer, from, addr).await.map(Box::new),
            }
        })
    }

    pub(crate) fn on_dialled(&mut self, dialled: StreamDialled) -> Option<Offer> {
        let StreamDialled { peer, addr, stream } = dialled;
        self.dialling.remove(&(peer, addr));
        match stream {
            Ok(stream) => Some(self.offer(*stream, true)),
            Err(error) => {
                tracing::debug!(peer = %peer.short(), %error, "no stream");
                None
            }
        }
    }

    /// Takes in a stream that a peer opened, if there is room for it.
    pub(crate) fn on_accepted(&mut self, stream: Established) -> Option<Offer> {
        let sock = Sock::stream(self.next);
        let (peer, addr) = (stream.peer, stream.addr);
        self.make_room(peer, Pair { sock, addr })
            .then(|| self.offer(stream, false))
    }

    fn offer(&mut self, stream: Established, dialled: bool) -> Offer {
        let sock = Sock::stream(self.next);
        self.next = self.next.wrapping_add(1);
        let (peer, addr) = (stream.peer, stream.addr);
        self.offered.insert(sock, stream);
        Offer {
            peer,
            stream: Pair { sock, addr },
            dialled,
        }
    }

    /// Counts one more stream that a peer opened; false if there is no room for it.
    fn make_room(&mut self, peer: PeerId, stream: Pair) -> bool {
        let origin = Origin {
            peer: Some(peer),
            ip: stream.addr.ip(),
        };
        match self.taken.room(origin, |_| true) {
            Room::Free => {}
            Room::Instead(greediest) => {
                // The numbers of streams grow: the oldest is the first.
                for oldest in greediest.into_iter().take(1) {
                    self.taken.release(oldest);
                    self.mux.remove_stream(oldest.sock);
                }
            }
            Room::Full | Room::Over => {
                tracing::debug!(peer = %peer.short(), "no room for another stream");
                return false;
            }
        }
        self.taken.take(stream, origin);
        true
    }

    pub(crate) fn is_offered(&self, sock: Sock) -> bool {
        self.offered.contains_key(&sock)
    }

    /// Has an offered stream carry what the mux sends on it, and take what comes as the link's. The future ends with it.
    pub(crate) fn take(
        &mut self,
        peer: PeerId,
        sock: Sock,
        link: Arc<Link>,
    ) -> Option<impl Future<Output = Pair> + Send + 'static> {
        let stream = self.offered.remove(&sock)?;
        let pair = Pair {
            sock,
            addr: stream.addr,
        };
        tracing::debug!(peer = %peer.short(), link = %virtual_addr(link.handle()), "stream");
        let (mux, outbox) = (Arc::clone(&self.mux), self.mux.add_stream(sock));
        #[expect(
            clippy::disallowed_methods,
            reason = "it carries bytes, decides nothing, and ends with its stream"
        )]
        let task = tokio::spawn(async move {
            let take = |datagram| mux.take_from_stream(pair, &link, datagram);
            carry(stream, &outbox, take).await;
        });
        self.open.insert(pair, peer);
        Some(async move {
            let _ = task.await;
            pair
        })
    }

    /// Lets go of a stream that is not wanted, or no more; the future ends when what was sent on it has had time to leave.
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

    /// A stream ended; whose it was, if it was in use.
    pub(crate) fn on_ended(&mut self, stream: Pair) -> Option<PeerId> {
        self.mux.remove_stream(stream.sock);
        self.taken.release(stream);
        self.open.remove(&stream)
    }

    /// Lets go of all streams; what was sent on them leaves.
    pub(crate) fn close_all(&mut self) {
        for stream in std::mem::take(&mut self.open).into_keys() {
            self.mux.remove_stream(stream.sock);
        }
    }
}
