//! One kept forward: listens, and tries until the peer and its server are there.

use std::{future::pending, sync::Arc, time::Duration};

use peerway::{
    Endpoint, Ticket,
    services::tunnel::{ForwardError, Forwarder, Transport},
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use crate::{
    book::Book,
    cli::{args::PeerName, clock::now_ms, failure::Failure, node::Node, peers::Peers},
    forwarding::{Bound, misfit},
    kept::{Kept, Kind, Local, Remote, Services, State},
    operations::{Dialling, Patience},
    transfers::{Running, What},
};

/// Between two tries to listen, or to reach a peer; each to reach it waits twice as long as the one before, up to the second.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Connections that failed and are not dealt with yet; one says as much as many.
const UNREAD: usize = 4;

pub(super) struct Forwarding {
    endpoint: Endpoint,
    peers: Peers,
    book: watch::Receiver<Arc<Book>>,
    services: Services,
    remote: Remote,
    local: Local,
    is_beside_udp: bool,
    running: Running,
}

/// Where one listens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place<'a> {
    pub(super) local: &'a Local,
    /// UDP at that address is led elsewhere.
    pub(super) is_beside_udp: bool,
}

impl<'a> Place<'a> {
    pub(super) fn of(local: &'a Local, kept: &Kept) -> Self {
        let is_beside_udp = match local {
            Local::Addr(addr) => kept.forward.values().any(|it| *it == Local::Udp(*addr)),
            Local::Udp(_) => false,
            #[cfg(unix)]
            Local::Unix(_) => false,
        };
        Self {
            local,
            is_beside_udp,
        }
    }
}

impl Forwarding {
    pub(super) fn new(node: &Node, services: &Services, remote: &Remote, place: Place<'_>) -> Self {
        Self {
            endpoint: node.endpoint.clone(),
            peers: node.peers().clone(),
            book: node.book().watch(),
            services: services.clone(),
            remote: remote.clone(),
            local: place.local.clone(),
            is_beside_udp: place.is_beside_udp,
            running: node.desk().journal().running().clone(),
        }
    }

    pub(super) async fn run(self) {
        let mut book = self.book.clone();
        loop {
            book.mark_unchanged();
            let served = match self.whom() {
                Ok(peer) => tokio::select! {
                    served = self.serve(&peer) => served,
                    () = self.until_other(&peer) => Ok(()),
                },
                Err(failure) => Err(failure),
            };
            let Err(failure) = served else {
                continue;
            };
            self.tell(State::Failed, Some(failure.to_string()));
            tokio::select! {
                () = sleep(RETRY_PAUSE) => {}
                Ok(()) = book.changed() => {}
            }
        }
    }

    /// Who is meant, as the address book is now.
    fn whom(&self) -> Result<Ticket, Failure> {
        let book = Arc::clone(&self.book.borrow());
        // It was read as one from the file.
        let name = self.remote.peer.parse::<PeerName>();
        let name = name.unwrap_or_else(|_| PeerName::Called(self.remote.peer.clone()));
        let peer = self.peers.meant(&name, &book)?;
        if peer.id() == self.endpoint.id() {
            return Err(Failure::OwnPeer);
        }
        match book.blocked(peer.id()) {
            Some(name) => Err(Failure::Blocked(name.clone())),
            None => Ok(peer),
        }
    }

    /// Ready when the address book means somebody else, or nobody who may be dialled.
    async fn until_other(&self, peer: &Ticket) {
        let mut book = self.book.clone();
        while book.changed().await.is_ok() {
            if self.whom().ok().map(|now| now.id()) != Some(peer.id()) {
                return;
            }
        }
        pending().await
    }

    /// Ends where it cannot listen, or is to begin anew with what is known of the peer by then.
    async fn serve(&self, peer: &Ticket) -> Result<(), Failure> {
        let (bound, addr) = match self.is_beside_udp {
            true => Bound::open_beside_udp(&self.local).await?,
            false => Bound::open(&self.local).await?,
        };
        self.tell(State::Waiting, None);
        let name = self.remote.name.clone();
        let what = What::forward(peer.id(), name.to_string(), &addr);
        let forwarder = Forwarder::new(self.endpoint.clone(), peer.clone(), name);
        let (find, found) = watch::channel(None);
        let (failures, mut failed) = mpsc::channel(UNREAD);
        let tell = move |error: &ForwardError| {
            if !matches!(error, ForwardError::Local(_) | ForwardError::BrokenOff) {
                let _ = failures.try_send(error.clone());
            }
        };
        let wanted = bound.wants();
        let work = async {
            tokio::select! {
                ran = bound.run(&forwarder, found, |_| (), tell) => Ok::<(), Failure>(ran?),
                () = self.reach((peer, &forwarder), wanted, &find, &mut failed) => Ok(()),
            }
        };
        self.running.during(what, forwarder.progress(), work).await
    }

    /// Asks until the peer and its server are there, and again when a connection has failed. Ends when what is known of the peer is not
    /// what it was begun with.
    async fn reach(
        &self,
        (peer, forwarder): (&Ticket, &Forwarder),
        wanted: Option<Transport>,
        find: &watch::Sender<Option<Transport>>,
        failed: &mut mpsc::Receiver<ForwardError>,
    ) {
        self.dialling().settled().await;
        let mut pause = RETRY_PAUSE;
        loop {
            let checked = match self.check(peer, forwarder).await {
                Ok(transport) if wanted.is_some_and(|wanted| wanted != transport) => {
                    Err(misfit(transport, &self.remote.name).into())
                }
                checked => checked,
            };
            match checked {
                Ok(transport) => {
                    if find
                        .send_replace(Some(transport))
                        .is_some_and(|was| was != transport)
                    {
                        return;
                    }
                    self.peers.remember(peer);
                    self.tell(State::Ready, None);
                    pause = RETRY_PAUSE;
                    while failed.try_recv().is_ok() {}
                    match failed.recv().await {
                        Some(error) => {
                            let failure = Failure::Forward(error);
                            self.tell(State::Waiting, Some(failure.to_string()));
                        }
                        None => return pending().await,
                    }
                }
                Err(failure) => {
                    self.tell(State::Waiting, Some(failure.to_string()));
                    if self.whom().is_ok_and(|now| now != *peer) {
                        return;
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn check(&self, peer: &Ticket, forwarder: &Forwarder) -> Result<Transport, Failure> {
        let checking = async { forwarder.check().await.map_err(Failure::from) };
        let patience = Patience::within(None);
        self.dialling().answer(peer, patience, checking).await
    }

    fn dialling(&self) -> Dialling<'_> {
        Dialling {
            endpoint: &self.endpoint,
            hint: &|text| tracing::debug!(text, "a kept forward waits"),
        }
    }

    fn tell(&self, state: State, reason: Option<String>) {
        let service = self.remote.to_string();
        self.services
            .tell(Kind::Forward, &service, (state, reason), now_ms());
    }
}
