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
use tokio::{process::Command, time::timeout};

use crate::commands::World;

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

/// What the commands do, with three nodes that run: the middle one is linked to the others.
#[tokio::test]
async fn a_group_that_is_shared_is_shown_as_a_whole_by_a_command() {
    let world = World::new().await;
    let mut nodes = Vec::new();
    for state in ["a", "b", "c"] {
        let mut up = world.start(state, &["up"]);
        let ready = up.line().await;
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        nodes.push((state, up, text("ticket"), text("socket")));
    }
    let nothing = world.run("a", &["swarm", "home"]).await;
    assert_eq!(nothing.code, 2, "{}", nothing.stderr);
    for (state, ..) in &nodes {
        for (other, _, ticket, _) in nodes.iter().filter(|(other, ..)| other != state) {
            world.run(state, &["add", other, ticket]).await;
            let added = world.run(state, &["group", "add", "home", other]).await;
            assert_eq!(added.code, 0, "{}", added.stderr);
        }
        if *state == "a" {
            // Members are not enough.
            let swarm = world.run("a", &["swarm"]).await;
            assert_eq!(swarm.lines.len(), 1, "{:?}", swarm.lines);
        }
        let shared = world.run(state, &["group", "share", "home", "on"]).await;
        assert_eq!(shared.lines[0]["status"], true, "{}", shared.stderr);
    }
    for to in [&nodes[0], &nodes[2]] {
        let body = format!("{{\"ticket\":\"{}\"}}", to.2);
        let dialled = Command::new("curl")
            .args(["-sf", "--unix-socket", &nodes[1].3, "--json", &body])
            .arg("http://peerway/v1/peers")
            .status();
        assert!(timeout(PATIENCE, dialled).await.unwrap().unwrap().success());
    }
    let mut watching = world.start("a", &["swarm", "home", "--watch"]);
    let fresh = async {
        loop {
            let line = watching.line().await;
            let members = line["members"].as_array();
            let presences = members.into_iter().flatten().map(|it| &it["presence"]);
            let fresh = presences.filter(|it| *it == "fresh").count();
            if fresh == 2 && line["pairs"].as_array().unwrap().len() == 2 {
                return;
            }
        }
    };
    timeout(PATIENCE, fresh).await.unwrap();
    let off = world.run("c", &["group", "share", "home", "off"]).await;
    assert_eq!(off.lines[0]["status"], false, "{}", off.stderr);
    let left = async {
        loop {
            let line = watching.line().await;
            let members = line["members"].as_array();
            if members
                .into_iter()
                .flatten()
                .any(|it| it["presence"] == "left")
            {
                return;
            }
        }
    };
    timeout(PATIENCE, left).await.unwrap();
}
