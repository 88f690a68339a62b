//! What the node serves whenever it runs.

use peerway::SecretKey;
use peerway_swarm::share::Hash;

use super::schema::{check, check_complete, schema};
use crate::kept::{
    self, ExposeLine, ForwardLine, KeptLines, LinkLine, Linked, ServiceChange, State, UploadLine,
    WatchLine,
    link::{Refused, Route},
};
use crate::servers::Client;

#[test]
fn every_key_about_kept_services_is_documented_and_no_other() {
    let text = |text: &str| text.to_owned();
    let id = SecretKey::from_seed(&[1; 32]).id();
    let lines = KeptLines {
        expose: vec![ExposeLine {
            name: text("web"),
            target: text("127.0.0.1:80"),
            allow: vec![text("anna")],
            limit: Some(text("20mbit")),
            state: Some(State::Waiting),
            reason: Some(text("a")),
            clients: vec![Client { id, open: 1 }],
            received: 1,
            sent: 1,
        }],
        forward: vec![ForwardLine {
            service: text("nas/web"),
            listen: text("127.0.0.1:9000"),
            state: Some(State::Failed),
            reason: None,
        }],
        link: vec![LinkLine {
            peer: text("nas"),
            advertise: vec![text("192.168.7.0/24")],
            accept: vec![text("10.0.0.0/8")],
            state: Some(State::Ready),
            reason: Some(text("a")),
            linked: Linked {
                device: Some(text("peerway0")),
                own: vec!["100.64.0.1".parse().unwrap()],
                addresses: vec!["100.64.0.2".parse().unwrap()],
                routes: vec![Route {
                    net: text("10.0.0.0/8"),
                    seen_as: text("10.0.0.0/8"),
                }],
                refused: vec![Refused {
                    net: text("10.1.0.0/16"),
                    why: text("a"),
                }],
            },
        }],
        watch: vec![WatchLine {
            folder: text("/films"),
            public: true,
            searchable: true,
            state: Some(State::Ready),
            reason: Some(text("a")),
            hash: Some(Hash::of(b"")),
            files: 1,
            bytes: 1,
        }],
        upload: UploadLine {
            limits: vec![text("2mbit")],
            now: Some(text("2mbit")),
        },
        trouble: Some(text("a")),
    };
    let change = ServiceChange {
        at_ms: 1,
        kind: kept::Kind::Forward,
        service: text("nas/web"),
        addr: text("127.0.0.1:9000"),
        state: State::Ready,
        reason: None,
    };
    for (name, value) in [
        ("Services", serde_json::to_value(lines)),
        ("ServiceChange", serde_json::to_value(change)),
    ] {
        let value = value.unwrap();
        check(&value, &schema(name), name);
        check_complete(&value, &schema(name), name);
    }
}
