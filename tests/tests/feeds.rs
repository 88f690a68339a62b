//! Feeds, by the program: written by one, followed by others, read without the one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    commands::{PATIENCE, Running, World},
    share::curl,
};

impl World {
    async fn feed(&self, state: &str, arguments: &[&str]) -> Vec<Value> {
        let arguments = [&["feed"], arguments].concat();
        self.done(state, &arguments).await.lines
    }

    /// Waits until these texts are read there, in this order.
    async fn reads_of(&self, state: &str, feed: &[&str], texts: &[&str]) {
        let command = [&["feed", "read"], feed].concat();
        self.reads(state, &command, texts).await;
    }
}

#[tokio::test]
async fn a_feed_is_read_whole_from_a_follower_when_its_writer_is_gone_for_ever() {
    let world = World::new().await;
    let (up_a, _) = world.up("a").await;
    let (up_b, _) = world.up("b").await;
    let first = world
        .feed("a", &["post", "first", "--name", "zoe writes"])
        .await;
    let link = first[0]["link"].as_str().unwrap().to_owned();
    let followed = world.feed("b", &["follow", &link, "--as", "zoe"]).await;
    assert_eq!(
        (&followed[0]["feed"], &followed[0]["own"]),
        (&"zoe".into(), &false.into())
    );
    world.reads_of("b", &["zoe"], &["first"]).await;
    let second = world.feed("a", &["post", "second"]).await;
    assert_eq!(
        (&second[0]["feed"], &second[0]["link"]),
        (&"zoe writes".into(), &Value::Null)
    );
    world.reads_of("b", &["zoe"], &["first", "second"]).await;
    // Nobody but the writer writes.
    let refused = world
        .run("b", &["group", "post", "zoe writes", "mine"])
        .await;
    assert_ne!(refused.code, 0);
    up_a.terminate().await;
    let profile = world.feed("b", &["profile", "zoe"]).await;
    let (up_c, _) = world.up("c").await;
    let link = profile[0]["link"].as_str().unwrap();
    let followed = world.feed("c", &["follow", link]).await;
    assert_eq!(followed[0]["feed"], "zoe writes");
    assert_eq!(followed[0]["writer"], profile[0]["writer"]);
    world.reads_of("c", &[], &["first", "second"]).await;
    let own = world.run("c", &["feed", "profile"]).await;
    assert!(own.stderr.contains("no feed yet"), "{}", own.stderr);
    world.feed("c", &["unfollow", "zoe writes"]).await;
    assert!(world.feed("c", &[]).await.is_empty());
    for up in [up_b, up_c] {
        up.terminate().await;
    }
}

#[tokio::test]
async fn feeds_are_read_together_by_time_and_each_has_a_name_of_its_own() {
    let world = World::new().await;
    let (up_a, _) = world.up("a").await;
    let (up_b, _) = world.up("b").await;
    let (up_c, _) = world.up("c").await;
    let mut links = Vec::new();
    for (state, text) in [("a", "one"), ("b", "two")] {
        let posted = world.feed(state, &["post", text, "--name", "news"]).await;
        links.push(posted[0]["link"].as_str().unwrap().to_owned());
    }
    world.feed("c", &["follow", &links[0]]).await;
    let taken = world
        .run("c", &["feed", "follow", &links[1], "--as", "news"])
        .await;
    assert_eq!(taken.code, 2);
    assert!(taken.stderr.contains("--as"), "{}", taken.stderr);
    let other = world.feed("c", &["follow", &links[1]]).await;
    assert!(other[0]["feed"].as_str().unwrap().starts_with("news-"));
    world.reads_of("c", &[], &["one", "two"]).await;
    world.feed("a", &["post", "three"]).await;
    world.reads_of("c", &[], &["one", "two", "three"]).await;
    world.reads_of("c", &["news"], &["one", "three"]).await;
    let own = world.run("a", &["feed", "follow", &links[0]]).await;
    assert_eq!(own.code, 2);
    assert!(own.stderr.contains("your own feed"), "{}", own.stderr);
    for up in [up_a, up_b, up_c] {
        up.terminate().await;
    }
}

/// A web server that has these texts under these paths, until it is dropped, and where it is.
async fn web(has: &[(&'static str, &'static str)]) -> (JoinSet<()>, String) {
    let has: BTreeMap<_, _> = has.iter().copied().collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/site", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        loop {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let path = line.split(' ').nth(1).unwrap().to_owned();
            while line != "\r\n" {
                line.clear();
                stream.read_line(&mut line).await.unwrap();
            }
            let (status, text) = match has.get(&*path) {
                Some(text) => ("200 OK", *text),
                None => ("404 Not Found", "nothing"),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}", text.len());
            let answer = format!("{head}\r\nConnection: close\r\n\r\n{text}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (serving, url)
}

/// A gateway that shows the site of a feed, and what stands before its paths.
async fn gateway(world: &World, state: &str, origin: &[&str]) -> (Running, String) {
    let show = ["gateway", "--site", "zoe", "--listen", "127.0.0.1:0"];
    let mut gateway = world.start(state, &[&show, origin].concat());
    let line = gateway.line().await;
    let top = format!("http://{}", line["addr"].as_str().unwrap());
    (gateway, top)
}

async fn until_shown(page: &str, expected: &str) {
    let begun = Instant::now();
    loop {
        let (status, _, body) = curl(&[page]).await;
        if body == expected.as_bytes() {
            return;
        }
        let body = String::from_utf8_lossy(&body);
        assert!(begun.elapsed() < PATIENCE, "{status} {body}");
    }
}

#[tokio::test]
async fn a_site_is_read_from_a_follower_when_its_writer_and_its_origin_are_gone() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    fs::create_dir_all(site.join("sub")).unwrap();
    fs::write(site.join("index.html"), "first").unwrap();
    fs::write(site.join("sub/page"), "of peers").unwrap();
    let (up_a, _) = world.up("a").await;
    let (up_b, _) = world.up("b").await;
    let (up_c, _) = world.up("c").await;
    let site = site.to_str().unwrap();
    let posted = world.feed("a", &["post", "--site", site]).await;
    let link = posted[0]["link"].as_str().unwrap();
    for state in ["b", "c"] {
        world.feed(state, &["follow", link, "--as", "zoe"]).await;
    }
    let (origin, url) = web(&[
        ("/site/sub/page", "a lie"),
        ("/site/more?x=1", "of the origin"),
    ])
    .await;
    let (_gateway_b, at_b) = gateway(&world, "b", &["--origin", &url]).await;
    let (_gateway_c, at_c) = gateway(&world, "c", &[]).await;
    until_shown(&format!("{at_b}/"), "first").await;
    let page = |top: &str| format!("{top}/sub/page");
    let (_, head, body) = curl(&[&page(&at_b)]).await;
    assert!(body == b"of peers" && head.contains("no-cache"), "{head}");
    let more = format!("{at_b}/more?x=1");
    assert_eq!(curl(&[&more]).await.2, b"of the origin");
    assert_eq!(curl(&[&format!("{at_b}/none")]).await.0, 404);
    let (status, _, body) = curl(&[&format!("{at_c}/more")]).await;
    let body = String::from_utf8(body).unwrap();
    assert!(
        status == 404 && body.contains("--origin"),
        "{status} {body}"
    );
    let up = ["--path-as-is", &format!("{at_b}/sub/../more")];
    assert_eq!(curl(&up).await.0, 400);
    // Another state takes the place of the first one.
    fs::write(folder.path().join("site/index.html"), "second").unwrap();
    world.feed("a", &["post", "--site", site]).await;
    until_shown(&format!("{at_b}/"), "second").await;
    up_a.terminate().await;
    drop(origin);
    until_shown(&format!("{at_c}/"), "second").await;
    assert_eq!(curl(&[&page(&at_c)]).await.2, b"of peers");
    assert_eq!(curl(&[&more]).await.0, 502);
    for up in [up_b, up_c] {
        up.terminate().await;
    }
}

/// Has each of its own links be good until then.
fn age_links(world: &World, state: &str, until_ms: u64) {
    let path = world.folder(state).join("feeds");
    let mut file: Value = fs::read_to_string(&path).unwrap().parse().unwrap();
    for feed in file["feeds"].as_array_mut().unwrap() {
        feed["until_ms"] = until_ms.into();
    }
    fs::write(&path, file.to_string()).unwrap();
}

#[tokio::test]
async fn a_link_that_runs_out_is_made_anew_where_it_is_shown() {
    let world = World::new().await;
    let (up, _) = world.up("a").await;
    world.feed("a", &["post", "first"]).await;
    let link = async || world.feed("a", &["profile"]).await[0]["link"].clone();
    let first = link().await;
    assert_eq!(link().await, first);
    age_links(&world, "a", 1);
    let second = link().await;
    assert_ne!(second, first);
    assert_eq!(link().await, second);
    up.terminate().await;
}

#[tokio::test]
async fn ones_own_feed_that_was_given_up_is_forgotten_or_made_anew() {
    let world = World::new().await;
    let (up, _) = world.up("a").await;
    let name = async |text: &str| {
        let posted = world.feed("a", &["post", text, "--name", "zoe"]).await;
        assert!(posted[0]["link"].is_string(), "{posted:?}");
        posted[0]["feed"].clone()
    };
    assert_eq!(name("first").await, "zoe");
    let kept = world.run("a", &["feed", "unfollow", "zoe"]).await;
    assert!(kept.stderr.contains("group leave"), "{}", kept.stderr);
    let listed = world.feed("a", &[]).await;
    assert_eq!(listed[0]["joined"], true);
    let leave = ["group", "leave", listed[0]["id"].as_str().unwrap()];
    world.done("a", &leave).await;
    let left = world.feed("a", &[]).await;
    assert_eq!(
        (&left[0]["joined"], &left[0]["writer"], &left[0]["posts"]),
        (&false.into(), &Value::Null, &0.into())
    );
    // Another, in its place.
    assert_eq!(name("second").await, "zoe");
    let listed = world.feed("a", &[]).await;
    assert_eq!((listed.len(), &listed[0]["posts"]), (1, &1.into()));
    let leave = ["group", "leave", listed[0]["id"].as_str().unwrap()];
    world.done("a", &leave).await;
    world.feed("a", &["unfollow", "zoe"]).await;
    assert!(world.feed("a", &[]).await.is_empty());
    up.terminate().await;
}

#[tokio::test]
async fn what_is_cut_of_all_feeds_stays_unread() {
    let world = World::new().await;
    let (up_a, _) = world.up("a").await;
    let (up_b, _) = world.up("b").await;
    let (up_c, _) = world.up("c").await;
    for (state, text) in [("a", "one"), ("b", "two")] {
        let posted = world.feed(state, &["post", text, "--name", text]).await;
        let link = posted[0]["link"].as_str().unwrap();
        world.feed("c", &["follow", link]).await;
    }
    world.reads_of("c", &[], &["one", "two"]).await;
    world.feed("a", &["post", "three"]).await;
    world.feed("b", &["post", "four"]).await;
    let unread = async || {
        let feeds = world.feed("c", &[]).await;
        let unread = feeds.iter().map(|feed| feed["unread"].as_u64());
        unread.map(Option::unwrap).sum::<u64>()
    };
    let came = async { while unread().await != 2 {} };
    timeout(PATIENCE, came).await.unwrap();
    let shown = world.feed("c", &["read", "--last", "1"]).await;
    assert_eq!((shown.len(), &shown[0]["text"]), (1, &"four".into()));
    assert_eq!(unread().await, 1);
    let all = ["one", "two", "three", "four"];
    world.reads_of("c", &[], &all).await;
    assert_eq!(unread().await, 0);
    for up in [up_a, up_b, up_c] {
        up.terminate().await;
    }
}
