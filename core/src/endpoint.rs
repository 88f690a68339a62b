//! The public face of a node: [`Endpoint`].

mod builder;
mod error;
mod report;

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::{
    Access, CandidatePair, Connection, Event, EventKind, NodeSnapshot, PairAction, PathPolicy,
    PeerId, RelayUrl, SecretKey, Ticket,
    net::{backlog::Backlog, clock::unix_ms, command::Command, relay::RelayDht, search::Searches},
    relay::RelayError,
};

pub use builder::Builder;
pub use error::{BindError, ConnectError, OnlineError};

/// Bytes of an application protocol's name (RFC 7301 section 3.1). TLS takes no other, and not every library says so instead of panicking.
const MAX_ALPN: usize = 255;

/// A node: one identity, one UDP port, any number of peers. Cheap to clone; the node ends with [`Endpoint::close`] or when
/// the last clone is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use peerway::{Endpoint, Ticket};
///
/// let endpoint = Endpoint::builder().bind().await?;
/// let peer: Ticket = "PEERWAY1…".parse()?;
/// let connection = endpoint.connect(peer, b"example/time/1").await?;
/// println!("{}", connection.status());
/// endpoint.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Endpoint(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    key: SecretKey,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Event>,
    snapshot: watch::Receiver<Arc<NodeSnapshot>>,
    alpns: watch::Sender<Vec<Vec<u8>>>,
    accepted: Backlog,
}

impl Endpoint {
    /// Starts to configure a node.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// This node's id.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.0.key.id()
    }

    /// Signs a message with this node's key, so that whoever has it can be sure of its author: see [`PeerId::has_signed`]. `purpose`
    /// names the program and the kind of message, so that no signature passes for one of another kind.
    #[must_use]
    pub fn sign(&self, purpose: &str, message: &[u8]) -> [u8; 64] {
        self.0.key.sign(purpose, message)
    }

    /// A ticket for others to dial: with the home relays, or with this computer's addresses where there is no relay.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.snapshot().ticket.clone()
    }

    /// Waits until the node can be reached: registered with one of its relays, or at once when none is configured.
    ///
    /// # Errors
    /// All relays refused or did not answer. The node goes on trying by itself, and [`snapshots`](Self::snapshots) shows when one
    /// takes it after all.
    pub async fn online(&self) -> Result<(), OnlineError> {
        let mut snapshots = self.snapshots();
        let is_settled = |snapshot: &Arc<NodeSnapshot>| report::reachable(snapshot).is_some();
        loop {
            let settled = snapshots.wait_for(is_settled).await;
            let settled = settled.map_err(|_| OnlineError::Shutdown)?.clone();
            let Some(Err(relay)) = report::reachable(&settled) else {
                return Ok(());
            };
            match self.relay_error(relay.clone()).await? {
                Some(RelayError::IdentityMismatch) => {
                    return Err(OnlineError::WrongRelay { relay });
                }
                Some(source) => return Err(OnlineError::Relay { relay, source }),
                // It has changed since the snapshot.
                None => snapshots
                    .changed()
                    .await
                    .map_err(|_| OnlineError::Shutdown)?,
            }
        }
    }

    /// Why the node is not registered with a relay now, if so.
    async fn relay_error(&self, relay: RelayUrl) -> Result<Option<RelayError>, OnlineError> {
        let (reply, error) = oneshot::channel();
        let asked = self.0.commands.send(Command::RelayError { relay, reply });
        asked.await.map_err(|_| OnlineError::Shutdown)?;
        error.await.map_err(|_| OnlineError::Shutdown)
    }

    /// The node once it has found out about the network around it, or what it knows after 5 s.
    pub async fn network_report(&self) -> Arc<NodeSnapshot> {
        report::complete(self.snapshots()).await;
        self.snapshot()
    }

    /// Dials a peer by ticket or id.
    ///
    /// The connection is usable as soon as any path carries it, usually the relay, and moves to a direct path by itself.
    ///
    /// # Errors
    /// See [`ConnectError`]; all of them within 10 s, but where the peer's relay has it registered and does not reach it. Its router
    /// may have forgotten it, so it is waited for: up to 25 s, in which the cause of the link is
    /// [`Cause::PeerUnreached`](crate::Cause::PeerUnreached).
    pub async fn connect(
        &self,
        target: impl Into<Ticket>,
        alpn: &[u8],
    ) -> Result<Connection, ConnectError> {
        let target = target.into();
        if target.id() == self.id() {
            return Err(ConnectError::OwnId);
        }
        let length = alpn.len();
        if !(1..=MAX_ALPN).contains(&length) {
            return Err(ConnectError::Alpn { length });
        }
        let (reply, outcome) = oneshot::channel();
        let connect = Command::Connect {
            target,
            alpn: alpn.to_vec(),
            reply,
        };
        let sent = self.0.commands.send(connect).await;
        sent.map_err(|_| ConnectError::Shutdown)?;
        outcome.await.map_err(|_| ConnectError::Shutdown)?
    }

    /// The next connection that a peer opened to us, its handshake complete; none after [`Endpoint::close`].
    ///
    /// Peers may have 4,096 connections here, accepted or not: one key 64, one IPv4 address or IPv6 /64 network 512, one /24 or
    /// /48 network 1,024. Beyond its share a caller hears that we are busy. When all are taken, the greediest network's connection
    /// that has been idle for longest is closed for one of a network that has fewer.
    pub async fn accept(&self) -> Option<Connection> {
        self.0.accepted.next().await
    }

    /// What happens from now on. A receiver that lags more than 256 events behind is told how many it missed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Tells those who listen to [`events`](Self::events) what happened that the node does not see itself, as that files were
    /// [transferred](EventKind::Received), and returns
    /// it with its time.
    pub fn tell(&self, kind: EventKind) -> Event {
        let event = Event::new(unix_ms(), kind);
        // Nobody may listen.
        let _ = self.0.events.send(event.clone());
        event
    }

    /// The node as it is now, to the second.
    #[must_use]
    pub fn snapshot(&self) -> Arc<NodeSnapshot> {
        self.0.snapshot.borrow().clone()
    }

    /// The node as it is, to read or to wait on for changes; a new value comes every second, and within 20 ms after every
    /// event.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Arc<NodeSnapshot>> {
        self.0.snapshot.clone()
    }

    /// Changes who may open connections. Those that others had opened are closed at once, and their links end; what this node
    /// dialled stays.
    pub async fn set_access(&self, access: Access) {
        // Without a driver there are no connections either.
        let _ = self.0.commands.send(Command::Access { access }).await;
    }

    /// Changes which application protocols [`accept`](Self::accept) takes; connections that stand are not touched. Without any, the
    /// node is not announced on the local network.
    pub fn set_alpns<A: AsRef<[u8]>>(&self, alpns: impl IntoIterator<Item = A>) {
        self.0.alpns.send_replace(owned(alpns));
    }

    /// Changes the node's own relays, as `Builder::relays`. The node registers with new ones at once, and leaves the others a
    /// minute after the last link that needs them has ended. Tickets from before keep naming those.
    pub async fn set_relays(&self, relays: impl IntoIterator<Item = RelayUrl>) {
        let relays = relays.into_iter().collect();
        let _ = self.0.commands.send(Command::Relays { relays }).await;
    }

    /// Has one of the node's own relays, named by its key, be its home relay whenever it is up, however far away it is; with none
    /// the home relay is the nearest again. It lasts as long as the node, and means nothing for a relay that is none of its own.
    pub async fn prefer_home(&self, relay: Option<PeerId>) {
        let _ = self.0.commands.send(Command::PreferHome { relay }).await;
    }

    /// The peers that are dialled from now on, for a program that may know more of where they are: from a directory, or a server of its
    /// own. One program at a time does so: who asks for this takes the place of who did before.
    pub async fn searches(&self) -> Searches {
        let (program, searches) = Searches::new(self.0.commands.downgrade());
        // Without a driver nobody is dialled.
        let _ = self.0.commands.send(Command::Search { program }).await;
        searches
    }

    /// The Mainline DHT by way of the relay that the node is registered with: where UDP is dropped there is no other.
    #[must_use]
    pub fn relay_dht(&self) -> RelayDht {
        RelayDht::new(self.0.commands.downgrade())
    }

    /// Has snapshots tell how it goes with publishing where this node is: for the program that does so.
    pub async fn show_publishing(&self, words: impl Into<String>) {
        let words = words.into();
        // Without a driver nothing is shown.
        let _ = self.0.commands.send(Command::Publishing { words }).await;
    }

    /// Says hello to a peer that waits for that at one of these addresses, and cannot get through to us: for a program that was told so by
    /// other means than a link. Only peers that may open links are said hello to, at the first two addresses on the internet.
    pub async fn call_back(&self, peer: PeerId, addrs: impl IntoIterator<Item = SocketAddr>) {
        let addrs = addrs.into_iter().collect();
        let _ = self
            .0
            .commands
            .send(Command::CallBack { peer, addrs })
            .await;
    }

    /// Says that the network may be another one, for programs that know it before the system tells: on phones, or after a sleep.
    pub async fn network_changed(&self) {
        let _ = self.0.commands.send(Command::NetworkChanged).await;
    }

    /// Has the NAT measured anew now, which happens by itself from time to time. Without a relay nobody can be asked, and nothing
    /// happens.
    pub async fn measure_nat(&self) {
        let _ = self.0.commands.send(Command::MeasureNat).await;
    }

    /// Has routers asked anew for the ports that they forward, which happens by itself before a lease ends; once in five seconds at
    /// most.
    pub async fn renew_port_mappings(&self) {
        let _ = self.0.commands.send(Command::RenewMappings).await;
    }

    /// Has a direct path to a peer looked for now, where the link is relayed or the peer did not answer. This goes on by itself
    /// anyway, but with longer and longer pauses. Without a link to the peer nothing happens.
    pub async fn retry(&self, peer: PeerId) {
        let _ = self.0.commands.send(Command::Retry { peer }).await;
    }

    /// Which paths may carry the data of a peer from now on, whether there is a link to it or not; for as long as the node runs. A link
    /// that is direct goes to the relay at once where that alone is wanted, and its streams go on; where all paths may be used again, a
    /// direct one is looked for at once. [`PeerSnapshot::policy`](crate::PeerSnapshot::policy) shows it.
    ///
    /// With [`PathPolicy::RelayOnly`] this node tells the peer no address from then on, has the relay tell it none either, and sends
    /// nothing to its addresses. What the peer was told before it knows, and what the node announces to its network, or publishes, is
    /// there for all.
    pub async fn set_path_policy(&self, peer: PeerId, policy: PathPolicy) {
        let _ = self.0.commands.send(Command::Policy { peer, policy }).await;
    }

    /// Which paths may carry the data of a peer, whether there is a link to it or not: see [`set_path_policy`](Self::set_path_policy).
    pub async fn path_policy(&self, peer: PeerId) -> PathPolicy {
        let (reply, policy) = oneshot::channel();
        // Without a driver there are no paths either.
        let _ = self
            .0
            .commands
            .send(Command::PolicyOf { peer, reply })
            .await;
        policy.await.unwrap_or_default()
    }

    /// Does something with one of a peer's pairs, as a snapshot shows them: see [`PairAction`]. It lasts as long as the link to the
    /// peer, at the longest; where relays alone are wanted, or the node knows no such pair, nothing happens. A
    /// forced pair is for what this node sends: what it gets comes by the way that the peer chooses.
    /// [`EventKind::PairReleased`] tells of one that fell silent.
    pub async fn choose_pair(&self, peer: PeerId, pair: &CandidatePair, action: PairAction) {
        let (remote, tcp) = (pair.remote, pair.is_tcp());
        let choose = Command::Pair {
            peer,
            remote,
            tcp,
            action,
        };
        let _ = self.0.commands.send(choose).await;
    }

    /// Closes all connections with a peer, whoever opened them, as [`Connection::close`] does. It may dial again: see
    /// [`set_access`](Self::set_access).
    pub async fn hang_up(&self, peer: PeerId, code: u32, reason: &[u8]) {
        let reason = reason.to_vec();
        let hang_up = Command::HangUp { peer, code, reason };
        // Without a driver there are no connections either.
        let _ = self.0.commands.send(hang_up).await;
    }

    /// Whether the node has ended: it can neither dial nor be dialled any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.commands.is_closed()
    }

    /// Waits for the end of the node, which somebody with another clone of it may bring about.
    pub async fn closed(&self) {
        self.0.commands.closed().await;
    }

    /// Says goodbye to all peers and relays; takes 3 s at most. The socket is free once the last clone of the endpoint and the
    /// last of its connections are dropped.
    pub async fn close(&self) {
        let (done, finished) = oneshot::channel();
        if self
            .0
            .commands
            .send(Command::Shutdown { done })
            .await
            .is_ok()
        {
            let _ = finished.await;
        }
    }
}

fn owned<A: AsRef<[u8]>>(alpns: impl IntoIterator<Item = A>) -> Vec<Vec<u8>> {
    let alpns = alpns.into_iter();
    alpns.map(|alpn| alpn.as_ref().to_vec()).collect()
}

#[cfg(test)]
mod tests;
