//! Nodes of Ethereum, which find each other over UDP and talk over TCP: `@ethereumjs/devp2p`, which npm has.

use std::os::unix::fs::symlink;

use peerway_lab as lab;

use crate::gallery::{
    back::forward_back,
    homes::{BUDGET, Home, Homes, Program, need, until},
};

const NODE: &str = include_str!("devp2p/node.mjs");
/// Where `.ci/nightly` has npm put what `devp2p/package.json` asks for.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/devp2p/node_modules");
const PORT: &str = "30303";
/// How many blocks are told each way before the cut, and again after it.
const BLOCKS: usize = 30;
const MAINNET: &str = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3";

#[test]
#[ignore = "needs node, and what .ci/nightly has npm fetch"]
fn two_nodes_of_ethereum_greet_each_other_and_tell_blocks_where_the_direct_path_is_cut() {
    need(&[("node", "nodejs")]);
    let module = format!("{MODULES}/@ethereumjs/devp2p");
    assert!(
        std::fs::exists(&module).unwrap(),
        "`{module}` is missing: install npm and run the line of .ci/nightly that calls it"
    );
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let udp = format!("udp:{PORT}");
        let services = [format!("rlpx={PORT}"), format!("discovery={udp}")];
        let services = services.each_ref().map(|service| &**service);
        let exposed = [attic, laptop].map(|home| home.expose(&services));
        let there = laptop.forward(&exposed[0], "rlpx", PORT);
        let _others = [
            forward_back(laptop, attic, "discovery", &udp),
            forward_back(attic, laptop, "discovery", &udp),
            forward_back(attic, laptop, "rlpx", PORT),
        ];

        let far = start(attic, laptop, 1, None);
        let far_id = id(&far);
        let near = start(laptop, attic, 2, Some(&far_id));
        let near_id = id(&near);
        near.until_said(&format!("found {far_id} "));
        for (node, other) in [(&near, &far_id), (&far, &near_id)] {
            node.until_said(&format!("hello {other} eth68\n"));
            node.until_said(&format!("status {MAINNET}\n"));
        }
        let told = |count: usize| {
            let last = format!("block {count}\n");
            near.until_said(&last);
            far.until_said(&last);
        };
        told(BLOCKS);
        homes.cut();
        there.until_path("relay");
        let said = near.said();
        let count = said.lines().filter(|line| line.starts_with("block "));
        told(count.count() + BLOCKS);
        for node in [&near, &far] {
            let said = node.said();
            assert_eq!(said.matches("hello ").count(), 1, "by one connection");
            let told = said.lines().filter_map(|line| line.strip_prefix("block "));
            let in_order = (1..).zip(told).all(|(at, told)| told == format!("{at}"));
            assert!(in_order, "{said}");
        }

        // Who goes and comes back is found and dialled again.
        drop(near);
        until("the connection is gone", || far.said().contains("gone "));
        let near = start(laptop, attic, 2, Some(&far_id));
        near.until_said("block 1\n");
        assert_eq!(id(&near), near_id);
        until("it is greeted again", || {
            far.said()
                .matches(&format!("hello {near_id} eth68\n"))
                .count()
                == 2
        });
        homes.assert_carried((2 * BLOCKS * 100) as u64);
    });
}

/// A node whose id follows from a number, and which dials the other if it has that one's id. Each knows the other at its gate.
fn start(home: &Home, other: &Home, key: u8, id: Option<&str>) -> Program {
    let link = home.folder.join("node_modules");
    if !link.exists() {
        symlink(MODULES, link).unwrap();
    }
    let script = home.write("node.mjs", NODE);
    let addrs = [home.room.addr(), other.room.gate(), home.room.gate()];
    let addrs = addrs.map(|addr| addr.to_string());
    let key = key.to_string();
    let mut line = vec![&*script, &*key];
    line.extend(addrs.iter().map(|addr| &**addr));
    line.extend(id);
    home.start("node", &line)
}

/// As it says itself.
fn id(node: &Program) -> String {
    node.until_said("id ");
    let said = node.said();
    let mut lines = said.lines().filter_map(|line| line.strip_prefix("id "));
    lines.next().unwrap().to_owned()
}
