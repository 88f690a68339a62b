//! The views behind the tabs and the page of a peer: screens at every size, and what each is for.

use insta::assert_snapshot;
use serde_json::json;

use super::{
    fixtures::{AT_MS, Desk, id, node, options, snapshot, twelve},
    screens::{SIZES, first, states},
};
use crate::dash::{Options, msg::Msg};

/// The keys that lead from the overview to each view, and to the page of a relayed peer.
const VIEWS: [&str; 7] = ["2", "jjjj\n", "jjjj\n\t", "3", "4", "5", "6"];

#[test]
fn every_view_fits_every_size() {
    for (name, keys) in [
        ("peers", "2"),
        ("page", "jjjj\n"),
        ("network", "3"),
        ("flows", "4"),
        ("map", "5"),
        ("events", "6"),
    ] {
        for (width, height) in SIZES {
            let mut desk = first(12);
            desk.type_in(keys);
            let screen = desk.screen(width, height);
            assert_snapshot!(format!("{name}_{width}x{height}"), screen);
        }
    }
}

#[test]
fn every_view_reads_well_in_every_state_of_the_node() {
    for (name, node) in states() {
        for (view, keys) in [
            ("page", "\n"),
            ("network", "3"),
            ("flows", "4"),
            ("map", "5"),
        ] {
            let mut desk = Desk::plain(&node);
            desk.type_in(keys);
            assert_snapshot!(format!("state_{name}_{view}"), desk.screen(80, 24));
        }
    }
}

#[test]
fn a_relayed_peers_page_says_what_was_tried_and_what_would_help() {
    let mut desk = first(12);
    desk.type_in("jjjj\n");
    let screen = desk.screen(120, 40);
    for told in [
        "Why is build-box relayed?",
        "both routers choose random",
        "Switch on UPnP or PCP in either router",
        "Next try in 38 s",
        "1 IPv6   neither side has IPv6",
        "your NAT: symmetric, random ports",
        "✗ 0/12",
        "12 probes to 1 address in 160 ms",
        "▒ relay fra1",
        "p50 61",
        "✗ 203.0.113.77:41641      198.51.100.40:10233",
        "0/12     –  1.2 s    38s next round",
    ] {
        assert!(screen.contains(told), "{told}:\n{screen}");
    }
}

#[test]
fn a_page_lists_the_events_of_its_peer_alone() {
    let mut desk = first(12);
    desk.type_in("jj\n");
    let screen = desk.screen(120, 40);
    assert!(screen.contains("Events · phone"), "{screen}");
    assert!(
        screen.contains("data goes direct v4") && !screen.contains("nyc1"),
        "{screen}"
    );
}

#[test]
fn the_strip_shows_each_way_with_its_share() {
    let mut desk = Desk::plain(&node(vec![]));
    let relay = |host: &str, seed| json!({"kind": "relay", "remote": format!("relay://{}@{host}:4433", id(seed))});
    let direct =
        json!({"kind": "direct", "remote": "198.51.100.9:6112", "lan": false, "tcp": false});
    for (before_s, path) in [
        (100, relay("fra1.example.org", 900)),
        (80, relay("ams2.example.org", 901)),
        (50, direct),
    ] {
        let event = json!({"at_ms": AT_MS - before_s * 1000, "event": "path_changed", "peer": id(3), "path": path, "rtt_ms": null});
        desk.send(Msg::Event(serde_json::from_value(event).unwrap()));
    }
    desk.sample(snapshot(&node(vec![twelve().remove(2)])));
    desk.type_in("\n");
    let screen = desk.screen(120, 40);
    for told in [
        "2 switches · direct 50 % · relay fra1 20 % · relay ams2",
        "▒▒▒▒",
        "░░░░",
        "████",
    ] {
        assert!(screen.contains(told), "{told}:\n{screen}");
    }
}

#[test]
fn the_map_has_relayed_peers_below_their_relay_and_becomes_a_tree() {
    let mut desk = first(12);
    desk.type_in("5");
    let screen = desk.screen(120, 40);
    let line = |text: &str| {
        let line = screen.lines().position(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("{text}:\n{screen}"))
    };
    assert_eq!(line("◐ build-box"), line("◇ fra1") + 1);
    assert_eq!(line("◐ cafe"), line("◇ ams2") + 1);
    let before = desk.model.cursor;
    desk.type_in("k");
    assert_ne!(desk.model.cursor, before);
    desk.type_in("t");
    let tree = desk.screen(120, 40);
    assert!(tree.contains("◇ fra1.example.org 18 ms · 1"), "{tree}");
    assert_snapshot!("map_tree", desk.screen(80, 24));
    desk.type_in("\n");
    assert!(desk.model.page.is_some());
}

#[test]
fn events_can_be_limited_to_warnings_and_lead_to_their_peer() {
    let mut desk = first(12);
    desk.type_in("6");
    assert!(desk.screen(120, 40).contains("outgoing connection"));
    desk.type_in("ll");
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("level: warnings") && !screen.contains("outgoing connection"),
        "{screen}"
    );
    desk.type_in("\n");
    assert_eq!(desk.model.page, Some(id(10)));
}

#[test]
fn an_event_that_is_longer_than_a_line_takes_several_where_that_is_wanted() {
    let mut desk = first(12);
    desk.screen(60, 20);
    desk.type_in("6");
    let cut = desk.screen(60, 20);
    desk.type_in("w");
    let screen = desk.screen(60, 20);
    assert_ne!(cut, screen);
    assert_snapshot!("events_wrapped_60x20", screen);
    for key in ["G", "k", "k", "gg"] {
        desk.type_in(key);
        let screen = desk.screen(40, 10);
        assert!(
            screen.contains('▌'),
            "the selected one is not seen after {key}:\n{screen}"
        );
    }
    desk.type_in("w");
    assert_eq!(desk.screen(60, 20), cut);
}

#[test]
fn an_expanded_panel_of_a_page_has_the_screen() {
    let mut desk = first(12);
    desk.type_in("jjjj\n\te");
    let screen = desk.screen(80, 24);
    assert!(
        screen.contains("Candidate pairs · 3") && !screen.contains("Path history"),
        "{screen}"
    );
}

#[test]
fn every_view_is_ascii_where_that_is_wanted_and_hides_addresses() {
    for keys in VIEWS {
        let mut desk = Desk::twelve(&Options {
            ascii: true,
            ..options()
        });
        desk.type_in(keys);
        let screen = desk.screen(120, 40);
        assert!(screen.is_ascii(), "{keys:?}:\n{screen}");
        desk.type_in("v");
        for (width, height) in [(80, 24), (120, 40), (200, 60)] {
            let screen = desk.screen(width, height);
            for address in [
                "203.0.113",
                "2001:db8",
                "198.51.100",
                "192.168.1",
                "10.0.3",
                "192.0.2.",
            ] {
                assert!(
                    !screen.contains(address),
                    "{address} by {keys:?}:\n{screen}"
                );
            }
        }
    }
}

#[test]
fn the_tab_counts_the_flows_that_its_panel_lists() {
    let mut desk = first(12);
    desk.type_in("4");
    let screen = desk.screen(120, 40);
    let count = |after: &str| -> String {
        let rest = screen.split(after).nth(1).unwrap();
        rest.chars().take_while(char::is_ascii_digit).collect()
    };
    assert_eq!(count("[4 Flows "), count("─ Flows · "), "{screen}");
}

#[test]
fn the_table_has_the_columns_that_were_asked_for_as_far_as_they_fit() {
    let options = Options {
        columns: Some("why name total path".parse().unwrap()),
        ..options()
    };
    let mut desk = Desk::twelve(&options);
    desk.type_in("2");
    let heading = |screen: &str| -> Vec<String> {
        let line = screen.lines().nth(3).unwrap().to_owned();
        let words = line.split_whitespace().map(str::to_owned);
        words
            .filter(|word| word.chars().all(char::is_uppercase))
            .collect()
    };
    let screen = desk.screen(120, 40);
    assert_eq!(
        heading(&screen),
        ["WHY", "NAME", "TOTAL", "PATH"],
        "{screen}"
    );
    let screen = desk.screen(40, 12);
    assert!(
        screen.contains("NAME") && !screen.contains("PATH"),
        "{screen}"
    );
}
