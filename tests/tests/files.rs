//! Files between two programs, of which either may be killed at any moment.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    attached::{friends, part},
    commands::{Done, PATIENCE, Running, World},
};

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
        assert!(
            again <= LEN / 100,
            "{again} bytes of {through} in round {round}"
        );
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

/// A file of so many bytes that nothing shortens.
fn write_random(path: &Path, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(2).fill_bytes(&mut bytes);
    fs::write(path, &bytes).unwrap();
    bytes
}

#[tokio::test]
async fn nodes_that_run_send_and_receive_as_those_that_their_books_name() {
    let world = World::new().await;
    friends(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let album = folder.path().join("album");
    fs::create_dir(&album).unwrap();
    let film = write_random(&album.join("film"), 4 << 20);
    fs::write(album.join("note"), "hello").unwrap();
    let into = folder.path().join("in");
    let send = ["send", album.to_str().unwrap(), "--to", "b"];

    let nobody = world.run("a", &send).await;
    assert_eq!(nobody.code, 8, "{}", nobody.stderr);
    let told = "nobody receives files there";
    assert!(nobody.stderr.contains(told), "{}", nobody.stderr);

    let receive = ["receive", into.to_str().unwrap(), "--yes", "--from", "a"];
    let mut taking = world.start("b", &receive);
    taking.ready().await;
    let sent = world.run("a", &send).await;
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    assert!(!sent.stderr.contains("temporary"), "{}", sent.stderr);
    let offered = taking.line().await;
    let a = world.run("a", &["id"]).await.lines[0]["id"].clone();
    assert_eq!(
        (&offered["event"], &offered["peer"]),
        (&"offered".into(), &a)
    );
    let received = until(&mut taking, u64::MAX, "received").await;
    assert_eq!((&received["files"], &received["peer"]), (&2.into(), &a));
    assert!(fs::read(into.join("album/film")).unwrap() == film);
    assert_eq!(fs::read(into.join("album/note")).unwrap(), b"hello");

    // What has no end that is known.
    let mut piped = world.command("a", &["send", "-", "--name", "a b/c", "--to", "b"]);
    piped.stdin(fs::File::open(album.join("film")).unwrap());
    let piped = Done::of(piped).await;
    assert_eq!(piped.code, 0, "{}", piped.stderr);
    taking.wait_for("received").await;
    assert!(fs::read(into.join("a b_c")).unwrap() == film);

    let missing = world.run("a", &["send", "/no/such", "--to", "b"]).await;
    assert_eq!(missing.code, 1, "{}", missing.stderr);
    assert!(
        missing.stderr.contains("cannot read /no/such"),
        "{}",
        missing.stderr
    );
    // It ends, and with it what it takes.
    taking.terminate().await;
    let nobody = world.run("a", &send).await;
    assert_eq!(nobody.code, 8, "{}", nobody.stderr);
    // Whoever else is waited for.
    let id = world.run("c", &["id"]).await.lines[0]["id"].clone();
    let id = id.as_str().unwrap();
    let other = ["receive", into.to_str().unwrap(), "--yes", "--from", id];
    let mut taking = world.start("b", &other);
    taking.ready().await;
    let other = world.run("a", &send).await;
    assert_eq!(other.code, 8, "{}", other.stderr);
    assert!(other.stderr.contains("from others"), "{}", other.stderr);
    taking.terminate().await;
    part(&world).await;
}

#[tokio::test]
async fn a_killed_command_ends_what_its_node_sends_and_the_same_once_more_goes_on() {
    const LEN: usize = 96 << 20;
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (source, into) = (folder.path().join("film"), folder.path().join("in"));
    let film = write_random(&source, LEN);
    let (receiver, ticket) = receiver(&world, &into).await;
    let mut taking = receiver;
    let (node, _) = world.up("laptop").await;
    let send = ["send", source.to_str().unwrap(), "--to", &ticket];
    let sending = world.start("laptop", &send);
    let far = until(&mut taking, LEN as u64 / 8, "received").await;
    assert_eq!(far["event"], "progress", "too fast: {far}");
    sending.kill().await;
    taking.wait_for("failed").await;

    let mut sending = world.start("laptop", &send);
    let on = until(&mut taking, LEN as u64 / 4, "received").await;
    assert!(on["event"] == "received" || held(&on) > 0, "{on}");
    // Its node is killed under it.
    node.kill().await;
    while sending.try_line().await.is_some() {}
    sending.finish(4).await;

    let sent = world.run("laptop", &send).await;
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    taking.wait_for("received").await;
    assert!(fs::read(into.join("film")).unwrap() == film);
    taking.terminate().await;
}

#[tokio::test]
async fn what_a_node_was_started_to_take_goes_where_that_says_unless_somebody_receives() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("note");
    fs::write(&source, "hello").unwrap();
    let [always, now] = ["always", "now"].map(|name| folder.path().join(name));
    let a = world.run("a", &["id"]).await.lines[0]["id"].clone();
    world.run("b", &["add", "a", a.as_str().unwrap()]).await;
    let mut up = world.start("b", &["up", "--receive", always.to_str().unwrap()]);
    let ticket = up.ready().await;
    let send = ["send", source.to_str().unwrap(), "--to", &ticket];
    assert_eq!(world.run("a", &send).await.code, 0);
    up.wait_for("received").await;
    let stranger = world.run("c", &send).await;
    assert_eq!(stranger.code, 8, "{}", stranger.stderr);

    let receive = ["receive", now.to_str().unwrap(), "--yes", "--once"];
    let mut taking = world.start("b", &receive);
    taking.ready().await;
    assert_eq!(world.run("a", &send).await.code, 0);
    taking.wait_for("received").await;
    taking.finish(0).await;
    assert_eq!(fs::read(now.join("note")).unwrap(), b"hello");
    assert_eq!(fs::read_dir(&always).unwrap().count(), 1);
    up.terminate().await;
}

#[tokio::test]
async fn a_node_in_the_background_takes_files_though_nobody_reads_what_it_says() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("in");
    let a = world.run("a", &["id"]).await.lines[0]["id"].clone();
    world.run("b", &["add", "a", a.as_str().unwrap()]).await;
    let up = ["up", "--detach", "--receive", into.to_str().unwrap()];
    let up = world.run("b", &up).await;
    let ticket = up.lines[0]["ticket"].as_str().unwrap();
    for name in ["first", "second"] {
        let source = folder.path().join(name);
        fs::write(&source, name).unwrap();
        let send = ["send", source.to_str().unwrap(), "--to", ticket];
        let sent = world.run("a", &send).await;
        assert_eq!(sent.code, 0, "{}", sent.stderr);
        assert_eq!(fs::read(into.join(name)).unwrap(), name.as_bytes());
    }
    let logged = async {
        loop {
            let logs = world.run("b", &["logs"]).await.lines;
            let lines = logs.iter().filter_map(|line| line["line"].as_str());
            let received = lines.filter(|line| line.contains("received 1 file"));
            if received
                .filter(|line| line.contains(", from a into "))
                .count()
                == 2
            {
                break;
            }
        }
    };
    timeout(PATIENCE, logged).await.unwrap();
    assert_eq!(world.run("b", &["down"]).await.code, 0);
}

#[cfg(target_os = "linux")]
mod lab {
    //! Between two homes.

    use std::{fs, process::Command, sync::LazyLock, time::Duration};

    use peerway_lab::{self as lab, Fault, NatKind};
    use peerway_tests::{
        PROGRAMS,
        computer::{Computer, Running},
        pair,
    };
    use serde_json::Value;
    use tempfile::TempDir;

    use super::done;

    const BUDGET: Duration = Duration::from_secs(180);

    fn event(running: &Running) -> Value {
        running.line().parse().unwrap()
    }

    /// The home that sends, and the one that receives into its folder `in`.
    fn computers(lab: &mut lab::Lab, folder: &TempDir) -> [Computer; 2] {
        let relay = pair::relay(lab);
        ["laptop", "attic"].map(|name| {
            let home = lab.home(name, NatKind::PortRestricted).unwrap();
            let mut computer = Computer::new(home, name, folder.path());
            computer.export(&format!("export PEERWAY_RELAY={relay}"));
            computer
        })
    }

    #[test]
    fn a_transfer_goes_on_where_the_direct_path_is_cut_in_its_midst() {
        LazyLock::force(&PROGRAMS);
        lab::test(BUDGET, |mut lab| {
            const LEN: u64 = 48 << 20;
            let folder = TempDir::new().unwrap();
            let [laptop, attic] = computers(&mut lab, &folder);
            let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
            fs::write(folder.path().join("laptop/film"), &bytes).unwrap();
            fs::create_dir(folder.path().join("attic/in")).unwrap();
            let taking = attic.start("peerway receive in --yes --once --json");
            let ticket = event(&taking)["ticket"].as_str().unwrap().to_owned();
            laptop.json(&format!("peerway ping {ticket} --until-direct"));
            let sending = laptop.start(&format!("peerway send film --to {ticket} --json"));
            let part = |line: &Value| line["event"] == "progress" && done(line) > 0;
            let begun = taking.wait_for(part);
            assert!(done(&begun) < LEN, "too fast: {begun}");
            lab.begin(Fault::Cut(&laptop.home, &attic.home)).unwrap();
            taking.wait_for(|line| line["event"] == "received");
            taking.finish();
            let sent = sending.finish();
            let sent: Value = sent.last().unwrap().parse().unwrap();
            assert_eq!(
                (&sent["event"], &sent["resumed"]),
                (&"sent".into(), &0.into())
            );
            assert!(fs::read(folder.path().join("attic/in/film")).unwrap() == bytes);
        });
    }

    #[test]
    fn a_full_disk_is_named_on_both_sides_and_what_came_is_not_sent_again() {
        LazyLock::force(&PROGRAMS);
        lab::test(BUDGET, |mut lab| {
            const LEN: u64 = 12 << 20;
            let folder = TempDir::new().unwrap();
            let [laptop, attic] = computers(&mut lab, &folder);
            let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
            fs::write(folder.path().join("laptop/film"), &bytes).unwrap();
            let disk = folder.path().join("attic/in");
            fs::create_dir(&disk).unwrap();
            let mount = |options: &str| {
                let mut mount = Command::new("mount");
                mount
                    .args(["-t", "tmpfs", "-o", options, "tmpfs"])
                    .arg(&disk);
                assert!(mount.status().unwrap().success());
            };
            mount("size=8m");
            let taking = attic.start("peerway receive in --yes --json");
            let ticket = event(&taking)["ticket"].as_str().unwrap().to_owned();
            let send = format!("peerway send film --to {ticket} --json");
            let refused = laptop.line(&send).output().unwrap();
            assert_eq!(refused.status.code(), Some(1));
            let said = String::from_utf8(refused.stderr).unwrap();
            assert!(said.contains("No space left on device"), "{said}");
            let failed = taking.wait_for(|line| line["event"] == "failed");
            let reason = failed["reason"].as_str().unwrap();
            assert!(reason.contains("No space left on device"), "{reason}");
            assert!(!disk.join("film").exists());

            mount("remount,size=32m");
            laptop.json(&send[..send.len() - " --json".len()]);
            let received = taking.wait_for(|line| line["event"] == "received");
            let resumed = received["resumed"].as_u64().unwrap();
            assert!(resumed > LEN / 3, "{received}");
            assert!(fs::read(disk.join("film")).unwrap() == bytes);
        });
    }
}
