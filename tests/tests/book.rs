//! Who is let in, as the address book says and its owner decides while the node runs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use tokio::time::timeout;

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
