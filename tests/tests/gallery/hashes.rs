//! A hash table of many: OpenDHT's node, whose only way to the other is a forwarded UDP port.

use std::{fs::OpenOptions, io::Write as _};

use peerway_lab as lab;

use super::homes::{BUDGET, Home, Homes, Program, need};

const PORT: &str = "4222";
const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
#[ignore = "needs dhtnode"]
fn two_nodes_of_opendht_find_each_others_values_before_and_after_the_direct_path_is_cut() {
    need(&[("dhtnode", "dhtnode")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let first = Node::start(attic, "");
        let exposed = attic.expose(&[&format!("dht=udp:{PORT}")]);
        let forward = laptop.forward(&exposed, "dht", &format!("udp:{PORT}"));
        let second = Node::start(laptop, &format!("-b {}:{PORT}", laptop.room.gate()));
        for node in [&first, &second] {
            node.types(&format!("l {KEY}"));
            node.program.until_said("Listening");
        }

        first.puts("from the attic", &second);
        homes.cut();
        forward.until_path("relay");
        second.puts("back", &first);
        first.puts("by the relay", &second);
        // Whoever asks anew is told of all, in one answer.
        second.types(&format!("g {KEY}"));
        second.program.until_said("found 3 value(s)");
        homes.assert_carried(2_000);
    });
}

/// A node at whose prompt somebody types.
struct Node<'a> {
    home: &'a Home,
    program: Program,
}

impl<'a> Node<'a> {
    fn start(home: &'a Home, bootstrap: &str) -> Self {
        home.write("typed", "");
        let line = format!("tail -n +1 -f typed | exec dhtnode -n 7 -p {PORT} {bootstrap}");
        let program = home.start("sh", &["-c", &line]);
        program.until_said("running on port");
        Self { home, program }
    }

    fn types(&self, line: &str) {
        let typed = self.home.folder.join("typed");
        let mut typed = OpenOptions::new().append(true).open(typed).unwrap();
        writeln!(typed, "{line}").unwrap();
    }

    /// Stores a value under the key, of which the other one hears.
    fn puts(&self, value: &str, other: &Self) {
        let value = value.replace(' ', "-");
        self.types(&format!("p {KEY} {value}"));
        other.program.until_said(&format!("\"{value}\""));
    }
}
