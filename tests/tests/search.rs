//! Searches, by the program: what is marked is found by whom it is for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::commands::{Done, PATIENCE, World};

impl World {
    /// Waits until the directory keeps so many names.
    async fn keeps(&self, state: &str, count: usize) {
        let kept = async {
            while self.done(state, &["group"]).await.lines[0]["published"] != count {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, kept).await.unwrap();
    }

    /// Waits until it has heard who is a directory of the group.
    async fn knows_a_directory(&self, state: &str, group: &str) {
        let known = async {
            loop {
                let listed = self.done(state, &["group", "members", group]).await;
                let marked = listed.lines.iter().filter(|it| it["directory"] == true);
                if marked.count() == 1 {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, known).await.unwrap();
    }

    /// The names that a search finds there.
    async fn finds(&self, state: &str, words: &[&str]) -> BTreeSet<String> {
        let done = self.run(state, &[&["search"], words].concat()).await;
        let found = names(rows(&done));
        let code = i32::from(found.is_empty());
        assert_eq!(done.code, code, "{words:?} at {state}: {}", done.stderr);
        found
    }
}

fn rows(done: &Done) -> impl Iterator<Item = &Value> {
    let lines = done.lines.iter();
    lines.filter(|line| line["event"] == "row")
}

fn names<'a>(lines: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    lines
        .map(|line| line["name"].as_str().unwrap().to_owned())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn file(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn what_is_marked_is_found_and_fetched_by_peers_of_the_book_and_by_nobody_else() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    file(&path("holiday/at sea.mp4"), "sea");
    file(&path("holiday/snow.mp4"), "snow");
    file(&path("secret sea.mp4"), "secret");
    file(&path("hostile\u{1b}[2J\u{202e}sea.txt"), "hostile");
    let (attic, attic_ticket) = world.up("attic").await;
    let (laptop, laptop_ticket) = world.up("laptop").await;
    let (stranger, _) = world.up("stranger").await;
    world
        .done("attic", &["add", "laptop", &laptop_ticket])
        .await;
    world.done("laptop", &["add", "attic", &attic_ticket]).await;
    world
        .done("stranger", &["add", "attic", &attic_ticket])
        .await;
    for (name, mark) in [("holiday", Some("--searchable")), ("secret sea.mp4", None)] {
        let path = path(name);
        let share = ["share", path.to_str().unwrap()];
        let shared = world
            .done("attic", &[&share[..], mark.as_slice()].concat())
            .await;
        assert_eq!(shared.lines[0]["searchable"], mark.is_some());
    }

    let found = world.done("laptop", &["search", "sea", "kind:video"]).await;
    let first = &found.lines[0];
    assert_eq!(
        (&first["event"], &first["book"]),
        (&"asking".into(), &1.into())
    );
    assert_eq!(names(rows(&found)), set(&["holiday/at sea.mp4"]));
    let last = found.lines.last().unwrap();
    assert_eq!((&last["asked"], &last["answered"]), (&1.into(), &1.into()));
    assert_eq!(
        world.finds("laptop", &["holiday -snow"]).await,
        set(&["holiday", "holiday/at sea.mp4"])
    );
    assert_eq!(world.finds("laptop", &["secret"]).await, set(&[]));

    let link = rows(&found).next().unwrap()["link"].as_str().unwrap();
    let into = path("in");
    fs::create_dir(&into).unwrap();
    world
        .done("laptop", &["get", link, "-o", into.to_str().unwrap()])
        .await;
    assert_eq!(fs::read_to_string(into.join("at sea.mp4")).unwrap(), "sea");

    let browsed = world.done("laptop", &["browse", "attic"]).await;
    let all = set(&["holiday", "holiday/at sea.mp4", "holiday/snow.mp4"]);
    assert_eq!(names(browsed.lines.iter()), all);

    // Who is in nobody's book is let in, and told nothing.
    let unanswered = world.run("stranger", &["search", "sea"]).await;
    assert_eq!(unanswered.code, 4, "{}", unanswered.stderr);
    let reason = unanswered.lines[1]["reason"].as_str().unwrap();
    assert!(reason.contains("neither in its address book"), "{reason}");
    assert_eq!(world.run("stranger", &["browse", "attic"]).await.code, 8);

    let hostile = path("hostile\u{1b}[2J\u{202e}sea.txt");
    world
        .done(
            "attic",
            &["share", hostile.to_str().unwrap(), "--searchable"],
        )
        .await;
    let found = world.done("laptop", &["search", "hostile"]).await;
    assert_eq!(rows(&found).count(), 1);

    // The mark outlives the node, and not the share.
    attic.terminate().await;
    let (attic, _) = world.up("attic").await;
    assert_eq!(
        world.finds("laptop", &["snow"]).await,
        set(&["holiday/snow.mp4"])
    );
    world.done("attic", &["share", "--stop", "holiday"]).await;
    assert_eq!(world.finds("laptop", &["snow"]).await, set(&[]));
    for running in [attic, laptop, stranger] {
        running.terminate().await;
    }
}

#[tokio::test]
async fn what_a_peer_shares_is_fetched_by_its_name_and_followed_as_it_changes() {
    let world = World::new().await;
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    let (folder, into) = (home.join("Public"), home.join("in"));
    fs::create_dir(&into).unwrap();
    file(&folder.join("a"), "first");
    file(&folder.join("b"), "stays");
    let (attic, attic_ticket) = world.up("attic").await;
    let (laptop, laptop_ticket) = world.up("laptop").await;
    let add = ["add", "laptop", &laptop_ticket];
    world.done("attic", &add).await;
    world.done("laptop", &["add", "attic", &attic_ticket]).await;
    let watch = ["share", "--watch", folder.to_str().unwrap(), "--searchable"];
    world.done("attic", &watch).await;
    let read = async |name: &str| fs::read_to_string(into.join(name)).unwrap_or_default();
    let comes = async |name: &str, content: &str| {
        while read(name).await != content {
            sleep(Duration::from_millis(100)).await;
        }
    };

    let out = into.to_str().unwrap();
    let nothing = world.run("laptop", &["get", "attic/Private"]).await;
    assert_eq!(nothing.code, 8, "{}", nothing.stderr);
    assert!(nothing.stderr.contains("peerway browse attic"));
    let of_a_link = ["get", &"0".repeat(64), "--follow"];
    assert_eq!(world.run("laptop", &of_a_link).await.code, 2);
    let listed = async {
        loop {
            let listed = world.done("attic", &["ls"]).await;
            if listed.lines.iter().any(|line| line["files"] == 2) {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, listed).await.unwrap();
    world
        .done("laptop", &["get", "attic/Public/b", "-o", out])
        .await;
    assert_eq!(read("b").await, "stays");

    let get = ["get", "attic/Public", "--follow", "-o", out];
    let mut following = world.start("laptop", &get);
    // On a busy computer how far it is comes first.
    let got = async { while following.line().await["event"] != "got" {} };
    timeout(PATIENCE, got).await.unwrap();
    assert_eq!(read("Public/a").await, "first");
    file(&folder.join("a"), "second");
    file(&folder.join("c"), "new");
    fs::remove_file(folder.join("b")).unwrap();
    let changed = async {
        comes("Public/a", "second").await;
        comes("Public/c", "new").await;
    };
    timeout(PATIENCE, changed).await.unwrap();
    assert_eq!(read("Public/b").await, "stays");
    // Where the peer is away meanwhile nothing ends.
    attic.terminate().await;
    file(&folder.join("a"), "third");
    let (attic, _) = world.up("attic").await;
    timeout(PATIENCE, comes("Public/a", "third")).await.unwrap();
    // What is in the way stays, is named, and keeps nothing else from coming, now or later.
    file(&into.join("Public/d/own"), "own");
    file(&folder.join("d"), "a file");
    for state in ["fourth", "fifth"] {
        file(&folder.join("a"), state);
        timeout(PATIENCE, comes("Public/a", state)).await.unwrap();
    }
    assert_eq!(read("Public/d/own").await, "own");
    let cleared = async {
        while into.join(".peerway-incoming").exists() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, cleared).await.unwrap();
    following.terminate().await;
    for running in [attic, laptop] {
        running.terminate().await;
    }
}

#[tokio::test]
async fn members_of_a_group_find_what_is_public_where_strangers_are_not_let_in() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["open film", "closed film"] {
        file(&folder.path().join(name), name);
    }
    let (up_a, _) = world.up("a").await;
    let (up_b, _) = world.up("b").await;
    world.done("a", &["block", "--strangers"]).await;
    world.done("a", &["group", "create", "home"]).await;
    let invite = world.done("a", &["group", "invite", "home"]).await;
    let invite = invite.lines[0]["invite"].as_str().unwrap();
    world.done("b", &["group", "join", invite]).await;
    for (name, public) in [("open film", Some("--public")), ("closed film", None)] {
        let path = folder.path().join(name);
        let share = ["share", path.to_str().unwrap(), "--searchable"];
        world
            .done("a", &[&share[..], public.as_slice()].concat())
            .await;
    }
    let found = world
        .done("b", &["search", "film", "--group", "home"])
        .await;
    let groups =
        serde_json::json!([{"name": "home", "members": 1, "directories": 0, "form": "members"}]);
    assert_eq!(found.lines[0]["groups"], groups);
    assert_eq!(names(rows(&found)), set(&["open film"]));
    let link = rows(&found).next().unwrap()["link"].as_str().unwrap();
    let into = folder.path().join("in");
    fs::create_dir(&into).unwrap();
    world
        .done("b", &["get", link, "-o", into.to_str().unwrap()])
        .await;
    assert_eq!(
        fs::read_to_string(into.join("open film")).unwrap(),
        "open film"
    );
    let elsewhere = world.run("b", &["search", "film", "--group", "work"]).await;
    assert!(
        elsewhere.stderr.contains("no such group"),
        "{}",
        elsewhere.stderr
    );
    up_a.terminate().await;
    up_b.terminate().await;
}

#[tokio::test]
async fn what_members_published_at_a_directory_is_found_while_they_are_away() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut directory = world.start("directory", &["up", "--directory"]);
    directory.ready().await;
    world.done("directory", &["group", "create", "home"]).await;
    let invite = ["group", "invite", "home", "--uses", "3"];
    let invite = world.done("directory", &invite).await;
    let invite = invite.lines[0]["invite"].as_str().unwrap();
    let mut members = Vec::new();
    for state in ["first", "second", "asker"] {
        members.push(world.up(state).await.0);
        world.done(state, &["group", "join", invite]).await;
    }
    for state in ["first", "second"] {
        let path = folder.path().join(format!("{state} film"));
        file(&path, state);
        let share = ["share", path.to_str().unwrap(), "--public", "--searchable"];
        world.done(state, &share).await;
    }
    let (first, second) = ("first film", "second film");
    world.keeps("directory", 2).await;
    world.knows_a_directory("asker", "home").await;
    let found = world.done("asker", &["search", "film"]).await;
    let group = &found.lines[0]["groups"][0];
    assert_eq!(
        (&group["form"], &group["members"], &group["directories"]),
        (&"both".into(), &3.into(), &1.into())
    );
    assert_eq!(names(rows(&found)), set(&[first, second]));

    // What is shared no more is withdrawn there.
    world.done("second", &["share", "--stop", second]).await;
    world.keeps("directory", 1).await;
    let asker = members.pop().unwrap();
    for member in members {
        member.terminate().await;
    }
    let found = world.done("asker", &["search", "film"]).await;
    assert_eq!(names(rows(&found)), set(&[first]));
    assert!(rows(&found).all(|row| row["by_directory"] == true));
    let last = found.lines.last().unwrap();
    assert_eq!(
        (&last["directories"], &last["directories_answered"]),
        (&1.into(), &1.into())
    );

    // Who searches is told which directory it is that is not there.
    directory.terminate().await;
    let done = world.run("asker", &["search", "film"]).await;
    assert_eq!(done.code, 4, "{}", done.stderr);
    let failed = done.lines.iter().filter(|it| it["directory"] == "home");
    assert_eq!(failed.count(), 1);
    asker.terminate().await;
}
