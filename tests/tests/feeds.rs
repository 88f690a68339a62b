//! Feeds, by the program: written by one, followed by others, read without the one.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::commands::{Done, World};

const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    async fn feed(&self, state: &str, arguments: &[&str]) -> Vec<Value> {
        let arguments = [&["feed"], arguments].concat();
        let done: Done = self.run(state, &arguments).await;
        assert_eq!(done.code, 0, "{arguments:?} at {state}: {}", done.stderr);
        done.lines
    }

    /// Waits until these texts are read there, in this order.
    async fn reads_of(&self, state: &str, feed: &[&str], texts: &[&str]) {
        let begun = Instant::now();
        loop {
            let posts = self.feed(state, &[&["read"], feed].concat()).await;
            let found: Vec<_> = posts.iter().filter_map(|it| it["text"].as_str()).collect();
            if found == texts {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{state} reads {found:?}, not {texts:?}"
            );
            sleep(Duration::from_millis(100)).await;
        }
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
