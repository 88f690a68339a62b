//! Nodes for the duration of a command.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use peerway::{
    Builder, Cause, ConnectError, Connection, Endpoint, NodeSnapshot, PeerState, RelayState,
    RelayUrl, Ticket, services::swarm::Swarm,
};
use peerway_relay::Signals;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    args::{Globals, PeerName},
    failure::Failure,
    follow::Followed,
    invite, out,
    peers::Peers,
    state::{Claim, StateDir},
    words,
};

use crate::{book::Seen, links::Links};

/// How often is looked who is linked.
const SEEN_EVERY: Duration = Duration::from_secs(20);

/// What a node that wants to be reached waits for its first relay.
const ONLINE_PATIENCE: Duration = Duration::from_secs(8);
/// What a command that only dials waits for its own relay before it dials all the same.
const DIAL_ONLINE_PATIENCE: Duration = Duration::from_secs(3);
/// What a dial may take after that, so that no command waits longer than 10 s for a peer that is not there.
const DIAL_PATIENCE: Duration = Duration::from_millis(5500);
/// What is waited for, while it lasts.
const UNREACHED: &str = "the peer's relay does not reach it: its router may have forgotten it; waiting up to 20 s for it to come back";
/// With less time left no dial is begun again.
const REDIAL_PATIENCE: Duration = Duration::from_secs(2);

/// How long a peer is dialled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    usual: Duration,
    /// For a peer that its relay does not reach at the moment.
    at_most: Duration,
}

impl Patience {
    /// As much as there is, but no more than the user says.
    pub(super) fn within(timeout: Option<Duration>) -> Self {
        let at_most = timeout.unwrap_or(Duration::MAX);
        Self {
            usual: at_most.min(DIAL_PATIENCE),
            at_most,
        }
    }
}

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
            .secret_key(key)
            .relays(globals.relays.clone());
        Self::start(builder, globals.bind, Some(claim), (peers, book)).await
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
    pub(super) async fn passing(globals: &Globals, mut builder: Builder) -> Result<Self, Failure> {
        if let Some(addr) = globals.bind {
            // The port may be that of the node that runs.
            builder = builder.bind_addr((addr.ip(), 0).into());
        }
        let state = StateDir::open(globals)?;
        let peers = state.peers();
        let endpoint = builder.bind().await?;
        Ok(Self {
            swarm: Swarm::new(endpoint.clone()),
            endpoint,
            claim: None,
            is_passing: true,
            book: Followed::open_or_empty(peers.book(), state.invites()),
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
        if claim.is_some() {
            builder = builder.secret_key(state.key()?);
        } else {
            out::hint("another peerway runs with this identity: this one takes a temporary one");
            bind = bind.map(|addr| (addr.ip(), 0).into());
        }
        Self::start(builder, bind, claim, known).await
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
        Ok(Self {
            swarm: Swarm::new(endpoint.clone()),
            endpoint,
            claim,
            is_passing: false,
            peers,
            book,
        })
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
            };
            // With the body its connections end.
            (result, self.seen())
        };
        self.write_seen(&seen);
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
        let mut snapshots = self.endpoint.snapshots();
        let is_reachable = |snapshot: &Arc<NodeSnapshot>| {
            snapshot.relays.is_empty() || states(snapshot).contains(&RelayState::Up)
        };
        match timeout(ONLINE_PATIENCE, snapshots.wait_for(is_reachable)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(no_relay(&self.endpoint.snapshot())),
        }
    }

    /// Waits until a relay took us or all refused, so that a dial after it starts from a settled state.
    pub(super) async fn settled(&self) {
        // The dial that follows says what is wrong.
        let _ = timeout(DIAL_ONLINE_PATIENCE, self.endpoint.online()).await;
    }

    /// Dials a peer for its diagnostics.
    pub(super) async fn dial(
        &self,
        peer: &Ticket,
        alpn: &[u8],
        patience: Patience,
    ) -> Result<Connection, Failure> {
        let connecting = self.endpoint.connect(peer.clone(), alpn);
        let dialled = self.answer(peer, patience, connecting).await;
        if let Err(Failure::Connect(ConnectError::NoSuchService)) = dialled {
            return Err(Failure::NoDiagnostics);
        }
        dialled
    }

    /// Dials and, if the peer does not answer or is busy, does so again and again until `deadline`: it may be about to start.
    pub(super) async fn dial_until(
        &self,
        peer: &Ticket,
        alpn: &[u8],
        timeout: Option<Duration>,
        deadline: Instant,
    ) -> Result<Connection, Failure> {
        let mut patience = Patience::within(timeout);
        loop {
            let dialled = self.dial(peer, alpn, patience).await;
            let left = deadline.saturating_duration_since(Instant::now());
            patience = Patience::within(Some(left));
            let may_change = matches!(
                dialled,
                Err(
                    Failure::Connect(ConnectError::Timeout { .. } | ConnectError::Busy)
                        | Failure::NoRelay { .. }
                )
            );
            if !may_change || left < REDIAL_PATIENCE {
                return dialled;
            }
        }
    }

    /// The outcome of a dial or, if it takes too long, why it probably does.
    pub(super) async fn answer<T, E: Into<Failure>>(
        &self,
        peer: &Ticket,
        patience: Patience,
        dial: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = dial => {
                if result.is_ok() {
                    self.peers.remember(peer);
                }
                return result.map_err(Into::into);
            }
            () = self.out_of_patience(peer, patience) => {}
        }
        if self.is_temporary() && !self.is_passing {
            out::hint(
                "the peer does not know this temporary identity, and may let in only whom it knows: `peerway down` ends the node that has yours",
            );
        }
        let snapshot = self.endpoint.snapshot();
        if is_unreached(&snapshot, peer)
            && let Some(relay) = peer.relays().first().cloned()
        {
            return Err(ConnectError::Unreached { relay }.into());
        }
        if let Some(why) = words::link(&snapshot, peer.id()) {
            return Err(Failure::Mute { why: why.line() });
        }
        if let Some(failure) = wrong_relay(&snapshot) {
            return Err(failure);
        }
        if snapshot.relays.is_empty()
            && let Some(reason) = no_route(peer.addrs())
        {
            return Err(Failure::NoRoute { reason });
        }
        if snapshot.relays.is_empty() && peer.is_local() {
            return Err(Failure::OtherNetwork);
        }
        if snapshot.relays.is_empty() || states(&snapshot).contains(&RelayState::Up) {
            let after = patience.usual.max(Duration::from_secs(1));
            return Err(ConnectError::Timeout { after }.into());
        }
        Err(no_relay(&snapshot))
    }

    /// Ends when a dial has taken too long. While the peer's relay does not reach it, the user is told what is waited for.
    async fn out_of_patience(&self, peer: &Ticket, patience: Patience) {
        let mut snapshots = self.endpoint.snapshots();
        let seen = async |snapshots: &mut watch::Receiver<Arc<NodeSnapshot>>, unreached: bool| {
            let seen = snapshots.wait_for(|snapshot| is_unreached(snapshot, peer) == unreached);
            seen.await.map(drop)
        };
        let waiting = async {
            let mut told = false;
            while let Ok(Ok(())) = timeout(patience.usual, seen(&mut snapshots, true)).await {
                if !std::mem::replace(&mut told, true) {
                    out::hint(UNREACHED);
                }
                // If the node has ended, so has the dial.
                let _ = seen(&mut snapshots, false).await;
            }
        };
        // What is known by then is the answer.
        let _ = timeout(patience.at_most, waiting).await;
    }
}

/// Who is meant, and where that peer is.
fn find(globals: &Globals, peer: &PeerName) -> Result<Ticket, Failure> {
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

/// Why `snapshot` has no relay that is up.
pub(super) fn no_relay(snapshot: &NodeSnapshot) -> Failure {
    if let Some(failure) = wrong_relay(snapshot) {
        return failure;
    }
    let first = snapshot.relays.first();
    let relay = first.map_or_else(String::new, |relay| relay.url.place());
    let reason = first.and_then(|relay| relay.error.clone());
    Failure::NoRelay {
        relay,
        reason: reason.unwrap_or_else(|| "no answer".to_owned()),
    }
}

/// What the system says of the first of these addresses, if it would send to none of them.
fn no_route(addrs: &[SocketAddr]) -> Option<io::Error> {
    let refused = |addr: &SocketAddr| {
        let any: IpAddr = match addr {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // This looks for a route and sends nothing.
        let connected = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(addr));
        connected.err()
    };
    let mut reasons = addrs.iter().map(refused).collect::<Option<Vec<_>>>()?;
    (!reasons.is_empty()).then(|| reasons.swap_remove(0))
}

/// That somebody else answers in the place of a relay, if so.
fn wrong_relay(snapshot: &NodeSnapshot) -> Option<Failure> {
    let wrong = snapshot.relays.iter().find(|relay| relay.impostor)?;
    let relay = wrong.url.clone();
    Some(ConnectError::WrongRelay { relay }.into())
}

/// Whether the peer is called, and its relay does not reach it.
fn is_unreached(snapshot: &NodeSnapshot, peer: &Ticket) -> bool {
    let peer = snapshot.peer(peer.id());
    let called = peer.filter(|peer| peer.state != PeerState::Failed);
    let why = called.and_then(|peer| peer.why.as_ref());
    why.is_some_and(|why| why.cause == Cause::PeerUnreached)
}

fn states(snapshot: &NodeSnapshot) -> Vec<RelayState> {
    snapshot.relays.iter().map(|relay| relay.state).collect()
}

/// Until the system or the user asks us to end, which from now on ends nothing by itself.
fn interrupted() -> impl Future<Output = ()> {
    let signals = Signals::catch();
    async {
        match signals {
            Ok(mut signals) => signals.stop().await,
            Err(_) => drop(tokio::signal::ctrl_c().await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_no_address_has_a_route_that_is_the_reason() {
        let here = SocketAddr::from(([127, 0, 0, 1], 9));
        // Broadcasts have to be asked for.
        let nowhere = SocketAddr::from(([255, 255, 255, 255], 9));
        assert!(no_route(&[nowhere]).is_some());
        assert!(no_route(&[nowhere, here]).is_none());
        assert!(no_route(&[]).is_none());
    }
}
