//! Nothing panics, and nothing is drawn without need.

use std::{sync::Arc, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use peerway::Event;
use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend};
use serde_json::json;

use super::fixtures::{AT_MS, Desk, explanation, id, node, options, snapshot, swarm, twelve};
use crate::dash::{Answer, Outage, Request, msg::Msg, pace::Pace, view::view};

fn any_key() -> impl Strategy<Value = KeyEvent> {
    let code = prop_oneof![
        8 => any::<char>().prop_map(KeyCode::Char),
        40 => proptest::char::range(' ', '~').prop_map(KeyCode::Char),
        12 => proptest::char::range('1', '6').prop_map(KeyCode::Char),
        16 => prop::sample::select(vec![
            KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::BackTab, KeyCode::Backspace,
            KeyCode::Delete, KeyCode::Up, KeyCode::Down, KeyCode::Left, KeyCode::Right,
            KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End,
        ]),
    ];
    let modifiers = prop_oneof![4 => Just(KeyModifiers::NONE), 1 => Just(KeyModifiers::CONTROL)];
    (code, modifiers).prop_map(|(code, modifiers)| KeyEvent::new(code, modifiers))
}

fn any_msg() -> impl Strategy<Value = Msg> {
    let nodes =
        [node(vec![]), node(twelve()), node(twelve().split_off(7))].map(|node| snapshot(&node));
    let relay = json!({"kind": "relay", "remote": format!("relay://{}@192.0.2.1:4433", id(9))});
    let direct = json!({"kind": "direct", "remote": "192.0.2.9:5000", "lan": false, "tcp": false});
    let offline = explanation("peer_offline");
    let events: Vec<Event> = [
        json!({"event": "peer_state", "from": "direct", "to": "suspect", "why": null}),
        json!({"event": "peer_state", "from": "idle", "to": "intro", "why": null}),
        json!({"event": "peer_state", "from": "intro", "to": "failed", "why": offline}),
        json!({"event": "peer_state", "from": "failed", "to": "idle", "why": null}),
        json!({"event": "explained", "why": offline}),
        json!({"event": "path_changed", "path": relay, "rtt_ms": 1.0}),
        json!({"event": "path_changed", "path": direct, "rtt_ms": null}),
        json!({"event": "path_changed", "path": null, "rtt_ms": null}),
    ]
    .into_iter()
    .map(|mut event| {
        (event["at_ms"], event["peer"]) = (json!(AT_MS), json!(id(3)));
        serde_json::from_value(event).unwrap()
    })
    .collect();
    prop_oneof![
        10 => any_key().prop_map(Msg::Key),
        4 => (0..300_u16, 0..100_u16, prop::sample::select(vec![
            MouseEventKind::Down(MouseButton::Left), MouseEventKind::ScrollUp,
            MouseEventKind::ScrollDown, MouseEventKind::Moved,
        ])).prop_map(|(column, row, kind)| Msg::Mouse(MouseEvent {
            kind, column, row, modifiers: KeyModifiers::NONE,
        })),
        1 => any::<String>().prop_map(Msg::Paste),
        1 => Just(Msg::Paste(id(4).to_string())),
        2 => (0..=300_u16, 0..=100_u16).prop_map(|(width, height)| Msg::Resize(width, height)),
        3 => (prop::sample::select(nodes.to_vec()), any::<u64>(), any::<u64>()).prop_map(
            |(node, at_ms, rate)| {
                let mut node = (*node).clone();
                node.at_ms = at_ms;
                node.traffic.rx_rate = rate;
                for peer in &mut node.peers {
                    peer.traffic.tx_rate = rate;
                    peer.state_age = Duration::from_millis(rate);
                }
                Msg::Sample(Arc::new(node))
            }
        ),
        4 => (prop::sample::select(events), any::<u64>()).prop_map(|(mut event, at_ms)| {
            event.at_ms = at_ms;
            Msg::Event(event)
        }),
        2 => (any::<bool>(), any::<u64>()).prop_map(|(is_shared, at_ms)| {
            let mut swarm = (*swarm()).clone();
            swarm.at_ms = at_ms;
            if !is_shared {
                swarm.groups.clear();
            }
            Msg::Swarm(Arc::new(swarm))
        }),
        1 => any::<u64>().prop_map(Msg::Lagged),
        1 => any::<bool>().prop_map(|ok| {
            Msg::Dialled(id(4), if ok { Ok(()) } else { Err("no answer".to_owned()) })
        }),
        1 => (any::<bool>(), any::<u64>()).prop_map(|(ok, ms)| {
            let answer = Answer::Pong { rtt: Duration::from_millis(ms), path: None };
            let ping = Request::Ping { until_direct: true };
            Msg::Answered(id(4), ping, if ok { Ok(answer) } else { Err("\u{1b}[2J".to_owned()) })
        }),
        1 => Just(Msg::NoShell),
        1 => any::<Option<u64>>().prop_map(|since_ms| {
            let reason = "\u{1b}[2J".to_owned();
            Msg::Outage(since_ms.map(|since_ms| Outage { since_ms, reason }))
        }),
        1 => Just(Msg::Stopped),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_message_and_no_size_makes_it_panic(
        msgs in prop::collection::vec(any_msg(), 1..60),
        width in 0..=300_u16,
        height in 0..=100_u16,
    ) {
        let mut desk = Desk::plain(&node(twelve()));
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        for msg in msgs {
            if let Msg::Resize(width, height) = msg {
                terminal.backend_mut().resize(width, height);
            }
            desk.send(msg);
            terminal.draw(|frame| view(&desk.model, frame)).unwrap();
        }
    }
}

/// Draws as the loop does, for each of the seconds in which one snapshot comes.
fn frames(desk: &mut Desk, seconds: u64) -> usize {
    let mut pace = Pace::default();
    let base = node(twelve());
    let mut frames = 0;
    desk.model.dirty = false;
    for second in 1..=seconds {
        let mut next = (*snapshot(&base)).clone();
        next.at_ms = AT_MS + second * 1000;
        desk.sample(Arc::new(next));
        for _ in 0..100 {
            desk.now += Duration::from_millis(1);
            if pace.take(desk.model.dirty, desk.now) {
                desk.model.dirty = false;
                frames += 1;
            }
        }
    }
    frames
}

#[test]
fn an_idle_minute_takes_at_most_a_frame_a_second() {
    assert!(frames(&mut Desk::twelve(&options()), 60) <= 60);
}

#[test]
fn no_view_draws_more_often_than_another() {
    for view in ["2", "\n", "3", "4", "5", "6", "7", "8"] {
        let mut desk = Desk::twelve(&options());
        desk.type_in(view);
        assert!(frames(&mut desk, 60) <= 60, "{view:?}");
        desk.type_in("f");
        assert!(frames(&mut desk, 60) <= 60, "{view:?} frozen");
    }
}

#[test]
fn a_frozen_minute_takes_a_frame_a_second_which_says_how_long_it_is_frozen_and_nothing_else() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("f");
    let before = desk.screen(80, 24);
    assert!(before.contains("FROZEN 0:00"), "{before}");
    assert!(frames(&mut desk, 60) <= 60);
    let after = desk.screen(80, 24);
    assert_eq!(after, before.replace("FROZEN 0:00", "FROZEN 1:06"));
}

#[test]
fn a_flood_of_events_takes_at_most_thirty_frames_a_second() {
    let mut desk = Desk::twelve(&options());
    let event = desk.model.data().events[0].clone();
    let mut pace = Pace::default();
    let mut frames = 0;
    for _ in 0..1000 {
        desk.now += Duration::from_millis(1);
        desk.send(Msg::Event(event.clone()));
        if pace.take(desk.model.dirty, desk.now) {
            desk.model.dirty = false;
            frames += 1;
        }
    }
    assert!((25..=31).contains(&frames), "{frames}");
}
