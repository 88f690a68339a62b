//! A name server and who asks it, over UDP and TCP: dnsmasq and dig.

use peerway_lab as lab;

use super::homes::{BUDGET, Home, Homes, need};

/// More than a packet holds, less than dig takes at once.
const STRINGS: usize = 10;
/// Questions in a row.
const ROW: usize = 5;

#[test]
#[ignore = "needs dnsmasq-base and bind9-dnsutils"]
fn dig_is_answered_by_a_dnsmasq_over_udp_and_tcp_whatever_happens_to_the_links() {
    need(&[("dnsmasq", "dnsmasq-base"), ("dig", "bind9-dnsutils")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let attic = &homes.attic;
        let text: Vec<_> = (0..STRINGS).map(|at| at.to_string().repeat(200)).collect();
        let long = format!("--txt-record=long.example,{}", text.join(","));
        let dnsmasq = attic.start(
            "dnsmasq",
            &[
                "--no-daemon",
                "--conf-file=/dev/null",
                "--pid-file=",
                "--no-resolv",
                "--no-hosts",
                "--port=5353",
                "--edns-packet-max=4096",
                "--log-queries",
                "--host-record=nas.example,192.0.2.7",
                &long,
            ],
        );
        dnsmasq.until_said("started");
        let exposed = ["dns=udp:5353", "dns-tcp=5353"];
        // The users' computers listen to multicast DNS at 5353.
        let forwarded = [("dns", "udp:5300"), ("dns-tcp", "5300")];
        let mut links = homes.disturbed(&exposed, &forwarded);
        let ask = || {
            for user in homes.users() {
                // A datagram of 2 kB, in pieces on the way.
                let long = dig(user, &["long.example", "TXT", "+bufsize=4096"]);
                assert_eq!(long.matches(&text[9]).count(), 1, "{long}");
                // It does not fit into an answer of 512 bytes, so dig asks again over TCP.
                let long = dig(user, &["long.example", "TXT", "+noedns"]);
                assert_eq!(long.matches(&text[9]).count(), 1, "{long}");
            }
        };
        let addresses = || {
            for user in homes.users() {
                for _ in 0..ROW {
                    assert_eq!(address(user), "192.0.2.7");
                }
            }
        };
        addresses();
        ask();
        links.outlive(addresses, ask);
        links.restart_far(addresses);
        ask();
        links.assert_carried(6 * ROW as u64 * 100 + 5 * 4000);
        let asked = dnsmasq.said().matches("query[A] nas.example").count();
        assert!(asked >= 2 * 6 * ROW, "{asked}");
        println!("dnsmasq: {links}");
    });
}

/// Of a host. Where a question was lost with the path, dig says so before it asks again.
fn address(user: &Home) -> String {
    let said = dig(user, &["nas.example"]);
    said.lines().last().unwrap().to_owned()
}

fn dig(user: &Home, question: &[&str]) -> String {
    let server = format!("@{}", user.room.gate());
    let mut line = vec![&*server, "-p", "5300", "+short", "+timeout=2", "+tries=12"];
    line.extend(question);
    user.output("dig", &line)
}
