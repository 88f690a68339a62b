//! A blockchain: two nodes of Litecoin, whose code is Bitcoin Core's, on a chain of their own.

use peerway_lab as lab;
use serde_json::Value;

use super::homes::{BUDGET, Home, Homes, Program, need, until};

/// So that what was mined first can be spent.
const MATURE: &str = "101";

#[test]
#[ignore = "needs litecoind"]
fn two_litecoinds_agree_on_blocks_transactions_and_forks_across_a_cut_of_the_direct_path() {
    need(&[("litecoind", "litecoind"), ("litecoin-cli", "litecoind")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let bind = format!("-bind={}:19444", attic.room.addr());
        let _attic = node(attic, &["-listen=1", &bind]);
        let exposed = attic.expose(&["chain=19444"]);
        let forward = laptop.forward(&exposed, "chain", "19444");
        let connect = format!("-connect={}:19444", laptop.room.gate());
        let _laptop = node(laptop, &["-listen=0", &connect]);
        until("they are linked", || {
            cli(attic, &["getconnectioncount"]) == "1"
        });

        cli(attic, &["createwallet", "purse"]);
        let own = cli(attic, &["getnewaddress"]);
        cli(attic, &["generatetoaddress", MATURE, &own]);
        until_same_tip(attic, laptop);
        cli(laptop, &["createwallet", "purse"]);
        let theirs = cli(laptop, &["getnewaddress"]);
        // Transactions are told after some seconds, at random.
        let first = cli(attic, &["sendtoaddress", &theirs, "1.5"]);
        homes.cut();
        forward.until_path("relay");
        until("the first transaction is seen", || {
            pool(laptop).contains(&first)
        });
        let second = cli(attic, &["sendtoaddress", &theirs, "0.5"]);
        until("the second too", || pool(laptop).contains(&second));
        cli(attic, &["generatetoaddress", "1", &own]);
        until_same_tip(attic, laptop);
        assert_eq!(cli(laptop, &["getbalance"]), "2.00000000");

        // Apart, one makes two blocks and the other three: the longer chain is both's.
        let height = height(laptop);
        for home in [attic, laptop] {
            cli(home, &["setnetworkactive", "false"]);
        }
        cli(attic, &["generatetoaddress", "2", &own]);
        cli(laptop, &["generatetoaddress", "3", &theirs]);
        let longer = cli(laptop, &["getbestblockhash"]);
        for home in [attic, laptop] {
            cli(home, &["setnetworkactive", "true"]);
        }
        until_same_tip(attic, laptop);
        assert_eq!(cli(attic, &["getbestblockhash"]), longer);
        assert_eq!(self::height(attic), height + 3);
        homes.assert_carried(101 * 200);
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

/// The transactions that wait for a block.
fn pool(home: &Home) -> Vec<String> {
    let pool: Value = cli(home, &["getrawmempool"]).parse().unwrap();
    let ids = pool.as_array().unwrap().iter();
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn height(home: &Home) -> u64 {
    cli(home, &["getblockcount"]).parse().unwrap()
}

fn until_same_tip(one: &Home, other: &Home) {
    let tip = |home| cli(home, &["getbestblockhash"]);
    until("both have the same block", || tip(one) == tip(other));
}
