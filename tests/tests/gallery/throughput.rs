//! What measures links: iperf3, whose measurement over UDP has a TCP connection beside it, to the same port.

use std::net::UdpSocket;

use peerway_lab as lab;
use serde_json::Value;

use super::homes::{BUDGET, Home, Homes, need, until};

#[test]
#[ignore = "needs iperf3"]
fn iperf3_measures_tcp_and_udp_across_a_cut_of_the_direct_path() {
    need(&[("iperf3", "iperf3")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let server = attic.start("iperf3", &["-s", "-p", "5201", "--forceflush"]);
        server.until_said("Server listening");
        let exposed = attic.expose(&["iperf=5201", "iperf-udp=udp:5201"]);
        let tcp = laptop.forward(&exposed, "iperf", "5201");
        let udp_there = (laptop.room.gate(), 5201);
        let is_free = || UdpSocket::bind(udp_there).is_ok();
        until("UDP is free where the service takes TCP", || {
            laptop.computer.home.run(is_free)
        });
        let udp = laptop.forward(&exposed, "iperf-udp", "udp:5201");

        // Both ways, a second each.
        for way in [&[][..], &["-R"]] {
            let end = measure(laptop, &[&["-t", "1"], way].concat());
            let received = end["sum_received"]["bytes"].as_u64().unwrap();
            assert!(received > 1 << 20, "{end}");
        }
        let end = measure(laptop, &["-u", "-b", "2M", "-l", "1200", "-t", "2"]);
        assert!(lost(&end) <= 1.0, "{end}");
        // 12 Mbit/s for four seconds, in the midst of which the path is cut.
        let line = line(laptop, &["-b", "12M", "-t", "4"]);
        let client = laptop.start("iperf3", &line.iter().map(|it| &**it).collect::<Vec<_>>());
        let before = server.said().matches(" sec ").count();
        until("it measures", || {
            server.said().matches(" sec ").count() > before
        });
        homes.cut();
        tcp.until_path("relay");
        let report: Value = client.finish().parse().unwrap();
        let received = report["end"]["sum_received"]["bytes"].as_u64().unwrap();
        assert!(received >= 4_000_000, "{}", report["end"]);
        udp.until_path("relay");
        let end = measure(laptop, &["-u", "-b", "2M", "-l", "1200", "-t", "2"]);
        assert!(lost(&end) <= 1.0, "{end}");
        homes.assert_carried(7_000_000);
    });
}

/// In percent.
fn lost(end: &Value) -> f64 {
    assert!(end["sum"]["packets"].as_u64().unwrap() > 300, "{end}");
    end["sum"]["lost_percent"].as_f64().unwrap()
}

/// The end of the report on one measurement.
fn measure(laptop: &Home, how: &[&str]) -> Value {
    let line = line(laptop, how);
    let line: Vec<_> = line.iter().map(|it| &**it).collect();
    let report: Value = laptop.output("iperf3", &line).parse().unwrap();
    report["end"].clone()
}

fn line(laptop: &Home, how: &[&str]) -> Vec<String> {
    let gate = laptop.room.gate().to_string();
    let line = ["-c", &gate, "-p", "5201", "--json"];
    line.iter().chain(how).map(ToString::to_string).collect()
}
