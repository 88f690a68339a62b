//! Groups that were joined, by the program: invited by text, written to, left.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;

use crate::commands::{Done, World};

const READ: &[&str] = &["group", "read", "home"];

impl World {
    async fn group(&self, state: &str, arguments: &[&str]) -> Vec<Value> {
        let arguments = [&["group"], arguments].concat();
        self.done(state, &arguments).await.lines
    }

    async fn invite(&self, state: &str) -> String {
        self.invite_for(state, 1).await
    }

    async fn invite_for(&self, state: &str, uses: usize) -> String {
        let uses = uses.to_string();
        let made = self
            .group(state, &["invite", "home", "--uses", &uses])
            .await;
        made[0]["invite"].as_str().unwrap().to_owned()
    }

    /// Eight join by this invite in the same moment.
    async fn join_at_once(&self, names: &str, invite: &str) -> Vec<Done> {
        let states: Vec<String> = (0..8).map(|number| format!("{names}{number}")).collect();
        let joining = states
            .iter()
            .map(async |state| self.run(state, &["group", "join", invite]).await);
        futures_util::future::join_all(joining).await
    }
}

#[tokio::test]
async fn eight_join_at_once_by_one_invite_and_no_more_than_it_is_for() {
    let world = World::new().await;
    // Who may call is told apart by keys alone, then.
    let blocked = world.run("a", &["block", "--strangers"]).await;
    assert_eq!(blocked.code, 0, "{}", blocked.stderr);
    let (up, _) = world.up("a").await;
    world.group("a", &["create", "home"]).await;
    let all = world.invite_for("a", 8).await;
    for joined in world.join_at_once("b", &all).await {
        assert_eq!(joined.code, 0, "{}", joined.stderr);
    }
    let some = world.invite_for("a", 5).await;
    let joined = world.join_at_once("c", &some).await;
    let (came, late): (Vec<_>, Vec<_>) = joined.iter().partition(|joined| joined.code == 0);
    assert_eq!((came.len(), late.len()), (5, 3));
    for joined in late {
        assert!(
            joined.stderr.contains("the invite is used up"),
            "{}",
            joined.stderr
        );
    }
    let members = world.group("a", &["members", "home"]).await;
    assert_eq!(members.len(), 1 + 8 + 5);
    up.terminate().await;
}

#[tokio::test]
async fn who_is_invited_reads_all_and_who_was_away_catches_up_and_who_was_removed_reads_no_more() {
    let world = World::new().await;
    let (up_a, _) = world.up("a").await;
    let (up_b, _) = world.up("b").await;
    let (up_c, _) = world.up("c").await;
    world.group("a", &["create", "home"]).await;
    world
        .group("a", &["post", "home", "before", "you", "came"])
        .await;
    let joined = world.group("b", &["join", &world.invite("a").await]).await;
    assert_eq!(
        (&joined[0]["name"], &joined[0]["role"]),
        (&"home".into(), &"member".into())
    );
    let invite = world.invite("a").await;
    world.group("c", &["join", &invite]).await;
    let all = [
        "before you came",
        "hello",
        "while you were away",
        "without you",
    ];
    world.reads("b", READ, &all[..1]).await;
    world.group("b", &["post", "home", "hello"]).await;
    for state in ["a", "b", "c"] {
        world.reads(state, READ, &all[..2]).await;
    }
    let again = world.run("d", &["group", "join", &invite]).await;
    assert_ne!(again.code, 0);
    assert!(again.stderr.contains("used up"), "{}", again.stderr);
    // One is away, and the founder too: the third has it all.
    up_c.terminate().await;
    world
        .group("b", &["post", "home", "while you were away"])
        .await;
    world.reads("a", READ, &all[..3]).await;
    up_a.terminate().await;
    let (up_c, _) = world.up("c").await;
    world.reads("c", READ, &all[..3]).await;
    let (up_a, _) = world.up("a").await;
    let members = world.group("a", &["members", "home"]).await;
    assert_eq!(members.len(), 3);
    let id_of_c = world.run("c", &["id"]).await.lines[0]["id"].clone();
    world
        .group("a", &["remove", "home", id_of_c.as_str().unwrap()])
        .await;
    world.group("a", &["post", "home", "without you"]).await;
    world.reads("b", READ, &all).await;
    world.reads("c", READ, &all[..3]).await;
    let refused = world.run("c", &["group", "post", "home", "let me"]).await;
    assert_ne!(refused.code, 0);
    let refused = world.run("b", &["group", "invite", "home"]).await;
    assert!(
        refused.stderr.contains("only an admin"),
        "{}",
        refused.stderr
    );
    world.group("b", &["leave", "home"]).await;
    assert!(world.group("b", &[]).await.is_empty());
    for up in [up_a, up_b, up_c] {
        up.terminate().await;
    }
}

#[tokio::test]
async fn without_a_node_a_command_is_one_and_strangers_that_are_blocked_are_let_in_as_members() {
    let world = World::new().await;
    let blocked = world.run("a", &["block", "--strangers"]).await;
    assert_eq!(blocked.code, 0, "{}", blocked.stderr);
    let (up, ticket) = world.up("a").await;
    world.group("a", &["create", "home"]).await;
    let invite = world.invite("a").await;
    let joining = world.run("b", &["group", "join", &invite]).await;
    assert_eq!(joining.code, 0, "{}", joining.stderr);
    assert!(
        joining.stderr.contains("no node runs here"),
        "{}",
        joining.stderr
    );
    world
        .group("b", &["post", "home", "from a node of a moment"])
        .await;
    world.reads("a", READ, &["from a node of a moment"]).await;
    // That is all that a member may.
    let ping = world
        .run("b", &["ping", &ticket, "-c", "1", "--timeout", "3"])
        .await;
    assert_ne!(ping.code, 0);
    up.terminate().await;
}

#[cfg(target_os = "linux")]
mod in_the_lab {
    use std::{sync::LazyLock, time::Duration};

    use peerway_lab::{self as lab, NatKind};
    use peerway_tests::{
        PROGRAMS,
        computer::{Computer, Running},
        pair,
    };
    use tempfile::TempDir;
    use tokio::time::Instant;

    use crate::commands::PATIENCE;

    const BUDGET: Duration = Duration::from_secs(240);

    fn up(computer: &Computer) -> Running {
        let node = computer.start("peerway up --json");
        node.line();
        node
    }

    fn reads(computer: &Computer, texts: &[&str]) {
        let begun = Instant::now();
        loop {
            let posts = computer.json("peerway group read home");
            let found: Vec<_> = posts
                .iter()
                .filter_map(|post| post["text"].as_str())
                .collect();
            if found == texts {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{found:?}, not {texts:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    #[test]
    fn four_homes_are_a_group_whoever_of_them_is_away() {
        LazyLock::force(&PROGRAMS);
        lab::test(BUDGET, |mut lab| {
            let folder = TempDir::new().unwrap();
            let relay = pair::named_relay(&lab);
            let kinds = [
                ("ann", NatKind::PortRestricted),
                ("ben", NatKind::PortRestricted),
                ("cleo", NatKind::Symmetric),
                ("dan", NatKind::FullCone),
            ];
            let [ann, ben, cleo, dan] = kinds.map(|(name, kind)| {
                let home = lab.home(name, kind).unwrap();
                let mut computer = Computer::new(home, name, folder.path());
                computer.export(&format!("export PEERWAY_RELAY={relay}"));
                computer
            });
            let nodes = [&ann, &ben, &cleo].map(up);
            let dans = up(&dan);
            ann.run("peerway group create home");
            for computer in [&ben, &cleo, &dan] {
                let invite = &ann.json("peerway group invite home")[0]["invite"];
                computer.run(&format!("peerway group join {}", invite.as_str().unwrap()));
            }
            cleo.run("peerway group post home hello");
            for computer in [&ann, &ben, &dan] {
                reads(computer, &["hello"]);
            }
            dan.run("peerway down");
            drop(dans);
            ben.run("peerway group post home second");
            reads(&cleo, &["hello", "second"]);
            let _dans = up(&dan);
            reads(&dan, &["hello", "second"]);
            let id = dan.run("peerway id");
            ann.run(&format!("peerway group remove home {}", id.trim()));
            ben.run("peerway group post home third");
            reads(&cleo, &["hello", "second", "third"]);
            reads(&dan, &["hello", "second"]);
            drop(nodes);
        });
    }
}
