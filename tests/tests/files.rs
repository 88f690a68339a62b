//! Files between two programs, of which either may be killed at any moment.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use crate::commands::{Running, World};

/// Of a receiver that takes everything, its ticket.
async fn receiver(world: &World, into: &Path) -> (Running, String) {
    let into = into.to_str().unwrap();
    let mut receiver = world.start("attic", &["receive", into, "--yes"]);
    let ticket = receiver.ready().await;
    (receiver, ticket)
}

/// Reads until so many bytes are said to be through; the last progress, or the end if it came before.
async fn until(running: &mut Running, bytes: u64, end: &str) -> Value {
    loop {
        let line = running.line().await;
        let is_far = line["event"] == "progress" && done(&line) >= bytes;
        if is_far || line["event"] == end {
            return line;
        }
    }
}

fn done(progress: &Value) -> u64 {
    progress["bytes_done"].as_u64().unwrap()
}

fn held(progress: &Value) -> u64 {
    progress["bytes_held"].as_u64().unwrap()
}

#[tokio::test]
async fn a_transfer_whose_ends_are_killed_ten_times_goes_on_each_time_where_it_was() {
    const LEN: u64 = 160 << 20;
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (source, into) = (folder.path().join("film"), folder.path().join("in"));
    let mut random = StdRng::seed_from_u64(1);
    let mut bytes = vec![0; LEN as usize];
    random.fill_bytes(&mut bytes);
    fs::write(&source, &bytes).unwrap();
    fs::create_dir(&into).unwrap();
    let (mut taking, ticket) = receiver(&world, &into).await;
    let send = ["send", source.to_str().unwrap(), "--to", &ticket];
    let mut through = 0;
    for round in 0..10 {
        let mut sending = world.start("laptop", &send);
        let at = LEN / 12 * (round + 1) + random.random_range(0..LEN / 24);
        let killed_at = until(&mut taking, at, "received").await;
        assert_eq!(killed_at["event"], "progress", "too fast: {killed_at}");
        let again = u64::saturating_sub(through, held(&killed_at));
        assert!(again <= LEN / 100, "{again} bytes of {through} in round {round}");
        through = done(&killed_at);
        if round % 2 == 0 {
            taking.kill().await;
            let killed = receiver(&world, &into).await;
            assert_eq!(killed.1, ticket);
            taking = killed.0;
            sending.wait_for("progress").await;
        }
        sending.kill().await;
    }
    let sent = world.run("laptop", &send).await;
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    taking.wait_for("received").await;
    assert!(fs::read(into.join("film")).unwrap() == bytes);
    taking.terminate().await;
}
