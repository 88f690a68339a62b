//! `openapi.json` against what the node answers, and both against `docs/control.md`.

mod files;
mod kept;
mod schema;

use std::{collections::BTreeSet, num::NonZeroU32};

use peerway::{
    Cause, GroupSnapshot, LinkReport, MemberSnapshot, MemberStatus, NodeSnapshot, PairSnapshot,
    PathKind, PeerChanges, SecretKey, SwarmSnapshot, Ticket,
};
use peerway_swarm::groups::{GroupView, PostView};
use peerway_swarm::share::{Hash, Kind, Link};
use serde_json::Value;

use self::schema::{DOCUMENT, check, check_complete, document, schema};
use super::{
    GcAsk, GetAsk, GetFailure, GetStep, PinAsk, PipeStep, ShareAsk, StartOptions,
    changes::Change,
    tests::{Node, PATIENCE, endpoint, request},
};
use crate::{
    commons::{Commons, CommonsChange},
    forwarding::{self, ForwardAsk},
    operations::{Failed, FailureKind, Ping, Services, Speed, Step, Why},
    pairing::{self, PairAsk},
    pins::{Freed, PinLine, PinLines, StoreLine},
    proxying::{self, ProxyAsk},
    searches::{BrowseAsk, BrowsePage, SearchAsk, SearchStep},
    servers::{self, ExposeAsk},
    shares::{ShareLine, Wanted},
    transfers::{self, Answer, ReceiveAsk, SendAsk},
};

const SERVER: &str = include_str!("server.rs");
const PAGE: &str = include_str!("../../../docs/control.md");
/// All that a snapshot and events can have, as the library holds it.
const SNAPSHOT: &str = include_str!("../../../core/proto/src/tests/json/snapshot.json");
const EVENTS: &str = include_str!("../../../core/proto/src/tests/json/events.json");

/// Methods and paths, as the server routes them.
fn routes() -> BTreeSet<(String, String)> {
    let (v1, root) = SERVER.split_once(".nest(V1").unwrap();
    let mut routes = BTreeSet::new();
    for (prefix, source) in [("/v1", v1), ("", root)] {
        for route in source.split(".route(").skip(1) {
            let (_, route) = route.split_once('"').unwrap();
            let (path, rest) = route.split_once('"').unwrap();
            // To the next of the chain.
            let line = rest.split("\n        .").next().unwrap();
            for method in ["get", "post", "delete", "put", "patch"] {
                if line.contains(&format!("{method}(")) {
                    let path = path.replace("{*path}", "{path}");
                    routes.insert((method.to_owned(), format!("{prefix}{path}")));
                }
            }
        }
    }
    routes
}

#[test]
fn every_route_is_documented_and_no_other() {
    let document = document();
    let mut told = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys();
        for method in methods.filter(|key| *key != "parameters") {
            told.insert((method.clone(), path.clone()));
        }
    }
    assert_eq!(told, routes());
    assert!(told.len() > 10, "{told:?}");
    for (method, path) in told {
        let row = format!(
            "| `{} {}`",
            method.to_uppercase(),
            path.replace("{id}", "ID")
                .replace("{path}", "PATH")
                .replace("{name}", "NAME")
        );
        assert!(PAGE.contains(&row), "{row} is not on the page");
    }
}

#[test]
fn every_key_of_a_swarm_is_documented_and_no_other() {
    let id = |seed| SecretKey::from_seed(&[seed; 32]).id();
    let mut says = LinkReport::new(PathKind::Relay);
    says.why = Some(Cause::BothRandom);
    let mut pair = PairSnapshot::new(id(1), id(2));
    (pair.a_says, pair.b_says) = (Some(says.clone()), Some(says));
    let mut member = MemberSnapshot::silent(id(1));
    member.status = Some(MemberStatus::default());
    let mut group = GroupSnapshot::default();
    (group.members, group.pairs) = (vec![member], vec![pair]);
    let mut swarm = SwarmSnapshot::default();
    swarm.groups = vec![group];
    let swarm = serde_json::to_value(swarm).unwrap();
    check(&swarm, &schema("Swarm"), "swarm");
    check_complete(&swarm, &schema("Swarm"), "swarm");
}

/// What is kept of them may be damaged, or the disk full.
#[test]
fn that_groups_may_fail_at_the_disk_is_documented_of_all_that_is_about_them() {
    let document = document();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().iter();
        for (method, told) in methods.filter(|_| path.starts_with("/v1/groups")) {
            assert!(
                method == "parameters" || told["responses"]["500"].is_object(),
                "{method} {path}"
            );
        }
    }
}

#[test]
fn every_key_of_a_group_is_documented_and_no_other() {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let member = serde_json::json!({
        "id": id, "role": "member", "since_ms": 1, "by": id, "linked": true, "directory": true,
    });
    let group = serde_json::json!({
        "id": "a", "name": "home", "role": "admin", "members": [member], "posts": 1, "unread": 1,
        "invites": 1, "has_key": true, "refused": 0,
        "former": [{"id": id, "role": "member", "until_ms": 1, "removed": true}], "published": 1, "unkept": "a",
    });
    let group: GroupView = serde_json::from_value(group).unwrap();
    let post = serde_json::json!({"id": "a", "author": id, "sent_ms": 1, "text": "a"});
    let post: PostView = serde_json::from_value(post).unwrap();
    for (name, told) in [
        ("Group", serde_json::to_value(group).unwrap()),
        ("Post", serde_json::to_value(post).unwrap()),
    ] {
        check(&told, &schema(name), name);
        check_complete(&told, &schema(name), name);
    }
}

#[test]
fn every_key_of_what_is_shared_and_said_is_documented_and_no_other() {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let content = serde_json::json!({
        "hash": Hash::of(b""), "name": "a", "kind": "file", "state": "fetching", "reason": "b", "public": true, "path": "/a",
        "files": 1, "files_done": 1, "bytes": 1, "bytes_done": 1, "received": 1, "sent": 1, "pieces": [1],
        "peers": [{"id": id, "has": 1, "received": 1, "sent": 1, "active": true, "place": 1}],
    });
    let member = serde_json::json!({"id": id, "role": "member", "since_ms": 1, "by": id, "linked": true, "directory": true});
    let former = serde_json::json!({"id": id, "role": "member", "until_ms": 1, "removed": true});
    let group = serde_json::json!({
        "id": "a", "name": "home", "role": "admin", "members": [member], "posts": 1, "unread": 1,
        "invites": 1, "has_key": true, "refused": 0, "former": [former], "published": 1, "unkept": "a",
    });
    let post = serde_json::json!({"id": "a", "author": id, "sent_ms": 1, "text": "a"});
    let transfer = files::transfer(id);
    let served = serde_json::json!({
        "name": "web", "target": "127.0.0.1:80", "allow": ["anna"], "limit": "20mbit", "kept": true, "state": "ready",
        "reason": "a", "clients": [{"id": id, "open": 1}], "received": 1, "sent": 1,
    });
    let commons = serde_json::json!({
        "at_ms": 1, "contents": [content], "groups": [{"group": group, "posts": [post]}],
        "transfers": [transfer], "servers": [served],
    });
    let change = serde_json::json!({
        "at_ms": 1, "contents": [content], "contents_gone": [Hash::of(b"")], "groups": [group],
        "posts": {"a": [post]}, "groups_gone": ["a"], "transfers": [transfer], "servers": [served],
    });
    let commons: Commons = serde_json::from_value(commons).unwrap();
    let change: CommonsChange = serde_json::from_value(change).unwrap();
    for (name, told) in [
        ("Commons", serde_json::to_value(commons).unwrap()),
        ("CommonsChange", serde_json::to_value(change).unwrap()),
    ] {
        check(&told, &schema(name), name);
        check_complete(&told, &schema(name), name);
        let mut keys = told.as_object().unwrap().keys();
        assert!(
            keys.all(|key| PAGE.contains(&format!("\"{key}\""))),
            "{name}: not all keys are on the page"
        );
    }
}

#[test]
fn every_key_of_the_steps_is_documented_and_no_other() {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let node = serde_json::to_value(NodeSnapshot::empty(id)).unwrap();
    let path =
        serde_json::json!({"kind": "direct", "remote": "192.0.2.1:1", "lan": false, "tcp": false});
    let peer = serde_json::json!({
        "id": id, "state": "direct", "path": path, "state_age_ms": 0, "loss": 0.0, "connections": 0,
        "traffic": node["traffic"], "probes_sent": 0, "probes_answered": 0,
    });
    let steps = serde_json::json!([
        {"event": "hint", "text": "a"},
        {"event": "online", "online_ms": 1.0},
        {"event": "connected", "connected_ms": 1.0},
        {"event": "direct", "after_ms": 1.0},
        {"event": "reply", "seq": 1, "rtt_ms": 1.0, "path": path, "after_ms": 1.0},
        {"event": "lost", "seq": 1},
        {"event": "path", "path": path},
        {"event": "downloaded", "down_mbps": 1.0},
        {"event": "measured", "down_mbps": 1.0, "up_mbps": 1.0, "path": path},
        {"event": "explained", "peer": peer},
        {"event": "network", "node": node},
        {"event": "services", "services": [{"service": "web", "transport": "tcp"}]},
        {"event": "done"},
        {"event": "failed", "kind": "busy", "error": "a"},
    ]);
    let told: Vec<Step> = serde_json::from_value(steps).unwrap();
    // A step that is new has to be told of here, on the page and in the document.
    let kind = |step: &Step| match step {
        Step::Hint { .. } => "hint",
        Step::Online { .. } => "online",
        Step::Connected { .. } => "connected",
        Step::Direct { .. } => "direct",
        Step::Reply { .. } => "reply",
        Step::Lost { .. } => "lost",
        Step::Path { .. } => "path",
        Step::Downloaded { .. } => "downloaded",
        Step::Measured { .. } => "measured",
        Step::Explained { .. } => "explained",
        Step::Network { .. } => "network",
        Step::Services { .. } => "services",
        Step::Done => "done",
        Step::Failed(_) => "failed",
    };
    let kinds: Vec<_> = told.iter().map(kind).collect();
    let schema = schema("Step");
    assert_eq!(
        schema["properties"]["event"]["enum"],
        serde_json::json!(kinds)
    );
    let mut keys = BTreeSet::new();
    for (step, kind) in told.iter().zip(kinds) {
        let json = serde_json::to_value(step).unwrap();
        assert_eq!(json["event"], kind);
        check(&json, &schema, kind);
        keys.extend(json.as_object().unwrap().keys().cloned());
        assert!(
            PAGE.contains(&format!("`{kind}`")),
            "{kind} is not on the page"
        );
    }
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(keys, properties.keys().cloned().collect());
}

#[test]
fn every_key_about_files_is_documented_and_no_other() {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let send = SendAsk {
        ticket: id.into(),
        paths: vec!["/a".into()],
    };
    let receive = ReceiveAsk {
        folder: "/a".into(),
        overwrite: true,
        from: Some(id),
        ask: true,
    };
    let pair = PairAsk {
        code: Some("a".to_owned()),
        name: Some("a".to_owned()),
    };
    for (name, value) in [
        ("PairAsk", serde_json::to_value(pair)),
        ("SendAsk", serde_json::to_value(send)),
        ("ReceiveAsk", serde_json::to_value(receive)),
        ("Answer", serde_json::to_value(Answer { take: true })),
    ] {
        let value = value.unwrap();
        check(&value, &schema(name), name);
        check_complete(&value, &schema(name), name);
        let mut keys = value.as_object().unwrap().keys();
        assert!(
            keys.all(|key| PAGE.contains(&format!("\"{key}\""))),
            "{name}"
        );
    }
    let steps = serde_json::json!([
        {"event": "hint", "text": "a"},
        {"event": "receiving", "folder": "/a"},
        {"event": "offering", "peer": id, "name": "a", "names": ["a"], "selected": 1, "files": 1, "bytes": null},
        {"event": "offered", "transfer": 1, "peer": id, "name": "a", "names": ["a"], "selected": 1, "files": 1, "bytes": 1},
        {"event": "withdrawn", "transfer": 1},
        {"event": "declined", "transfer": 1},
        {"event": "progress", "transfer": 1, "files": 1, "files_done": 1, "bytes": 1, "bytes_done": 1, "bytes_held": 1},
        {"event": "sent", "peer": id, "name": "a", "files": 1, "bytes": 1, "resumed": 1, "missing": 1,
            "problems": [{"path": "a", "reason": "a"}]},
        {"event": "received", "transfer": 1, "peer": id, "name": "a", "folder": "/a", "files": 1, "bytes": 1, "resumed": 1,
            "missing": 0, "problems": []},
        {"event": "failed", "transfer": 1, "peer": null, "kind": "refused", "error": "a"},
    ]);
    let told: Vec<transfers::Step> = serde_json::from_value(steps.clone()).unwrap();
    let schema = schema("TransferStep");
    let (mut kinds, mut keys) = (Vec::new(), BTreeSet::new());
    for (step, as_told) in told.iter().zip(steps.as_array().unwrap()) {
        let json = serde_json::to_value(step).unwrap();
        assert_eq!(json, *as_told);
        check(&json, &schema, "TransferStep");
        let kind = kind_of_transfer(step);
        assert_eq!(json["event"], kind);
        assert!(
            PAGE.contains(&format!("`{kind}`")),
            "{kind} is not on the page"
        );
        kinds.push(kind);
        keys.extend(json.as_object().unwrap().keys().cloned());
    }
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties["event"]["enum"], serde_json::json!(kinds));
    assert_eq!(keys, properties.keys().cloned().collect());
}

#[test]
fn every_key_of_pairing_is_documented_and_no_other() {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let ticket = Ticket::from(id);
    let failed = Failed {
        kind: FailureKind::Busy,
        error: "a".to_owned(),
    };
    let steps = [
        pairing::Step::Hint {
            text: String::new(),
        },
        pairing::Step::Code {
            code: String::new(),
        },
        pairing::Step::Paired {
            name: String::new(),
            id,
            ticket,
        },
        pairing::Step::Failed(failed),
    ];
    let schema = schema("PairStep");
    let mut keys = BTreeSet::new();
    for (step, kind) in steps.iter().zip(["hint", "code", "paired", "failed"]) {
        let json = serde_json::to_value(step).unwrap();
        assert_eq!(json["event"], kind);
        check(&json, &schema, kind);
        keys.extend(json.as_object().unwrap().keys().cloned());
        assert!(PAGE.contains(&format!("`{kind}`")), "{kind}");
    }
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(keys, properties.keys().cloned().collect());
}

/// What some steps are, against a schema that tells of just these.
fn check_steps(told: &[Value], schema: &str) {
    let schema = self::schema(schema);
    let (mut kinds, mut keys) = (Vec::new(), BTreeSet::new());
    for step in told {
        check(step, &schema, &step.to_string());
        let kind = step["event"].as_str().unwrap();
        assert!(PAGE.contains(&format!("`{kind}`")), "{kind}");
        kinds.push(kind);
        keys.extend(step.as_object().unwrap().keys().cloned());
    }
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties["event"]["enum"], serde_json::json!(kinds));
    assert_eq!(keys, properties.keys().cloned().collect());
}

#[test]
fn every_key_of_what_is_served_for_a_command_is_documented_and_no_other() {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let forward = serde_json::json!({
        "ticket": Ticket::from(id), "service": "web", "listen": "127.0.0.1:9000", "fail_fast": true,
    });
    let server = serde_json::json!({"name": "web", "target": "127.0.0.1:80", "allow": ["anna"],
        "limit": "20mbit"});
    let expose = serde_json::json!({ "servers": [server] });
    let forward: ForwardAsk = serde_json::from_value(forward).unwrap();
    let expose: ExposeAsk = serde_json::from_value(expose).unwrap();
    for (name, value) in [
        ("ForwardAsk", serde_json::to_value(forward)),
        ("ExposeAsk", serde_json::to_value(expose)),
    ] {
        let value = value.unwrap();
        check(&value, &schema(name), name);
        check_complete(&value, &schema(name), name);
    }
    let id = id.to_string();
    let event = serde_json::json!({"at_ms": 1, "event": "path_changed", "peer": id, "path": null, "rtt_ms": null});
    let steps = serde_json::json!([
        {"event": "hint", "text": "a"},
        {"event": "listening", "addr": "127.0.0.1:9000"},
        {"event": "reached"},
        {"event": "waiting", "kind": "unreachable", "error": "a"},
        {"event": "way", "happened": event},
        {"event": "refused", "reason": "a", "by": "target"},
        {"event": "cut", "reason": "a"},
        {"event": "datagrams", "flows": 1, "displaced": 1, "sent": 1, "received": 1, "overflowed": 1, "lost": 1,
            "incomplete": 1, "refused": 1},
        {"event": "failed", "kind": "busy", "error": "a"},
    ]);
    let steps: Vec<forwarding::Step> = serde_json::from_value(steps).unwrap();
    let told: Vec<_> = steps
        .iter()
        .map(|it| serde_json::to_value(it).unwrap())
        .collect();
    check_steps(&told, "ForwardStep");
    let names = vec!["web".to_owned()];
    let told = serde_json::to_value(servers::Step::Exposed { names });
    check_steps(&[told.unwrap()], "ExposeStep");
}

#[test]
fn every_key_of_proxies_and_pipes_is_documented_and_no_other() {
    let ask: ProxyAsk =
        serde_json::from_value(serde_json::json!({"listen": "127.0.0.1:0"})).unwrap();
    let ask = serde_json::to_value(ask).unwrap();
    check(&ask, &schema("ProxyAsk"), "ProxyAsk");
    check_complete(&ask, &schema("ProxyAsk"), "ProxyAsk");
    let steps = serde_json::json!([
        {"event": "listening", "addr": "127.0.0.1:1080"},
        {"event": "refused", "name": "a.b.peer", "reason": "a"},
        {"event": "datagrams", "sent": 1, "received": 1, "fragments": 1, "refused": 1, "strangers": 1},
    ]);
    let steps: Vec<proxying::Step> = serde_json::from_value(steps).unwrap();
    let told = |step| serde_json::to_value(step).unwrap();
    check_steps(&steps.iter().map(told).collect::<Vec<_>>(), "ProxyStep");
    let steps = serde_json::json!([
        {"event": "hint", "text": "a"},
        {"event": "reached"},
        {"event": "done"},
        {"event": "failed", "kind": "busy", "error": "a"},
    ]);
    let steps: Vec<PipeStep> = serde_json::from_value(steps).unwrap();
    let told = |step| serde_json::to_value(step).unwrap();
    check_steps(&steps.iter().map(told).collect::<Vec<_>>(), "PipeStep");
}

#[cfg(all(feature = "subnet", target_os = "linux"))]
#[test]
fn every_key_of_links_is_documented_and_no_other() {
    use crate::linking::{LinkAsk, Step};
    let id = SecretKey::from_seed(&[1; 32]).id();
    let ask = serde_json::json!({
        "tickets": [Ticket::from(id)], "advertise": ["192.168.7.0/24"], "accept": ["10.0.0.0/8"],
    });
    let ask: LinkAsk = serde_json::from_value(ask).unwrap();
    let ask = serde_json::to_value(ask).unwrap();
    check(&ask, &schema("LinkAsk"), "LinkAsk");
    check_complete(&ask, &schema("LinkAsk"), "LinkAsk");
    let steps = serde_json::json!([
        {"event": "device", "device": "peerway0", "v4": "100.64.0.1", "v6": null, "hints": ["a"]},
        {"event": "link", "peer": id, "up": true, "addresses": ["100.64.0.2"], "trouble": null,
            "routes": [{"net": "10.0.0.0/8", "seen_as": "10.0.0.0/8"}], "refused": [{"net": "0.0.0.0/0", "why": "a"}]},
        {"event": "failed", "kind": "not_permitted", "error": "a"},
    ]);
    let steps: Vec<Step> = serde_json::from_value(steps).unwrap();
    let told: Vec<_> = steps
        .iter()
        .map(|it| serde_json::to_value(it).unwrap())
        .collect();
    check_steps(&told, "LinkStep");
}

/// A step that is new has to be told of above, on the page and in the document.
fn kind_of_transfer(step: &transfers::Step) -> &'static str {
    match step {
        transfers::Step::Hint { .. } => "hint",
        transfers::Step::Receiving { .. } => "receiving",
        transfers::Step::Offering { .. } => "offering",
        transfers::Step::Offered { .. } => "offered",
        transfers::Step::Withdrawn { .. } => "withdrawn",
        transfers::Step::Declined { .. } => "declined",
        transfers::Step::Progress { .. } => "progress",
        transfers::Step::Sent { .. } => "sent",
        transfers::Step::Received { .. } => "received",
        transfers::Step::Failed { .. } => "failed",
    }
}

fn kept(link: &Link) -> PinLines {
    let pin = PinLine {
        name: "a".to_owned(),
        hash: link.hash,
        kind: Kind::File,
        files: 1,
        bytes: 1,
        public: true,
        until_ms: Some(1),
        whole: true,
        link: link.clone(),
    };
    let store = StoreLine {
        bytes: 1,
        pinned: 1,
        quota: 1,
    };
    PinLines {
        pins: vec![pin],
        store,
    }
}

/// An object is in the document as it is, and its keys are on the page.
fn check_told(name: &str, value: &Value) {
    check(value, &schema(name), name);
    check_complete(value, &schema(name), name);
    let mut keys = value.as_object().unwrap().keys();
    let told = |key: &String| PAGE.contains(&format!("\"{key}\""));
    assert!(keys.all(told), "{name}: not all keys are on the page");
}

#[test]
fn every_key_about_kept_content_is_documented_and_no_other() {
    let link: Link = Link::new(Hash::of(b""), 0, Kind::File, "a");
    let pins = kept(&link);
    let ask = PinAsk {
        link,
        name: Some("a".to_owned()),
        until_ms: Some(1),
    };
    let gc = GcAsk {
        all: true,
        quota: Some(1),
    };
    let freed = Freed {
        contents: 1,
        freed: 1,
        store: pins.store,
    };
    for (name, value) in [
        ("PinAsk", serde_json::to_value(ask)),
        ("GcAsk", serde_json::to_value(gc)),
        ("Pins", serde_json::to_value(pins)),
        ("Freed", serde_json::to_value(freed)),
    ] {
        check_told(name, &value.unwrap());
    }
}

#[test]
fn every_key_about_shared_content_is_documented_and_no_other() {
    let link: Link = Link::new(Hash::of(b""), 0, Kind::File, "a");
    let pin = Box::new(kept(&link).pins[0].clone());
    let share = ShareLine {
        hash: link.hash,
        name: "a".to_owned(),
        kind: Kind::File,
        files: 1,
        bytes: 0,
        public: true,
        searchable: true,
        path: "/a".into(),
        skipped: vec!["b".to_owned()],
        changed: 1,
        watched: true,
        link: Some(link.clone()),
    };
    let ask = ShareAsk {
        path: "/a".into(),
        public: true,
        searchable: true,
    };
    let get = GetAsk {
        link: Wanted::Link(link),
        folder: "/b".into(),
        name: Some("c".to_owned()),
        overwrite: true,
    };
    for (name, value) in [
        ("Share", serde_json::to_value(share)),
        ("ShareAsk", serde_json::to_value(ask)),
        ("GetAsk", serde_json::to_value(get)),
    ] {
        check_told(name, &value.unwrap());
    }
    let progress = GetStep::Progress {
        files: 1,
        files_done: 1,
        bytes: 1,
        bytes_done: 1,
        bytes_held: 1,
    };
    let got = GetStep::Got {
        path: "/a".into(),
        files: 1,
        bytes: 1,
        resumed: 1,
    };
    let failed = GetStep::Failed {
        reason: "a".to_owned(),
        kind: GetFailure::Refused,
    };
    let hint = GetStep::Hint {
        text: "a".to_owned(),
    };
    for step in [progress, hint, got, GetStep::Pinned { pin }, failed] {
        let step = serde_json::to_value(step).unwrap();
        check(&step, &schema("GetStep"), "GetStep");
    }
}

#[test]
fn every_key_about_searches_is_documented_and_no_other() {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let link = Link::new(Hash::of(b""), 0, Kind::File, "a");
    let ask = serde_json::json!({"words": "a", "group": "home", "timeout_ms": 1});
    let browse = serde_json::json!({"ticket": Ticket::from(id), "from": 1});
    let name = serde_json::json!({
        "hash": link.hash, "name": "a", "kind": "file", "size": 1, "public": true, "link": link,
    });
    let page = serde_json::json!({"names": [name], "total": 1, "next": 1});
    let ask: SearchAsk = serde_json::from_value(ask).unwrap();
    let browse: BrowseAsk = serde_json::from_value(browse).unwrap();
    let page: BrowsePage = serde_json::from_value(page).unwrap();
    for (name, value) in [
        ("SearchAsk", serde_json::to_value(ask)),
        ("BrowseAsk", serde_json::to_value(browse)),
        ("BrowsePage", serde_json::to_value(page)),
    ] {
        let value = value.unwrap();
        check(&value, &schema(name), name);
        check_complete(&value, &schema(name), name);
    }
    let steps = serde_json::json!([
        {"event": "asking", "peers": 1, "book": 1, "groups": [{"name": "home", "members": 1, "form": "both", "directories": 1}]},
        {
            "event": "row", "hash": link.hash, "name": "a", "other_names": ["b"], "kind": "file", "size": 1,
            "public": true, "publishers": [id], "count": 1, "confirmed": false, "by_directory": true,
            "offline": [id], "link": link,
        },
        {"event": "unanswered", "peer": id, "reason": "a", "directory": "home"},
        {"event": "done", "asked": 1, "answered": 1, "directories": 1, "directories_answered": 1, "rows": 1, "more": 1, "unsent": 1, "dropped": 1},
    ]);
    let told: Vec<SearchStep> = serde_json::from_value(steps).unwrap();
    let mut keys = BTreeSet::new();
    for step in &told {
        let step = serde_json::to_value(step).unwrap();
        check(&step, &schema("SearchStep"), "SearchStep");
        keys.extend(step.as_object().unwrap().keys().cloned());
    }
    let schema = schema("SearchStep");
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(keys, properties.keys().cloned().collect());
}

#[test]
fn every_key_of_what_is_asked_is_documented_and_no_other() {
    let ticket = Ticket::from(SecretKey::from_seed(&[1; 32]).id());
    let timeout_ms = Some(1);
    let ping = Ping {
        ticket: ticket.clone(),
        count: NonZeroU32::new(1),
        until_direct: true,
        timeout_ms,
    };
    let why = Why {
        ticket: ticket.clone(),
        timeout_ms,
    };
    let speed = Speed {
        ticket: ticket.clone(),
        duration_ms: Some(1),
    };
    let services = Services { ticket };
    for (name, asked) in [
        ("Ping", serde_json::to_value(ping)),
        ("Why", serde_json::to_value(why)),
        ("Speed", serde_json::to_value(speed)),
        ("ServicesOf", serde_json::to_value(services)),
        (
            "StartOptions",
            serde_json::to_value(StartOptions::default()),
        ),
    ] {
        let asked = asked.unwrap();
        check(&asked, &schema(name), name);
        check_complete(&asked, &schema(name), name);
    }
}

#[test]
fn every_key_of_a_snapshot_and_of_events_is_documented_and_no_other() {
    let snapshot: Value = serde_json::from_str(SNAPSHOT).unwrap();
    let node = schema("Node");
    check(&snapshot, &node, "");
    check_complete(&snapshot, &node, "");
    let events: Vec<Value> = serde_json::from_str(EVENTS).unwrap();
    let event = schema("Event");
    let mut keys = BTreeSet::new();
    for of in &events {
        check(of, &event, "");
        keys.extend(of.as_object().unwrap().keys().cloned());
    }
    let told: BTreeSet<_> = event["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(told, keys);
    let kinds: Vec<_> = events.iter().map(|of| of["event"].clone()).collect();
    assert_eq!(event["properties"]["event"]["enum"], Value::Array(kinds));
}

#[test]
fn every_key_of_changes_is_documented_and_no_other() {
    let mut node: Value = serde_json::from_str(SNAPSHOT).unwrap();
    node["gone"] = serde_json::json!([node["id"]]);
    let mut changed = node["peers"][0].clone();
    changed["place"] = 0.into();
    changed["called"] = true.into();
    changed["ending"] = true.into();
    changed["rtt_age_ms"] = 900.into();
    changed.as_object_mut().unwrap().remove("id");
    let read: PeerChanges = serde_json::from_value(changed.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), changed);
    node["changed"] = serde_json::json!([changed]);
    let change = serde_json::json!({"seq": 0, "more": false, "node": node});
    check_complete(&change, &schema("Change"), "");
    let mut snapshot = NodeSnapshot::empty(SecretKey::from_seed(&[1; 32]).id());
    let mut whole = serde_json::to_value(Change::whole(&snapshot)).unwrap();
    let nothing = snapshot.follow(&snapshot.clone());
    whole["node"]["gone"] = node["gone"].clone();
    for (change, place) in [(change, "all"), (whole, "whole")] {
        check(&change, &schema("Change"), place);
    }
    let nothing = serde_json::to_value(nothing).unwrap();
    check(&nothing, &schema("NodeChanges"), "nothing");
}

#[tokio::test]
async fn what_a_node_answers_is_as_documented() {
    let (node, peer) = (Node::start().await, endpoint().await);
    let client = node.client().await;
    let answering = async { while peer.accept().await.is_some() {} };
    let asking = async {
        let mut snapshots = node.endpoint.snapshots();
        client.connect(&peer.ticket()).await.unwrap();
        let linked = snapshots.wait_for(|seen| seen.peers.iter().any(|it| it.path.is_some()));
        drop(linked.await.unwrap());
        let id = peer.id();
        for (line, name) in [
            ("GET /v1/version".to_owned(), "Version"),
            ("GET /v1/status".to_owned(), "Node"),
            (format!("GET /v1/peers/{id}"), "Peer"),
            ("GET /v1/nothing".to_owned(), "Error"),
            (format!("DELETE /v1/peers/{}", node.endpoint.id()), "Error"),
        ] {
            let answer = node.raw(&request(&line, "")).await;
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            check(&serde_json::from_str(body).unwrap(), &schema(name), &line);
        }
        let served = node.raw(&request("GET /v1/openapi.json", "")).await;
        assert!(served.ends_with(DOCUMENT));
    };
    tokio::select! {
        () = answering => {}
        asked = tokio::time::timeout(PATIENCE, asking) => asked.unwrap(),
    }
}
