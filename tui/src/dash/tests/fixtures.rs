//! Nodes to look at.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use peerway::{Event, NodeSnapshot, PeerId, SecretKey, SwarmSnapshot};
use ratatui::{Terminal, backend::TestBackend};
use serde_json::{Value, json};

use crate::dash::{
    ColorChoice, Options, People,
    look::Look,
    model::Model,
    msg::{Effect, Msg},
    update::update,
    view::view,
};

/// 14:02:31 on some day, UTC.
pub(in crate::dash) const AT_MS: u64 = 1_790_085_751_000;

pub(in crate::dash) fn id(seed: u16) -> PeerId {
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&seed.to_be_bytes());
    SecretKey::from_seed(&bytes).id()
}

fn relay_url(seed: u16, host: &str) -> String {
    format!("relay://{}@{host}:4433", id(seed))
}

pub(in crate::dash) fn node(mut peers: Vec<Value>) -> Value {
    peers.sort_by_key(|peer| peer["id"].as_str().and_then(|id| id.parse::<PeerId>().ok()));
    let ticket = peerway::Ticket::new(
        id(0),
        vec![relay_url(900, "fra1.example.org").parse().unwrap()],
        vec![],
    );
    let sum = |key: &str| -> u64 {
        peers
            .iter()
            .filter_map(|peer| peer["traffic"][key].as_u64())
            .sum()
    };
    json!({
        "at_ms": AT_MS,
        "uptime_ms": 273_600_000_u64,
        "id": id(0),
        "ticket": ticket,
        "network": {
            "local": ["192.168.1.5:41641"],
            "public_v4": "203.0.113.77:41641",
            "public_v6": "[2001:db8:7::21]:41641",
            "nat": {"mapping": "endpoint-independent", "filtering": "address-and-port-dependent"},
            "port_mapping": {"protocol": "pcp", "external": "203.0.113.77:41641", "expires_in_s": 3420},
            "checked_at_ms": AT_MS - 42_000,
        },
        "relays": [
            {"url": relay_url(900, "fra1.example.org"), "state": "up", "rtt_ms": 18.2, "home": true, "role": "home", "home_reason": "only", "error": null},
            {"url": relay_url(901, "ams2.example.org"), "state": "up", "rtt_ms": 24.0, "home": false, "error": null},
            {"url": relay_url(902, "nyc1.example.org"), "state": "down", "rtt_ms": null, "home": false, "error": "no answer"},
        ],
        "traffic": {"rx_bytes": 3_400_000_000_u64, "tx_bytes": 88_000_000, "rx_rate": sum("rx_rate"), "tx_rate": sum("tx_rate")},
        "peers": peers,
        "strangers": 0,
        "turned_away": [
            {"id": id(40), "at_ms": AT_MS - 60_000},
            {"id": id(41), "at_ms": AT_MS - 600_000},
        ],
    })
}

/// A cause, with what goes with it.
pub(in crate::dash) fn explanation(kind: &str) -> Value {
    let (cause, action) = match kind {
        "both_random" => (
            json!({"kind": kind}),
            json!({"kind": "map_port", "side": null}),
        ),
        "relay_only" => (
            json!({"kind": kind, "side": "there"}),
            json!({"kind": "allow_direct", "side": "there"}),
        ),
        "peer_offline" => (json!({"kind": kind}), json!({"kind": "start_peer"})),
        "punched" | "lan" | "ipv6" => (json!({"kind": "direct", "how": kind}), Value::Null),
        _ => (json!({"kind": kind}), Value::Null),
    };
    let random = json!({
        "mapping": "address-and-port-dependent",
        "filtering": "address-and-port-dependent",
        "allocation": {"kind": "random", "first": 1024, "last": 65535},
    });
    let next_try = (cause["kind"] != "direct").then(|| json!({"in_ms": 38_000, "reason": "round"}));
    json!({
        "cause": cause,
        "action": action,
        "next_try": next_try,
        "evidence": {
            "here": {"nat": random, "offers": {"host": 1, "mapped": 0, "reflexive": 1}, "ipv4": true, "direct": true, "guess": true},
            "there": {"nat": random, "offers": {"host": 0, "mapped": 0, "reflexive": 1}, "ipv4": true, "direct": true, "guess": true},
            "tried": {"took_ms": 160, "hellos": 1, "rounds": 3, "probed": {"host": 0, "mapped": 0, "reflexive": 1}, "sent": 12},
        },
    })
}

/// One row of a fixture.
pub(in crate::dash) struct Row {
    pub(in crate::dash) seed: u16,
    pub(in crate::dash) state: &'static str,
    pub(in crate::dash) path: Option<&'static str>,
    pub(in crate::dash) why: Option<&'static str>,
    pub(in crate::dash) rtt_ms: Option<f64>,
    pub(in crate::dash) rates: (u64, u64),
    pub(in crate::dash) age_s: u64,
    pub(in crate::dash) probes: (u32, u32),
}

impl Row {
    /// Who was looked for in vain for a day.
    pub(in crate::dash) const OFFLINE: Self = Self {
        seed: 1,
        state: "failed",
        path: None,
        why: None,
        rtt_ms: None,
        rates: (0, 0),
        age_s: 86_400,
        probes: (0, 0),
    };

    pub(in crate::dash) fn to_value(&self) -> Value {
        let path = self.path.map(|path| match path.split_once(' ') {
            Some(("lan", addr)) => {
                json!({"kind": "direct", "remote": addr, "lan": true, "tcp": false})
            }
            Some(("relay", host)) => {
                let seed = 900 + u16::from(host.starts_with("ams"));
                json!({"kind": "relay", "remote": relay_url(seed, host)})
            }
            _ => json!({"kind": "direct", "remote": path, "lan": false, "tcp": false}),
        });
        json!({
            "id": id(self.seed),
            "state": self.state,
            "path": path,
            "why": self.why.map(explanation),
            "state_age_ms": self.age_s * 1000,
            "rtt_ms": self.rtt_ms,
            "loss": if self.rtt_ms.is_some_and(|ms| ms > 30.0) { 0.004 } else { 0.0 },
            "connections": u32::from(self.rates.0 > 0),
            "flows": if self.rates.0 > 0 { json!([self.flow()]) } else { json!([]) },
            "pairs": self.pairs(),
            "traffic": {
                "rx_bytes": self.rates.0 * 100,
                "tx_bytes": self.rates.1 * 100,
                "rx_rate": self.rates.0,
                "tx_rate": self.rates.1,
            },
            "probes_sent": self.probes.1,
            "probes_answered": self.probes.0,
        })
    }
}

impl Row {
    fn flow(&self) -> Value {
        let protocols = ["peerway/speed/2", "peerway/tunnel/1", "web/1"];
        json!({
            "alpn": protocols[usize::from(self.seed) % 3],
            "outgoing": self.seed % 2 == 1,
            "age_ms": self.age_s * 1000,
            "streams": self.seed % 5,
            "datagrams": [self.rates.1 / 1200, 0],
            "traffic": {
                "rx_bytes": self.rates.0 * 99,
                "tx_bytes": self.rates.1 * 99,
                "rx_rate": self.rates.0,
                "tx_rate": self.rates.1,
            },
        })
    }

    /// The address in use, and some that were tried in vain.
    fn pairs(&self) -> Value {
        let local = |remote: &str| match remote.as_bytes().first() {
            Some(b'[') => "[2001:db8:7::21]:41641",
            _ if remote.starts_with("1") && !remote.starts_with("198.51") => "192.168.1.5:41641",
            _ => "203.0.113.77:41641",
        };
        let pair = |remote: &str, kind, state, rtt: Option<f64>, sent| {
            json!({
                "remote": remote, "kind": kind, "state": state, "rtt_ms": rtt,
                "local": local(remote), "local_kind": if local(remote).starts_with("192") { "host" } else { "reflexive" },
                "last_ms": (sent > 0).then_some(1200), "rank": rtt.map(|_| 1),
                "sent": sent, "answered": u32::from(rtt.is_some()), "heard": u32::from(rtt.is_some()), "next_ms": (state == "probing").then_some(400),
            })
        };
        let direct = self.path.filter(|path| !path.starts_with("relay"));
        let used = direct.map(|path| path.trim_start_matches("lan "));
        let mut pairs: Vec<Value> = used
            .map(|used| pair(used, "reflexive", "used", self.rtt_ms, 2))
            .into_iter()
            .collect();
        if self.probes.1 > 0 {
            pairs.push(pair(
                "198.51.100.40:10233",
                "reflexive",
                "silent",
                None,
                self.probes.1,
            ));
            pairs.push(pair("10.0.3.17:38122", "host", "probing", None, 1));
            pairs.push(pair("[2001:db8:c::5]:41641", "host", "waiting", None, 0));
        }
        json!(pairs)
    }
}

#[rustfmt::skip]
pub(in crate::dash) fn twelve() -> Vec<Value> {
    let rows = [
        ("direct", Some("[2001:db8:9::7]:41641"), Some("ipv6"), Some(4.1), (8_100_000, 220_000), 7980, (2, 4)),
        ("direct", Some("lan 192.168.1.20:41641"), Some("lan"), Some(0.4), (5_900_000, 810_000), 273_600, (1, 3)),
        ("direct", Some("198.51.100.9:6112"), Some("punched"), Some(38.0), (180_000, 9_000), 720, (1, 4)),
        ("relayed", Some("relay fra1.example.org"), Some("both_random"), Some(61.0), (92_000, 14_000), 2460, (0, 12)),
        ("punch", Some("relay ams2.example.org"), Some("trying"), Some(74.0), (1_000, 1_000), 18, (2, 5)),
        ("punch", None, Some("calling"), None, (0, 0), 6, (3, 8)),
        ("idle", Some("[2001:db8:a::1]:41641"), None, Some(22.0), (0, 0), 273_600, (0, 0)),
        ("idle", Some("198.51.100.61:41641"), None, Some(29.0), (0, 0), 273_600, (0, 0)),
        ("idle", Some("lan 192.168.1.33:41641"), None, Some(1.0), (0, 0), 158_400, (0, 0)),
        ("suspect", Some("203.0.113.130:5000"), Some("path_silent"), Some(31.0), (4_000, 4_000), 2, (0, 0)),
        ("relayed", Some("relay 192.0.2.40"), Some("relay_only"), Some(52.0), (11_000, 2_000), 32_520, (0, 0)),
        ("failed", None, Some("peer_offline"), None, (0, 0), 172_800, (0, 0)),
    ];
    rows.into_iter()
        .zip(1..)
        .map(|((state, path, why, rtt_ms, rates, age_s, probes), seed)| {
            Row { seed, state, path, why, rtt_ms, rates, age_s, probes }.to_value()
        })
        .collect()
}

pub(in crate::dash) fn names() -> BTreeMap<PeerId, String> {
    [
        "laptop",
        "nas",
        "phone",
        "build-box",
        "cafe",
        "friend",
        "seed-1",
        "seed-2",
        "pi-kitchen",
        "backup",
        "office",
        "old-phone",
    ]
    .into_iter()
    .zip(1..)
    .map(|(name, seed)| (id(seed), name.to_owned()))
    .collect()
}

/// What happened to the twelve peers before the fixture was taken.
#[rustfmt::skip]
fn events() -> Vec<Event> {
    let (relay, lost) = (relay_url(900, "fra1.example.org"), relay_url(902, "nyc1.example.org"));
    let mapping = json!({"protocol": "pcp", "external": "203.0.113.77:41641", "expires_in_s": 3600});
    let path = json!({"kind": "direct", "remote": "198.51.100.9:6112", "lan": false, "tcp": false});
    [
        (-5000, json!({"event": "network_changed", "what": "interface eth0 is up"})),
        (-4000, json!({"event": "relay_up", "relay": relay, "rtt_ms": 18.2})),
        (-3600, json!({"event": "public_address", "addr": "203.0.113.77:41641"})),
        (-3000, json!({"event": "port_mapped", "mapping": mapping})),
        (-300, json!({"event": "connected", "peer": id(1), "alpn": "peerway/web", "outgoing": true})),
        (-200, json!({"event": "relay_down", "relay": lost, "reason": "no answer from 192.0.2.9:4433"})),
        (-60, json!({"event": "path_changed", "peer": id(3), "path": path, "rtt_ms": 38.0})),
        (-18, json!({"event": "peer_state", "peer": id(5), "from": "relayed", "to": "punch", "why": explanation("trying")})),
        (-6, json!({"event": "peer_state", "peer": id(6), "from": "intro", "to": "punch", "why": explanation("calling")})),
        (-2, json!({"event": "peer_state", "peer": id(10), "from": "direct", "to": "suspect", "why": explanation("path_silent")})),
    ]
    .into_iter()
    .map(|(offset_s, mut event)| {
        event["at_ms"] = json!(AT_MS.saturating_add_signed(offset_s * 1000));
        serde_json::from_value(event).unwrap()
    })
    .collect()
}

pub(in crate::dash) fn snapshot(node: &Value) -> Arc<NodeSnapshot> {
    Arc::new(serde_json::from_value(node.clone()).unwrap())
}

/// A group of seven: three peers of this node, and three to whom it has no link, one of whom falls silent.
pub(in crate::dash) fn swarm() -> Arc<SwarmSnapshot> {
    let nat = json!({"mapping": "endpoint-independent", "filtering": "address-and-port-dependent"});
    let status = |rx: u64| json!({"version": "0.1.0", "uptime_ms": 86_400_000, "nat": nat, "rx_rate": rx, "tx_rate": 2000});
    let member = |seed: u16, presence: &str, age_s: u64, via: Option<u16>, links: (u32, u32)| {
        json!({
            "id": id(seed), "presence": presence, "direct": links.0, "relayed": links.1,
            "age_ms": (presence != "silent").then_some(age_s * 1000),
            "via": via.map(id),
            "status": (presence != "silent").then(|| status(1000 * u64::from(seed))),
        })
    };
    let link = |path: &str, why: Option<&str>, rtt_ms: f64| {
        let why = why.map(|why| explanation(why)["cause"].clone());
        let relay = (path == "relay").then(|| id(900).short());
        json!({"path": path, "relay": relay, "why": why, "rtt_ms": rtt_ms, "rx_rate": 1500, "tx_rate": 0, "shares": true})
    };
    let pair = |one: u16, other: u16, says: Value| {
        let is_first = id(one) < id(other);
        let (a, b) = if is_first { (one, other) } else { (other, one) };
        let (a_says, b_says) = if is_first {
            (says, Value::Null)
        } else {
            (Value::Null, says)
        };
        json!({"a": id(a), "b": id(b), "a_says": a_says, "b_says": b_says})
    };
    let mut members = vec![
        member(0, "here", 0, None, (2, 1)),
        member(1, "fresh", 4, None, (2, 0)),
        member(2, "fresh", 11, None, (2, 1)),
        member(4, "fresh", 7, None, (0, 2)),
        member(20, "fresh", 9, Some(1), (1, 1)),
        member(21, "stale", 130, Some(2), (1, 0)),
        member(22, "silent", 0, None, (0, 0)),
    ];
    members.sort_by_key(|member| {
        member["id"]
            .as_str()
            .and_then(|id| id.parse::<PeerId>().ok())
    });
    serde_json::from_value(json!({
        "at_ms": AT_MS,
        "groups": [{
            "name": "home",
            "members": members,
            "pairs": [
                pair(0, 1, link("direct_v6", Some("ipv6"), 4.1)),
                pair(0, 2, link("lan", Some("lan"), 0.4)),
                pair(0, 4, link("relay", Some("both_random"), 61.0)),
                pair(1, 2, link("direct_v4", Some("punched"), 31.0)),
                pair(1, 20, link("direct_v6", Some("ipv6"), 12.0)),
                pair(2, 20, link("relay", Some("both_random"), 88.0)),
                pair(2, 21, link("tcp", None, 45.0)),
                pair(4, 20, link("relay", Some("relay_only"), 140.0)),
            ],
        }],
    }))
    .map(Arc::new)
    .unwrap()
}

/// The dashboard in a terminal of memory, with a clock that moves when told.
pub(super) struct Desk {
    pub(super) model: Model,
    pub(super) now: Duration,
}

impl Desk {
    pub(super) fn new(node: &Value, options: &Options) -> Self {
        Self::with(snapshot(node), options)
    }

    fn with(first: Arc<NodeSnapshot>, options: &Options) -> Self {
        let look = Look::resolve(options, |_| None);
        let mut desk = Self {
            model: Model::new(look, options, 0, first),
            now: Duration::ZERO,
        };
        desk.send(Msg::Resize(80, 24));
        desk
    }

    pub(super) fn plain(node: &Value) -> Self {
        Self::new(node, &options())
    }

    /// Twelve peers after two minutes of traffic that rises and falls.
    pub(super) fn twelve(options: &Options) -> Self {
        Self::busy(twelve(), options)
    }

    /// The same, of whom some are in a group that shares.
    pub(super) fn group() -> Self {
        let mut desk = Self::twelve(&options());
        desk.send(Msg::Swarm(swarm()));
        desk
    }

    /// Some of the twelve.
    pub(super) fn busy(peers: Vec<Value>, options: &Options) -> Self {
        let node = snapshot(&node(peers));
        let mut desk = Self::with(Arc::new(later(&node, 0)), options);
        for second in 1..=120 {
            desk.sample(Arc::new(later(&node, second)));
        }
        for event in events() {
            desk.send(Msg::Event(event));
        }
        desk
    }

    pub(super) fn send(&mut self, msg: Msg) -> Vec<Effect> {
        update(&mut self.model, msg, self.now)
    }

    /// A second passes.
    pub(super) fn sample(&mut self, snapshot: Arc<NodeSnapshot>) {
        self.now += Duration::from_secs(1);
        self.send(Msg::Sample(snapshot));
    }

    pub(super) fn key(&mut self, code: KeyCode) -> Vec<Effect> {
        self.send(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    /// Presses one key per character, Enter for a line's end, and Tab.
    pub(super) fn type_in(&mut self, text: &str) -> Vec<Effect> {
        text.chars()
            .flat_map(|c| match c {
                '\n' => self.key(KeyCode::Enter),
                '\t' => self.key(KeyCode::Tab),
                c => self.key(KeyCode::Char(c)),
            })
            .collect()
    }

    pub(super) fn terminal(&mut self, width: u16, height: u16) -> Terminal<TestBackend> {
        self.send(Msg::Resize(width, height));
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view(&self.model, frame)).unwrap();
        terminal
    }

    pub(super) fn screen(&mut self, width: u16, height: u16) -> String {
        self.terminal(width, height).backend().to_string()
    }
}

pub(super) fn options() -> Options {
    Options {
        color: ColorChoice::Always,
        title: "studio".to_owned(),
        people: People {
            names: names(),
            ..People::default()
        },
        ..Options::default()
    }
}

/// The node `second` seconds later, its rates on a slow wave.
fn later(node: &NodeSnapshot, second: u64) -> NodeSnapshot {
    let wave = |rate: u64| rate * (60 + 40 * (second % 60).abs_diff(30) / 30) / 100;
    let mut node = node.clone();
    node.at_ms = AT_MS - 120_000 + second * 1000;
    let all = node.peers.iter_mut().map(|peer| &mut peer.traffic);
    for traffic in all.chain([&mut node.traffic]) {
        traffic.rx_rate = wave(traffic.rx_rate);
        traffic.tx_rate = wave(traffic.tx_rate);
    }
    node
}
