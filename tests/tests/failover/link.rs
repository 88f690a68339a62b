//! Two nodes within this program, and what flows between them.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use peerway::{
    Cause, Connection, Endpoint, LinkStatus, NodeSnapshot, PathInfo, PeerState, RelayState,
    RelayUrl,
};
use peerway_lab::Home;
use tokio::time::{interval, timeout};

use super::{PATIENCE, progress::Progress};

pub(crate) const ALPN: &[u8] = b"failover/1";
const TICK: Duration = Duration::from_millis(10);

/// Two nodes and a connection between them.
pub(crate) struct Link {
    pub(crate) from: Endpoint,
    pub(crate) to: Endpoint,
    pub(crate) outgoing: Connection,
    pub(crate) incoming: Connection,
}

impl Link {
    pub(crate) fn new(a: &Home, b: &Home, relay: &RelayUrl) -> Self {
        Self::by(a, b, std::slice::from_ref(relay))
    }

    /// As [`Self::new`], with all of these relays.
    pub(crate) fn by(a: &Home, b: &Home, relays: &[RelayUrl]) -> Self {
        let [from, to] = [a, b].map(|home| node(home, relays));
        let (listener, dialler, ticket) = (to.clone(), from.clone(), to.ticket());
        let accepting = b.spawn(async move { listener.accept().await.unwrap() });
        let outgoing = a.block_on(async move { dialler.connect(ticket, ALPN).await.unwrap() });
        let incoming = b.block_on(async { timeout(PATIENCE, accepting).await });
        Self {
            from,
            to,
            outgoing,
            incoming: incoming.unwrap().unwrap(),
        }
    }

    /// Has a node without relays, in another home, call the far end by its ticket as it is now.
    pub(crate) fn be_called(&self, from: &Home, to: &Home) {
        let (listener, ticket) = (self.to.clone(), self.to.ticket());
        let accepting = to.spawn(async move { listener.accept().await.unwrap() });
        // It stays until it was heard: what has ended by then is not accepted.
        let _calling = from.block_on(async {
            let builder = Endpoint::builder().port_mapping(false);
            let caller = builder.bind().await.unwrap();
            let connection = caller.connect(ticket, ALPN).await.unwrap();
            (caller, connection)
        });
        to.block_on(async { timeout(PATIENCE, accepting).await })
            .unwrap()
            .unwrap();
    }

    /// Waits until both sides see the link in this state.
    pub(crate) fn wait_for(&self, state: PeerState) {
        self.wait_until(|link| link.state == state);
    }

    /// Waits until both sides see the link on a direct path, over TCP or over UDP.
    pub(crate) fn wait_for_direct(&self, over_tcp: bool) {
        let fits =
            |path: &PathInfo| matches!(path, PathInfo::Direct { tcp, .. } if *tcp == over_tcp);
        self.wait_until(|link| {
            link.state == PeerState::Direct && link.path.as_ref().is_some_and(fits)
        });
    }

    /// Waits until data goes by this relay.
    pub(crate) fn wait_for_relay(&self, relay: &RelayUrl) {
        self.wait_until(
            |link| matches!(&link.path, Some(PathInfo::Relay { remote }) if remote == relay),
        );
    }

    /// Waits until both sides explain the link by this.
    pub(crate) fn wait_for_cause(&self, cause: Cause) {
        self.wait_until(|link| link.why.as_ref().is_some_and(|why| why.cause == cause));
    }

    fn wait_until(&self, wanted: impl Fn(&LinkStatus) -> bool) {
        for connection in [&self.outgoing, &self.incoming] {
            let mut path = connection.watch_status();
            let end = Instant::now() + PATIENCE;
            while !wanted(&path.borrow_and_update()) {
                assert!(Instant::now() < end, "never so: {path:?}");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// A node in a home, registered with the relays.
fn node(home: &Home, relays: &[RelayUrl]) -> Endpoint {
    let builder = Endpoint::builder()
        .relays(relays.to_vec())
        .alpns([ALPN])
        .port_mapping(false);
    home.block_on(async {
        let node = builder.bind().await.unwrap();
        timeout(PATIENCE, node.online()).await.unwrap().unwrap();
        wait_for_relays(&node).await;
        node
    })
}

/// Waits until the node is registered with all its relays.
pub(crate) async fn wait_for_relays(node: &Endpoint) {
    let mut snapshots = node.snapshots();
    let all_up = |snapshot: &NodeSnapshot| {
        let mut relays = snapshot.relays.iter();
        relays.all(|relay| relay.state == RelayState::Up)
    };
    let up = snapshots.wait_for(|snapshot| all_up(snapshot));
    timeout(PATIENCE, up).await.unwrap().unwrap();
}

/// Something small that leaves one home every [`TICK`] and is awaited in the other.
pub(crate) struct Flow(Arc<Progress>);

impl Flow {
    pub(crate) fn of_datagrams(a: &Home, b: &Home, link: &Link) -> Self {
        let progress = Arc::new(Progress::default());
        let (outgoing, incoming, seen) = (
            link.outgoing.clone(),
            link.incoming.clone(),
            progress.clone(),
        );
        a.spawn(async move {
            let mut ticks = interval(TICK);
            while outgoing
                .send_datagram(Bytes::from_static(&[1; 100]))
                .is_ok()
            {
                ticks.tick().await;
            }
        });
        b.spawn(async move {
            while incoming.read_datagram().await.is_ok() {
                seen.add(1);
            }
        });
        Self(progress)
    }

    /// Numbers on a stream, which must come in order.
    pub(crate) fn of_a_stream(a: &Home, b: &Home, link: &Link) -> Self {
        let progress = Arc::new(Progress::default());
        let (outgoing, incoming, seen) = (
            link.outgoing.clone(),
            link.incoming.clone(),
            progress.clone(),
        );
        a.spawn(async move {
            let mut stream = outgoing.open_uni().await.unwrap();
            let mut ticks = interval(TICK);
            let mut number = 0_u64;
            while stream.write_all(&number.to_be_bytes()).await.is_ok() {
                number += 1;
                ticks.tick().await;
            }
        });
        b.spawn(async move {
            let mut stream = incoming.accept_uni().await.unwrap();
            let (mut number, mut received) = (0_u64, [0; 8]);
            while stream.read_exact(&mut received).await.is_ok() {
                assert_eq!(u64::from_be_bytes(received), number);
                number += 1;
                seen.add(1);
            }
        });
        Self(progress)
    }

    /// The longest pause from what came last on, until `count` more came.
    pub(crate) fn gap_of(&self, count: u64) -> Duration {
        self.0.advance(count);
        self.0.take_gap()
    }
}
