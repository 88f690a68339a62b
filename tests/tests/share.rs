//! Content from one program and from many.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use crate::commands::{Running, World};

/// What is printed for whoever is to have what is shared.
async fn link(sharing: &mut Running) -> String {
    loop {
        let line = sharing.line().await;
        if line["event"] == "shared" {
            return line["link"].as_str().unwrap().to_owned();
        }
    }
}

fn number(line: &Value, key: &str) -> u64 {
    line[key].as_u64().unwrap()
}

#[tokio::test]
async fn who_is_killed_ten_times_while_it_fetches_fetches_at_most_a_hundredth_twice() {
    const LEN: u64 = 160 << 20;
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("film");
    let mut bytes = vec![0; LEN as usize];
    StdRng::seed_from_u64(1).fill_bytes(&mut bytes);
    fs::write(&source, &bytes).unwrap();
    let into = folder.path().join("in");
    fs::create_dir(&into).unwrap();
    let share = ["share", source.to_str().unwrap(), "--public"];
    let mut sharing = world.start("attic", &share);
    let link = link(&mut sharing).await;
    let get = ["get", &link, "-o", into.to_str().unwrap()];
    let mut through = 0u64;
    for round in 0..10 {
        let mut getting = world.start("laptop", &get);
        loop {
            let line = getting.line().await;
            assert_eq!(line["event"], "progress", "too fast: {line}");
            if number(&line, "bytes_done") > LEN / 12 * (round + 1) {
                let again = through.saturating_sub(number(&line, "bytes_held"));
                assert!(
                    again <= LEN / 100,
                    "{again} bytes of {through} in round {round}"
                );
                through = number(&line, "bytes_done");
                break;
            }
        }
        getting.kill().await;
        assert!(!into.join("film").exists(), "never half a file");
    }
    let got = world.run("laptop", &get).await;
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert!(fs::read(into.join("film")).unwrap() == bytes);
    sharing.terminate().await;
}

#[tokio::test]
async fn what_one_pins_is_had_from_it_when_whoever_shared_it_has_gone_and_goes_when_it_is_not_pinned()
 {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("photos");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), vec![7; 600_000]).unwrap();
    fs::write(source.join("b"), b"b").unwrap();
    let share = ["share", source.to_str().unwrap(), "--public"];
    let mut sharing = world.start("attic", &share);
    let link = link(&mut sharing).await;
    // By itself, and then by the node that runs.
    let pinned = world.run("laptop", &["pin", &link, "--for", "2h"]).await;
    assert_eq!(pinned.code, 0, "{}", pinned.stderr);
    let (up, _) = world.up("laptop").await;
    let pinned = world
        .run("laptop", &["pin", &link, "--name", "again"])
        .await;
    assert_eq!(pinned.code, 0, "{}", pinned.stderr);
    sharing.terminate().await;
    let last = pinned.lines.last().unwrap();
    assert_eq!(
        (number(last, "bytes"), &last["whole"]),
        (600_001, &Value::Bool(true))
    );
    let into = folder.path().join("in");
    fs::create_dir(&into).unwrap();
    let link = last["link"].as_str().unwrap();
    let got = world
        .run("phone", &["get", link, "-o", into.to_str().unwrap()])
        .await;
    assert_eq!(got.code, 0, "{}", got.stderr);
    // The link is called as the pin is.
    assert!(fs::read(into.join("again/a")).unwrap() == vec![7; 600_000]);
    let listed = world.run("laptop", &["ls"]).await.lines;
    assert_eq!(
        (&listed[0]["name"], &listed[1]["name"]),
        (&"again".into(), &"photos".into())
    );
    for which in ["again", "photos"] {
        assert_eq!(world.run("laptop", &["unpin", which]).await.code, 0);
    }
    assert_eq!(world.run("laptop", &["unpin", "photos"]).await.code, 2);
    up.terminate().await;
    let freed = world.run("laptop", &["gc", "--all"]).await.lines;
    assert_eq!(
        (number(&freed[0], "contents"), number(&freed[0], "bytes")),
        (4, 0)
    );
}

/// The status, the head and the body of what curl is answered.
pub(crate) async fn curl(arguments: &[&str]) -> (u16, String, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let head = folder.path().join("head");
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-s", "--max-time", "50", "-D", head.to_str().unwrap()]);
    let output = curl.args(arguments).output().await.unwrap();
    let head = fs::read_to_string(head).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, output.stdout)
}

/// What nobody is to read, and what there is not.
async fn is_refused(addr: &str, top: &str) {
    let film = &format!("{top}/a%20film.mp4");
    for (arguments, expected) in [
        (&["-H", "Host: evil.example", film][..], 421),
        (&["-H", "Sec-Fetch-Site: cross-site", film], 403),
        (&["-X", "POST", film], 405),
        (&[&format!("http://{addr}/blob/nonsense")], 400),
        (&[&format!("http://{addr}/")], 404),
        (&[&format!("{top}/none")], 404),
        (&[&format!("http://{addr}/blob/{}", "0".repeat(64))], 404),
    ] {
        assert_eq!(curl(arguments).await.0, expected, "{arguments:?}");
    }
}

#[tokio::test]
async fn browsers_and_players_read_what_is_shared_and_parts_of_it_through_the_gateway() {
    const LEN: usize = 20 << 20;
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("films");
    fs::create_dir(&source).unwrap();
    let mut bytes = vec![0; LEN];
    StdRng::seed_from_u64(2).fill_bytes(&mut bytes);
    fs::write(source.join("a film.mp4"), &bytes).unwrap();
    fs::write(source.join("<b>.html"), b"<p>hello").unwrap();
    let share = ["share", source.to_str().unwrap(), "--public"];
    let mut sharing = world.start("attic", &share);
    let link = link(&mut sharing).await;
    // By itself, and by the node that runs.
    for does_node_run in [false, true] {
        let node = match does_node_run {
            true => Some(world.up("laptop").await.0),
            false => None,
        };
        let mut gateway = world.start("laptop", &["gateway", "--listen", "127.0.0.1:0"]);
        let line = gateway.line().await;
        assert_eq!(line["event"], "listening");
        let addr = line["addr"].as_str().unwrap();
        let top = format!("http://{addr}/blob/{link}");
        let (status, head, _) = curl(&[&top]).await;
        assert!(
            status == 308 && head.contains("location: peerway-blob1"),
            "{head}"
        );
        let (status, _, page) = curl(&["-L", &top]).await;
        let page = String::from_utf8(page).unwrap();
        assert!(
            status == 308 && page.contains("./a%20film.mp4") && !page.contains("<b>"),
            "{page}"
        );
        let film = format!("{top}/a%20film.mp4");
        let (status, head, part) = curl(&["-r", "15000000-15999999", &film]).await;
        assert_eq!(status, 206, "{head}");
        assert!(part == bytes[15_000_000..16_000_000]);
        assert!(
            head.contains("content-type: video/mp4") && head.contains("/20971520"),
            "{head}"
        );
        let (status, head, none) = curl(&["-I", &film]).await;
        assert!(
            status == 200 && head.contains("content-length: 20971520"),
            "{head}"
        );
        assert!(none.len() < 2_000, "the head alone");
        let (status, head, _) = curl(&["-r", "20971520-", &film]).await;
        assert!(
            status == 416 && head.contains("content-range: bytes */20971520"),
            "{head}"
        );
        let (_, head, whole) = curl(&[&film]).await;
        assert!(whole == bytes, "{} bytes", whole.len());
        let tag = head
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap();
        let known = format!("If-None-Match: {tag}");
        assert_eq!(curl(&["-H", &known, &film]).await.0, 304);
        // What is whole is had by its hash alone.
        let by_hash = format!("http://{addr}/blob/{}", tag.trim_matches('"'));
        assert!(curl(&["-r", "5-9", &by_hash]).await.2 == bytes[5..10]);
        let (_, head, page) = curl(&[&format!("{top}/%3Cb%3E.html")]).await;
        assert!(page == b"<p>hello" && head.contains("sandbox"), "{head}");
        is_refused(addr, &top).await;
        gateway.terminate().await;
        if let Some(node) = node {
            node.terminate().await;
        }
    }
    let open = world
        .run("laptop", &["gateway", "--listen", "0.0.0.0:0"])
        .await;
    assert_eq!(open.code, 2, "{}", open.stderr);
}

#[cfg(target_os = "linux")]
mod lab {
    //! Between homes.

    use std::{fs, process::Command, sync::LazyLock, time::Duration};

    use peerway::RelayUrl;
    use peerway_lab::{self as lab, Bottleneck, Lab, Line, NatKind};
    use peerway_tests::{
        PROGRAMS,
        computer::{Computer, Running},
        pair,
    };
    use serde_json::Value;
    use tempfile::TempDir;

    use super::number;

    const BUDGET: Duration = Duration::from_secs(240);

    fn until(running: &Running, event: &str) -> Value {
        loop {
            let line: Value = running.line().parse().unwrap();
            if line["event"] == event {
                return line;
            }
        }
    }

    /// A home whose line carries so many megabits a second.
    fn computer(
        lab: &mut Lab,
        relay: &RelayUrl,
        (name, megabits): (&str, u64),
        folder: &TempDir,
    ) -> Computer {
        let rate = megabits * 1_000_000;
        let bottleneck = Some(Bottleneck {
            rate,
            queue: rate / 8 / 10,
        });
        let line = Line {
            bottleneck,
            ..Line::delayed(Duration::from_millis(5))
        };
        let home = lab.home_on(name, NatKind::PortRestricted, line).unwrap();
        let mut computer = Computer::new(home, name, folder.path());
        computer.export(&format!("export PEERWAY_RELAY={relay}"));
        computer
    }

    fn share(computer: &Computer, name: &str, folder: &TempDir, len: u64) -> (Running, String) {
        let bytes: Vec<u8> = (0..len).map(|at| (at * at / 777) as u8).collect();
        fs::write(folder.path().join(name).join("film"), &bytes).unwrap();
        let sharing = computer.start("peerway share film --public --json");
        let link = until(&sharing, "shared")["link"]
            .as_str()
            .unwrap()
            .to_owned();
        (sharing, link)
    }

    #[test]
    fn four_homes_feed_one_faster_than_any_of_them_could() {
        LazyLock::force(&PROGRAMS);
        lab::test(BUDGET, |mut lab| {
            const LEN: u64 = 16 << 20;
            let folder = TempDir::new().unwrap();
            let relay = pair::relay(&lab);
            let mut home = |name, rate| computer(&mut lab, &relay, (name, rate), &folder);
            let seed = home("seed", 20);
            let (_sharing, link) = share(&seed, "seed", &folder, LEN);
            // Three have it from the first, and from each other; nobody but the first is in the link.
            let others = ["a", "b", "c"].map(|name| home(name, 20));
            let get = format!("peerway get {link} --json");
            let staying = others
                .each_ref()
                .map(|it| it.start(&format!("{get} --stay")));
            for other in &staying {
                until(other, "got");
            }
            let last = home("last", 100);
            let lines = last.json(&get[..get.len() - " --json".len()]);
            let got = lines.last().unwrap();
            let megabits = LEN as f64 * 8.0 / number(got, "elapsed_ms") as f64 / 1000.0;
            // One line carries 20, of which headers take some. What it takes to find the others is in it.
            assert!(megabits > 30.0, "{megabits} Mbit/s");
            let film = |name: &str| fs::read(folder.path().join(name).join("film")).unwrap();
            assert!(film("last") == film("seed"));
        });
    }

    #[test]
    fn a_full_disk_is_waited_for_and_nothing_is_under_its_name_before_all_of_it_is_there() {
        LazyLock::force(&PROGRAMS);
        lab::test(BUDGET, |mut lab| {
            const LEN: u64 = 12 << 20;
            let folder = TempDir::new().unwrap();
            let relay = pair::relay(&lab);
            let [attic, laptop] =
                ["attic", "laptop"].map(|name| computer(&mut lab, &relay, (name, 200), &folder));
            let (_sharing, link) = share(&attic, "attic", &folder, LEN);
            let disk = folder.path().join("laptop/in");
            fs::create_dir(&disk).unwrap();
            let mount = |options: &str| {
                let mut mount = Command::new("mount");
                mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
                assert!(mount.arg(&disk).status().unwrap().success());
            };
            mount("size=8m");
            let getting = laptop.start(&format!("peerway get {link} -o in --json"));
            let mut far = 0;
            // Four a second: for two seconds nothing more comes.
            let mut still = 0;
            while still < 8 {
                let done = number(&until(&getting, "progress"), "bytes_done");
                still = if done > far || done == 0 {
                    0
                } else {
                    still + 1
                };
                far = done;
            }
            assert!(far < LEN && !disk.join("film").exists());
            mount("remount,size=32m");
            let got = until(&getting, "got");
            assert_eq!(number(&got, "bytes"), LEN);
            let same = fs::read(disk.join("film")).unwrap();
            assert!(same == fs::read(folder.path().join("attic/film")).unwrap());
        });
    }
}
