//! A name server and who asks it, over UDP and TCP: dnsmasq and dig.

use peerway_lab as lab;

use super::homes::{BUDGET, Home, Homes, need};

/// More than a packet holds, less than dig takes at once.
const STRINGS: usize = 10;

#[test]
#[ignore = "needs dnsmasq-base and bind9-dnsutils"]
fn dig_asks_a_dnsmasq_over_udp_before_and_after_the_direct_path_is_cut() {
    need(&[("dnsmasq", "dnsmasq-base"), ("dig", "bind9-dnsutils")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
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
        let exposed = attic.expose(&["dns=udp:5353", "dns-tcp=5353"]);
        let forward = laptop.forward(&exposed, "dns", "udp:5353");
        let tcp = laptop.forward(&exposed, "dns-tcp", "5353");
        let ask = || {
            assert_eq!(address(laptop), "192.0.2.7");
            // A datagram of 2 kB, in pieces on the way.
            let long = dig(laptop, &["long.example", "TXT", "+bufsize=4096"]);
            assert_eq!(long.matches(&text[9]).count(), 1, "{long}");
            // It does not fit into an answer of 512 bytes, so dig asks again over TCP.
            let long = dig(laptop, &["long.example", "TXT", "+noedns"]);
            assert_eq!(long.matches(&text[9]).count(), 1, "{long}");
        };
        ask();
        homes.cut();
        for _ in 0..20 {
            assert_eq!(address(laptop), "192.0.2.7");
        }
        for link in [&forward, &tcp] {
            link.until_path("relay");
        }
        ask();
        homes.assert_carried(20 * 100 + 4 * 2000);
        let asked = dnsmasq.said().matches("query[A] nas.example").count();
        assert!(asked >= 22, "{asked}");
    });
}

/// Of a host. Where a question was lost with the path, dig says so before it asks again.
fn address(laptop: &Home) -> String {
    let said = dig(laptop, &["nas.example"]);
    said.lines().last().unwrap().to_owned()
}

fn dig(laptop: &Home, question: &[&str]) -> String {
    let server = format!("@{}", laptop.room.gate());
    let mut line = vec![&*server, "-p", "5353", "+short", "+timeout=2"];
    line.extend(question);
    laptop.output("dig", &line)
}
