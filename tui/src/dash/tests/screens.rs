//! Screens as text, at every breakpoint and in every state.

use std::collections::BTreeSet;

use crossterm::event::KeyCode;
use insta::assert_snapshot;
use peerway::{RelayUrl, Ticket};
use ratatui::style::{Color, Modifier};
use serde_json::json;

use super::fixtures::{AT_MS, Desk, Row, explanation, id, node, options, snapshot, twelve};
use crate::dash::{
    ColorChoice, Keys, Options, Outage, format,
    msg::{Effect, Msg},
};

pub(super) const SIZES: [(u16, u16); 5] = [(40, 10), (60, 20), (80, 24), (120, 40), (200, 60)];

pub(super) fn first(count: usize) -> Desk {
    Desk::busy(twelve().into_iter().take(count).collect(), &options())
}

#[test]
fn one_two_and_twelve_peers_fit_every_size() {
    for (name, count) in [("one", 1), ("two", 2), ("twelve", 12)] {
        for (width, height) in SIZES {
            let screen = first(count).screen(width, height);
            assert_snapshot!(format!("{name}_{width}x{height}"), screen);
        }
    }
}

#[test]
fn a_line_about_the_whole_node_takes_the_charts_from_no_screen_of_eighty_by_twenty_four() {
    let options = Options {
        note: "home A 62.11.0.2, home B 62.12.0.2".to_owned(),
        ..options()
    };
    for count in [1, 12] {
        let peers = twelve().into_iter().take(count).collect();
        let screen = Desk::busy(peers, &options).screen(80, 24);
        for part in ["home B 62.12.0.2", "─ Down 2 min", "─ Up 2 min", "─ Events"] {
            assert!(screen.contains(part), "{part}:\n{screen}");
        }
    }
}

#[test]
fn few_peers_leave_no_half_of_a_screen_blank() {
    for count in [1, 2, 3, 5, 8, 12] {
        for (width, height) in [
            (40, 10),
            (60, 20),
            (60, 50),
            (80, 24),
            (100, 40),
            (120, 40),
            (200, 60),
        ] {
            let screen = first(count).screen(width, height);
            let is_blank = |line: &&str| line.chars().all(|c| " \"│".contains(c));
            let blank = screen.lines().filter(is_blank).count();
            assert!(
                blank * 3 <= usize::from(height),
                "{blank} of {count} peers:\n{screen}"
            );
        }
    }
}

#[test]
fn equal_rates_are_equally_high_and_unequal_ones_are_not() {
    let desk = |down, up| {
        let row = Row {
            state: "direct",
            path: Some("192.0.2.9:5000"),
            why: Some("punched"),
            rates: (down, up),
            ..Row::OFFLINE
        };
        Desk::busy(vec![row.to_value()], &options())
    };
    let halves = |down, up| {
        let screen = desk(down, up).screen(80, 24);
        let line = |at: usize| screen.lines().nth(at).unwrap().replace('"', "");
        let (title, bars) = (line(2), line(3));
        let half = |line: &str| -> [String; 2] {
            let cells: Vec<char> = line.chars().collect();
            [cells[..40].iter().collect(), cells[40..].iter().collect()]
        };
        assert_eq!(
            half(&title).map(|title| title.contains("scale 3 MB/s")),
            [true; 2],
            "{screen}"
        );
        half(&bars)
    };
    let [down, up] = halves(3_000_000, 3_000_000);
    assert_eq!(down, up);
    let [down, up] = halves(3_000_000, 300_000);
    assert_ne!(down, up);
    assert!(up.contains('▁') && !up.contains('█'), "{up}");

    let screen = desk(3_000_000, 3_000_000).screen(120, 40);
    assert_eq!(screen.matches("3.2M┤").count(), 2, "{screen}");
    let screen = desk(3_000_000, 300_000).screen(120, 40);
    assert!(
        screen.contains("3.5M┤") && screen.contains("500k┤"),
        "{screen}"
    );
    let screen = desk(3_000_000, 300_000).screen(60, 12);
    assert!(screen.lines().next().unwrap().contains("█3M"), "{screen}");
}

#[test]
fn equal_round_trips_are_equally_high_for_all_peers() {
    let row = |seed, ms| Row {
        seed,
        state: "direct",
        path: Some("192.0.2.9:5000"),
        rtt_ms: Some(ms),
        ..Row::OFFLINE
    };
    let rows = [row(1, 4.0), row(2, 64.0), row(3, 64.0)];
    let screen = Desk::busy(rows.iter().map(Row::to_value).collect(), &options()).screen(120, 40);
    let bars = |name: &str| -> String {
        let row = screen
            .lines()
            .find(|line| line.contains(&format!("● {name}")))
            .unwrap();
        row.chars().filter(|c| "▁▂▃▄▅▆▇█".contains(*c)).collect()
    };
    assert_eq!(bars("laptop"), "▃".repeat(12));
    assert_eq!(bars("nas"), "▇".repeat(12));
    assert_eq!(bars("phone"), bars("nas"));
    assert!(screen.contains("60s ▁1█128ms"), "the scale is written down");
}

#[test]
fn of_a_node_that_is_gone_it_is_said_since_when_and_why_until_it_is_back() {
    let mut desk = Desk::plain(&node(twelve()));
    desk.send(Msg::Outage(Some(Outage {
        since_ms: AT_MS,
        reason: "it ended at 192.0.2.9".to_owned(),
    })));
    let screen = desk.screen(100, 30);
    let since = format::clock(AT_MS, desk.model.utc_offset_s);
    let told =
        format!("no contact with the node since {since}, trying again: it ended at 192.0.2.9");
    assert!(
        screen.contains(&told) && screen.contains("LOST"),
        "{screen}"
    );
    assert!(
        screen.contains("laptop"),
        "the last of it is shown: {screen}"
    );
    desk.model.masked = true;
    assert!(!desk.screen(100, 30).contains("192.0.2.9"));
    desk.send(Msg::Outage(None));
    let screen = desk.screen(100, 30);
    assert!(
        screen.contains("LIVE") && !screen.contains("no contact"),
        "{screen}"
    );
}

/// Nodes in unusual states.
pub(super) fn states() -> Vec<(&'static str, serde_json::Value)> {
    let mut offline = node(twelve().split_off(11));
    for relay in offline["relays"].as_array_mut().unwrap() {
        relay["state"] = json!("down");
        relay["error"] = json!("no route to 192.0.2.1");
    }
    offline["network"] = json!({"local": [], "public_v4": null, "public_v6": null,
        "nat": {"mapping": "unknown", "filtering": "unknown"}, "port_mapping": null, "checked_at_ms": null});
    vec![
        ("empty", node(vec![])),
        ("one_peer", node(vec![twelve().remove(0)])),
        ("800_peers", node(many())),
        ("all_relayed", node(all_relayed())),
        ("offline", offline),
    ]
}

#[test]
fn every_state_of_the_node_reads_well_at_80x24() {
    for (name, node) in states() {
        assert_snapshot!(format!("state_{name}"), Desk::plain(&node).screen(80, 24));
    }
}

#[test]
fn a_node_without_a_network_report_says_so_at_120x40() {
    let mut node = node(vec![]);
    node["relays"] = json!([]);
    node["network"] = json!({"local": [], "public_v4": null, "public_v6": null,
        "nat": {"mapping": "unknown", "filtering": "unknown"}, "port_mapping": null, "checked_at_ms": null});
    assert_snapshot!(Desk::plain(&node).screen(120, 40));
}

#[test]
fn long_and_wide_names_keep_the_columns_in_place() {
    let mut options = options();
    options
        .people
        .names
        .insert(id(1), "書斎のパソコンその二".to_owned());
    options
        .people
        .names
        .insert(id(2), "a-very-long-name-of-a-computer".to_owned());
    options
        .people
        .names
        .insert(id(3), "tab\tand\u{1b}[31mescape".to_owned());
    assert_snapshot!(Desk::twelve(&options).screen(80, 24));
}

#[test]
fn a_frozen_screen_stands_still_and_says_so() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("f");
    let frozen = desk.screen(80, 24);
    desk.sample(snapshot(&node(vec![])));
    let second = frozen.replace("FROZEN 0:00", "FROZEN 0:01");
    assert_eq!(desk.screen(80, 24), second);
    let wide = desk.screen(120, 40);
    assert!(
        wide.contains("as it was at 14:02:31  FROZEN 0:01"),
        "{wide}"
    );
    assert_snapshot!(frozen);
    desk.type_in("f");
    assert!(desk.screen(80, 24).contains("No peers yet"));
}

#[test]
fn a_recording_says_how_fast_it_is_played_and_only_one_has_keys_for_that() {
    let mut desk = Desk::twelve(&Options {
        replay: true,
        read_only: true,
        ..options()
    });
    assert!(desk.screen(80, 24).contains("REPLAY 1×"));
    let said = |effects: Vec<Effect>| match &effects[..] {
        [Effect::Play(speed)] => speed.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(said(desk.type_in(">")), "2");
    assert_eq!(said(desk.type_in(":faster\n")), "3");
    let screen = desk.screen(120, 40);
    for part in ["REPLAY 3×", " > faster", " < slower"] {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
    assert_eq!(said(desk.type_in("<")), "2");
    desk.send(Msg::Stopped);
    let ended = desk.screen(120, 40);
    assert!(
        ended.contains("REPLAY ENDED") && !ended.contains("faster"),
        "{ended}"
    );
    assert_eq!(desk.type_in(">"), []);
    let mut desk = Desk::twelve(&options());
    assert!(!desk.screen(200, 50).contains("faster"));
    assert_eq!(desk.type_in(">"), []);
    assert!(desk.screen(80, 24).contains("no recording"));
}

#[test]
fn overlays_fit_80x24() {
    for (name, keys) in [
        ("help", "?"),
        ("share", "Y"),
        ("details", "jjjw"),
        ("copy", "y"),
    ] {
        let mut desk = Desk::twelve(&options());
        desk.type_in(keys);
        assert_snapshot!(format!("overlay_{name}"), desk.screen(80, 24));
    }
    let mut desk = Desk::new(
        &node(twelve()),
        &Options {
            owns_node: true,
            ..options()
        },
    );
    desk.type_in("q");
    assert_snapshot!("overlay_quit", desk.screen(80, 24));
}

#[test]
fn the_connect_dialog_reads_what_is_pasted() {
    let relay: RelayUrl = format!("relay://{}@fra1.example.org", id(900))
        .parse()
        .unwrap();
    let ticket =
        Ticket::new(id(4), vec![relay], vec!["192.0.2.1:5000".parse().unwrap()]).to_string();
    let mut desk = Desk::twelve(&options());
    desk.type_in("c");
    assert_snapshot!("connect_empty", desk.screen(80, 24));
    let (first, second) = ticket.split_at(60);
    desk.send(Msg::Paste(format!("  {first}\n{second}\n")));
    assert_snapshot!("connect_ticket", desk.screen(80, 24));
    desk.key(KeyCode::Enter);
    assert_snapshot!("connect_dialling", desk.screen(80, 24));
    let reason = "no relay of the ticket answered; check this computer's network".to_owned();
    desk.send(Msg::Dialled(id(4), Err(reason)));
    assert_snapshot!("connect_failed", desk.screen(80, 24));
    desk.type_in("!");
    assert_snapshot!("connect_wrong", desk.screen(80, 24));
}

#[test]
fn a_filter_shows_itself_and_what_is_wrong_with_it() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("/path=relay");
    assert_snapshot!("filter_typing", desk.screen(80, 24));
    desk.type_in("ed");
    assert_snapshot!("filter_wrong", desk.screen(80, 24));
    desk.key(KeyCode::Backspace);
    desk.key(KeyCode::Backspace);
    desk.key(KeyCode::Enter);
    desk.type_in("e");
    assert_snapshot!("filter_applied", desk.screen(120, 40));
}

#[test]
fn tall_and_narrow_terminals_show_details_below_the_table() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("Gw");
    assert_snapshot!(desk.screen(80, 50));
}

#[test]
fn warnings_that_nobody_saw_are_marked_at_the_events_tab() {
    let mut desk = Desk::twelve(&options());
    desk.send(Msg::Resize(60, 20));
    let warning = desk.model.data().events.back().cloned().unwrap();
    desk.send(Msg::Event(warning));
    let screen = desk.screen(60, 20);
    assert!(screen.contains(" 6!"), "{screen}");
    assert!(desk.screen(40, 10).contains(" 6!"));
    desk.key(KeyCode::Tab);
    desk.key(KeyCode::BackTab);
    assert!(!desk.screen(60, 20).contains(" 6!"));
}

#[test]
fn a_masked_screen_shows_no_address() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("v");
    let screen = desk.screen(120, 40);
    for address in [
        "203.0.113",
        "2001:db8",
        "198.51.100",
        "192.168.1",
        "192.0.2.",
    ] {
        assert!(!screen.contains(address), "{address} in\n{screen}");
    }
}

#[test]
fn ascii_screens_are_ascii() {
    let mut desk = Desk::twelve(&Options {
        ascii: true,
        ..options()
    });
    let screen = desk.screen(120, 40);
    assert!(screen.is_ascii(), "{screen}");
    assert_snapshot!("ascii", screen);
    for key in ["?", "Y", "w", "c"] {
        desk.type_in(key);
        assert!(desk.screen(200, 60).is_ascii(), "{key}");
        desk.key(KeyCode::Esc);
    }
}

#[test]
fn without_colours_meaning_is_in_modifiers_only() {
    let mut desk = Desk::twelve(&Options {
        color: ColorChoice::Never,
        ..options()
    });
    let terminal = desk.terminal(80, 24);
    let buffer = terminal.backend().buffer();
    let mut map = String::new();
    for row in buffer.area.rows() {
        for position in row.positions() {
            let cell = &buffer[position];
            assert_eq!(
                (cell.fg, cell.bg),
                (Color::Reset, Color::Reset),
                "{position}"
            );
            map.push(match cell.modifier {
                Modifier::REVERSED => 'r',
                m if m.contains(Modifier::REVERSED) => 'R',
                Modifier::BOLD => 'b',
                Modifier::DIM => 'd',
                m if m.is_empty() => '.',
                _ => '?',
            });
        }
        map.push('\n');
    }
    assert_snapshot!("mono_styles", map);
}

#[test]
fn the_selection_bar_covers_its_whole_row_in_one_style() {
    for (color, ascii) in [(ColorChoice::Always, false), (ColorChoice::Never, true)] {
        let look = Options {
            color,
            ascii,
            ..options()
        };
        for (row, keys) in ["", "j", "jj", "jjj", "jjjj", "jjjjj", "jjjjjj", "G"]
            .iter()
            .enumerate()
        {
            for (width, height) in [(40, 14), (80, 24), (120, 40), (200, 60)] {
                let mut desk = Desk::twelve(&look);
                desk.type_in(keys);
                let styles = |desk: &mut Desk| -> BTreeSet<String> {
                    let terminal = desk.terminal(width, height);
                    let buffer = terminal.backend().buffer();
                    let marker = if ascii { ">" } else { "▌" };
                    let y = (0..height).find(|y| buffer[(1, *y)].symbol() == marker);
                    let y = y.expect("the selected row is on the screen");
                    let cells = (1..width - 1).map(|x| &buffer[(x, y)]);
                    cells
                        .map(|cell| format!("{:?} {:?} {:?}", cell.fg, cell.bg, cell.modifier))
                        .collect()
                };
                let bar = styles(&mut desk);
                assert_eq!(bar.len(), 1, "row {row} at {width}x{height}: {bar:?}");
                assert!(
                    bar.iter().all(|style| style.contains("REVERSED")),
                    "{bar:?}"
                );
            }
        }
    }
}

#[test]
fn the_selected_peer_stays_marked_while_events_have_the_focus() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("j");
    desk.key(KeyCode::Tab);
    let screen = desk.screen(80, 24);
    assert!(screen.contains("▌● nas"), "{screen}");
}

#[test]
fn peers_that_are_not_there_are_unreachable_and_not_counted_as_relayed() {
    let relay = Some("relay fra1.example.org");
    let row = |seed, state, path, why| {
        Row {
            seed,
            state,
            path,
            why,
            ..Row::OFFLINE
        }
        .to_value()
    };
    let away = node(vec![
        row(1, "failed", None, Some("peer_offline")),
        row(2, "relayed", relay, Some("peer_offline")),
        row(3, "intro", relay, Some("calling")),
    ]);
    let mut desk = Desk::plain(&away);
    let screen = desk.screen(150, 40);
    assert!(
        screen.contains("◌ 1 connecting  ✗ 2 unreachable"),
        "{screen}"
    );
    assert!(!screen.contains("relayed"), "{screen}");
    for name in ["laptop", "nas"] {
        assert!(screen.contains(&format!("✗ {name}")), "{screen}");
    }
    let plain = Desk::new(
        &away,
        &Options {
            ascii: true,
            ..options()
        },
    )
    .screen(80, 24);
    assert!(
        plain.contains(".1 x2") && plain.contains("x nas"),
        "{plain}"
    );
}

#[test]
fn the_details_tell_each_phase_of_a_link_with_its_time() {
    let relay =
        json!({"kind": "relay", "remote": format!("relay://{}@fra1.example.org:4433", id(900))});
    let direct =
        json!({"kind": "direct", "remote": "198.51.100.9:6112", "lan": false, "tcp": false});
    let state =
        |to| json!({"event": "peer_state", "peer": id(3), "from": "idle", "to": to, "why": null});
    let path = |path| json!({"event": "path_changed", "peer": id(3), "path": path, "rtt_ms": null});
    let mut desk = Desk::plain(&node(vec![]));
    for (ms, mut event) in [
        (0, state("intro")),
        (12, state("punch")),
        (12, path(relay)),
        (148, state("direct")),
        (148, path(direct)),
    ] {
        event["at_ms"] = json!(AT_MS - 5000 + ms);
        desk.send(Msg::Event(serde_json::from_value(event).unwrap()));
    }
    desk.sample(snapshot(&node(vec![twelve().remove(2)])));
    let told = "14:02:26 ◌ hello 12 ms → ◐ relay fra1 136 ms → ● direct v4 for 4s";
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        let screen = desk.screen(width, height);
        assert!(screen.contains(told), "{screen}");
        assert!(
            screen.contains("── studio ──") && screen.contains(" phone ──"),
            "{screen}"
        );
    }
    assert!(desk.screen(200, 60).contains("14:02:26.148 ● phone"));
    desk.type_in("w");
    let screen = desk.screen(80, 24);
    assert!(screen.contains(told), "{screen}");
}

#[test]
fn a_node_without_a_relay_says_whom_it_reaches_and_what_to_do() {
    let alone = |addrs: &[&str]| {
        let mut node = node(vec![]);
        node["relays"] = json!([]);
        let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        node["ticket"] = json!(Ticket::new(id(0), vec![], addrs));
        Desk::plain(&node)
    };
    let local = "only this network reaches this node; start with --relay URL";
    let sentence = "works on this network only";
    let mut desk = alone(&["192.168.1.5:41641"]);
    assert_snapshot!("no_relay", desk.screen(80, 24));
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        let screen = desk.screen(width, height);
        assert!(
            screen.contains(local) && screen.contains("! studio"),
            "{screen}"
        );
    }
    assert!(
        desk.screen(120, 40)
            .contains("none; start with --relay URL")
    );
    desk.type_in("Y");
    let shared = desk.screen(80, 24);
    assert_snapshot!("no_relay_share", &shared);
    desk.key(KeyCode::Esc);
    desk.send(Msg::Paste(Ticket::new(id(4), vec![], vec![]).to_string()));
    let dialog = desk.screen(80, 24);
    assert!(
        dialog.contains("without a relay it is found on this network only"),
        "{dialog}"
    );

    let mut met = node(vec![]);
    met["relays"] = json!([]);
    let ticket = Ticket::new(id(0), vec![], vec!["192.168.1.5:41641".parse().unwrap()]);
    let secret = peerway::DiscoverySecret::from_bytes([1; 16]);
    met["ticket"] = json!(ticket.with_discovery(Some(secret)));
    met["network"]["observed"] = json!("same");
    let mut met = Desk::plain(&met);
    let screen = met.screen(80, 24);
    let by_dht = "elsewhere it is met by the Mainline DHT alone";
    assert!(
        screen.contains(by_dht) && !screen.contains(local) && !screen.contains("! studio"),
        "{screen}"
    );
    met.type_in("Y");
    let shared = met.screen(80, 24);
    assert!(
        !shared.contains(sentence) && shared.contains("No relay is named, so from"),
        "{shared}"
    );

    let mut public = alone(&["8.8.4.4:41641"]);
    let screen = public.screen(80, 24);
    assert!(
        !screen.contains(local) && screen.contains("public address"),
        "{screen}"
    );
    public.type_in("Y");
    let shared = public.screen(80, 24);
    assert!(
        !shared.contains(sentence) && shared.contains("No relay is needed"),
        "{shared}"
    );
}

#[test]
fn a_node_that_cannot_see_its_network_says_how_it_is_found_there() {
    let mut node = node(vec![]);
    node["network"]["lan_trouble"] = json!("the system does not list interfaces");
    let mut desk = Desk::plain(&node);
    for (width, height) in [(80, 24), (120, 40)] {
        let screen = desk.screen(width, height);
        assert!(screen.contains("by ticket, not by id alone"), "{screen}");
    }
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("LAN    by ticket only: the system"),
        "{screen}"
    );
    node["ticket"] = json!(Ticket::from(id(0)));
    let screen = Desk::plain(&node).screen(80, 24);
    assert!(screen.contains("no relay: only its ticket"), "{screen}");
}

#[test]
fn a_peer_that_was_dialled_in_vain_is_not_said_to_be_idle() {
    let mut desk = Desk::plain(&node(vec![]));
    for (to, why) in [
        ("intro", json!(null)),
        ("failed", explanation("peer_offline")),
        ("idle", json!(null)),
    ] {
        let event = json!({"at_ms": AT_MS, "event": "peer_state", "peer": id(1), "from": "idle", "to": to, "why": why});
        desk.send(Msg::Event(serde_json::from_value(event).unwrap()));
    }
    let idle = Row {
        state: "idle",
        age_s: 0,
        ..Row::OFFLINE
    };
    desk.sample(snapshot(&node(vec![idle.to_value()])));
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("✗ laptop") && screen.contains("offline"),
        "{screen}"
    );
    assert!(screen.contains("✗ 1 unreachable"), "{screen}");
    assert!(
        !screen.contains("Next try"),
        "nobody tries any more: {screen}"
    );
    desk.type_in("/path=idle");
    assert_eq!(desk.model.rows.len(), 0);
}

#[test]
fn a_small_terminal_is_told_what_is_needed() {
    let screen = Desk::twelve(&options()).screen(38, 9);
    assert!(
        screen.contains("38 x 9 is too small,") && screen.contains("needs 40 x 10"),
        "{screen}"
    );
}

#[test]
fn a_small_terminal_names_the_key_that_quits_and_asks_first_where_connections_would_end() {
    let options = Options {
        owns_node: true,
        keys: Keys::parse("quit = \"F10\"\n").unwrap(),
        ..options()
    };
    let mut desk = Desk::twelve(&options);
    let screen = desk.screen(38, 9);
    assert!(screen.contains("F10 quits"), "{screen}");
    assert_eq!(desk.type_in("q"), []);
    for (key, effects) in [
        (KeyCode::Esc, vec![]),
        (KeyCode::Enter, vec![Effect::Quit { keep_screen: false }]),
    ] {
        assert_eq!(desk.key(KeyCode::F(10)), [], "asked first");
        let screen = desk.screen(38, 9);
        assert!(screen.contains("Quitting ends"), "{screen}");
        assert_eq!(desk.key(key), effects);
    }
    desk.key(KeyCode::Esc);
    assert!(desk.screen(38, 9).contains("too small"));
}

#[test]
fn a_mistake_in_a_file_is_said_in_full() {
    let mistake = "/home/ann/.config/peerway/theme.toml, line 2: good: there is no colour grren; did you mean green?";
    let options = Options {
        mistake: mistake.to_owned(),
        note: "the demo".to_owned(),
        ..options()
    };
    let screen = Desk::twelve(&options).screen(80, 24);
    let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "theme.toml, line 2: good:",
        "did you mean",
        "green?. the demo",
    ] {
        assert!(words.contains(part), "{screen}");
    }
}

#[test]
fn a_terminal_that_shows_nothing_does_nothing_but_to_leave() {
    let mut desk = Desk::twelve(&options());
    let before = desk.screen(120, 40);
    desk.screen(38, 9);
    for text in ["b", "y", "2", "d", "n", "zoe", "/", "c"] {
        assert_eq!(desk.type_in(text), []);
        assert_eq!(desk.key(KeyCode::Enter), []);
    }
    assert_eq!(desk.send(Msg::Paste(id(4).to_string())), []);
    let quit = [Effect::Quit { keep_screen: false }];
    assert_eq!(desk.type_in("q"), quit);
    assert_eq!(desk.screen(120, 40), before);
}

#[test]
fn the_code_of_an_ordinary_ticket_fits_80x24_and_of_a_long_one_says_what_it_needs() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("Y");
    assert!(desk.screen(80, 24).contains('▀'));
    let relays = (0..4)
        .map(|n| {
            format!("relay://{}@relay-number-{n}.example.org", id(900 + n))
                .parse()
                .unwrap()
        })
        .collect();
    let mut node = node(vec![]);
    node["ticket"] = json!(Ticket::new(id(0), relays, vec![]));
    let mut desk = Desk::plain(&node);
    desk.type_in("Y");
    let screen = desk.screen(80, 24);
    assert!(screen.contains("needs a terminal of"), "{screen}");
}

fn many() -> Vec<serde_json::Value> {
    (1..=800)
        .map(|seed| {
            Row {
                seed,
                state: if seed % 3 == 0 { "relayed" } else { "direct" },
                path: Some(if seed % 3 == 0 {
                    "relay fra1.example.org"
                } else {
                    "198.51.100.9:6112"
                }),
                why: (seed % 3 == 0).then_some("both_random"),
                rtt_ms: Some(f64::from(seed)),
                rates: (u64::from(seed) * 1000, u64::from(seed)),
                age_s: u64::from(seed) * 60,
                probes: (0, 4),
            }
            .to_value()
        })
        .collect()
}

fn all_relayed() -> Vec<serde_json::Value> {
    let whys = [
        "calling",
        "trying",
        "both_random",
        "silent",
        "path_lost",
        "relay_only",
    ];
    (1..)
        .zip(whys)
        .map(|(seed, why)| {
            Row {
                seed,
                state: "relayed",
                path: Some("relay fra1.example.org"),
                why: Some(why),
                rtt_ms: Some(61.0),
                rates: (1000, 1000),
                age_s: 60,
                probes: (0, 12),
            }
            .to_value()
        })
        .collect()
}

#[test]
fn why_there_is_no_contact_is_told_in_full_where_a_line_is_too_short_for_it() {
    let reason = "the control socket /run/user/1000/peerway/control.sock belongs to somebody else: end what listens there, and start the node anew";
    let mut desk = Desk::twelve(&options());
    desk.send(Msg::Outage(Some(Outage {
        since_ms: AT_MS,
        reason: reason.to_owned(),
    })));
    for (width, height) in [(80, 24), (60, 20), (120, 40), (200, 50)] {
        let screen = desk.screen(width, height);
        let screen = screen.replace('"', "");
        let words: Vec<_> = screen.split_whitespace().collect();
        let told: Vec<_> = reason.split(' ').collect();
        assert!(words.windows(told.len()).any(|it| it == told), "{screen}");
    }
    // There the peers need the room.
    assert!(desk.screen(40, 16).contains("no contact with the node"));
}
