//! What is shared and fetched, and the groups that were joined.

use std::sync::Arc;

use crossterm::event::KeyCode;
use insta::assert_snapshot;
use peerway_swarm::share::Hash;
use serde_json::{Value, json};

use super::fixtures::{AT_MS, Desk, id, node, options, snapshot, twelve};
use crate::{
    Commons,
    dash::{
        Options,
        layout::Panel,
        msg::{Effect, Msg},
        tabs::View,
    },
};

const SIZES: [(u16, u16); 5] = [(40, 10), (60, 20), (80, 24), (120, 40), (200, 50)];

fn content(name: &str, state: &str, (bytes, done): (u64, u64), moved: (u64, u64)) -> Value {
    let peer = |seed: u16, has: Option<u8>, received: u64, sent: u64, active: bool| json!({"id": id(seed), "has": has, "received": received, "sent": sent, "active": active});
    let is_fetched = done < bytes;
    let peers = if is_fetched {
        vec![
            peer(1, Some(100), moved.0 / 2, 0, true),
            peer(2, Some(60), moved.0 / 4, 0, true),
            peer(4, Some(0), 0, moved.1, true),
            peer(30, Some(100), moved.0 / 4, 0, false),
        ]
    } else if moved.1 > 0 {
        vec![peer(3, None, 0, moved.1, true)]
    } else {
        Vec::new()
    };
    let pieces: Vec<u8> = if is_fetched {
        (0..60).map(|cell| [100, 100, 40, 0][cell % 4]).collect()
    } else {
        Vec::new()
    };
    json!({
        "hash": Hash::of(name.as_bytes()), "name": name, "kind": if name == "photos" { "folder" } else { "file" },
        "state": state, "reason": (state == "paused").then_some("No space left on device"), "public": name == "film.mkv",
        "path": format!("/home/anna/{name}"), "files": if name == "photos" { 812 } else { 1 }, "files_done": if name == "photos" { 812 } else { 0 },
        "bytes": bytes, "bytes_done": done, "received": moved.0, "sent": moved.1, "pieces": pieces, "peers": peers,
    })
}

/// What is fetched is paused.
fn transfer(
    id: u64,
    direction: &str,
    peer: Option<u16>,
    name: &str,
    (bytes, done): (u64, u64),
) -> Value {
    json!({
        "id": id, "direction": direction, "peer": peer.map(self::id), "name": name,
        "folder": (direction != "sending").then_some("/home/anna/in"), "paused": direction == "fetching",
        "files": 1, "files_done": 0, "bytes": bytes, "bytes_done": done, "bytes_held": if direction == "receiving" { 400_000_000 } else { 0 },
    })
}

/// One that is kept has a state. Who uses it has so many connections.
fn server(
    name: &str,
    target: &str,
    allow: &[&str],
    (state, clients): (Option<&str>, &[(u16, usize)]),
) -> Value {
    let clients = clients.iter();
    let clients: Vec<_> = clients
        .map(|(seed, open)| json!({"id": id(*seed), "open": open}))
        .collect();
    json!({
        "name": name, "target": target, "allow": allow, "limit": null, "kept": state.is_some(), "state": state,
        "reason": (state == Some("waiting")).then_some("no socket at /home/anna/nas.sock yet"), "clients": clients,
        "received": 0, "sent": 0,
    })
}

/// So many seconds on.
fn used(mut server: Value, second: u64) -> Value {
    server["received"] = json!(1_000_000 + second * 40_000);
    server["sent"] = json!(20_000_000 + second * 2_000_000);
    server
}

fn post(seed: u16, ago_s: u64, text: Option<&str>) -> Value {
    let sent_ms = AT_MS - ago_s * 1000;
    json!({"id": format!("{seed}{ago_s}"), "author": id(seed), "sent_ms": sent_ms, "text": text})
}

fn group(name: &str, unread: usize, members: &[(u16, &str)], posts: &[Value]) -> Value {
    let members: Vec<_> = members
        .iter()
        .map(|(seed, role)| {
            json!({"id": id(*seed), "role": role, "since_ms": AT_MS - 86_400_000 * 3, "by": id(0), "linked": *seed < 3})
        })
        .collect();
    json!({
        "group": {
            "id": format!("{name}abcdefghijklmnop"), "name": name, "role": "founder", "members": members, "posts": posts.len(),
            "unread": unread, "invites": 0, "has_key": true, "refused": 0,
            "former": [
                {"id": id(9), "role": "member", "until_ms": AT_MS - 300_000, "removed": false},
                {"id": id(31), "role": "member", "until_ms": AT_MS - 90_000_000, "removed": true},
            ],
        },
        "posts": posts,
    })
}

/// `second` seconds after the fixture's time, so much further.
pub(in crate::dash) fn commons(second: u64) -> Arc<Commons> {
    let came = 400_000_000 + second * 8_000_000;
    let long = "the heating is off until Thursday, and whoever comes by before that should bring a jumper or two, and look after the plants";
    let value = json!({
        "at_ms": AT_MS + second * 1000,
        "contents": [
            content("film.mkv", "fetching", (1_400_000_000, came), (came, 30_000_000)),
            content("backup.tar", "paused", (9_000_000_000, 4_000_000_000), (4_000_000_000, 0)),
            content("rare.iso", "waiting", (700_000_000, 10_000_000), (10_000_000, 0)),
            content("notes.txt", "fetched", (12_000, 12_000), (12_000, 0)),
            content("photos", "shared", (5_200_000_000, 5_200_000_000), (0, 900_000 + second * 200_000)),
            content("evil\u{1b}[2J\u{202e}name", "changed", (5, 5), (0, 0)),
        ],
        "groups": [
            group("family", 2, &[(0, "founder"), (1, "admin"), (2, "member"), (4, "member"), (12, "reader"), (20, "member")], &[
                post(1, 90_000, Some("who feeds the cat?")),
                post(2, 3600, Some("I do")),
                post(1, 120, Some(long)),
                post(4, 30, Some("see \u{1b}[31m 192.0.2.7 and\nbring cake")),
            ]),
            group("holiday", 0, &[(0, "member"), (3, "founder")], &[]),
            group("work", 0, &[(0, "member"), (3, "founder")], &[post(3, 600, None)]),
        ],
        "transfers": [
            transfer(3, "receiving", Some(1), "holiday.mov", (4_000_000_000, 1_000_000_000 + second * 6_000_000)),
            transfer(4, "fetching", None, "backup.tar", (9_000_000_000, 4_000_000_000)),
            transfer(7, "sending", Some(3), "-", (0, 800_000 + second * 1_000)),
        ],
        "servers": [
            server("game", "udp://192.168.1.30:27015", &[], (None, &[])),
            server("nas", "192.168.1.20:445", &["family"], (Some("waiting"), &[])),
            used(server("web", "127.0.0.1:8080", &["family", "phone"], (Some("ready"), &[(1, 2), (3, 1)])), second),
        ],
    });
    Arc::new(serde_json::from_value(value).unwrap())
}

/// Shares and groups after some seconds of fetching.
pub(super) fn desk(options: &Options) -> Desk {
    let mut desk = Desk::twelve(options);
    for second in 0..3 {
        desk.send(Msg::Commons(commons(second)));
    }
    let mut later = node(twelve());
    later["at_ms"] = json!(AT_MS + 2000);
    desk.sample(snapshot(&later));
    desk
}

#[test]
fn shares_and_groups_fit_every_size() {
    let views = [
        ("shares", "7"),
        ("share", "7\n"),
        ("groups", "8"),
        ("members", "8\n"),
        ("posts", "8\t\t"),
    ];
    for (name, keys) in views {
        for (width, height) in SIZES {
            let mut desk = desk(&options());
            desk.screen(width, height);
            desk.type_in(keys);
            assert_snapshot!(
                format!("{name}_{width}x{height}"),
                desk.screen(width, height)
            );
        }
    }
}

#[test]
fn what_others_wrote_reaches_the_terminal_as_text_alone() {
    let hostile = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    for keys in ["7G", "7G\n", "8\t\t", "8\t\tj"] {
        let mut desk = desk(&options());
        desk.screen(120, 40);
        desk.type_in(keys);
        let screen = desk.screen(120, 40);
        assert!(!screen.contains(hostile), "{screen}");
    }
    let mut desk = desk(&options());
    desk.type_in("7");
    let screen = desk.screen(120, 40);
    assert!(screen.contains(r"evil\u{1b}[2J\u{202e}name"), "{screen}");
}

#[test]
fn the_mask_hides_paths_and_the_addresses_that_others_wrote() {
    let mut desk = desk(&options());
    desk.screen(120, 40);
    desk.type_in("7v");
    assert!(!desk.screen(120, 40).contains("/home/anna"));
    desk.type_in("8\t\t");
    let screen = desk.screen(120, 40);
    assert!(!screen.contains("192.0.2.7"), "{screen}");
    assert!(screen.contains("hidden"), "{screen}");
}

#[test]
fn both_views_are_ascii_where_that_is_wanted() {
    for keys in ["7", "7\n", "8", "8\t\t"] {
        let mut desk = desk(&Options {
            ascii: true,
            ..options()
        });
        desk.screen(120, 40);
        desk.type_in(keys);
        let screen = desk.screen(120, 40);
        assert!(screen.is_ascii(), "{keys:?}:\n{screen}");
    }
}

#[test]
fn a_share_stays_selected_when_its_row_moves_and_keeps_its_peers_below() {
    let mut desk = desk(&options());
    desk.screen(120, 40);
    desk.type_in("7");
    let name = |desk: &Desk| desk.model.share;
    let film = name(&desk);
    assert_eq!(film, Some(Hash::of(b"film.mkv")));
    desk.type_in("sz");
    assert_eq!(name(&desk), film);
    let screen = desk.screen(120, 40);
    assert!(screen.contains("sort: size"), "{screen}");
    assert!(screen.contains("┌─ film.mkv "), "{screen}");
    assert!(screen.contains("SIZE▲"), "{screen}");
    // The largest is the first now.
    desk.type_in("gg");
    assert_eq!(name(&desk), Some(Hash::of(b"backup.tar")));
}

#[test]
fn rates_are_told_while_something_moves_and_no_longer() {
    let mut desk = desk(&options());
    desk.type_in("7");
    let screen = desk.screen(120, 40);
    assert!(screen.contains("8.0M"), "{screen}");
    assert!(screen.contains("2m"), "no time that is left:\n{screen}");
    let mut later = node(twelve());
    later["at_ms"] = json!(AT_MS + 9000);
    desk.sample(snapshot(&later));
    assert!(!desk.screen(120, 40).contains("8.0M"));
}

#[test]
fn the_grammar_filters_shares_members_and_posts_each_by_their_own() {
    let mut desk = desk(&options());
    desk.screen(120, 40);
    desk.type_in("7/state=fetching or holders>2\n");
    assert!(desk.screen(120, 40).contains("Shares · 3"));
    desk.key(KeyCode::Esc);
    desk.type_in("/size>1G done<50% peer~laptop\n");
    assert!(desk.screen(120, 40).contains("Shares · 2"));
    desk.key(KeyCode::Esc);
    desk.type_in("/rtt>1");
    assert!(
        desk.screen(120, 40)
            .contains("rtt is of peers, not of shares")
    );
    desk.key(KeyCode::Esc);
    desk.type_in("8\n/state=left or role=reader\n");
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("old-phone") && screen.contains("pi-kitchen"),
        "{screen}"
    );
    assert_eq!(crate::dash::joined::fellows(&desk.model).len(), 2);
    desk.key(KeyCode::Esc);
    desk.type_in("/path=relay\n");
    let members: Vec<_> = crate::dash::joined::fellows(&desk.model)
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(members, [id(4)]);
    desk.key(KeyCode::Esc);
    desk.type_in("\t/state=unread cake\n");
    assert_eq!(crate::dash::joined::posts(&desk.model).len(), 1);
    assert!(desk.model.filters.peers.is_empty());
}

#[test]
fn enter_leads_from_a_share_to_its_peers_and_from_a_group_to_its_members_and_on_to_their_pages() {
    let mut desk = desk(&options());
    desk.type_in("7\n");
    assert_eq!(desk.model.focus, Panel::Holders);
    desk.type_in("\n");
    assert_eq!(
        (desk.model.view, desk.model.page),
        (View::Peers, Some(id(1)))
    );
    desk.type_in("8\n");
    assert_eq!(desk.model.focus, Panel::Fellows);
    desk.key(KeyCode::Esc);
    assert_eq!(desk.model.focus, Panel::Groups);
    desk.type_in("\t\t\n");
    assert_eq!(desk.model.page, Some(id(4)), "who wrote the last post");
}

#[test]
fn what_is_known_of_who_has_no_page_is_said_and_who_left_is_listed_last() {
    let mut desk = desk(&options());
    desk.screen(120, 40);
    desk.type_in("8\nG");
    let screen = desk.screen(120, 40);
    let last = screen.lines().filter(|line| line.contains("removed"));
    assert_eq!(last.count(), 1, "{screen}");
    assert!(screen.contains("4 of 6 online"), "{screen}");
    desk.type_in("\n");
    let screen = desk.screen(120, 40);
    assert!(screen.contains("family: removed 1d"), "{screen}");
}

#[test]
fn posts_that_have_the_focus_are_told_to_be_read_once() {
    let mut desk = desk(&options());
    assert_eq!(desk.type_in("8\t"), []);
    let read = Effect::HaveRead("familyabcdefghijklmnop".to_owned());
    assert_eq!(desk.type_in("\t"), [read]);
    assert_eq!(desk.type_in("j"), []);
    assert_eq!(desk.send(Msg::Commons(commons(3))), []);
    let mut reader = self::desk(&Options {
        read_only: true,
        ..options()
    });
    assert_eq!(reader.type_in("8\t\t"), []);
}

#[test]
fn what_a_node_does_not_tell_is_said_and_not_taken_for_nothing() {
    let mut desk = Desk::twelve(&options());
    for keys in ["7", "8"] {
        desk.type_in(keys);
        assert!(desk.screen(120, 40).contains("is told here"), "{keys}");
    }
    desk.send(Msg::Commons(Arc::default()));
    assert!(desk.screen(120, 40).contains("belongs to no group"));
    desk.type_in("7");
    assert!(desk.screen(120, 40).contains("Nothing is shared"));
}

#[test]
fn a_message_of_several_lines_is_told_so_in_one_and_in_full_as_it_was_written() {
    let mut told: Commons = (*commons(2)).clone();
    let text = "shopping:\n\n- milk\n- bread 👨\u{200d}👩\u{200d}👧 for all ❤\u{fe0f}\n";
    told.groups[0]
        .posts
        .push(serde_json::from_value(post(1, 10, Some(text))).unwrap());
    let mut desk = desk(&options());
    desk.screen(200, 50);
    desk.send(Msg::Commons(told.into()));
    desk.type_in("8");
    let screen = desk.screen(200, 50);
    assert!(
        screen.contains("shopping: ↵ - milk ↵ - bread 👨👩👧 for all ❤"),
        "{screen}"
    );
    desk.type_in("\t\t");
    let screen = desk.screen(200, 50);
    for line in ["│shopping:", "│- milk", "│- bread"] {
        assert!(screen.contains(line), "{line}: {screen}");
    }
}
