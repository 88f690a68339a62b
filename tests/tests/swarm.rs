//! Members of a group that tell each other how they are linked, by loopback.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this is all test code"
)]

use std::time::Duration;

use peerway::{
    Connection, Endpoint, MemberSnapshot, PeerId, Presence, Router, SwarmSnapshot,
    quic::{ConnectionError, close},
    services::{
        ping,
        swarm::{self, Group, Swarm},
    },
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    endpoint: Endpoint,
    swarm: Swarm,
}

impl Node {
    async fn start() -> Self {
        let endpoint = Endpoint::builder()
            .port_mapping(false)
            .bind()
            .await
            .unwrap();
        let swarm = Swarm::new(endpoint.clone());
        let served = swarm.clone();
        let router = Router::new(endpoint.clone())
            .diagnostics()
            .accept(swarm::ALPN, move |connection| {
                served.clone().serve(connection)
            });
        let shared = swarm.clone();
        tokio::spawn(async move { tokio::join!(router.run(), shared.run()) });
        Self { endpoint, swarm }
    }

    fn id(&self) -> PeerId {
        self.endpoint.id()
    }

    fn share(&self, members: &[PeerId]) {
        let group = Group::new("home", members.iter().copied()).unwrap();
        self.swarm.share([group]).unwrap();
    }

    /// A link that lasts as long as what this returns.
    async fn link(&self, other: &Self) -> Connection {
        let dial = self.endpoint.connect(other.endpoint.ticket(), ping::ALPN);
        timeout(PATIENCE, dial).await.unwrap().unwrap()
    }

    async fn sees(&self, what: impl Fn(&SwarmSnapshot) -> bool) -> SwarmSnapshot {
        let mut changes = self.swarm.changes();
        let seen = async {
            loop {
                changes.borrow_and_update();
                let snapshot = self.swarm.snapshot();
                if what(&snapshot) {
                    return snapshot;
                }
                changes.changed().await.unwrap();
            }
        };
        let seen = timeout(PATIENCE, seen).await;
        seen.unwrap_or_else(|_| panic!("{:#?}", self.swarm.snapshot()))
    }
}

fn member(snapshot: &SwarmSnapshot, id: PeerId) -> &MemberSnapshot {
    let members = &snapshot.groups[0].members;
    members.iter().find(|member| member.id == id).unwrap()
}

fn fresh(snapshot: &SwarmSnapshot) -> usize {
    let members = snapshot.groups.iter().flat_map(|group| &group.members);
    members
        .filter(|member| member.presence == Presence::Fresh)
        .count()
}

#[tokio::test]
async fn two_who_have_no_link_see_each_other_by_a_third_until_one_leaves() {
    let [a, b, c] = [
        Node::start().await,
        Node::start().await,
        Node::start().await,
    ];
    let all = [a.id(), b.id(), c.id()];
    for node in [&a, &b, &c] {
        node.share(&all);
    }
    let links = (a.link(&b).await, b.link(&c).await);
    let seen = a
        .sees(|it| {
            let pairs = &it.groups[0].pairs;
            fresh(it) == 2 && pairs.len() == 2 && pairs.iter().all(|pair| pair.is_direct())
        })
        .await;
    let far = member(&seen, c.id());
    assert_eq!(far.via, Some(b.id()));
    assert_eq!(
        far.status.as_ref().unwrap().version,
        env!("CARGO_PKG_VERSION")
    );
    c.sees(|it| fresh(it) == 2).await;
    // No link was made for it.
    let knows = a.endpoint.snapshot();
    assert!(knows.peers.iter().all(|peer| peer.id != c.id()));
    c.swarm.share([]).unwrap();
    a.sees(|it| member(it, c.id()).presence == Presence::Left)
        .await;
    assert_eq!(c.swarm.snapshot().groups, []);
    drop(links);
}

#[tokio::test]
async fn a_stranger_hears_nothing_and_cannot_tell_whether_anything_is_shared() {
    let [a, b, stranger] = [
        Node::start().await,
        Node::start().await,
        Node::start().await,
    ];
    // Both know it, and do not have it in the group.
    for node in [&a, &b] {
        node.share(&[a.id(), b.id()]);
    }
    stranger.share(&[a.id(), b.id(), stranger.id()]);
    let links = (a.link(&b).await, stranger.link(&a).await);
    a.sees(|it| fresh(it) == 1).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let dial = stranger.endpoint.connect(a.id(), swarm::ALPN);
        let answer = match timeout(PATIENCE, dial).await.unwrap() {
            Ok(connection) => timeout(PATIENCE, connection.closed()).await.unwrap(),
            Err(error) => panic!("{error}"),
        };
        answers.push(answer);
        a.swarm.share([]).unwrap();
    }
    let ConnectionError::ApplicationClosed(answer) = &answers[0] else {
        panic!("{answers:?}")
    };
    assert_eq!(answer.error_code, close::NO_SERVICE.into());
    assert_eq!(answers[0], answers[1]);
    let seen = stranger.swarm.snapshot();
    assert_eq!((seen.received_bytes, fresh(&seen)), (0, 0));
    drop(links);
}

#[tokio::test]
async fn who_shares_nothing_is_asked_and_says_nothing_and_a_link_ends_with_its_last_use() {
    let [a, b] = [Node::start().await, Node::start().await];
    a.share(&[a.id(), b.id()]);
    let link = a.link(&b).await;
    let mut events = a.endpoint.snapshots();
    // Sharing is off at the other side.
    let asked = events.wait_for(|node| node.uptime > Duration::from_secs(8));
    timeout(PATIENCE, asked).await.unwrap().unwrap();
    assert_eq!(
        member(&a.swarm.snapshot(), b.id()).presence,
        Presence::Silent
    );
    let seen = b.swarm.snapshot();
    assert_eq!(
        (seen.groups.len(), seen.sent_bytes, seen.received_bytes),
        (0, 0, 0)
    );
    b.share(&[a.id(), b.id()]);
    a.sees(|it| fresh(it) == 1).await;
    drop(link);
    let ended = events.wait_for(|node| node.peers.iter().all(|peer| peer.connections == 0));
    timeout(PATIENCE, ended).await.unwrap().unwrap();
}
