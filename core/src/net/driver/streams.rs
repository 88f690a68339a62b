//! Streams: dialled and taken here, used as the machine says.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    time::Duration,
};

use tokio::{sync::mpsc, time::sleep};

use super::{Done, Driver};
use crate::{
    PeerId,
    addr::Scope,
    net::{
        mux::virtual_addr,
        tcp::{self, Established, Listener, Tls},
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
/// The time for QUIC's goodbye to leave on a stream that is being closed.
const GOODBYE: Duration = Duration::from_secs(1);

/// See the [module](self).
pub(super) struct Streams {
    /// None if there are to be no streams.
    tls: Option<Tls>,
    listeners: Vec<Listener>,
    sender: mpsc::Sender<Established>,
    accepted: mpsc::Receiver<Established>,
    dialling: BTreeSet<(PeerId, SocketAddr)>,
    /// Those that the machine has yet to decide on.
    offered: BTreeMap<Sock, Established>,
    /// Those in use.
    open: BTreeMap<Pair, PeerId>,
    /// Of these and those offered, what peers opened.
    taken: Shares<Pair>,
    next: u32,
}

impl Streams {
    pub(super) fn new(tls: Option<Tls>) -> Self {
        let (sender, accepted) = mpsc::channel(WAITING);
        Self {
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
    pub(super) async fn accept(&mut self) -> Option<Established> {
        self.accepted.recv().await
    }
}

impl Driver {
    /// Listens where there is an address that the internet may reach, or one that the user bound us to. Behind a NAT nobody could
    /// come in, and a port that answers would only show that we are there.
    pub(super) fn listen(&mut self) {
        let local = self.machine.local();
        let is_global = |addr: SocketAddr| Scope::of(addr.ip()) == Scope::Global;
        let useful = local.bound.is_some() || local.hosts().into_iter().any(is_global);
        let Some(tls) = self.streams.tls.clone() else {
            return;
        };
        if !useful || !self.streams.listeners.is_empty() {
            return;
        }
        for addr in [self.mux.local_v4(), self.mux.local_v6()]
            .into_iter()
            .flatten()
        {
            match Listener::spawn(addr, tls.clone(), self.streams.sender.clone()) {
                Ok(listener) => self.streams.listeners.push(listener),
                Err(error) => tracing::debug!(%addr, %error, "cannot listen on TCP"),
            }
        }
        let listening = !self.streams.listeners.is_empty();
        self.feed(Input::Listening(listening));
    }

    pub(super) fn dial_stream(&mut self, peer: PeerId, addr: SocketAddr) {
        let Some(tls) = self.streams.tls.clone() else {
            return;
        };
        if self.streams.dialling.insert((peer, addr)) {
            let from = self.mux.source_towards(addr.ip());
            self.pending.push(Box::pin(async move {
                let dialled = tls.dial(peer, from, addr).await.map(Box::new);
                Done::StreamDialled(peer, addr, dialled)
            }));
        }
    }

    pub(super) fn on_stream_dialled(
        &mut self,
        peer: PeerId,
        addr: SocketAddr,
        dialled: io::Result<Box<Established>>,
    ) {
        self.streams.dialling.remove(&(peer, addr));
        match dialled {
            Ok(stream) => self.offer_stream(*stream, true),
            Err(error) => tracing::debug!(peer = %peer.short(), %error, "no stream"),
        }
    }

    /// Asks the machine whether the stream is of use.
    pub(super) fn offer_stream(&mut self, stream: Established, dialled: bool) {
        let sock = Sock::stream(self.streams.next);
        let (peer, addr) = (stream.peer, stream.addr);
        if !dialled && !self.make_room_for_stream(peer, Pair { sock, addr }) {
            return;
        }
        self.streams.next = self.streams.next.wrapping_add(1);
        self.streams.offered.insert(sock, stream);
        self.feed(Input::StreamUp {
            peer,
            stream: Pair { sock, addr },
            dialled,
        });
    }

    /// Counts one more stream that a peer opened; false if there is no room for it.
    fn make_room_for_stream(&mut self, peer: PeerId, stream: Pair) -> bool {
        let origin = Origin {
            peer: Some(peer),
            ip: stream.addr.ip(),
        };
        match self.streams.taken.room(origin, |_| true) {
            Room::Free => {}
            Room::Instead(greediest) => {
                // The numbers of streams grow: the oldest is the first.
                for oldest in greediest.into_iter().take(1) {
                    self.streams.taken.release(oldest);
                    self.mux.remove_stream(oldest.sock);
                }
            }
            Room::Full | Room::Over => {
                tracing::debug!(peer = %peer.short(), "no room for another stream");
                return false;
            }
        }
        self.streams.taken.take(stream, origin);
        true
    }

    /// The machine wants it.
    pub(super) fn take_stream(&mut self, peer: PeerId, sock: Sock) {
        let Some(stream) = self.streams.offered.remove(&sock) else {
            return;
        };
        let pair = Pair {
            sock,
            addr: stream.addr,
        };
        let link = self.link(peer).link.clone();
        tracing::debug!(peer = %peer.short(), link = %virtual_addr(link.handle()), "stream");
        let (mux, outbox) = (self.mux.clone(), self.mux.add_stream(sock));
        #[expect(
            clippy::disallowed_methods,
            reason = "it carries bytes, decides nothing, and ends with its stream"
        )]
        let task = tokio::spawn(async move {
            let take = |datagram| mux.take_from_stream(pair, &link, datagram);
            tcp::carry(stream, &outbox, take).await;
        });
        self.streams.open.insert(pair, peer);
        self.pending.push(Box::pin(async move {
            let _ = task.await;
            Done::StreamEnded(pair)
        }));
    }

    /// The machine does not want it, or no more.
    pub(super) fn close_stream(&mut self, sock: Sock) {
        if let Some(Established { addr, .. }) = self.streams.offered.remove(&sock) {
            self.streams.taken.release(Pair { sock, addr });
        } else {
            self.pending.push(Box::pin(async move {
                sleep(GOODBYE).await;
                Done::StreamClosed(sock)
            }));
        }
    }

    pub(super) fn on_stream_ended(&mut self, stream: Pair) {
        self.mux.remove_stream(stream.sock);
        self.streams.taken.release(stream);
        if let Some(peer) = self.streams.open.remove(&stream) {
            self.feed(Input::StreamDown { peer, stream });
        }
    }

    /// Lets go of all streams; what was sent on them leaves.
    pub(super) fn close_streams(&mut self) {
        for stream in std::mem::take(&mut self.streams.open).into_keys() {
            self.mux.remove_stream(stream.sock);
        }
    }
}
