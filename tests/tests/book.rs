//! Who is let in, as the address book says and its owner decides while the node runs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use peerway::{
    Endpoint, RelayUrl, Ticket,
    services::{invite::Invitation, ping},
};
use serde_json::Value;
use tokio::{net::TcpListener, time::timeout};

use crate::commands::{PATIENCE, Running, World};

async fn id(world: &World, state: &str) -> String {
    let printed = world.run(state, &["id"]).await;
    printed.lines[0]["id"].as_str().unwrap().to_owned()
}

/// The next event of this kind.
async fn next(running: &mut Running, event: &str) -> Value {
    loop {
        let line = running.line().await;
        if line["event"] == event {
            return line;
        }
    }
}

#[tokio::test]
async fn a_stranger_that_asks_is_told_of_once_and_let_in_while_it_waits() {
    let world = World::new().await;
    let asked = world.run("a", &["ask", "--strangers"]).await;
    assert_eq!(asked.code, 0, "{}", asked.stderr);
    let (up, ticket) = world.up("a").await;
    let mut events = world.start("a", &["events"]);
    let caller = id(&world, "b").await;
    let short = ["ping", &ticket, "-c", "1", "--timeout", "2"];
    for _ in 0..2 {
        // The second time it is not told of again.
        let refused = world.run("b", &short).await;
        assert_eq!(refused.code, 4, "{}", refused.stderr);
    }
    assert_eq!(next(&mut events, "turned_away").await["peer"], caller[..]);
    let other = id(&world, "c").await;
    world.run("c", &short).await;
    assert_eq!(next(&mut events, "turned_away").await["peer"], other[..]);

    let waiting = world.start("b", &["ping", &ticket, "-c", "1", "--timeout", "60"]);
    let asking = world.run("a", &["accept"]).await;
    let ids: Vec<_> = asking.lines.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, [&other[..], &caller[..]], "{}", asking.stderr);
    let accepted = world
        .run("a", &["accept", &caller[..8], "--name", "friend"])
        .await;
    assert_eq!(accepted.code, 0, "{}", accepted.stderr);
    assert_eq!(
        (&accepted.lines[0]["name"], &accepted.lines[0]["trust"]),
        (&"friend".into(), &"allow".into())
    );
    waiting.finish(0).await;
    let asking = world.run("a", &["accept"]).await;
    assert_eq!(asking.lines.len(), 1, "{:?}", asking.lines);
    assert_eq!(world.run("c", &short).await.code, 4);
    up.terminate().await;
}

#[tokio::test]
async fn who_is_blocked_by_name_is_not_among_those_who_ask() {
    let world = World::new().await;
    let (mut up, ticket) = world.up("a").await;
    let caller = id(&world, "b").await;
    world.run("a", &["block", &caller]).await;
    let ping = ["ping", &ticket, "-c", "1", "--timeout", "2"];
    assert_eq!(world.run("b", &ping).await.code, 4);
    assert_eq!(next(&mut up, "turned_away").await["peer"], caller[..]);
    let asking = world.run("a", &["accept"]).await;
    assert!(asking.lines.is_empty(), "{:?}", asking.lines);
    // A change by a command is in force when the command has ended, or soon after.
    world.run("a", &["allow", &caller]).await;
    let let_in = async { while world.run("b", &ping).await.code != 0 {} };
    timeout(PATIENCE, let_in).await.unwrap();
    up.terminate().await;
}

/// A ticket with an invitation, by these options.
async fn invited(world: &World, options: &[&str]) -> String {
    let made = world.run("a", &[&["invite"], options].concat()).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    made.lines[0]["invitation"].as_str().unwrap().to_owned()
}

/// The exit code of a ping that is let in, or of one that is not and gives up sooner.
async fn ping(world: &World, state: &str, peer: &str, is_let_in: bool) -> i32 {
    let patience = if is_let_in { "60" } else { "5" };
    let ping = ["ping", peer, "-c", "1", "--timeout", patience];
    world.run(state, &ping).await.code
}

#[tokio::test]
async fn an_invitation_brings_one_into_the_book_and_nobody_after() {
    let world = World::new().await;
    world.run("a", &["block", "--strangers"]).await;
    let (up, ticket) = world.up("a").await;
    assert_eq!(ping(&world, "b", &ticket, false).await, 4);
    let invitation = invited(&world, &[]).await;
    let guest = id(&world, "b").await;
    assert_eq!(ping(&world, "b", &invitation, true).await, 0);
    let known = world.run("a", &["peers"]).await;
    assert_eq!(
        (&known.lines[0]["id"], &known.lines[0]["trust"]),
        (&guest.into(), &"allow".into())
    );
    let open = world.run("a", &["invite", "--list"]).await;
    assert!(open.lines.is_empty(), "{:?}", open.lines);
    for peer in [&invitation, &ticket] {
        assert_eq!(ping(&world, "b", peer, true).await, 0, "it is known by now");
    }
    let late = world.run("c", &["ping", &invitation, "-c", "1"]).await;
    assert_eq!(late.code, 1, "{}", late.stderr);
    assert!(late.stderr.contains("it is used up"), "{}", late.stderr);
    assert_eq!(ping(&world, "c", &ticket, false).await, 4);
    up.terminate().await;
}

#[tokio::test]
async fn an_invitation_outlives_its_node_and_is_taken_back() {
    let world = World::new().await;
    world.run("a", &["block", "--strangers"]).await;
    let options = ["--uses", "2", "--expires", "1h", "--name", "guest"];
    let invitation = invited(&world, &options).await;
    let (up, _) = world.up("a").await;
    up.terminate().await;
    let (up, _) = world.up("a").await;
    assert_eq!(ping(&world, "b", &invitation, true).await, 0);
    let known = world.run("a", &["peers"]).await;
    assert_eq!(known.lines[0]["name"], "guest");
    let open = world.run("a", &["invite", "--list"]).await;
    assert_eq!(open.lines[0]["uses"], 1);
    assert!(open.lines[0].get("invitation").is_none());
    let revoked = world.run("a", &["invite", "--revoke", "guest"]).await;
    assert_eq!(revoked.code, 0, "{}", revoked.stderr);
    assert_eq!(ping(&world, "c", &invitation, false).await, 4);
    let again = world.run("a", &["invite", "--revoke", "guest"]).await;
    assert_eq!(again.code, 2, "{}", again.stderr);
    up.terminate().await;
}

#[tokio::test]
async fn an_invitation_opens_nothing_but_the_book() {
    let world = World::new().await;
    world.run("a", &["block", "--strangers"]).await;
    let (up, _) = world.up("a").await;
    let text = invited(&world, &[]).await;
    let (ticket, invitation) = text.split_once('+').unwrap();
    let invitation: Invitation = invitation.parse().unwrap();
    let ticket: Ticket = ticket.parse().unwrap();
    let relay: RelayUrl = world.relay.parse().unwrap();
    let builder = Endpoint::builder().secret_key(invitation.key());
    let guest = builder
        .relays([relay])
        .port_mapping(false)
        .bind()
        .await
        .unwrap();
    let asked = async {
        let connection = guest.connect(ticket, ping::ALPN).await;
        let connection = connection.map_err(|error| error.to_string())?;
        let answered = ping::ping(&connection, 1, PATIENCE).await;
        answered.map_err(|error| error.to_string())
    };
    let refused = timeout(PATIENCE, asked).await.unwrap().unwrap_err();
    assert!(refused.contains("does not let this id in"), "{refused}");
    guest.close().await;
    up.terminate().await;
}

#[tokio::test]
async fn a_group_is_let_in_to_a_server_that_others_do_not_reach() {
    let world = World::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let member = id(&world, "b").await;
    let add = ["add", "anna", &member, "--group", "home"];
    assert_eq!(world.run("a", &add).await.code, 0);
    let arguments = ["expose", &target, "--name", "web", "--allow", "home"];
    let mut expose = world.start("a", &arguments);
    let service = format!("{}/web", expose.ready().await);
    let forward = [
        "forward",
        &service,
        "--listen",
        "127.0.0.1:0",
        "--fail-fast",
    ];
    let other = world.run("c", &forward).await;
    assert_ne!(other.code, 0, "{}", other.stderr);
    let mut forward = world.start("b", &forward);
    assert_eq!(forward.line().await["event"], "listening");
    forward.terminate().await;

    // It is known when the member was there.
    expose.terminate().await;
    let listed = world.run("a", &["peers", "--group", "home"]).await;
    assert_eq!(listed.lines[0]["name"], "anna");
    assert_eq!(listed.lines[0]["groups"], serde_json::json!(["home"]));
    let listed = world.run("a", &["peers", "--group", "work"]).await;
    assert_eq!(listed.lines.len(), 1, "{:?}", listed.lines);
}

#[tokio::test]
async fn when_a_peer_of_the_book_was_last_seen_outlives_the_node() {
    let world = World::new().await;
    let (up, ticket) = world.up("a").await;
    world.run("b", &["add", "nas", &ticket]).await;
    let seen = async || world.run("b", &["peers"]).await.lines[0]["seen_at_ms"].as_u64();
    assert_eq!(seen().await, None);
    assert_eq!(ping(&world, "b", "nas", true).await, 0);
    assert!(seen().await.is_some());
    up.terminate().await;

    // And of the one that is dialled, whose node is the one to see it.
    let caller = id(&world, "b").await;
    world.run("a", &["add", "laptop", &caller]).await;
    let (up, ticket) = world.up("a").await;
    let service = ["ping", &ticket, "-c", "1000"];
    let mut pinging = world.start("b", &service);
    pinging.wait_for("reply").await;
    let linked =
        async || world.run("a", &["status"]).await.lines[0]["peers"][0]["connections"] == 1;
    timeout(PATIENCE, async { while !linked().await {} })
        .await
        .unwrap();
    up.terminate().await;
    pinging.kill().await;
    let listed = world.run("a", &["peers"]).await;
    assert!(listed.lines[0]["seen_at_ms"].is_u64(), "{:?}", listed.lines);
}
