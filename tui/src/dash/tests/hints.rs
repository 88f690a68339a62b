//! What the last line promises, and texts that are whole wherever there is room for them.

use crossterm::event::KeyCode;
use serde_json::json;

use super::{
    fixtures::{Desk, Row, node, options, twelve},
    screens::first,
};
use crate::dash::{layout::Panel, msg::Msg, tabs::View};

fn footer(desk: &mut Desk, (width, height): (u16, u16)) -> String {
    let screen = desk.screen(width, height);
    screen.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_keys_of_a_pair_stand_in_the_last_line_while_pairs_have_the_focus() {
    let mut desk = first(12);
    desk.screen(120, 40);
    desk.type_in("jjj\n\t");
    assert_eq!(desk.model.focus, Panel::Pairs);
    let wide = footer(&mut desk, (120, 40));
    for key in ["p probe pair", "F force pair", "x drop pair"] {
        assert!(wide.contains(key), "{wide}");
    }
    let narrow = footer(&mut desk, (80, 24));
    assert!(narrow.contains("p probe pair  F force pair"), "{narrow}");
}

#[test]
fn tab_says_next_view_where_a_view_has_one_panel() {
    let mut desk = first(12);
    desk.type_in("3");
    assert!(footer(&mut desk, (120, 40)).contains("Tab next view"));
    desk.type_in("1");
    assert!(footer(&mut desk, (120, 40)).contains("Tab next panel"));
}

#[test]
fn a_map_offers_no_keys_that_do_nothing_there() {
    let mut desk = first(12);
    desk.type_in("5");
    let rings = footer(&mut desk, (120, 40));
    assert!(
        rings.contains("h left") && rings.contains("t tree"),
        "{rings}"
    );
    desk.type_in("t");
    let tree = footer(&mut desk, (120, 40));
    assert!(
        !tree.contains("h left") && tree.contains("t rings"),
        "{tree}"
    );
    desk.type_in("t");
    let small = footer(&mut desk, (40, 10));
    assert!(
        !small.contains("h left") && !small.contains("t tree"),
        "{small}"
    );
    desk.screen(60, 12);
    desk.type_in("t");
    let said = footer(&mut desk, (60, 12));
    assert!(said.contains("there is no room for rings here"), "{said}");
    assert!(!desk.model.as_tree);
}

#[test]
fn what_is_said_where_a_list_is_empty_is_said_in_full() {
    for (width, height) in [(40, 10), (60, 20), (80, 24)] {
        let mut desk = Desk::plain(&node(vec![]));
        desk.screen(width, height);
        for (view, words) in [
            ("6", "nothing has happened since this window was opened"),
            ("4", "nothing is sent but what keeps links alive."),
        ] {
            desk.type_in(view);
            let screen = desk.screen(width, height);
            let words_only: Vec<&str> = screen
                .split(|c: char| "│ \"\n".contains(c))
                .filter(|word| !word.is_empty())
                .collect();
            assert!(words_only.join(" ").contains(words), "{screen}");
        }
    }
}

#[test]
fn figures_of_round_trips_give_way_one_by_one_and_are_never_cut() {
    let mut desk = first(12);
    desk.screen(80, 24);
    desk.type_in("jj\n");
    for width in [80, 100, 120, 200] {
        let screen = desk.screen(width, 40);
        let line = screen.lines().find(|line| line.contains("p50"));
        let line = line.unwrap_or_else(|| panic!("{screen}"));
        assert!(
            line.contains("max 38 ms") && line.contains("loss 0.4 %"),
            "{line}"
        );
        let rest = line.split("jitter").nth(1);
        assert!(rest.is_none_or(|rest| rest.contains(" 0.0")), "{line}");
    }
}

#[test]
fn a_page_gives_the_reasons_what_few_events_leave() {
    let mut desk = first(12);
    desk.screen(80, 24);
    desk.type_in("jjjj\n");
    let screen = desk.screen(80, 24);
    for told in ["1 IPv6", "2 LAN", "3 Punch", "12 probes to 1 address"] {
        assert!(screen.contains(told), "{told}:\n{screen}");
    }
}

#[test]
fn what_a_nat_was_concluded_from_is_told_in_full_where_there_is_room() {
    let mut node = node(vec![]);
    node["network"]["nat"]["allocation"] = json!({"kind": "random", "first": 1024, "last": 65535});
    node["network"]["nat_evidence"] = json!({"answered": 1, "asked": 1, "two_ports": 1, "ports": [40108, 18554, 15886, 53180, 41111]});
    let mut desk = Desk::plain(&node);
    desk.type_in("3");
    for (width, height) in [(200, 50), (120, 40), (80, 24), (60, 30)] {
        let screen = desk.screen(width, height);
        for told in ["1 asked at two ports", "53180 41111"] {
            assert!(screen.contains(told), "{told} at {width}:\n{screen}");
        }
    }
}

#[test]
fn a_small_screen_tells_what_would_help_before_what_explains_it() {
    let mut desk = first(12);
    desk.screen(40, 10);
    desk.type_in("jjjjw");
    let screen = desk.screen(40, 10);
    assert!(screen.contains("→ Switch on UPnP"), "{screen}");
    let large = desk.screen(120, 40);
    let (before, after) = (
        large.find("Both routers give"),
        large.rfind("→ Switch on UPnP"),
    );
    assert!(before < after, "{large}");
}

#[test]
fn every_column_to_sort_by_can_be_seen_while_it_is_chosen() {
    let mut desk = first(12);
    desk.screen(40, 10);
    desk.type_in("sjjjjjjj");
    assert!(desk.screen(40, 10).contains("age"));
    desk.key(KeyCode::Enter);
    assert_eq!(desk.model.sort.by.word(), "age");
}

#[test]
fn below_the_table_no_sentence_is_cut_off_and_what_would_help_is_told_first_where_room_is_short() {
    for (width, height) in [(60, 20), (80, 32), (120, 40), (200, 50)] {
        let mut desk = Desk::plain(&node(twelve().into_iter().take(6).collect()));
        desk.screen(width, height);
        desk.type_in("2jjj");
        let screen = desk.screen(width, height);
        assert!(
            screen.contains("→ Switch on UPnP or PCP in either"),
            "{screen}"
        );
        let begun = screen
            .lines()
            .find(|line| line.contains("Both routers give"));
        assert!(begun.is_none_or(|line| line.contains(" │")), "{screen}");
    }
}

#[test]
fn an_axis_in_the_only_row_above_it_has_no_number_but_its_own() {
    let row = Row {
        state: "direct",
        path: Some("192.0.2.9:5000"),
        why: Some("punched"),
        rates: (38_000, 120_000_000),
        ..Row::OFFLINE
    };
    let mut desk = Desk::busy(vec![row.to_value()], &options());
    let screen = desk.screen(120, 40);
    let axis = screen.lines().find(|line| line.contains('┼')).unwrap();
    let (label, _) = axis.split_once('┼').unwrap();
    assert_eq!(label.trim_matches(|c| "\"│ ".contains(c)), "0", "{screen}");
}

#[test]
fn esc_on_a_page_leads_back_to_where_it_was_opened_and_to_what_was_selected_there() {
    let mut desk = first(12);
    desk.screen(120, 40);
    for (keys, view, focus) in [
        ("5j\n", View::Map, Panel::Map),
        ("4j\n\n", View::Flows, Panel::Flows),
        ("6jj\n", View::Events, Panel::Events),
        ("2j\n", View::Peers, Panel::Peers),
        // From one page to the next there is no step.
        ("4\n\n]]", View::Flows, Panel::Flows),
    ] {
        desk.type_in(keys);
        assert!(desk.model.page.is_some(), "{keys:?}");
        while desk.model.page.is_some() {
            desk.key(KeyCode::Esc);
        }
        assert_eq!(
            (desk.model.view, desk.model.focus),
            (view, focus),
            "{keys:?}"
        );
    }
    // However many events have come meanwhile.
    desk.type_in("6jj");
    let event = desk.model.listed_events().nth(2).cloned();
    desk.type_in("\n");
    let newest = desk.model.data().events.back().cloned().unwrap();
    desk.send(Msg::Event(newest));
    while desk.model.page.is_some() {
        desk.key(KeyCode::Esc);
    }
    assert_eq!(
        desk.model
            .listed_events()
            .nth(desk.model.events.at)
            .cloned(),
        event
    );
}
