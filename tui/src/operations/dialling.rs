//! A dial whose user waits: how long, and why it probably does not succeed.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use peerway::{
    Cause, ConnectError, Connection, Endpoint, Explanation, NodeSnapshot, PeerId, PeerState,
    RelayState, Ticket,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{FailureKind, waiting};
use crate::book::is_bare;

/// What the user waits for without being told what for.
const SILENCE: Duration = Duration::from_secs(1);
/// What whoever only dials waits for its own relay before it dials all the same.
const ONLINE_PATIENCE: Duration = Duration::from_secs(3);
/// What a node that wants to be reached waits for its first relay.
const REGISTER_PATIENCE: Duration = Duration::from_secs(8);
/// What a dial may take after that, so that nobody waits longer than 10 s for a peer that is not there.
const DIAL_PATIENCE: Duration = Duration::from_millis(5500);
/// The same for a peer that may have to be found in the Mainline DHT.
const FIND_PATIENCE: Duration = Duration::from_secs(6);
/// For one that has no relay: it takes some seconds to enter the DHT. Less than the library takes, which knows less of why.
const PLACE_PATIENCE: Duration = Duration::from_secs(8);
/// What is waited for, while it lasts.
const UNREACHED: &str = "the peer's relay does not reach it: its router may have forgotten it; waiting up to 20 s for it to come back";
/// What is waited for where the peer says hello to us.
const CALLED: &str = "the peer has no relay: it was called by way of the Mainline DHT, where it looks every five seconds at best and once a minute at worst";
/// With less time left no dial is begun again.
const REDIAL_PATIENCE: Duration = Duration::from_secs(2);

/// How long a peer is dialled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    usual: Duration,
    /// For a peer that its relay does not reach at the moment.
    at_most: Duration,
}

impl Patience {
    /// As much as there is, but no more than the user says.
    pub(crate) fn within(timeout: Option<Duration>) -> Self {
        let at_most = timeout.unwrap_or(Duration::MAX);
        Self {
            usual: at_most.min(DIAL_PATIENCE),
            at_most,
        }
    }

    /// More of it for who is looked up, as whatever its ticket says may be of yesterday.
    fn for_peer(self, peer: &Ticket) -> Self {
        let is_looked_up = peer.discovery().is_some() || is_bare(peer);
        if !is_looked_up {
            return self;
        }
        let longest = if peer.relays().is_empty() {
            PLACE_PATIENCE
        } else {
            FIND_PATIENCE
        };
        let usual = self.usual.max(self.at_most.min(longest));
        Self { usual, ..self }
    }
}

/// Why a peer was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("{}", dial(.0))]
    Connect(#[from] ConnectError),
    #[error("cannot reach the relay {relay}: {reason}; check the network and the relay's URL")]
    NoRelay { relay: String, reason: String },
    #[error(
        "the peer is linked, but answers neither ping nor speed: it was started with --no-diagnostics, or only dials others"
    )]
    NoDiagnostics,
    #[error("the peer is linked ({why}), but takes no connection: its program may hang")]
    Mute { why: String },
    #[error(
        "this computer has no route to any address in the peer's ticket, which names no relay: {reason}"
    )]
    NoRoute { reason: io::Error },
    #[error(
        "the peer did not answer: its ticket names no relay, only addresses of one network; on that network start the peer, from elsewhere ask for a ticket made with --relay"
    )]
    OtherNetwork,
}

impl DialError {
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Connect(error) => dial_kind(error),
            Self::NoRelay { .. }
            | Self::Mute { .. }
            | Self::OtherNetwork
            | Self::NoRoute { .. } => FailureKind::Unreachable,
            Self::NoDiagnostics => FailureKind::Failed,
        }
    }

    /// Whether a dial that failed so may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Connect(error) => may_pass(error),
            Self::NoRelay { .. }
            | Self::Mute { .. }
            | Self::OtherNetwork
            | Self::NoRoute { .. } => true,
            Self::NoDiagnostics => false,
        }
    }
}

/// What kind of failure it is that a dial failed so.
pub(crate) fn dial_kind(error: &ConnectError) -> FailureKind {
    if matches!(error, ConnectError::OwnId) {
        FailureKind::Usage
    } else if matches!(error, ConnectError::NoSuchService | ConnectError::Shutdown) {
        FailureKind::Failed
    } else if matches!(error, ConnectError::Busy) {
        FailureKind::Busy
    } else {
        FailureKind::Unreachable
    }
}

/// Whether a dial that failed so may succeed later.
pub(crate) fn may_pass(error: &ConnectError) -> bool {
    !matches!(
        error,
        ConnectError::OwnId
            | ConnectError::NoSuchService
            | ConnectError::IdentityMismatch
            | ConnectError::Shutdown
    )
}

/// Why a dial failed, and with which options of this program to do what helps.
pub(crate) fn dial(error: &ConnectError) -> String {
    if matches!(
        error,
        ConnectError::NoAddress | ConnectError::NotSearched { .. }
    ) {
        format!("{error} (--relay)")
    } else {
        error.to_string()
    }
}

/// Dials from one node, with somebody to be told what is waited for.
pub(crate) struct Dialling<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) hint: &'a (dyn Fn(&str) + Send + Sync),
}

impl Dialling<'_> {
    /// Waits until a relay took us or all refused, so that a dial after it starts from a settled state.
    pub(crate) async fn settled(&self) {
        let online = timeout(ONLINE_PATIENCE, self.endpoint.online());
        // The dial that follows says what is wrong.
        let _ = self.telling(online, waiting::for_relays).await;
    }

    /// Dials a peer for its diagnostics.
    pub(crate) async fn dial(
        &self,
        peer: &Ticket,
        alpn: &[u8],
        patience: Patience,
    ) -> Result<Connection, DialError> {
        let connecting = self.endpoint.connect(peer.clone(), alpn);
        let connecting = async { connecting.await.map_err(DialError::from) };
        let dialled = self.answer(peer, patience, connecting).await;
        if let Err(DialError::Connect(ConnectError::NoSuchService)) = dialled {
            return Err(DialError::NoDiagnostics);
        }
        dialled
    }

    /// Dials and, if the peer does not answer or is busy, does so again and again until `deadline`: it may be about to start.
    pub(crate) async fn dial_until(
        &self,
        peer: &Ticket,
        alpn: &[u8],
        timeout: Option<Duration>,
        deadline: Instant,
    ) -> Result<Connection, DialError> {
        let mut patience = Patience::within(timeout);
        loop {
            let dialled = self.dial(peer, alpn, patience).await;
            let left = deadline.saturating_duration_since(Instant::now());
            patience = Patience::within(Some(left));
            let may_change = matches!(
                dialled,
                Err(
                    DialError::Connect(ConnectError::Timeout { .. } | ConnectError::Busy)
                        | DialError::NoRelay { .. }
                )
            );
            if !may_change || left < REDIAL_PATIENCE {
                return dialled;
            }
        }
    }

    /// The outcome of a dial or, if it takes too long, why it probably does.
    pub(crate) async fn answer<T, E: From<DialError>>(
        &self,
        peer: &Ticket,
        patience: Patience,
        dial: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let patience = patience.for_peer(peer);
        let dialled = async {
            tokio::select! {
                result = dial => result,
                () = self.out_of_patience(peer, patience) => Err(self.why_not(peer, patience).into()),
            }
        };
        let what = |snapshot: &NodeSnapshot| Some(waiting::for_peer(snapshot, peer));
        self.telling(dialled, what).await
    }

    /// The outcome of something of which the user is told, where it takes a while, what is waited for.
    async fn telling<T>(
        &self,
        work: impl Future<Output = T>,
        what: impl Fn(&NodeSnapshot) -> Option<String>,
    ) -> T {
        let mut work = pin!(work);
        if let Ok(done) = timeout(SILENCE, work.as_mut()).await {
            return done;
        }
        if let Some(text) = what(&self.endpoint.snapshot()) {
            (self.hint)(&text);
        }
        work.await
    }

    fn why_not(&self, peer: &Ticket, patience: Patience) -> DialError {
        let snapshot = self.endpoint.snapshot();
        if is_unreached(&snapshot, peer)
            && let Some(relay) = peer.relays().first().cloned()
        {
            return ConnectError::Unreached { relay }.into();
        }
        if let Some(why) = link(&snapshot, peer.id()) {
            return DialError::Mute { why: why.line() };
        }
        if let Some(failure) = wrong_relay(&snapshot) {
            return failure;
        }
        if snapshot.relays.is_empty()
            && let Some(reason) = no_route(peer.addrs())
        {
            return DialError::NoRoute { reason };
        }
        if snapshot.relays.is_empty() && peer.is_local() && !peer.addrs().is_empty() {
            return DialError::OtherNetwork;
        }
        let is_up = |state: RelayState| state == RelayState::Up;
        if snapshot.relays.is_empty() || snapshot.relays.iter().any(|relay| is_up(relay.state)) {
            let after = patience.usual.max(Duration::from_secs(1));
            return ConnectError::Timeout { after }.into();
        }
        no_relay(&snapshot)
    }

    /// Ends when a dial has taken too long. While the peer's relay does not reach it, or it was called to say hello, the user is told what is
    /// waited for.
    async fn out_of_patience(&self, peer: &Ticket, patience: Patience) {
        let mut snapshots = self.endpoint.snapshots();
        let seen = async |snapshots: &mut watch::Receiver<Arc<NodeSnapshot>>, waits: bool| {
            let seen = snapshots.wait_for(|shown| waits_for(shown, peer).is_some() == waits);
            seen.await.map(|shown| waits_for(&shown, peer))
        };
        let waiting = async {
            let mut told = false;
            while let Ok(Ok(Some(hint))) = timeout(patience.usual, seen(&mut snapshots, true)).await
            {
                if !std::mem::replace(&mut told, true) {
                    (self.hint)(hint);
                }
                // If the node has ended, so has the dial.
                let _ = seen(&mut snapshots, false).await;
            }
        };
        // What is known by then is the answer.
        let _ = timeout(patience.at_most, waiting).await;
    }
}

/// Waits until others can reach a node.
pub(crate) async fn reachable(endpoint: &Endpoint) -> Result<(), DialError> {
    let mut snapshots = endpoint.snapshots();
    let is_reachable = |snapshot: &Arc<NodeSnapshot>| {
        let mut relays = snapshot.relays.iter();
        snapshot.relays.is_empty() || relays.any(|relay| relay.state == RelayState::Up)
    };
    match timeout(REGISTER_PATIENCE, snapshots.wait_for(is_reachable)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(no_relay(&endpoint.snapshot())),
    }
}

/// Why `snapshot` has no relay that is up.
pub(crate) fn no_relay(snapshot: &NodeSnapshot) -> DialError {
    if let Some(failure) = wrong_relay(snapshot) {
        return failure;
    }
    let first = snapshot.relays.first();
    let relay = first.map_or_else(String::new, |relay| relay.url.place());
    let reason = first.and_then(|relay| relay.error.clone());
    DialError::NoRelay {
        relay,
        reason: reason.unwrap_or_else(|| "no answer".to_owned()),
    }
}

/// Why the link to a peer is as it is; none if there is no link.
pub(super) fn link(snapshot: &NodeSnapshot, peer: PeerId) -> Option<&Explanation> {
    let why = snapshot.peer(peer)?.why.as_ref();
    why.filter(|_| is_linked(snapshot, peer))
}

/// Whether there is a link to a peer, of whatever kind.
pub(super) fn is_linked(snapshot: &NodeSnapshot, peer: PeerId) -> bool {
    snapshot.peer(peer).is_some_and(|peer| match peer.state {
        PeerState::Direct | PeerState::Suspect | PeerState::Relayed => true,
        // Who was called without a relay is punched before there is a link.
        PeerState::Punch => peer.path.is_some(),
        PeerState::Intro | PeerState::Failed | PeerState::Idle | PeerState::Unknown | _ => false,
    })
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
fn wrong_relay(snapshot: &NodeSnapshot) -> Option<DialError> {
    let wrong = snapshot.relays.iter().find(|relay| relay.impostor)?;
    let relay = wrong.url.clone();
    Some(ConnectError::WrongRelay { relay }.into())
}

/// What a dial waits for that takes longer than others, in words.
fn waits_for(snapshot: &NodeSnapshot, peer: &Ticket) -> Option<&'static str> {
    if is_unreached(snapshot, peer) {
        return Some(UNREACHED);
    }
    let called = snapshot.peer(peer.id()).is_some_and(|peer| peer.called);
    called.then_some(CALLED)
}

/// Whether the peer is called, and its relay does not reach it.
fn is_unreached(snapshot: &NodeSnapshot, peer: &Ticket) -> bool {
    let peer = snapshot.peer(peer.id());
    let called = peer.filter(|peer| peer.state != PeerState::Failed);
    let why = called.and_then(|peer| peer.why.as_ref());
    why.is_some_and(|why| why.cause == Cause::PeerUnreached)
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
