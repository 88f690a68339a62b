//! Services that `peerway up` keeps: by real nodes, through changes while they run and restarts of either side.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::commands::{PATIENCE, Running, World, echo, send_and_compare};

/// Waits until a kept service fares so.
async fn fares(world: &World, state: &str, list: [&str; 2], expected: &str) -> Value {
    let waiting = async {
        loop {
            let done = world.run(state, &list).await;
            assert_eq!(done.code, 0, "{}", done.stderr);
            let line = done.lines[0].clone();
            if line["state"] == expected {
                return line;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap()
}

async fn done(world: &World, state: &str, arguments: &[&str]) -> Vec<Value> {
    let done = world.run(state, arguments).await;
    assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
    done.lines
}

/// An address that nobody listens at until it is used: of this process alone, and at a port that the system gives to nobody.
fn free() -> String {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(10_000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let port = NEXT_PORT.fetch_add(1, Relaxed);
    format!("127.{}.{b}.{c}:{port}", 64 | a)
}

/// The next change of a kept service.
async fn change(running: &mut Running) -> Value {
    loop {
        let line = running.line().await;
        if line["event"] == "service" {
            return line;
        }
    }
}

#[tokio::test]
async fn what_is_kept_is_served_by_every_up_and_outlives_restarts_of_either_side() {
    let world = World::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(echo(server));

    let web = format!("web={target}");
    let added = done(&world, "a", &["expose", "add", &web]).await;
    assert_eq!(added[0]["state"], Value::Null, "no node runs yet");
    let (up_a, ticket) = world.up("a").await;
    done(&world, "b", &["add", "nas", &ticket]).await;
    let (up_b, _) = world.up("b").await;
    let addr = free();
    let add = ["forward", "add", "nas/web", "--listen", &addr];
    let added = done(&world, "b", &add).await;
    assert_ne!(added[0]["state"], Value::Null, "it is in force at once");
    assert_eq!(done(&world, "b", &add).await.len(), 1, "once more");
    send_and_compare(addr.clone(), 1).await;
    fares(&world, "b", ["forward", "list"], "ready").await;

    up_a.kill().await;
    let (up_a, _) = world.up("a").await;
    timeout(PATIENCE, send_and_compare(addr.clone(), 2))
        .await
        .unwrap();
    up_b.kill().await;
    let (up_b, _) = world.up("b").await;
    fares(&world, "b", ["forward", "list"], "ready").await;
    send_and_compare(addr.clone(), 3).await;

    let mut open = TcpStream::connect(&addr).await.unwrap();
    open.write_all(b"x").await.unwrap();
    open.read_exact(&mut [0]).await.unwrap();
    done(&world, "a", &["expose", "remove", "web"]).await;
    let ended = timeout(PATIENCE, open.read(&mut [0])).await.unwrap();
    assert!(ended.is_err() || ended.is_ok_and(|read| read == 0));
    drop(TcpStream::connect(&addr).await.unwrap());
    let waiting = fares(&world, "b", ["forward", "list"], "waiting").await;
    let reason = waiting["reason"].as_str().unwrap();
    assert!(reason.contains("nothing under the name web"), "{reason}");
    done(&world, "b", &["forward", "remove", "nas/web"]).await;
    assert!(TcpStream::connect(&addr).await.is_err());
    assert!(done(&world, "b", &["forward", "list"]).await.is_empty());
    up_a.terminate().await;
    up_b.terminate().await;
}

/// The line of `ls` about what is shared, once that is so many files.
async fn shared(world: &World, state: &str, files: u64) -> Value {
    let waiting = async {
        loop {
            let lines = done(world, state, &["ls"]).await;
            let share = lines.into_iter().find(|it| it["event"] == "share");
            if let Some(share) = share.filter(|it| it["files"] == files) {
                return share;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap()
}

#[tokio::test]
async fn a_folder_is_shared_anew_as_it_changes_also_after_a_start_anew_until_it_is_stopped() {
    let world = World::new().await;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().canonicalize().unwrap().join("Public");
    let into = home.path().join("in");
    for made in [&folder, &into] {
        fs::create_dir(made).unwrap();
    }
    fs::write(folder.join("a"), b"a").unwrap();
    let path = folder.to_str().unwrap();
    let watch = ["share", "--watch", path, "--public"];
    let watching = done(&world, "attic", &watch).await;
    assert_eq!(
        (&watching[0]["event"], &watching[0]["folder"]),
        (&"watching".into(), &path.into())
    );
    let (mut up, _) = world.up("attic").await;
    let first = shared(&world, "attic", 1).await;
    assert!(
        first["watched"] == true && first["public"] == true,
        "{first}"
    );
    let told = change(&mut up).await;
    assert_eq!(
        (&told["kind"], &told["addr"]),
        (&"watch".into(), &first["hash"])
    );
    fs::write(folder.join("b"), b"b").unwrap();
    let link = shared(&world, "attic", 2).await["link"].clone();
    let get = ["get", link.as_str().unwrap(), "-o", into.to_str().unwrap()];
    done(&world, "laptop", &get).await;
    assert_eq!(fs::read(into.join("Public/b")).unwrap(), b"b");
    up.kill().await;
    fs::remove_file(folder.join("a")).unwrap();
    let (up, _) = world.up("attic").await;
    shared(&world, "attic", 1).await;
    let stopped = done(&world, "attic", &["share", "--stop", "Public"]).await;
    assert_eq!(
        (stopped.len(), &stopped[0]["event"]),
        (1, &"stopped".into())
    );
    assert!(done(&world, "attic", &["share", "--list"]).await.is_empty());
    assert_eq!(
        world
            .run("attic", &["share", "--stop", "Public"])
            .await
            .code,
        2
    );
    up.terminate().await;
}

#[tokio::test]
async fn whom_a_node_is_linked_with_is_noted_and_what_was_open_ends_when_one_that_was_killed_is_back()
 {
    let world = World::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(echo(server));
    done(&world, "a", &["expose", "add", &format!("web={target}")]).await;
    let (up_a, ticket) = world.up("a").await;
    let (up_b, _) = world.up("b").await;
    let (addr, service) = (free(), format!("{ticket}/web"));
    let add = ["forward", "add", &service, "--listen", &addr];
    done(&world, "b", &add).await;
    send_and_compare(addr.clone(), 1).await;
    let noted = world.folder("a").join("linked");
    let noting = async {
        while fs::read_to_string(&noted).unwrap_or_default().is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, noting).await.unwrap();

    let mut open = TcpStream::connect(&addr).await.unwrap();
    open.write_all(b"x").await.unwrap();
    open.read_exact(&mut [0]).await.unwrap();
    up_a.kill().await;
    let (up_a, _) = world.up("a").await;
    let ended = timeout(PATIENCE, open.read(&mut [0])).await.unwrap();
    assert!(ended.is_err() || ended.is_ok_and(|read| read == 0));
    send_and_compare(addr, 2).await;
    up_a.terminate().await;
    assert!(
        !noted.exists(),
        "nobody is told anything that ended as it should"
    );
    up_b.terminate().await;
}

#[tokio::test]
async fn what_cannot_start_is_named_tried_again_and_harms_nothing_else() {
    let world = World::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(echo(server));
    let (up_a, ticket) = world.up("a").await;
    done(&world, "a", &["expose", "add", &format!("web={target}")]).await;

    let taken_addr = free();
    let taken = TcpListener::bind(&taken_addr).await.unwrap();
    let add = ["forward", "add", "nas/web", "--listen", &taken_addr];
    done(&world, "b", &add).await;
    let (mut up_b, _) = world.up("b").await;
    let failed = change(&mut up_b).await;
    assert_eq!(failed["state"], "failed");
    assert!(failed["reason"].as_str().unwrap().contains("called nas"));
    done(&world, "b", &["add", "nas", &ticket]).await;
    let failed = change(&mut up_b).await;
    assert!(failed["reason"].as_str().unwrap().contains(&taken_addr));
    let addr = free();
    let service = format!("{ticket}/web");
    done(
        &world,
        "b",
        &["forward", "add", &service, "--listen", &addr],
    )
    .await;
    timeout(PATIENCE, send_and_compare(addr.clone(), 1))
        .await
        .unwrap();
    drop(taken);
    loop {
        let change = change(&mut up_b).await;
        if change["service"] == "nas/web" && change["state"] == "ready" {
            break;
        }
    }
    send_and_compare(taken_addr, 2).await;

    // What is no TOML is named, and what was in force stays.
    let file = world.folder("b").join("services.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}listen = 3\n")).unwrap();
    let refused = world.run("b", &["forward", "remove", "nas/web"]).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("services.toml, line "),
        "{}",
        refused.stderr
    );
    send_and_compare(addr, 3).await;
    up_a.terminate().await;
    up_b.terminate().await;
}

#[tokio::test]
async fn a_kept_service_is_for_those_who_are_named() {
    let world = World::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(echo(server));
    let (up, ticket) = world.up("a").await;
    let id = done(&world, "b", &["id"]).await[0]["id"].clone();
    let friend = ["add", "b", id.as_str().unwrap(), "--group", "home"];
    done(&world, "a", &friend).await;
    let (web, dns) = (format!("web={target}"), format!("dns=udp://{target}"));
    let add = ["expose", "add", &web, &dns, "--allow", "web=@home"];
    let lines = done(&world, "a", &add).await;
    let allowed = lines.iter().map(|line| (&line["name"], &line["allow"]));
    let expected: [(Value, Value); 2] = [
        ("dns".into(), Value::Array(Vec::new())),
        ("web".into(), vec!["home"].into()),
    ];
    assert!(allowed.eq(expected.iter().map(|(name, allow)| (name, allow))));
    for (state, expected) in [("b", &["dns", "web"][..]), ("c", &["dns"])] {
        let listed = done(&world, state, &["services", &ticket]).await;
        let listed: Vec<_> = listed.iter().map(|line| &line["service"]).collect();
        assert_eq!(listed, expected, "{state}");
    }
    // The same name with everybody let in would open what was closed.
    let again = world.run("a", &["expose", "add", &web]).await;
    assert_eq!(again.code, 2, "{}", again.stderr);
    let nameless = world.run("a", &["expose", "add", &target]).await;
    assert_eq!(nameless.code, 2, "{}", nameless.stderr);
    let nowhere = ["forward", "add", "nas/web", "--listen", "0"];
    assert_eq!(world.run("a", &nowhere).await.code, 2);
    up.terminate().await;
}
