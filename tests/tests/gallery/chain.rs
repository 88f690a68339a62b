//! A blockchain: three nodes of Litecoin, whose code is Bitcoin Core's, on a chain of their own.

use peerway_lab as lab;
use serde_json::Value;

use super::homes::{BUDGET, Home, Homes, Program, need, until};

/// So that what was mined first can be spent.
const MATURE: &str = "101";

#[test]
#[ignore = "needs litecoind"]
fn litecoinds_agree_on_blocks_transactions_and_forks_whatever_happens_to_their_links() {
    need(&[("litecoind", "litecoind"), ("litecoin-cli", "litecoind")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let attic = &homes.attic;
        let bind = format!("-bind={}:19444", attic.room.addr());
        let _attic = node(attic, &["-listen=1", &bind]);
        let mut links = homes.disturbed(&["chain=19444"], &[("chain", "19444")]);
        let [laptop, phone] = homes.users();
        let _users = homes.users().map(|user| {
            let connect = format!("-connect={}:19444", user.room.gate());
            node(user, &["-listen=0", &connect])
        });
        until("all are linked", || peers(attic).len() == 2);

        cli(attic, &["createwallet", "purse"]);
        cli(laptop, &["createwallet", "purse"]);
        let [own, theirs] = [attic, laptop].map(|home| cli(home, &["getnewaddress"]));
        let mine = |count: &str| cli(attic, &["generatetoaddress", count, &own]);
        mine(MATURE);
        let same_tip = || until_same_tip(attic, &[laptop, phone]);
        same_tip();
        // Transactions are told after some seconds, at random.
        let first = cli(attic, &["sendtoaddress", &theirs, "1.5"]);
        let linked = peers(attic);
        let block = || {
            mine("1");
            same_tip();
        };
        links.outlive(block, || ());
        assert_eq!(peers(attic), linked, "they are linked as they were");
        let second = cli(attic, &["sendtoaddress", &theirs, "0.5"]);
        until("both transactions are seen", || {
            [&first, &second].iter().all(|id| knows(laptop, id))
        });
        links.restart_far(block);
        assert_eq!(cli(laptop, &["getbalance"]), "2.00000000");

        // Apart, one makes two blocks and the other three: the longer chain is everybody's.
        let height = height(laptop);
        for home in [attic, laptop] {
            cli(home, &["setnetworkactive", "false"]);
        }
        mine("2");
        cli(laptop, &["generatetoaddress", "3", &theirs]);
        let longer = cli(laptop, &["getbestblockhash"]);
        for home in [attic, laptop] {
            cli(home, &["setnetworkactive", "true"]);
        }
        same_tip();
        assert_eq!(cli(attic, &["getbestblockhash"]), longer);
        assert_eq!(self::height(attic), height + 3);
        links.assert_carried(101 * 200);
        println!("litecoind: {links}");
    });
}

fn node(home: &Home, how: &[&str]) -> Program {
    let data = data(home);
    let usual = [
        &*data,
        "-regtest",
        "-discover=0",
        "-dnsseed=0",
        "-upnp=0",
        "-fallbackfee=0.0001",
    ];
    let program = home.start("litecoind", &[&usual, how].concat());
    program.until_said("init message: Done loading");
    program
}

fn data(home: &Home) -> String {
    format!("-datadir={}", home.folder.display())
}

fn cli(home: &Home, what: &[&str]) -> String {
    let data = data(home);
    let line = [&[&*data, "-regtest"], what].concat();
    home.output("litecoin-cli", &line).trim().to_owned()
}

/// The numbers of its connections, each of which has another.
fn peers(home: &Home) -> Vec<u64> {
    let peers: Value = cli(home, &["getpeerinfo"]).parse().unwrap();
    let peers = peers.as_array().unwrap().iter();
    peers.map(|peer| peer["id"].as_u64().unwrap()).collect()
}

/// Whether a transaction waits for a block or is in one.
fn knows(home: &Home, id: &str) -> bool {
    let known = home
        .command("litecoin-cli")
        .args([&data(home), "-regtest", "gettransaction", id])
        .output();
    known.unwrap().status.success()
}

fn height(home: &Home) -> u64 {
    cli(home, &["getblockcount"]).parse().unwrap()
}

fn until_same_tip(one: &Home, others: &[&Home]) {
    let tip = |home| cli(home, &["getbestblockhash"]);
    let one = || tip(one);
    until("all have the same block", || {
        others.iter().all(|other| tip(other) == one())
    });
}
