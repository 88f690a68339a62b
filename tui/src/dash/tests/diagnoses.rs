//! What is said to be wrong with the whole node.

use peerway::NodeSnapshot;
use serde_json::{Value, json};

use super::fixtures::{AT_MS, Desk, Row, id, node, snapshot, twelve};
use crate::dash::{
    diagnoses::{Jump, of},
    msg::Msg,
};

fn relayed(seed: u16) -> Value {
    let row = Row {
        seed,
        state: "relayed",
        path: Some("relay fra1.example.org"),
        why: Some("both_random"),
        rtt_ms: Some(61.0),
        ..Row::OFFLINE
    };
    row.to_value()
}

fn lines(node: &Value) -> Vec<String> {
    of(&Desk::plain(node).model)
}

#[test]
fn nothing_is_wrong_with_a_node_of_which_one_peer_is_relayed() {
    assert_eq!(lines(&node(twelve())), [""; 0]);
    assert_eq!(lines(&node(vec![relayed(1)])), [""; 0]);
    assert_eq!(lines(&node(vec![])), [""; 0]);
}

#[test]
fn peers_that_are_all_relayed_have_one_cause_in_common() {
    let said = lines(&node(vec![relayed(1), relayed(2)]));
    assert!(said[0].contains("all 2 reached peers"), "{said:?}");
}

#[test]
fn relays_that_are_all_reached_by_tcp_say_that_udp_is_blocked() {
    let mut node = node(vec![]);
    for relay in node["relays"].as_array_mut().unwrap() {
        relay["tcp_port"] = json!(443);
    }
    assert!(lines(&node)[0].contains("UDP does not get through"));
    node["relays"][0]["tcp_port"] = Value::Null;
    assert_eq!(lines(&node), [""; 0]);
}

#[test]
fn a_relay_that_is_lost_again_and_again_comes_and_goes() {
    let mut desk = Desk::plain(&node(vec![]));
    let relay = desk.model.data().snapshot.relays[0].url.to_string();
    let mut happens = |minute: u64, event: &str, count: usize| {
        let at_ms = AT_MS - minute * 60_000;
        let mut told = json!({"at_ms": at_ms, "event": event, "relay": relay});
        match event {
            "relay_down" => told["reason"] = json!("x"),
            _ => told["rtt_ms"] = json!(20),
        }
        desk.send(Msg::Event(serde_json::from_value(told).unwrap()));
        assert_eq!(of(&desk.model).len(), count, "{minute} min");
    };
    happens(20, "relay_down", 0);
    for again in [false; 3] {
        happens(9, "relay_down", usize::from(again));
    }
    for (minute, count) in [(5, 0), (1, 1)] {
        happens(minute, "relay_up", 0);
        happens(minute, "relay_down", count);
    }
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("fra1.example.org comes and goes: lost 3 times"),
        "{screen}"
    );
}

#[test]
fn a_clock_that_is_set_is_told_of_for_a_while_and_time_that_passes_is_not() {
    let mut desk = Desk::plain(&node(vec![]));
    let mut later = |after_s: u64, set_s: i64| {
        let mut now = node(vec![]);
        now["uptime_ms"] = json!(273_600_000 + after_s * 1000);
        now["at_ms"] = json!((AT_MS + after_s * 1000).saturating_add_signed(set_s * 1000));
        desk.sample(snapshot(&now));
        of(&desk.model)
    };
    assert_eq!(later(60, 0), [""; 0]);
    assert_eq!(later(61, 2), [""; 0]);
    let said = later(62, -3600);
    assert!(said[0].contains("back by 1h00m"), "{said:?}");
    assert!(later(63, -3600)[0].contains("1s ago"));
    assert_eq!(later(700, -3600), [""; 0]);
    assert_eq!(
        Jump::between(&NodeSnapshot::empty(id(1)), &NodeSnapshot::empty(id(2))),
        None
    );
}
