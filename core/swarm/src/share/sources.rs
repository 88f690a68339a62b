//! Whom content is fetched from: those whom the link names, and those whom they name.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use peerway::{ConnectError, Connection, PeerId, Ticket};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use super::{
    ALPN, GetError, Hash, Link, Sharing, contents::Fetching, object::lock, serve, session::Session,
};

/// Peers that are connected at once.
const MAX_CONNECTED: usize = 30;
/// Peers that are known.
const MAX_KNOWN: usize = 128;
/// Dials at once.
const DIALS: usize = 6;
/// Pauses before a peer is dialled again, of which each is twice the one before.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));
/// How often is looked who has gone.
const LOOK: Duration = Duration::from_millis(500);

/// Peers that may have some of the content.
#[derive(Debug)]
pub(super) struct Sources {
    sharing: Sharing,
    wanted: Hash,
    known: Mutex<BTreeMap<PeerId, Known>>,
    sessions: watch::Sender<Vec<Arc<Session>>>,
    news: Notify,
    turns: AtomicUsize,
    fetching: Arc<Fetching>,
}

#[derive(Debug)]
struct Known {
    ticket: Ticket,
    /// When it may be dialled.
    due: Duration,
    pause: Duration,
    is_dialled: bool,
    /// Why it could not be reached the last time.
    failed: Option<String>,
}

impl Sources {
    /// For what a link names, by those whom it names.
    pub(super) fn new(sharing: &Sharing, link: &Link, fetching: Arc<Fetching>) -> Self {
        let sources = Self {
            sharing: sharing.clone(),
            wanted: link.hash,
            known: Mutex::default(),
            sessions: watch::Sender::new(Vec::new()),
            news: Notify::new(),
            turns: AtomicUsize::new(0),
            fetching,
        };
        sources.learn(&link.providers);
        sources
    }

    /// Peers may have some of it.
    pub(super) fn learn(&self, tickets: &[Ticket]) {
        let mut known = lock(&self.known);
        for ticket in tickets {
            let id = ticket.id();
            if id == self.sharing.endpoint().id() || known.len() >= MAX_KNOWN {
                continue;
            }
            known.entry(id).or_insert_with(|| Known {
                ticket: ticket.clone(),
                due: Duration::ZERO,
                pause: PAUSE.0,
                is_dialled: false,
                failed: None,
            });
        }
        self.news.notify_one();
    }

    /// Where those are who are known, as many as a link names.
    pub(super) fn tickets(&self) -> Vec<Vec<u8>> {
        let known = lock(&self.known);
        let tickets = known.values().map(|it| it.ticket.to_bytes());
        tickets.take(Link::MAX_PROVIDERS).collect()
    }

    /// A peer that asks for the same content may have some of it.
    pub(super) fn arrived(&self, connection: Connection) {
        let peer = connection.peer();
        let is_wanted = {
            let sessions = self.sessions.borrow();
            let is_connected = sessions.iter().any(|it| it.peer() == peer);
            !is_connected && sessions.len() < MAX_CONNECTED
        };
        if is_wanted && !self.sharing.is_liar(peer) && !self.sharing.shuns(peer) {
            drop(self.connected(connection));
        }
    }

    /// Those that are connected.
    pub(super) fn sessions(&self) -> watch::Receiver<Vec<Arc<Session>>> {
        self.sessions.subscribe()
    }

    /// A peer sent what is wrong.
    pub(super) fn lied(&self, peer: PeerId) {
        self.sharing.lied(self.wanted, peer);
        self.sessions
            .send_modify(|sessions| sessions.retain(|it| it.peer() != peer));
    }

    /// Why nothing is to be had, once all were tried and those in `refused` have said that they have nothing; none before.
    pub(super) fn exhausted(&self, refused: &BTreeSet<PeerId>) -> Option<GetError> {
        let sessions = self.sessions.borrow();
        if !sessions.iter().all(|it| refused.contains(&it.peer())) {
            return None;
        }
        let known = lock(&self.known);
        let mut reasons = Vec::new();
        for (id, known) in known.iter() {
            if self.sharing.is_liar(*id) {
                reasons.push("it sent what is not the content".to_owned());
            } else if self.sharing.shuns(*id) {
                reasons.push("whoever has it is blocked here".to_owned());
            } else if !refused.contains(id) {
                reasons.push(known.failed.clone()?);
            }
        }
        Some(match refused.first() {
            Some(peer) => GetError::NotThere(*peer),
            None => GetError::Unreached(reasons.into_iter().next().unwrap_or_default()),
        })
    }

    /// At whom to begin, of so many, another one each time.
    pub(super) fn turn(&self, of: usize) -> usize {
        self.turns.fetch_add(1, Relaxed) % of.max(1)
    }

    /// What the link names, of which all that is fetched is a part.
    pub(super) fn wanted(&self) -> Hash {
        self.wanted
    }

    /// What is shown of it.
    pub(super) fn fetching(&self) -> &Fetching {
        &self.fetching
    }

    pub(super) fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    /// Dials whom it may, until it is dropped.
    pub(super) async fn run(&self) -> Infallible {
        let mut dials = FuturesUnordered::new();
        loop {
            self.drop_ended();
            while dials.len() < DIALS
                && self.sessions.borrow().len() + dials.len() < MAX_CONNECTED
                && let Some(ticket) = self.due()
            {
                let endpoint = self.sharing.endpoint();
                let id = ticket.id();
                dials.push(async move { (id, endpoint.connect(ticket, ALPN).await) });
            }
            tokio::select! {
                Some((id, dialled)) = dials.next(), if !dials.is_empty() => {
                    self.dialled(id, dialled);
                }
                () = self.news.notified() => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    fn due(&self) -> Option<Ticket> {
        let now = self.sharing.now();
        let sessions = self.sessions.borrow();
        let mut known = lock(&self.known);
        let due = known.values_mut().find(|known| {
            let id = known.ticket.id();
            let is_connected = sessions.iter().any(|session| session.peer() == id);
            let is_shut_out = self.sharing.is_liar(id) || self.sharing.shuns(id);
            !known.is_dialled && known.due <= now && !is_connected && !is_shut_out
        })?;
        due.is_dialled = true;
        Some(due.ticket.clone())
    }

    fn dialled(&self, id: PeerId, dialled: Result<Connection, ConnectError>) {
        let now = self.sharing.now();
        if let Some(known) = lock(&self.known).get_mut(&id) {
            known.is_dialled = false;
            known.due = now + known.pause;
            match &dialled {
                Ok(_) => (known.pause, known.failed) = (PAUSE.0, None),
                Err(error) => {
                    known.pause = (known.pause * 2).min(PAUSE.1);
                    known.failed = Some(error.to_string());
                }
            }
        }
        if let Ok(connection) = dialled {
            let session = self.connected(connection.clone());
            let is_unused = move || session.strong_count() == 0;
            let answering = serve::until_unused(self.sharing.clone(), connection, is_unused);
            #[expect(clippy::disallowed_methods, reason = "the shell")]
            tokio::spawn(answering);
        }
    }

    fn connected(&self, connection: Connection) -> Weak<Session> {
        let session = self.sharing.session(connection);
        let used = Arc::downgrade(&session);
        self.sessions.send_modify(|sessions| {
            sessions.retain(|it| it.peer() != session.peer());
            sessions.push(session);
        });
        used
    }

    fn drop_ended(&self) {
        self.sessions.send_if_modified(|sessions| {
            let before = sessions.len();
            sessions.retain(|it| !it.is_over() && !self.sharing.shuns(it.peer()));
            sessions.len() < before
        });
    }
}
