//! The path history of a page, gone through moment by moment.

use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use serde_json::{Value, json};

use super::fixtures::{AT_MS, Desk, explanation, id, node, snapshot, twelve};
use crate::dash::msg::Msg;

/// The page of a peer that was reached over the relay a hundred seconds ago, soon directly, then over the relay again, and directly now.
fn page() -> Desk {
    let mut desk = Desk::plain(&node(vec![]));
    let relay =
        json!({"kind": "relay", "remote": format!("relay://{}@fra1.example.org:4433", id(900))});
    let direct =
        json!({"kind": "direct", "remote": "198.51.100.9:6112", "lan": false, "tcp": false});
    let path =
        |path: &Value, rtt: f64| json!({"event": "path_changed", "path": path, "rtt_ms": rtt});
    let state = |to: &str, why: &str| json!({"event": "peer_state", "from": "idle", "to": to, "why": explanation(why)});
    for (before_ms, mut event) in [
        (100_500, state("intro", "calling")),
        (100_400, path(&relay, 61.0)),
        (100_300, state("direct", "punched")),
        (100_300, path(&direct, 38.0)),
        (50_000, state("relayed", "path_lost")),
        (50_000, path(&relay, 62.0)),
        (20_000, state("direct", "punched")),
        (20_000, path(&direct, 39.0)),
    ] {
        (event["at_ms"], event["peer"]) = (json!(AT_MS - before_ms), json!(id(3)));
        desk.send(Msg::Event(serde_json::from_value(event).unwrap()));
    }
    desk.sample(snapshot(&node(vec![twelve().remove(2)])));
    desk.type_in("\n");
    desk.screen(120, 40);
    desk
}

fn line_with<'a>(screen: &'a str, text: &str) -> &'a str {
    let found = screen.lines().find(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("{text}:\n{screen}"))
}

#[test]
fn the_history_tells_of_each_moment_how_the_peer_was_reached_how_fast_and_why() {
    let mut desk = page();
    let before = desk.screen(120, 40);
    assert!(before.contains("direct 69 %"), "{before}");
    for _ in 0..15 {
        desk.key(KeyCode::Left);
    }
    let screen = desk.screen(120, 40);
    for told in [
        "◐ relay fra1 62 ms  since 14:01:41, for 30s",
        "the direct path was lost",
        "┼",
    ] {
        assert!(screen.contains(told), "{told}:\n{screen}");
    }
    assert!(!screen.contains("direct 69 %"), "{screen}");
    // Below, the last event until then.
    let event = line_with(&screen, "▌14:01:41");
    assert!(event.contains("data goes relay"), "{screen}");
    for _ in 0..60 {
        desk.key(KeyCode::Right);
    }
    assert_eq!(desk.screen(120, 40), before);
}

#[test]
fn no_way_is_left_out_however_short_it_was() {
    let mut desk = page();
    let mut ways = Vec::new();
    for _ in 0..80 {
        desk.key(KeyCode::Left);
        let screen = desk.screen(120, 40);
        let line = line_with(&screen, "  since ");
        let (way, _) = line.split_once("  since ").unwrap();
        let way = way.rsplit('│').next().unwrap().trim().to_owned();
        if ways.last() != Some(&way) {
            ways.push(way);
        }
    }
    let expected = [
        "● direct v4 39 ms",
        "◐ relay fra1 62 ms",
        "● direct v4 38 ms",
        "◐ relay fra1 61 ms",
        "◌ hello",
    ];
    assert_eq!(ways, expected);
}

#[test]
fn esc_leads_back_to_now_before_it_leaves_the_page() {
    let mut desk = page();
    desk.key(KeyCode::Left);
    desk.key(KeyCode::Esc);
    assert_eq!((desk.model.moment, desk.model.events.at), (None, 0));
    assert!(desk.model.page.is_some());
    desk.key(KeyCode::Left);
    desk.type_in("]");
    assert_eq!(desk.model.moment, None, "it was of another peer");
    desk.key(KeyCode::Esc);
    assert_eq!(desk.model.page, None);
}

#[test]
fn a_click_on_the_strip_goes_to_what_stands_there() {
    let mut desk = page();
    let screen = desk.screen(120, 40);
    let rows = screen.lines().enumerate();
    let (row, line) = rows
        .into_iter()
        .find(|(_, line)| line.contains("▒▒▒"))
        .unwrap();
    let column = line.chars().position(|c| c == '▒').unwrap() - 1;
    desk.send(Msg::Mouse(MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column: column as u16,
        row: row as u16,
        modifiers: KeyModifiers::NONE,
    }));
    assert_eq!(desk.model.moment, Some(AT_MS - 50_000));
    assert!(desk.screen(120, 40).contains("◐ relay fra1 62 ms"));
}

#[test]
fn what_happens_meanwhile_leaves_the_moment_where_it_is() {
    let mut desk = page();
    desk.key(KeyCode::Left);
    let (moment, at) = (desk.model.moment, desk.model.events.at);
    let event = json!({"event": "peer_state", "from": "direct", "to": "suspect", "why": null, "at_ms": AT_MS, "peer": id(3)});
    desk.send(Msg::Event(serde_json::from_value(event).unwrap()));
    assert_eq!((desk.model.moment, desk.model.events.at), (moment, at + 1));
}

/// When the marked event happened.
fn marked(desk: &Desk) -> u64 {
    let event = desk.model.listed_events().nth(desk.model.events.at);
    event.unwrap().at_ms
}

#[test]
fn the_event_of_the_moment_stays_marked_when_others_are_listed() {
    for keys in ["l", "/direct\n", "/direct", ":level paths\n"] {
        let mut desk = page();
        for _ in 0..15 {
            desk.key(KeyCode::Left);
        }
        assert_eq!(marked(&desk), AT_MS - 50_000);
        desk.type_in("\t\t");
        desk.type_in(keys);
        let moment = desk.model.moment.unwrap();
        let newest = desk.model.listed_events().next().unwrap().at_ms;
        assert!(marked(&desk) <= moment && newest > moment, "{keys:?}");
    }
}

#[test]
fn the_event_of_the_moment_is_marked_when_the_screen_runs_again() {
    let mut desk = page();
    desk.key(KeyCode::Left);
    let before = marked(&desk);
    desk.type_in("f");
    let event = json!({"event": "peer_state", "from": "direct", "to": "suspect", "why": null, "at_ms": AT_MS, "peer": id(3)});
    for _ in 0..3 {
        desk.send(Msg::Event(serde_json::from_value(event.clone()).unwrap()));
    }
    desk.type_in("f");
    assert!(desk.model.moment.is_some());
    assert_eq!(marked(&desk), before);
}

#[test]
fn an_event_leads_to_its_peer_at_that_time() {
    let mut desk = page();
    desk.type_in("6jj\n");
    assert_eq!(desk.model.page, Some(id(3)));
    assert_eq!(desk.model.moment, Some(AT_MS - 50_000));
    let screen = desk.screen(120, 40);
    assert!(screen.contains("◐ relay fra1 62 ms  since"), "{screen}");
    assert!(
        line_with(&screen, "▌14:01:41").contains("data goes relay"),
        "{screen}"
    );
}

#[test]
fn esc_clears_the_filter_of_a_pages_events_before_it_leaves_the_page() {
    let mut desk = page();
    desk.type_in("\t\t/relay\n");
    desk.key(KeyCode::Esc);
    assert!(desk.model.filters.events.is_empty() && desk.model.page.is_some());
    desk.key(KeyCode::Esc);
    assert_eq!(desk.model.page, None);
}

#[test]
fn where_no_history_is_seen_no_key_for_it_is_offered() {
    let mut desk = page();
    let screen = desk.screen(200, 60);
    assert!(
        screen.lines().last().unwrap().contains("← history"),
        "{screen}"
    );
    desk.type_in("e");
    let screen = desk.screen(200, 60);
    assert!(
        !screen.lines().last().unwrap().contains("history"),
        "{screen}"
    );
    desk.key(KeyCode::Left);
    assert_eq!(desk.model.moment, None);
}
