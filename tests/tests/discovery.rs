//! Commands that find a peer by what it published in the Mainline DHT: a DHT of ten nodes, on loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{io, net::Ipv4Addr, time::Duration};

use mainline::Testnet;
use peerway::{ConnectError, Endpoint, Searches, Ticket};
use tokio::{
    process::Command,
    time::{Instant, timeout},
};

use crate::commands::{Done, Running, World};

/// Until a record is published: five seconds after a relay took its author, and what storing it takes.
const PUBLISHING: Duration = Duration::from_secs(60);

struct Dht {
    world: World,
    testnet: Testnet,
}

impl Dht {
    async fn new() -> Self {
        let testnet = Testnet::builder(10)
            .bind_address(Ipv4Addr::LOCALHOST)
            .build();
        Self {
            world: World::new().await,
            testnet: testnet.unwrap(),
        }
    }

    fn command(&self, state: &str, arguments: &[&str]) -> Command {
        let mut command = self.world.command(state, arguments);
        command.env("PEERWAY_NO_DHT", "");
        command.env("PEERWAY_DHT_NODE", &self.testnet.bootstrap[0]);
        command
    }

    /// A node that publishes, and its ticket.
    async fn up(&self, state: &str, arguments: &[&str]) -> (Running, Ticket) {
        let mut up = Running::start(self.command(state, arguments));
        let ticket = up.ready().await;
        (up, ticket.parse().unwrap())
    }

    /// A ping by a computer that has no relay.
    async fn ping(&self, state: &str, peer: &Ticket) -> Done {
        let peer = peer.to_string();
        let mut ping = self.command(state, &["ping", &peer, "-c", "1"]);
        ping.env("PEERWAY_RELAY", "");
        Done::of(ping).await
    }

    /// Pings until the peer has published.
    async fn ping_until_found(&self, state: &str, peer: &Ticket) -> Done {
        let until = Instant::now() + PUBLISHING;
        loop {
            let done = self.ping(state, peer).await;
            if done.code == 0 || Instant::now() > until {
                return done;
            }
            assert!(done.stderr.contains("Mainline DHT") || done.stderr.contains("id alone"));
        }
    }
}

/// What is left of a ticket without where the peer is.
fn bare(ticket: &Ticket) -> Ticket {
    Ticket::from(ticket.id()).with_discovery(ticket.discovery())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_reached_at_a_relay_that_only_its_record_names() {
    let dht = Dht::new().await;
    let (_up, ticket) = dht.up("a", &["up"]).await;
    assert!(ticket.discovery().is_some());
    let found = dht.ping_until_found("b", &bare(&ticket)).await;
    assert_eq!(found.code, 0, "{}", found.stderr);
    let by_id = dht.ping("c", &ticket.id().into()).await;
    assert_eq!(by_id.code, 4, "{}", by_id.stderr);
    assert!(by_id.stderr.contains("dial its ticket"), "{}", by_id.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_for_everybody_is_found_by_its_id() {
    let dht = Dht::new().await;
    let (_up, ticket) = dht.up("a", &["up", "--public"]).await;
    let found = dht.ping_until_found("b", &ticket.id().into()).await;
    assert_eq!(found.code, 0, "{}", found.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_dht_everything_else_works_and_the_failure_says_so() {
    let mut dht = Dht::new().await;
    dht.testnet.bootstrap = vec!["127.0.0.1:9".to_owned()];
    let (_up, ticket) = dht.up("a", &["up"]).await;
    let reached = dht.ping("b", &ticket).await;
    assert_eq!(reached.code, 0, "{}", reached.stderr);
    let lost = timeout(PUBLISHING, dht.ping("c", &bare(&ticket)))
        .await
        .unwrap();
    assert_eq!(lost.code, 4, "{}", lost.stderr);
    assert!(
        lost.stderr.contains("no node of the Mainline DHT answers"),
        "{}",
        lost.stderr
    );
    assert!(!lost.stderr.contains("ERROR"), "{}", lost.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_from_before_a_rotation_are_blind() {
    let dht = Dht::new().await;
    let before = Done::of(dht.command("a", &["ticket"])).await.ticket();
    let again = Done::of(dht.command("a", &["ticket"])).await.ticket();
    assert_eq!(before, again);
    let none = Done::of(dht.command("a", &["ticket", "--no-dht"])).await;
    assert_eq!(none.ticket().discovery(), None);
    let rotated = Done::of(dht.command("a", &["id", "--rotate-discovery"])).await;
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    let (_up, after) = dht.up("a", &["up"]).await;
    assert_eq!(after.id(), before.id());
    assert_ne!(after.discovery(), before.discovery());
    let found = dht.ping_until_found("b", &bare(&after)).await;
    assert_eq!(found.code, 0, "{}", found.stderr);
    let blind = dht.ping("c", &bare(&before)).await;
    assert_eq!(blind.code, 4, "{}", blind.stderr);
}

const ALPN: &[u8] = b"peerway/test/1";

async fn node() -> Endpoint {
    let local = (Ipv4Addr::LOCALHOST, 0).into();
    let builder = Endpoint::builder().alpns([ALPN]).bind_addr(local);
    builder.bind().await.unwrap()
}

#[tokio::test]
async fn a_program_brings_what_it_knows_of_a_peer_that_is_dialled() {
    let (peer, other, dialler) = (node().await, node().await, node().await);
    let mut searches = dialler.searches().await;
    let search = async {
        let search = searches.next().await.unwrap();
        assert_eq!(search.target(), &peer.id().into());
        search.found(other.ticket()).await;
        search.found(peer.ticket()).await;
        search.over().await;
    };
    let (dialled, ()) = tokio::join!(dialler.connect(peer.id(), ALPN), search);
    assert_eq!(dialled.unwrap().peer(), peer.id());
}

#[tokio::test]
async fn a_search_in_vain_ends_the_dial_with_its_reason_or_as_without_one() {
    let (peer, dialler) = (node().await, node().await);
    let mut searches = dialler.searches().await;
    let dial = async || {
        let connect = dialler.connect(peer.id(), ALPN);
        timeout(PUBLISHING, connect).await.unwrap().unwrap_err()
    };
    let give_up = async |searches: &mut Searches| {
        let search = searches.next().await.unwrap();
        search
            .give_up(io::Error::other("the library is closed"))
            .await;
    };
    let (error, ()) = tokio::join!(dial(), give_up(&mut searches));
    assert!(
        error.to_string().ends_with("and the library is closed"),
        "{error}"
    );
    let forget = async |searches: &mut Searches| drop(searches.next().await);
    let (error, ()) = tokio::join!(dial(), forget(&mut searches));
    assert!(matches!(error, ConnectError::NotSearched { .. }), "{error}");
    drop(searches);
    let error = dial().await;
    assert!(matches!(error, ConnectError::NotSearched { .. }), "{error}");
}

#[tokio::test]
async fn a_search_is_over_when_nobody_waits_for_the_peer_any_more() {
    let (peer, dialler) = (node().await, node().await);
    let mut searches = dialler.searches().await;
    let connect = dialler.connect(peer.id(), ALPN);
    let search = tokio::select! {
        _ = connect => panic!("nobody was found"),
        search = searches.next() => search.unwrap(),
    };
    timeout(PUBLISHING, search.over()).await.unwrap();
}
