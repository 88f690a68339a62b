//! What stands on the screen holds: nothing is promised that is not done, and what is old is not shown as of now.

use std::collections::BTreeMap;

use peerway::{PathPolicy, Presence, SwarmSnapshot};
use serde_json::{Value, json};

use super::fixtures::{Desk, Row, id, node, options, snapshot, twelve};
use crate::dash::{
    Answer, Options, People, Request,
    diagnoses::of,
    joined,
    msg::{Effect, Msg},
    words::Standing,
};

fn direct() -> Value {
    let row = Row {
        state: "direct",
        path: Some("198.51.100.9:6112"),
        why: Some("punched"),
        rtt_ms: Some(38.0),
        age_s: 720,
        ..Row::OFFLINE
    };
    row.to_value()
}

fn row_of(desk: &mut Desk, name: &str, width: u16) -> String {
    let screen = desk.screen(width, 40);
    let found = screen.lines().find(|line| line.contains(name));
    found
        .unwrap_or_else(|| panic!("{name}:\n{screen}"))
        .to_owned()
}

#[test]
fn a_link_whose_last_connection_has_ended_is_not_called_direct() {
    let mut peer = direct();
    peer["ending"] = json!(true);
    let mut desk = Desk::plain(&node(vec![peer]));
    desk.type_in("2");
    let row = row_of(&mut desk, "laptop", 120);
    assert!(
        row.contains("○ laptop") && row.contains("ended · direct v4"),
        "{row}"
    );
    let peer = &desk.model.data().snapshot.peers[0];
    assert_eq!(Standing::of(peer), Standing::Idle);
    let trail = desk.model.data().trails.peer(&id(1)).unwrap();
    let at_ms = desk.model.data().snapshot.at_ms;
    assert_eq!(trail.last().unwrap().since_ms, at_ms, "it ends now");
}

#[test]
fn a_round_trip_of_long_ago_is_said_to_be_that_or_not_shown() {
    for (age_s, shown) in [(5, true), (100, true), (200, false)] {
        let mut peer = direct();
        peer["rtt_age_ms"] = json!(age_s * 1000);
        let mut desk = Desk::plain(&node(vec![peer]));
        desk.type_in("2");
        let row = row_of(&mut desk, "● laptop", 120);
        assert_eq!(row.contains("38 ms"), shown, "{row}");
        assert_eq!(row.contains("0.4%"), shown, "{row}");
        let page = {
            desk.type_in("\n");
            desk.screen(120, 40)
        };
        assert_eq!(page.contains(", measured "), age_s > 60, "{page}");
    }
}

#[test]
fn no_direct_path_is_promised_to_a_peer_that_is_kept_to_relays() {
    let mut peer = direct();
    (peer["state"], peer["policy"]) = (json!("relayed"), json!("relay_only"));
    let mut desk = Desk::plain(&node(vec![peer]));
    desk.type_in("2");
    for key in ["R", "P"] {
        assert_eq!(desk.type_in(key), []);
        let screen = desk.screen(120, 40);
        assert!(
            screen.contains("laptop is kept to relays, so nothing direct is tried: r twice"),
            "{screen}"
        );
    }
    // It was given another one a moment ago.
    desk.model.given = Some((id(1), PathPolicy::Auto));
    assert_eq!(desk.type_in("R"), [Effect::Ask(id(1), Request::Retry)]);
    let mut there = direct();
    (there["state"], there["why"]) = (json!("relayed"), super::fixtures::explanation("relay_only"));
    let mut desk = Desk::plain(&node(vec![there]));
    assert_eq!(desk.type_in("2R"), []);
    assert!(desk.screen(120, 40).contains("laptop keeps to relays"));
}

#[test]
fn a_blocked_peer_says_so_and_the_key_that_blocks_lets_it_in_again() {
    let people = People {
        blocked: [id(1)].into(),
        ..options().people
    };
    let mut desk = Desk::plain(&node(vec![direct()]));
    desk.send(Msg::People(people));
    desk.type_in("2");
    assert!(row_of(&mut desk, "laptop", 120).contains("[blocked]"));
    desk.type_in("b");
    assert!(desk.screen(120, 40).contains("Allow?"));
    assert_eq!(desk.type_in("y"), [Effect::Ask(id(1), Request::LetIn)]);
    desk.send(Msg::Answered(id(1), Request::LetIn, Ok(Answer::Done)));
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("blocked no more") && !screen.contains("[blocked]"),
        "{screen}"
    );
    desk.type_in("b");
    assert!(desk.screen(120, 40).contains("Block?"));
    desk.type_in("y");
    desk.send(Msg::Answered(id(1), Request::Block, Ok(Answer::Done)));
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("[blocked]") && screen.contains("b on it lets it in"),
        "{screen}"
    );
}

#[test]
fn a_node_whose_relays_are_all_down_says_who_cannot_reach_it() {
    let mut node = node(twelve());
    let state = |node: &mut Value, state: &str| {
        for relay in node["relays"].as_array_mut().unwrap() {
            (relay["state"], relay["error"]) = (json!(state), json!("no answer"));
        }
    };
    state(&mut node, "down");
    let said = of(&Desk::plain(&node).model);
    assert!(
        said[0].starts_with(
            "no relay answers: who is not linked yet cannot reach this node from elsewhere (no answer)"
        ),
        "{said:?}"
    );
    assert!(
        Desk::plain(&node)
            .screen(80, 24)
            .contains("! no relay answers")
    );
    // While it is tried again, too; but not before it was tried.
    state(&mut node, "connecting");
    assert_eq!(of(&Desk::plain(&node).model).len(), 1);
    node["relays"][0]["error"] = Value::Null;
    assert_eq!(of(&Desk::plain(&node).model), [""; 0]);
}

#[test]
fn a_network_that_is_not_searched_is_not_said_to_be() {
    let mut node = node(vec![]);
    assert!(Desk::plain(&node).model.data().snapshot.peers.is_empty());
    let report = |node: &Value| {
        let mut desk = Desk::plain(node);
        desk.type_in("3");
        desk.screen(120, 40)
    };
    assert!(report(&node).contains("found by multicast DNS"));
    node["network"]["lan_off"] = json!(true);
    let screen = report(&node);
    assert!(
        !screen.contains("multicast DNS") && screen.contains("by ticket only"),
        "{screen}"
    );
}

#[test]
fn members_to_whom_there_is_no_link_any_more_are_not_online_by_that() {
    let mut desk = super::commons::desk(&options());
    let standing = |desk: &Desk, seed: u16| {
        let group = &joined::all(desk.model.data())[0].group;
        let fellows = joined::of(desk.model.data(), group);
        let found = fellows.iter().find(|it| it.id == id(seed));
        found.map(|it| (it.standing.state(), group.name.clone()))
    };
    let (state, name) = standing(&desk, 1).unwrap();
    assert_eq!(state, "online");
    let gone = Row {
        state: "idle",
        path: Some("198.51.100.9:6112"),
        ..Row::OFFLINE
    };
    desk.send(Msg::Sample(snapshot(&node(vec![gone.to_value()]))));
    assert_eq!(standing(&desk, 1).unwrap().0, "away");
    // Unless others say that they hear it.
    let mut swarm = SwarmSnapshot::default();
    let group = json!({"name": name, "pairs": [], "members": [
        {"id": id(1), "presence": Presence::Fresh, "direct": 0, "relayed": 0},
    ]});
    swarm.groups = vec![serde_json::from_value(group).unwrap()];
    desk.send(Msg::Swarm(swarm.into()));
    assert_eq!(standing(&desk, 1).unwrap().0, "online");
}

#[test]
fn all_of_the_address_book_is_seen_below_the_linked_peers_and_dialled_from_there() {
    let names: BTreeMap<_, _> = (1..=300)
        .map(|seed| (id(seed), format!("peer {seed}")))
        .collect();
    let options = Options {
        people: People {
            names,
            ..People::default()
        },
        ..options()
    };
    let mut desk = Desk::new(&node(twelve()), &options);
    desk.type_in("2");
    assert_eq!(desk.model.rows.len(), 12);
    desk.type_in("B");
    assert_eq!(desk.model.rows.len(), 300);
    let linked = (0..12)
        .filter_map(|row| desk.model.peer(row))
        .map(|peer| peer.id);
    assert!(
        linked.eq(desk.model.rows[..12]
            .iter()
            .map(|at| desk.model.data().snapshot.peers[*at].id))
    );
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("Peers · 300, 288 of them in the address book alone"),
        "{screen}"
    );
    // The others come by name.
    desk.type_in("/peer 113\n");
    assert_eq!(desk.model.rows.len(), 1);
    assert_eq!(desk.model.selected().map(|peer| peer.id), Some(id(113)));
    desk.type_in("\n");
    assert!(desk.screen(120, 40).contains("none from this node"));
    desk.key(crossterm::event::KeyCode::Esc);
    desk.type_in("c");
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("peer113") && screen.contains(&id(113).short()),
        "{screen}"
    );
    assert_eq!(desk.type_in("\n"), [Effect::Connect(id(113).into())]);
    for _ in 0..3 {
        desk.key(crossterm::event::KeyCode::Esc);
    }
    assert_eq!(
        desk.model.rows.len(),
        12,
        "one step back at a time leads out of it"
    );
    // The map has those that the node knows alone.
    desk.type_in("B5");
    assert_eq!(desk.model.rows.len(), 12);
}

#[test]
fn the_footer_offers_no_key_that_would_do_nothing() {
    let footer = |desk: &mut Desk| {
        let screen = desk.screen(200, 40);
        screen.lines().last().unwrap().to_owned()
    };
    let mut empty = Desk::plain(&node(vec![]));
    for view in ["1", "2", "4", "6", "7", "8"] {
        empty.type_in(view);
        let footer = footer(&mut empty);
        for word in ["open", " why", " peer ", "ping", "policy", "older"] {
            assert!(!footer.contains(word), "{view}: {word} in {footer}");
        }
        assert!(footer.contains("help") && footer.contains("quit"));
    }
    let mut replay = Desk::twelve(&Options {
        replay: true,
        read_only: true,
        ..options()
    });
    assert!(!footer(&mut replay).contains("ping"));
    assert_eq!(replay.type_in("p"), []);
    assert!(replay.screen(120, 40).contains("a recording"));
    assert!(footer(&mut Desk::twelve(&options())).contains("ping"));
}

#[test]
fn a_page_counts_the_warnings_about_its_peer_alone() {
    let mut desk = Desk::twelve(&options());
    assert!(desk.model.warnings() > 1);
    desk.model.select(id(10));
    desk.type_in("\n");
    assert_eq!(desk.model.warnings(), 1);
}

#[test]
fn long_names_are_shown_where_there_is_room() {
    let name = "Grandmother's old tablet";
    let options = Options {
        people: People {
            names: [(id(1), name.to_owned())].into(),
            ..People::default()
        },
        ..options()
    };
    let mut desk = Desk::new(&node(vec![direct()]), &options);
    desk.type_in("2");
    for (width, shown) in [(80, false), (200, true)] {
        let row = row_of(&mut desk, "● Grand", width);
        assert_eq!(row.contains(name), shown, "{width}: {row}");
    }
}

#[test]
fn what_the_own_policy_leads_to_is_no_warning() {
    let mut why = super::fixtures::explanation("path_silent");
    let event = |why: &Value| json!({"at_ms": super::fixtures::AT_MS, "event": "peer_state", "peer": id(1), "from": "relayed", "to": "failed", "why": why});
    let mut desk = Desk::plain(&node(vec![direct()]));
    let silent = event(&why);
    why["cause"] = json!({"kind": "policy", "policy": "direct_only"});
    for (event, warnings) in [(event(&why), 0), (silent, 1)] {
        desk.send(Msg::Event(serde_json::from_value(event).unwrap()));
        assert_eq!(desk.model.warnings(), warnings);
    }
}
