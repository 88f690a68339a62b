//! What measures links: iperf3, whose measurement over UDP has a TCP connection beside it, to the same port.

use peerway_lab as lab;
use serde_json::Value;

use super::homes::{BUDGET, Home, Homes, Program, need, until};

/// Seconds of a measurement in which something came, before it is seen to go on: the first had begun before.
const SECONDS: usize = 2;

#[test]
#[ignore = "needs iperf3"]
fn iperf3_measures_tcp_and_udp_whatever_happens_to_the_links() {
    need(&[("iperf3", "iperf3")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let [laptop, phone] = homes.users();
        // A server measures one client at a time.
        let servers = [(laptop, "5201"), (phone, "5202")];
        let servers = servers.map(|(user, port)| Server::start(&homes.attic, user, port));
        let [[laptop, laptop_udp], [phone, phone_udp]] =
            servers.each_ref().map(|server| server.services());
        let exposed = [&laptop, &laptop_udp, &phone, &phone_udp].map(|it| &**it);
        let forwarded = exposed.map(|service| service.split_once('=').unwrap());
        let mut links = homes.disturbed(&exposed, &forwarded);

        let by_tcp = || servers.iter().for_each(Server::measure_tcp);
        let by_udp = || servers.iter().for_each(Server::measure_udp);
        by_tcp();
        by_udp();
        let clients = servers.each_ref().map(Server::measure_on);
        let get_on = || {
            let before = servers.each_ref().map(Server::seconds);
            for (server, before) in servers.iter().zip(before) {
                until("it measures", || server.seconds() >= before + SECONDS);
            }
        };
        get_on();
        links.outlive(get_on, || ());
        drop(clients);
        by_udp();
        links.restart_far(by_tcp);
        by_udp();
        links.assert_carried(7_000_000);
        println!("iperf3: {links}");
    });
}

/// In the attic, for one user.
struct Server<'a> {
    user: &'a Home,
    port: &'static str,
    program: Program,
}

impl<'a> Server<'a> {
    fn start(attic: &Home, user: &'a Home, port: &'static str) -> Self {
        let program = attic.start("iperf3", &["-s", "-p", port, "--forceflush"]);
        program.until_said("Server listening");
        Self {
            user,
            port,
            program,
        }
    }

    fn services(&self) -> [String; 2] {
        let (name, port) = (self.user.name, self.port);
        [format!("{name}={port}"), format!("{name}-udp=udp:{port}")]
    }

    /// Both ways, a second each.
    fn measure_tcp(&self) {
        for way in [&[][..], &["-R"]] {
            let end = self.measure(&[&["-t", "1"], way].concat());
            let received = end["sum_received"]["bytes"].as_u64().unwrap();
            assert!(received > 1 << 20, "{end}");
        }
    }

    /// Until at most one in a hundred is lost: a link may be about to move still.
    fn measure_udp(&self) {
        until("little is lost", || {
            let end = self.measure(&["-u", "-b", "2M", "-l", "1200", "-t", "2"]);
            assert!(end["sum"]["packets"].as_u64().unwrap() > 300, "{end}");
            end["sum"]["lost_percent"].as_f64().unwrap() <= 1.0
        });
    }

    /// The end of the report on one measurement.
    fn measure(&self, how: &[&str]) -> Value {
        let line = self.line(how);
        let line: Vec<_> = line.iter().map(|it| &**it).collect();
        let report: Value = self.user.output("iperf3", &line).parse().unwrap();
        report["end"].clone()
    }

    /// 4 Mbit/s by one TCP connection, without an end.
    fn measure_on(&self) -> Program {
        let line = self.line(&["-b", "4M", "-t", "0"]);
        let line: Vec<_> = line.iter().map(|it| &**it).collect();
        self.user.start("iperf3", &line)
    }

    fn line(&self, how: &[&str]) -> Vec<String> {
        let gate = self.user.room.gate().to_string();
        let line = ["-c", &gate, "-p", self.port, "--json"];
        line.iter().chain(how).map(ToString::to_string).collect()
    }

    /// In which something came so far, of all measurements.
    fn seconds(&self) -> usize {
        let said = self.program.said();
        let seconds = said.lines().filter(|line| line.contains(" sec "));
        seconds
            .filter(|line| !line.contains(" 0.00 Bytes "))
            .count()
    }
}
