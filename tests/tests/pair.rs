//! Two computers that get to know each other by a code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::commands::{Running, World};

/// The code that a computer shows, and the command that shows it.
async fn shown(world: &World, state: &str, arguments: &[&str]) -> (Running, String) {
    let mut showing = world.start(state, arguments);
    let line = showing.line().await;
    assert_eq!(line["event"], "code");
    (showing, line["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn two_that_paired_call_each_other_by_name() {
    let world = World::new().await;
    let (mut showing, code) = shown(&world, "a", &["pair", "--as", "attic"]).await;
    // As somebody types it who heard it.
    let (first, rest) = code.split_once('-').unwrap();
    let typed = world
        .run(
            "b",
            &["pair", &first.to_uppercase(), rest, "--as", "laptop"],
        )
        .await;
    assert_eq!(typed.code, 0, "{}", typed.stderr);
    assert_eq!(typed.lines[0]["name"], "attic");
    let paired = showing.line().await;
    assert_eq!(
        (&paired["event"], &paired["name"]),
        (&"paired".into(), &"laptop".into())
    );
    showing.finish(0).await;

    let itself = world.run("a", &["id"]).await;
    assert_eq!(typed.lines[0]["id"], itself.lines[0]["id"]);
    let (up, _) = world.up("a").await;
    let ping = world.run("b", &["ping", "attic", "-c", "1"]).await;
    assert_eq!(ping.code, 0, "{}", ping.stderr);
    up.terminate().await;
}

#[tokio::test]
async fn a_node_that_runs_is_paired_by_its_own_ticket() {
    let world = World::new().await;
    let (up, ticket) = world.up("a").await;
    let (showing, code) = shown(&world, "a", &["pair", "--as", "attic"]).await;
    let typed = world.run("b", &["pair", &code]).await;
    assert_eq!(typed.code, 0, "{}", typed.stderr);
    assert_eq!(typed.lines[0]["ticket"], ticket.as_str());
    showing.finish(0).await;
    up.terminate().await;
}

#[tokio::test]
async fn nodes_that_run_and_let_in_no_strangers_pair_and_reach_each_other_at_once() {
    let world = World::new().await;
    let mut nodes = Vec::new();
    for state in ["a", "b"] {
        world.run(state, &["block", "--strangers"]).await;
        nodes.push(world.up(state).await);
    }
    let (mut showing, code) = shown(&world, "a", &["pair", "--as", "attic"]).await;
    let typed = world.run("b", &["pair", &code, "--as", "laptop"]).await;
    assert_eq!(typed.code, 0, "{}", typed.stderr);
    assert_eq!(typed.lines[0]["ticket"], nodes[0].1.as_str());
    let paired = showing.line().await;
    assert_eq!(
        (&paired["name"], &paired["ticket"]),
        (&"laptop".into(), &nodes[1].1.as_str().into())
    );
    showing.finish(0).await;
    for (state, other) in [("a", "laptop"), ("b", "attic")] {
        let ping = world.run(state, &["ping", other, "-c", "1"]).await;
        assert_eq!(ping.code, 0, "{}", ping.stderr);
        assert!(!ping.stderr.contains("temporary"), "{}", ping.stderr);
    }
    for (node, _) in nodes {
        node.terminate().await;
    }
}

#[tokio::test]
async fn the_code_of_a_node_ends_with_the_first_wrong_guess_and_with_its_command() {
    let world = World::new().await;
    let (a, _) = world.up("a").await;
    let (b, _) = world.up("b").await;
    let (showing, code) = shown(&world, "a", &["pair"]).await;
    let last = if code.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &code[..code.len() - 1]);
    let typed = world.run("b", &["pair", &wrong]).await;
    assert_eq!(typed.code, 1, "{}", typed.stderr);
    showing.finish(1).await;
    let (showing, other) = shown(&world, "a", &["pair"]).await;
    showing.kill().await;
    for code in [code, other] {
        let late = world.run("b", &["pair", &code]).await;
        assert_eq!(late.code, 4, "{}", late.stderr);
    }
    for state in ["a", "b"] {
        let peers = world.run(state, &["peers"]).await;
        let named = peers.lines.iter().filter(|line| line["name"].is_string());
        assert_eq!(named.count(), 0, "{:?}", peers.lines);
    }
    a.terminate().await;
    b.terminate().await;
}

#[tokio::test]
async fn a_wrong_code_is_the_end_of_the_right_one() {
    let world = World::new().await;
    let (showing, code) = shown(&world, "a", &["pair"]).await;
    let last = if code.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &code[..code.len() - 1]);
    let typed = world.run("b", &["pair", &wrong]).await;
    assert_eq!(typed.code, 1, "{}", typed.stderr);
    assert!(
        typed.stderr.contains("have a new one made"),
        "{}",
        typed.stderr
    );
    showing.finish(1).await;
    let late = world.run("b", &["pair", &code]).await;
    assert_eq!(late.code, 4, "{}", late.stderr);
    assert!(
        late.stderr.contains("nobody waits with this code"),
        "{}",
        late.stderr
    );
    let nonsense = world.run("b", &["pair", "7k3m"]).await;
    assert_eq!(nonsense.code, 2, "{}", nonsense.stderr);
}

/// The same in the lab, where a home is a network of its own.
#[cfg(target_os = "linux")]
mod homes {
    use std::{sync::LazyLock, time::Duration};

    use peerway::{
        Endpoint, RelayUrl, SecretKey, Ticket,
        services::pair::{self, Card, Code},
    };
    use peerway_lab::{self as lab, Home, NatKind};
    use peerway_tests::{PROGRAMS, computer::Computer};
    use serde_json::Value;
    use tempfile::TempDir;
    use tokio::{sync::oneshot, time::timeout};

    const BUDGET: Duration = Duration::from_secs(90);
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn neighbours_pair_without_a_relay_and_without_internet() {
        lab::test(BUDGET, |mut lab| {
            let a = lab.home("a", NatKind::PortRestricted).unwrap();
            let b = lab.host_beside(&a, "b").unwrap();
            assert_they_pair(&a, &b, &[]);
        });
    }

    #[test]
    fn nodes_of_neighbours_pair_without_a_relay() {
        LazyLock::force(&PROGRAMS);
        lab::test(BUDGET, |mut lab| {
            let folder = TempDir::new().unwrap();
            let a = lab.home("a", NatKind::PortRestricted).unwrap();
            let b = lab.host_beside(&a, "b").unwrap();
            let [a, b] = [(a, "attic"), (b, "laptop")]
                .map(|(home, name)| Computer::new(home, name, folder.path()));
            let nodes = [&a, &b].map(|computer| {
                let up = computer.start("peerway up --json");
                let ready: Value = up.line().parse().unwrap();
                (up, ready["id"].clone())
            });
            let showing = a.start("peerway pair --json");
            let code: Value = showing.line().parse().unwrap();
            let code = code["code"].as_str().unwrap();
            let typed = b.json(&format!("peerway pair {code}"));
            assert_eq!(
                (&typed[0]["name"], &typed[0]["id"]),
                (&"attic".into(), &nodes[0].1)
            );
            let paired: Value = showing.line().parse().unwrap();
            assert_eq!(
                (&paired["name"], &paired["id"]),
                (&"laptop".into(), &nodes[1].1)
            );
        });
    }

    #[test]
    fn two_homes_pair_over_a_relay_whatever_their_routers_are() {
        lab::test(BUDGET, |mut lab| {
            let relay = peerway_tests::pair::relay(&lab);
            let a = lab.home("a", NatKind::Symmetric).unwrap();
            let b = lab.home("b", NatKind::Symmetric).unwrap();
            assert_they_pair(&a, &b, &[relay]);
        });
    }

    fn assert_they_pair(a: &Home, b: &Home, relays: &[RelayUrl]) {
        let code = Code::generate().unwrap();
        let cards = [1, 2].map(|seed| {
            let id = SecretKey::from_seed(&[seed; 32]).id();
            Card::new(Ticket::from(id), "a computer")
        });
        let waits = a.block_on(endpoint(Some(code.rendezvous()), relays));
        let (paired, seen) = oneshot::channel();
        let (shown, ours) = (code.clone(), cards[0].clone());
        a.spawn(async move {
            let _ = paired.send(pair::wait(&waits, &shown, &ours).await);
        });
        let typed = b.block_on(async {
            let types = endpoint(None, relays).await;
            let typing = pair::type_in(&types, relays, &code, &cards[1]);
            timeout(PATIENCE, typing).await.unwrap().unwrap()
        });
        let waited = a.block_on(async { timeout(PATIENCE, seen).await.unwrap().unwrap() });
        assert_eq!([typed.card, waited.unwrap().card], cards);
    }

    async fn endpoint(key: Option<SecretKey>, relays: &[RelayUrl]) -> Endpoint {
        let builder = Endpoint::builder()
            .secret_key(key.unwrap_or_else(|| SecretKey::generate().unwrap()))
            .relays(relays.to_vec())
            .alpns([pair::ALPN])
            .port_mapping(false);
        let endpoint = builder.bind().await.unwrap();
        endpoint.online().await.unwrap();
        endpoint
    }
}
