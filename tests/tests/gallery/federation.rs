//! Two servers that talk with each other for their people: prosody at either home, and slixmpp, over XMPP.

use std::{env::consts::ARCH, fs, path::Path};

use peerway_lab as lab;

use super::{
    back::forward_back,
    homes::{BUDGET, Home, Homes, Program, need, until},
    python::{PYTHON, need_module},
};

/// What each says to the other while both are there.
const COUNT: usize = 60;
/// What is said to somebody who is away.
const KEPT: usize = 5;
/// Without certificates, which the lab has nobody to give: links are encrypted anyway.
const CONFIG: &str = r#"
daemonize = false
run_as_root = true
pidfile = "prosody.pid"
data_path = "FOLDER"
log = { info = "*console" }
interfaces = { "ADDR" }
modules_enabled = { "saslauth", "dialback", "disco", "offline", "smacks", "roster" }
modules_disabled = { "tls" }
c2s_require_encryption = false
s2s_require_encryption = false
authentication = "internal_hashed"
unbound = { resolvconf = false, hoststxt = true }
VirtualHost "NAME.example"
"#;
/// Says so many things, ten a second, and goes when it has heard so many.
const CLIENT: &str = r#"
import asyncio, sys
from slixmpp import ClientXMPP
own, server, other, says, hears = sys.argv[1:]
class Client(ClientXMPP):
    def __init__(self):
        super().__init__(own, "secret")
        self.heard = asyncio.Queue()
        self.add_event_handler("session_start", self.talk)
        self.add_event_handler("message", self.heard.put_nowait)
    async def talk(self, _):
        self.send_presence()
        print("here", flush=True)
        listening = asyncio.ensure_future(self.listen())
        for at in range(int(says)):
            self.send_message(mto=other, mbody="line %d" % at, mtype="chat")
            await asyncio.sleep(0.1)
        await listening
        self.disconnect()
    async def listen(self):
        for _ in range(int(hears)):
            message = await self.heard.get()
            print(message["type"], message["from"].bare, message["body"], flush=True)
client = Client()
client.connect(address=(server, 5222), disable_starttls=True)
client.process(forever=False)
"#;

#[test]
#[ignore = "needs prosody, lua-unbound and python3-slixmpp"]
fn two_prosodies_keep_what_is_said_to_who_is_away_and_lose_nothing_where_the_direct_path_is_cut() {
    need(&[("prosody", "prosody"), ("prosodyctl", "prosody")]);
    let unbound = unbound();
    assert!(
        Path::new(&unbound).exists(),
        "`{unbound}` is missing: install lua-unbound"
    );
    need_module("slixmpp", "python3-slixmpp");
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let ann = Account::new(attic, "ann", "attic");
        let bob = Account::new(laptop, "bob", "laptop");
        let _servers = [ann.serve(&bob), bob.serve(&ann)];
        let exposed = [attic, laptop].map(|home| home.expose(&["xmpp=5269"]));
        let there = attic.forward(&exposed[1], "xmpp", "5269");
        let _back = forward_back(laptop, attic, "xmpp", "5269");

        ann.talks_to(&bob, KEPT, 0).finish();
        let kept = laptop.folder.join("data/laptop%2eexample/offline/bob.list");
        let last = format!("line {}", KEPT - 1);
        until("it is kept at the other home", || {
            fs::read_to_string(&kept).is_ok_and(|kept| kept.contains(&last))
        });
        assert_eq!(
            heard(&bob.talks_to(&ann, 0, KEPT).finish()),
            ann.lines(KEPT)
        );

        let first = ann.talks_to(&bob, COUNT, COUNT);
        first.until_said("here");
        let second = bob.talks_to(&ann, COUNT, COUNT);
        until("a third was heard", || {
            heard(&second.said()).len() > COUNT / 3
        });
        homes.cut();
        there.until_path("relay");
        assert_eq!(heard(&second.finish()), ann.lines(COUNT));
        assert_eq!(heard(&first.finish()), bob.lines(COUNT));
        homes.assert_carried((2 * COUNT * 150) as u64);
    });
}

/// What has prosody heed the hosts file, where Debian has it for this processor.
fn unbound() -> String {
    format!("/usr/lib/{ARCH}-linux-gnu/lua/5.4/lunbound.so")
}

/// Somebody, at the server of a home.
struct Account<'a> {
    home: &'a Home,
    name: &'a str,
    domain: String,
    config: String,
}

impl<'a> Account<'a> {
    fn new(home: &'a Home, name: &'a str, place: &str) -> Self {
        let data = home.folder.join("data");
        fs::create_dir(&data).unwrap();
        let config = CONFIG
            .replace("FOLDER", data.to_str().unwrap())
            .replace("ADDR", &home.room.addr().to_string())
            .replace("NAME", place);
        let config = home.write("prosody.cfg.lua", config);
        let domain = format!("{place}.example");
        let new = ["register", name, &domain, "secret"];
        let line = [&["--root", "--config", &config], &new[..]].concat();
        home.output("prosodyctl", &line);
        Self {
            home,
            name,
            domain,
            config,
        }
    }

    /// Its server, which finds the other's domain at the gate.
    fn serve(&self, other: &Self) -> Program {
        let (home, gate) = (self.home, self.home.room.gate());
        let hosts = home.write("hosts", format!("{gate} {}\n", other.domain));
        let config = &self.config;
        let script = format!("mount --bind {hosts} /etc/hosts; exec prosody --config {config} -F");
        let server = home.start("unshare", &["--mount", "sh", "-c", &script]);
        server.until_said("Activated service 's2s'");
        server
    }

    fn talks_to(&self, other: &Self, says: usize, hears: usize) -> Program {
        let server = self.home.room.addr().to_string();
        let counts = [says, hears].map(|count| count.to_string());
        let (own, other) = (self.address(), other.address());
        let who = [&*own, &server, &other, &counts[0], &counts[1]];
        let line = [&["-c", CLIENT], &who[..]].concat();
        self.home.start(PYTHON, &line)
    }

    fn address(&self) -> String {
        format!("{}@{}", self.name, self.domain)
    }

    /// What is heard of so many things that it says.
    fn lines(&self, count: usize) -> Vec<String> {
        let from = self.address();
        let lines = (0..count).map(|at| format!("chat {from} line {at}"));
        lines.collect()
    }
}

/// What others said, and not the client.
fn heard(said: &str) -> Vec<String> {
    let lines = said.lines().filter(|line| line.contains(".example"));
    lines.map(str::to_owned).collect()
}
