//! Nodes for the duration of a command.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, time::Duration};

use peerway::{BindError, Builder, Endpoint, RelayUrl, SecretKey, Ticket, services::swarm::Swarm};
use peerway_relay::Signals;
use peerway_swarm::groups::Groups;
use peerway_swarm::{search::Search, share::Sharing};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    args::{Globals, PeerName},
    dht::{self, Dht},
    failure::Failure,
    follow::Followed,
    invite, out,
    peers::Peers,
    share,
    state::{Claim, StateDir},
};

#[cfg(all(feature = "subnet", target_os = "linux"))]
use crate::linking::Linker;
pub(super) use crate::operations::Patience;
use crate::{
    book::Seen,
    links::Links,
    operations::{Dialling, reachable},
    servers::Servers,
    transfers::Desk,
};

/// How often is looked who is linked.
const SEEN_EVERY: Duration = Duration::from_secs(20);

/// What a command says that the node that runs here would serve for.
pub(super) const OWN: &str = "no node runs here, so this command runs one as long as it lasts";

/// An endpoint and the claim on its identity, if it has the folder's.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    claim: Option<Claim>,
    /// Of a key of its own, to meet somebody with.
    is_passing: bool,
    peers: Peers,
    book: Followed,
    swarm: Swarm,
    sharing: Sharing,
    search: Search,
    desk: Desk,
    servers: Servers,
    #[cfg(all(feature = "subnet", target_os = "linux"))]
    linker: Linker,
    dht: Option<Dht>,
    groups: Option<Groups>,
    /// Why it lives in none though it should.
    #[cfg(unix)]
    groups_trouble: Option<String>,
}

impl Node {
    /// A node to be reached by whom the address book allows: it has the folder's identity or does not start.
    pub(super) async fn listening(globals: &Globals) -> Result<Self, Failure> {
        let state = StateDir::open(globals)?;
        let key = state.key()?;
        let claim = state.claim()?.ok_or_else(|| state.in_use())?;
        let peers = state.peers();
        let book = Followed::open(peers.book(), state.invites())?;
        let builder = globals
            .builder()
            .secret_key(key.clone())
            .relays(globals.relays.clone())
            .discovery(dht::secret(globals, &state)?);
        let mut node = Self::start(builder, globals.bind, Some(claim), (peers, book)).await?;
        let catalog = Some(state.shares());
        node.sharing = share::sharing(&node.endpoint, &node.book, catalog);
        let book = node.book.watch();
        let known = move || book.borrow().allowed().collect();
        node.dht = Dht::publishing(globals, &state, &node.endpoint, key, known).await?;
        let mut joining = globals.builder();
        if let Some(addr) = globals.bind {
            joining = joining.bind_addr((addr.ip(), 0).into());
        }
        node.join_groups(&state, joining);
        let groups = node.groups.as_ref();
        node.search = share::search(&node.endpoint, &node.sharing, &node.book, groups);
        if let Err(error) = node.search.offer_kept().await {
            out::hint(format!("{error}. Nothing of it is found meanwhile"));
        }
        Ok(node)
    }

    /// A node to dial with, which is not to be found at its relays.
    pub(super) async fn dialling(
        globals: &Globals,
        relays: Vec<RelayUrl>,
    ) -> Result<Self, Failure> {
        let builder = globals.builder().relays(relays).visits(true);
        let state = StateDir::open(globals)?;
        let peers = state.peers();
        // Nobody is let in anyway.
        let book = Followed::open_or_empty(peers.book(), state.invites());
        Self::with(globals, builder, (peers, book)).await
    }

    /// A node of the folder's identity or, beside another process that has it, of a temporary one.
    pub(super) async fn beside(globals: &Globals, relays: Vec<RelayUrl>) -> Result<Self, Failure> {
        let state = StateDir::open(globals)?;
        let peers = state.peers();
        let book = Followed::open(peers.book(), state.invites())?;
        Self::with(globals, globals.builder().relays(relays), (peers, book)).await
    }

    /// A node of another key, for as long as it takes to meet somebody who is not known yet: anybody may call it.
    pub(super) async fn passing(
        globals: &Globals,
        key: SecretKey,
        builder: Builder,
    ) -> Result<Self, Failure> {
        let mut builder = builder.secret_key(key.clone());
        if let Some(addr) = globals.bind {
            // The port may be that of the node that runs.
            builder = builder.bind_addr((addr.ip(), 0).into());
        }
        let state = StateDir::open(globals)?;
        let peers = state.peers();
        let endpoint = builder.bind().await?;
        let book = Followed::open_or_empty(peers.book(), state.invites());
        let sharing = share::sharing(&endpoint, &book, None);
        Ok(Self {
            swarm: Swarm::new(endpoint.clone()),
            search: share::search(&endpoint, &sharing, &book, None),
            sharing,
            desk: Desk::new(endpoint.clone(), book.watch()),
            servers: Servers::new(book.watch()),
            #[cfg(all(feature = "subnet", target_os = "linux"))]
            linker: Linker::default(),
            dht: Dht::asking(globals, &state, &endpoint, key).await,
            endpoint,
            claim: None,
            groups: None,
            #[cfg(unix)]
            groups_trouble: None,
            is_passing: true,
            book,
            peers,
        })
    }

    async fn with(
        globals: &Globals,
        mut builder: Builder,
        known: (Peers, Followed),
    ) -> Result<Self, Failure> {
        let state = StateDir::open(globals)?;
        let claim = state.claim()?;
        let mut bind = globals.bind;
        let key = if claim.is_some() {
            state.key()?
        } else {
            out::hint(
                "another peerway runs with this identity: this one takes a temporary one, by which no peer knows it",
            );
            bind = bind.map(|addr| (addr.ip(), 0).into());
            SecretKey::generate().map_err(BindError::Random)?
        };
        builder = builder.secret_key(key.clone());
        let mut node = Self::start(builder, bind, claim, known).await?;
        node.dht = Dht::asking(globals, &state, &node.endpoint, key).await;
        Ok(node)
    }

    async fn start(
        mut builder: Builder,
        bind: Option<SocketAddr>,
        claim: Option<Claim>,
        (peers, book): (Peers, Followed),
    ) -> Result<Self, Failure> {
        if let Some(addr) = bind {
            builder = builder.bind_addr(addr);
        }
        let endpoint = builder.access(book.access()).bind().await?;
        let sharing = share::sharing(&endpoint, &book, None);
        Ok(Self {
            swarm: Swarm::new(endpoint.clone()),
            search: share::search(&endpoint, &sharing, &book, None),
            sharing,
            desk: Desk::new(endpoint.clone(), book.watch()),
            servers: Servers::new(book.watch()),
            #[cfg(all(feature = "subnet", target_os = "linux"))]
            linker: Linker::default(),
            dht: None,
            endpoint,
            claim,
            is_passing: false,
            groups: None,
            #[cfg(unix)]
            groups_trouble: None,
            peers,
            book,
        })
    }

    /// Keeps what it fetches in the folder, as a node does that is there to be reached.
    pub(super) fn keep(&mut self, state: &StateDir) -> Result<(), Failure> {
        if self.is_temporary() {
            return Err(state.in_use());
        }
        self.sharing = share::sharing(&self.endpoint, &self.book, Some(state.shares()));
        self.search = share::search(&self.endpoint, &self.sharing, &self.book, None);
        Ok(())
    }

    /// Lives in the groups of the folder from now on. A node whose groups cannot be used is one all the same.
    #[cfg(unix)]
    fn join_groups(&mut self, state: &StateDir, builder: Builder) {
        match Groups::open(state.path(), self.endpoint.clone(), builder) {
            Ok(groups) => {
                let groups = groups.shunning(self.book.shunned());
                self.book.let_in(groups.clone());
                self.groups = Some(groups);
            }
            Err(error) => {
                out::hint(format!("{error}. This node is in no group meanwhile"));
                self.groups_trouble = Some(error.to_string());
            }
        }
    }

    #[cfg(not(unix))]
    fn join_groups(&mut self, _: &StateDir, _: Builder) {}

    /// The way to the DHT; none if it is not to be used.
    pub(super) fn directory(&self) -> Option<peerway_swarm::directory::Directory> {
        self.dht.as_ref().map(Dht::directory)
    }

    /// The groups that it belongs to; none of a node for one command.
    pub(super) fn groups(&self) -> Option<&Groups> {
        self.groups.as_ref()
    }

    /// Why it belongs to none though it should.
    #[cfg(unix)]
    pub(super) fn groups_trouble(&self) -> Option<&str> {
        self.groups_trouble.as_deref()
    }

    /// The peers that were dialled from here.
    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The address book, for whom to let in and how to call peers.
    pub(super) fn book(&self) -> &Followed {
        &self.book
    }

    /// Links that it is asked for, to nobody whom the book blocks.
    pub(super) fn links(&self) -> Links {
        let book = self.book();
        Links::of(self.endpoint.clone(), book.watch(), book.reread())
    }

    /// What members of its groups tell each other; see [`sharing`](super::sharing).
    pub(super) fn swarm(&self) -> &Swarm {
        &self.swarm
    }

    /// What it shares and fetches.
    pub(super) fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    /// What it lets others find, and how it finds what they do.
    pub(super) fn search(&self) -> &Search {
        &self.search
    }

    /// Where peers come with files.
    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Servers of this home that peers reach.
    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// What carries packets of the networks that are linked.
    #[cfg(all(feature = "subnet", target_os = "linux"))]
    pub(super) fn linker(&self) -> &Linker {
        &self.linker
    }

    /// Whether another process has the folder's identity.
    pub(super) fn is_temporary(&self) -> bool {
        self.claim.is_none()
    }

    /// Runs `body` and closes the node; none if Ctrl-C, SIGTERM or SIGHUP came first.
    pub(super) async fn run<T>(
        &self,
        body: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<T>, Failure> {
        // Before anything of `body`: who reads that a node is ready may end it at once.
        let interrupted = interrupted();
        let (result, seen) = {
            let mut body = pin!(body);
            let result = tokio::select! {
                result = &mut body => result.map(Some),
                () = interrupted => Ok(None),
                never = self.note_seen() => match never {},
                never = dht::publish(self.dht.as_ref(), &self.endpoint) => match never {},
            };
            // With the body its connections end.
            (result, self.seen())
        };
        self.write_seen(&seen);
        if let Some(dht) = &self.dht {
            dht.remember_nodes();
        }
        self.endpoint.close().await;
        result
    }

    /// Notes now and then whom of the book the node has a connection with.
    async fn note_seen(&self) -> Infallible {
        let mut written = self.peers.seen().read();
        let mut looks = interval(SEEN_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let seen = self.seen();
            if seen.is_news(&written) {
                self.write_seen(&seen);
                written.merge(&seen);
            }
        }
    }

    fn seen(&self) -> Seen {
        Seen::of(&self.endpoint.snapshot(), &self.book.book())
    }

    fn write_seen(&self, seen: &Seen) {
        if !seen.is_empty()
            && let Err(error) = self.peers.seen().merge(seen)
        {
            tracing::debug!(%error, "it is not noted when peers were seen");
        }
    }

    /// Waits until others can reach the node.
    pub(super) async fn reachable(&self) -> Result<(), Failure> {
        Ok(reachable(&self.endpoint).await?)
    }

    /// Waits until a relay took us or all refused, so that a dial after it starts from a settled state.
    pub(super) async fn settled(&self) {
        self.as_dialling().settled().await;
    }

    /// The outcome of a dial or, if it takes too long, why it probably does.
    pub(super) async fn answer<T, E: Into<Failure>>(
        &self,
        peer: &Ticket,
        patience: Patience,
        dial: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let mut is_told = false;
        let dial = async {
            let dialled = dial.await.map_err(Into::into);
            is_told = true;
            dialled
        };
        let result = self.as_dialling().answer(peer, patience, dial).await;
        match &result {
            Ok(_) => self.peers.remember(peer),
            Err(_) if is_told => {}
            Err(_) => self.hint_at_identity(),
        }
        result
    }

    /// Says of a peer that does not answer a temporary identity what may be the reason.
    pub(super) fn hint_at_identity(&self) {
        if self.is_temporary() && !self.is_passing {
            out::hint(
                "the peer does not know this temporary identity, and may let in only whom it knows: `peerway down` ends the node that has yours",
            );
        }
    }

    fn as_dialling(&self) -> Dialling<'_> {
        Dialling {
            endpoint: &self.endpoint,
            hint: &|text| out::hint(text),
        }
    }
}

/// Who is meant, and where that peer is.
pub(super) fn find(globals: &Globals, peer: &PeerName) -> Result<Ticket, Failure> {
    StateDir::open(globals)?.peers().find(peer)
}

/// Who is meant, and where that peer is; an invitation that came with its ticket is used first.
pub(super) async fn meet(globals: &Globals, peer: &PeerName) -> Result<Ticket, Failure> {
    let ticket = find(globals, peer)?;
    if let PeerName::Invited(_, invitation) = peer
        && let Some(failure) = invite::use_up(globals, &ticket, invitation).await?
    {
        out::hint(format!("{failure}. Dialling as if there was no invitation"));
    }
    Ok(ticket)
}

/// The relays to register with when dialling `peer`: ours, or else its own.
pub(super) fn relays_for(globals: &Globals, peer: &Ticket) -> Vec<RelayUrl> {
    if globals.relays.is_empty() {
        peer.relays().to_vec()
    } else {
        globals.relays.clone()
    }
}

/// Until the system or the user asks us to end, which from now on ends nothing by itself.
pub(super) fn interrupted() -> impl Future<Output = ()> {
    let signals = Signals::catch();
    async {
        match signals {
            Ok(mut signals) => signals.stop().await,
            Err(_) => drop(tokio::signal::ctrl_c().await),
        }
    }
}
