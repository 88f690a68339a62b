//! What is asked of the node by key, and lines at the bottom of a terminal as the whole screen.

use std::time::Duration;

use crossterm::event::KeyCode;
use peerway::{PathInfo, PeerId, PeerState};
use ratatui::{Terminal, TerminalOptions, Viewport, backend::TestBackend, layout::Rect};

use serde_json::json;

use super::fixtures::{Desk, id, node, options};
use crate::dash::{
    Answer, Keys, NetworkRequest, Options, People, Request,
    msg::{Effect, Msg},
    view::view,
};

fn callers(desk: &Desk) -> Vec<PeerId> {
    desk.model
        .callers()
        .iter()
        .map(|caller| caller.id)
        .collect()
}

#[test]
fn who_was_not_let_in_is_let_in_by_a_second_key() {
    let mut desk = Desk::twelve(&options());
    assert_eq!(callers(&desk), [id(40), id(41)]);
    assert_eq!(desk.type_in("A"), []);
    let screen = desk.screen(80, 24);
    assert!(
        screen.contains(&format!("{}  called 1m ago", id(40).short())),
        "{screen}"
    );
    let asked = desk.type_in("j\n");
    assert_eq!(asked, [Effect::Ask(id(41), Request::LetIn)]);
    desk.send(Msg::Answered(id(41), Request::LetIn, Ok(Answer::Done)));
    assert!(desk.screen(120, 40).contains("is let in from now on"));
    // The book says so now.
    let people = People {
        decided: [id(41)].into(),
        ..options().people
    };
    desk.send(Msg::People(people));
    assert_eq!(callers(&desk), [id(40)]);
}

#[test]
fn nobody_is_let_in_where_nothing_may_be_changed_or_nobody_called() {
    let mut desk = Desk::twelve(&Options {
        read_only: true,
        ..options()
    });
    desk.type_in("A");
    assert!(desk.model.overlay.is_none());
    let mut desk = Desk::twelve(&options());
    let people = People {
        decided: callers(&desk).into_iter().collect(),
        ..options().people
    };
    desk.send(Msg::People(people));
    desk.type_in("A");
    assert!(
        desk.screen(80, 24)
            .contains("nobody who is not let in has called")
    );
}

#[test]
fn the_network_view_has_the_nat_measured_and_the_mapping_renewed() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("3");
    let measure = NetworkRequest::Measure;
    assert_eq!(desk.type_in("n"), [Effect::AskNetwork(measure)]);
    let renew = NetworkRequest::RenewMappings;
    assert_eq!(desk.type_in("u"), [Effect::AskNetwork(renew)]);
    desk.send(Msg::OfNetwork(measure, Ok(())));
    assert!(desk.screen(120, 40).contains("the NAT is measured anew"));
    desk.send(Msg::OfNetwork(renew, Err("no node".to_owned())));
    assert!(desk.screen(120, 40).contains("no node"));
}

#[test]
fn the_network_view_has_a_relay_preferred_as_home_or_the_nearest_again() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("3h");
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("the nearest, whichever that is"),
        "{screen}"
    );
    let key = desk.model.data().snapshot.relays[0].url.key();
    let prefer = NetworkRequest::PreferHome(Some(key));
    assert_eq!(desk.type_in("j\n"), [Effect::AskNetwork(prefer)]);
    desk.send(Msg::OfNetwork(prefer, Ok(())));
    assert!(
        desk.screen(120, 40)
            .contains("is the home relay whenever it is up")
    );
    let nearest = NetworkRequest::PreferHome(None);
    assert_eq!(desk.type_in("h\n"), [Effect::AskNetwork(nearest)]);
    desk.model.read_only = true;
    desk.type_in("h");
    assert!(desk.screen(120, 40).contains("read-only"));
    let mut node = node(vec![]);
    node["relays"] = json!([]);
    let mut desk = Desk::plain(&node);
    desk.type_in("3h");
    assert!(desk.screen(120, 40).contains("has no relay of its own"));
}

#[test]
fn wide_screens_have_the_version_of_members_and_when_a_peer_was_last_reached() {
    let mut desk = Desk::group();
    let shown = &desk.model.data().snapshot;
    let (now, gone) = (shown.at_ms, shown.peers.iter());
    let gone = gone.filter(|peer| peer.state == PeerState::Failed);
    let gone = gone.map(|peer| peer.id).next().unwrap();
    let people = People {
        seen: [(gone, now - 3 * 3_600_000)].into(),
        ..options().people
    };
    desk.send(Msg::People(people));
    desk.type_in("2");
    let screen = desk.screen(200, 60);
    let name = desk.model.words().name(&gone);
    let line_of = |text: &str| {
        screen
            .lines()
            .find(|line| line.contains(text))
            .unwrap()
            .to_owned()
    };
    let heading = line_of("VERSION");
    let [version, seen] = ["VERSION", "SEEN"].map(|word| {
        let (before, _) = heading.split_once(word).unwrap();
        before.chars().count()
    });
    let cell = |line: &str, from: usize| -> String {
        line.chars()
            .skip(from)
            .take(7)
            .collect::<String>()
            .trim()
            .to_owned()
    };
    assert_eq!(cell(&line_of(&format!(" {name} ")), seen - 2), "3h00m");
    assert_eq!(cell(&line_of(" laptop "), seen - 2), "now");
    assert!(
        screen.lines().any(|line| cell(line, version) == "0.1.0"),
        "{screen}"
    );
    assert!(!desk.screen(165, 60).contains("VERSION"));
}

#[test]
fn keys_of_ones_own_are_dispatched_and_shown() {
    let keys = Keys::parse("ping = \"i\"\nhelp = \"F1\"\n").unwrap();
    let mut desk = Desk::twelve(&Options { keys, ..options() });
    let ping = Request::Ping {
        until_direct: false,
    };
    assert!(matches!(&desk.type_in("i")[..], [Effect::Ask(_, asked)] if *asked == ping));
    assert_eq!(desk.type_in("p"), []);
    desk.key(KeyCode::F(1));
    let help = desk.screen(120, 60);
    assert!(help.contains("F1             this help"), "{help}");
}

#[test]
fn an_older_file_keeps_its_key_where_the_program_has_since_given_it_to_something_new() {
    let keys = Keys::parse("ping = [\"o\", \"F5\"]\n").unwrap();
    let mut desk = Desk::twelve(&Options { keys, ..options() });
    assert!(matches!(&desk.type_in("o")[..], [Effect::Ask(..)]));
    let screen = desk.screen(200, 60);
    assert!(!screen.contains("o services"), "{screen}");
}

#[test]
fn lines_at_the_bottom_show_what_a_screen_of_their_size_does() {
    let mut whole = Desk::twelve(&options());
    whole.type_in("61");
    let whole = whole.screen(80, 12);
    let mut desk = Desk::twelve(&Options {
        inline: Some(12),
        ..options()
    });
    desk.send(Msg::Resize(80, 40));
    desk.type_in("61");
    let area = Rect::new(0, 28, 80, 12);
    assert_eq!(desk.model.screen, area);
    let viewport = Viewport::Fixed(area);
    let backend = TestBackend::new(80, 40);
    let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport }).unwrap();
    terminal.draw(|frame| view(&desk.model, frame)).unwrap();
    let screen = terminal.backend().to_string();
    let lines: Vec<&str> = screen.lines().skip(28).collect();
    assert_eq!(lines, whole.lines().collect::<Vec<_>>());
    // A terminal with fewer lines has them all.
    desk.send(Msg::Resize(80, 11));
    assert_eq!(desk.model.screen, Rect::new(0, 0, 80, 11));
}

#[test]
fn without_a_relay_nobody_is_asked_about_the_nat() {
    let mut node = node(vec![]);
    node["relays"] = json!([]);
    let mut desk = Desk::plain(&node);
    assert_eq!(desk.type_in("3n"), []);
    assert!(
        desk.screen(120, 40)
            .contains("without a relay nobody can be asked")
    );
}

#[test]
fn members_of_a_group_are_asked_as_peers_are() {
    let mut desk = Desk::group();
    desk.type_in("5\t");
    assert_eq!(desk.type_in("p"), [], "this node itself");
    let ping = Request::Ping {
        until_direct: false,
    };
    // The second is one to whom there is no link.
    assert_eq!(desk.type_in("jp"), [Effect::Ask(id(20), ping)]);
}

#[test]
fn a_ping_stands_in_the_row_of_its_peer_and_on_its_page_each_answer_with_what_it_came_by() {
    let mut desk = Desk::twelve(&options());
    desk.screen(80, 24);
    desk.type_in("jjjjj");
    let (peer, ping) = (
        id(5),
        Request::Ping {
            until_direct: false,
        },
    );
    let path = |text: &str| -> Option<PathInfo> {
        let kind = json!({"kind": "direct", "remote": text, "lan": false, "tcp": false});
        serde_json::from_value(kind).ok()
    };
    let relayed = desk.model.data().snapshot.peer(peer).unwrap().path.clone();
    let pong = |desk: &mut Desk, ms, path: Option<PathInfo>| {
        let rtt = Duration::from_millis(ms);
        desk.send(Msg::Answered(
            peer,
            ping.clone(),
            Ok(Answer::Pong { rtt, path }),
        ));
    };
    pong(&mut desk, 74, relayed.clone());
    pong(&mut desk, 76, relayed);
    pong(&mut desk, 30, path("192.0.2.9:5000"));
    // One of another peer is beside it.
    let other = Ok(Answer::Pong {
        rtt: Duration::from_millis(5),
        path: path("192.0.2.8:5000"),
    });
    desk.send(Msg::Answered(id(1), ping.clone(), other));
    for (width, height) in [(60, 20), (80, 24), (120, 40)] {
        let screen = desk.screen(width, height);
        let row = |name: &str| screen.lines().find(|line| line.contains(name)).unwrap();
        assert!(row("◐ cafe ").contains("30 · 60 ms"), "{screen}");
        assert!(row("● laptop ").contains("● 5 · 5 ms"), "{screen}");
    }
    let wide = desk.screen(120, 40);
    assert!(wide.contains("◐ 74 76 ● 30 · 60 ms"), "{wide}");
    desk.type_in("\n");
    for (width, height) in [(60, 20), (80, 24), (120, 40)] {
        let screen = desk.screen(width, height);
        let crumb = screen.lines().find(|line| line.contains("Peers →"));
        assert!(crumb.unwrap().contains("30 · 60 ms"), "{screen}");
    }
    // It stays for a while after the last one, and no longer.
    desk.send(Msg::Answered(peer, ping, Ok(Answer::Done)));
    let now = desk.model.data().snapshot.clone();
    for _ in 0..4 {
        desk.sample(now.clone());
    }
    assert!(desk.screen(120, 40).contains("30 · 60 ms"));
    desk.sample(now);
    assert!(!desk.screen(120, 40).contains("30 · 60 ms"));
}
