//! What each key does.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use peerway::{Event, EventKind, PairAction};
use ratatui::style::Modifier;
use serde_json::json;

use super::fixtures::{AT_MS, Desk, id, node, options, snapshot, swarm, twelve};
use crate::dash::{
    Answer, Options, Request,
    keymap::{self, Action, BINDINGS, Context, HelpLine, Recall, Step, Zoom},
    layout::Panel,
    look::UNICODE,
    model::Overlay,
    msg::{Effect, Msg},
    sort::Column,
    strip::Scrub,
    tabs::View,
};

/// A desk whose keyboard is in the given context.
fn desk_in(context: Context) -> Desk {
    let mut desk = Desk::twelve(&Options {
        owns_node: context == Context::Confirm,
        ..options()
    });
    if matches!(context, Context::Members | Context::Links) {
        desk.send(Msg::Swarm(swarm()));
    }
    if matches!(
        context,
        Context::Shares
            | Context::Holders
            | Context::Groups
            | Context::Fellows
            | Context::Posts
            | Context::Stranger
            | Context::Transfers
            | Context::Transfer
            | Context::Flow
            | Context::Flows
            | Context::Exposed
            | Context::Services
    ) {
        desk = super::commons::desk(&options());
    }
    if context == Context::Events {
        desk.key(KeyCode::Tab);
    }
    desk.type_in(match context {
        Context::Peers | Context::Events => "",
        Context::Page => "\n",
        Context::Pairs => "\n\t",
        Context::Network => "3",
        Context::Transfers => "4",
        Context::Transfer => "4\n",
        Context::Flow => "4\t\n",
        Context::Flows => "4\t",
        Context::Exposed => "4\t\t",
        Context::Map => "5",
        Context::Members => "5\t",
        Context::Links => "5\t\t",
        Context::Shares => "7",
        Context::Holders => "7\n",
        Context::Groups => "8",
        Context::Fellows => "8\n",
        Context::Posts => "8\t\t",
        Context::Stranger => "8\nG\n",
        Context::Details => "w",
        Context::Share => "Y",
        Context::Help => "?",
        Context::Copy => "y",
        Context::Go => "Gg",
        Context::Prompt => ":",
        Context::Name => "a",
        Context::Callers => "A",
        Context::Homes => "3h",
        Context::Services => "4",
        Context::Sure => "x",
        Context::Sort => "s",
        Context::Connect => "c",
        Context::Filter => "/",
        Context::Confirm => "q",
    });
    if context == Context::Services {
        let services = Ok(vec!["ssh".to_owned(), "web".to_owned()]);
        desk.send(Msg::Services(id(1), services));
    }
    assert_eq!(desk.model.context(), context);
    desk
}

/// Makes the action's effect visible: something to go up from, back to, away from, or to dial.
fn prepare(desk: &mut Desk, action: Action, context: Context) {
    match (action, context) {
        (Action::Move(Step::Last), Context::Go) => desk.type_in("gg"),
        (Action::Move(_), Context::Go) => vec![],
        (Action::Move(Step::Up), Context::Callers | Context::Homes | Context::Services) => {
            desk.type_in("j")
        }
        (Action::Move(_), Context::Callers | Context::Homes | Context::Services) => vec![],
        (Action::Move(_), Context::Sort) => desk.type_in("j"),
        (Action::Follow, _) => desk.type_in("jj"),
        (
            Action::Move(_),
            Context::Pairs
            | Context::Network
            | Context::Transfers
            | Context::Exposed
            | Context::Transfer
            | Context::Shares
            | Context::Holders
            | Context::Groups
            | Context::Fellows
            | Context::Posts,
        ) => desk.type_in("j"),
        (Action::Move(_), _) => desk.type_in("jjjjj"),
        (Action::Scrub(Scrub::Later), _) => desk.key(KeyCode::Left),
        (Action::Zoom(Zoom::Reset), _) => desk.type_in("+"),
        (Action::SortBy(Column::State), _) => desk.type_in("ns"),
        (Action::Back, Context::Peers | Context::Events) => desk.type_in("e"),
        // The key of the view that is there already does nothing.
        (Action::View(View::Overview), Context::Peers) => desk.type_in("2"),
        (
            Action::View(_),
            Context::Network
            | Context::Flows
            | Context::Transfers
            | Context::Exposed
            | Context::Map
            | Context::Members
            | Context::Links
            | Context::Shares
            | Context::Holders
            | Context::Groups
            | Context::Fellows
            | Context::Posts,
        ) => {
            desk.model.view = View::Overview;
            vec![]
        }
        (Action::Recall(which), _) => {
            desk.key(KeyCode::Esc);
            desk.type_in(":map");
            desk.key(KeyCode::Enter);
            let asked = desk.type_in(":");
            if which == Recall::Newer {
                desk.key(KeyCode::Up);
            }
            asked
        }
        (Action::Complete, _) => desk.type_in("pin"),
        (Action::Accept, Context::Connect) => desk.send(Msg::Paste(id(5).to_string())),
        _ => vec![],
    };
}

/// What can be seen of a desk: its screen, its sorting and what it asks for.
fn seen(desk: &mut Desk, effects: &[Effect]) -> String {
    let (window, cursor) = (desk.model.window, desk.model.cursor);
    let scale = desk.model.scale;
    format!(
        "{}{window:?}{scale:?}{cursor}{effects:?}",
        desk.screen(80, 24)
    )
}

#[test]
fn every_key_does_something_in_each_of_its_contexts() {
    for binding in BINDINGS {
        for context in binding.contexts {
            for key in binding.keys {
                let mut desk = desk_in(*context);
                prepare(&mut desk, binding.action, *context);
                let before = seen(&mut desk, &[]);
                let modifiers = if key.control {
                    KeyModifiers::CONTROL
                } else {
                    KeyModifiers::NONE
                };
                let effects = desk.send(Msg::Key(KeyEvent::new(key.code, modifiers)));
                let after = seen(&mut desk, &effects);
                assert_ne!(before, after, "{key:?} in {context:?}");
            }
        }
    }
}

#[test]
fn no_key_has_two_meanings_in_one_context() {
    for (at, binding) in BINDINGS.iter().enumerate() {
        for other in &BINDINGS[at + 1..] {
            let shared = binding
                .contexts
                .iter()
                .any(|context| other.contexts.contains(context))
                && binding.keys.iter().any(|key| other.keys.contains(key));
            assert!(!shared, "{:?} and {:?}", binding.action, other.action);
        }
    }
}

#[test]
fn the_footer_shows_the_keys_of_what_has_the_focus_and_how_to_leave_it() {
    for (context, shown, not_shown) in [
        (
            Context::Peers,
            vec!["/ filter", "Enter open", "q quit"],
            "older",
        ),
        (
            Context::Events,
            vec!["j older", "k newer", "Tab next panel", "q quit"],
            "filter",
        ),
        (
            Context::Details,
            vec!["Esc close", "j next", "q quit"],
            "filter",
        ),
        (
            Context::Share,
            vec!["Esc close", "y copy", "q quit"],
            "details",
        ),
        (
            Context::Help,
            vec!["Esc close", "j down", "q quit"],
            "details",
        ),
        (
            Context::Copy,
            vec!["i id", "t ticket", "Esc cancel"],
            "quit",
        ),
        (Context::Go, vec!["g first row", "Esc cancel"], "quit"),
        (
            Context::Prompt,
            vec!["Enter run", "Tab complete", "Esc cancel"],
            "quit",
        ),
        (Context::Name, vec!["Enter name", "Esc cancel"], "quit"),
        (Context::Sure, vec!["y yes", "Esc cancel"], "quit"),
        (Context::Sort, vec!["Enter sort", "Esc cancel"], "quit"),
        (Context::Connect, vec!["Enter dial", "Esc cancel"], "quit"),
        (Context::Filter, vec!["Enter keep", "Esc clear"], "quit"),
        (Context::Confirm, vec!["q quit", "Esc cancel"], "details"),
    ] {
        let mut desk = desk_in(context);
        let screen = desk.screen(80, 28);
        let footer = screen.lines().last().unwrap();
        for hint in shown {
            assert!(footer.contains(hint), "{hint} in {context:?}: {footer}");
        }
        assert!(
            !footer.contains(not_shown),
            "{not_shown} in {context:?}: {footer}"
        );
        let narrow = desk.screen(40, 10);
        let footer = narrow.lines().last().unwrap();
        let leads_out = ["quit", "cancel", "clear"];
        assert!(
            leads_out.iter().any(|hint| footer.contains(hint)),
            "{context:?}: {footer}"
        );
    }
}

#[test]
fn control_c_quits_from_everywhere() {
    for keys in ["", "?", "c", "/", "Y", "w", "y"] {
        let mut desk = Desk::twelve(&Options {
            owns_node: true,
            ..options()
        });
        desk.type_in(keys);
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        let effects = desk.send(Msg::Key(key));
        assert_eq!(effects, [Effect::Quit { keep_screen: false }], "{keys}");
    }
}

#[test]
fn control_z_suspends_from_everywhere_and_says_so_where_there_is_no_shell() {
    for keys in ["", "?", "c", "/", "Y", "w", "y"] {
        let mut desk = Desk::twelve(&options());
        desk.type_in(keys);
        let key = KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL);
        assert_eq!(desk.send(Msg::Key(key)), [Effect::Suspend], "{keys}");
    }
    let mut desk = Desk::twelve(&options());
    desk.send(Msg::NoShell);
    assert!(desk.screen(80, 24).contains("no shell to go back to"));
}

#[test]
fn quitting_asks_only_if_connections_would_end() {
    let quit = [Effect::Quit { keep_screen: false }];
    let mut watching = Desk::twelve(&options());
    assert_eq!(watching.type_in("q"), quit);
    let owner = Options {
        owns_node: true,
        ..options()
    };
    let mut idle = Desk::new(&node(vec![]), &owner);
    assert_eq!(idle.type_in("q"), quit);
    let mut busy = Desk::twelve(&owner);
    assert_eq!(busy.type_in("q"), []);
    busy.key(KeyCode::Esc);
    assert_eq!(busy.type_in("Q"), []);
    assert_eq!(busy.type_in("q"), [Effect::Quit { keep_screen: true }]);
}

#[test]
fn the_selection_stays_with_its_peer_when_rows_move() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("jj");
    let phone = id(3);
    assert_eq!(desk.model.selected().map(|peer| peer.id), Some(phone));
    let mut moved = node(twelve());
    moved["at_ms"] = (AT_MS + 1000).into();
    let peers = moved["peers"].as_array_mut().unwrap().iter_mut();
    for peer in peers.filter(|peer| peer["id"] == json!(phone)) {
        peer["state"] = "failed".into();
    }
    desk.sample(snapshot(&moved));
    assert_eq!(desk.model.selected().map(|peer| peer.id), Some(phone));
    assert_eq!(desk.model.cursor, 11);
    desk.sample(snapshot(&node(twelve().split_off(4))));
    assert!(desk.model.selected().is_some());
}

#[test]
fn the_menu_sorts_by_letter_and_by_row_and_a_second_time_the_other_way_round() {
    let mut desk = Desk::twelve(&options());
    let names = |desk: &Desk| -> Vec<String> {
        let peers = &desk.model.data().snapshot.peers;
        let words = desk.model.words();
        desk.model
            .rows
            .iter()
            .map(|row| words.name(&peers[*row].id))
            .collect()
    };
    desk.type_in("s");
    let menu = desk.screen(80, 24);
    for column in Column::PEERS {
        assert!(menu.contains(column.word()), "{menu}");
    }
    desk.type_in("n");
    assert_eq!(names(&desk)[..3], ["backup", "build-box", "cafe"]);
    desk.type_in("sn");
    assert_eq!(names(&desk)[..2], ["seed-2", "seed-1"]);
    desk.type_in("su");
    assert_eq!(names(&desk)[..2], ["nas", "laptop"]);
    desk.type_in("S");
    assert_eq!(names(&desk)[11], "nas");
    desk.type_in("skk");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.model.sort.by, Column::Loss);
    desk.type_in("s");
    desk.key(KeyCode::Esc);
    assert_eq!(desk.model.sort.by, Column::Loss);
}

#[test]
fn what_may_follow_the_first_key_of_a_chord_is_shown() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("y");
    let screen = desk.screen(80, 24);
    for hint in [
        "i  id",
        "t  ticket",
        "a  address",
        "w  why",
        "r  row",
        "y  panel",
    ] {
        assert!(screen.contains(hint), "{hint}: {screen}");
    }
    desk.key(KeyCode::Esc);
    assert!(!desk.screen(80, 24).contains("i  id"));
    desk.type_in("Gg");
    assert!(desk.screen(80, 24).contains("g  first row"));
    desk.type_in("g");
    assert_eq!(desk.model.cursor, 0);
    desk.type_in("ge");
    assert_eq!(desk.model.cursor, 11);
}

#[test]
fn faults_alone_are_shown_when_asked_for() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("!");
    assert_eq!(desk.model.rows.len(), 6);
    desk.key(KeyCode::Esc);
    assert_eq!(desk.model.rows.len(), 12);
}

#[test]
fn copying_sends_what_was_named() {
    let mut desk = Desk::twelve(&options());
    assert_eq!(desk.type_in("yi"), [Effect::Copy(id(1).to_string())]);
    let address = "[2001:db8:9::7]:41641".to_owned();
    assert_eq!(desk.type_in("ya"), [Effect::Copy(address)]);
    let ticket = desk.model.data().snapshot.ticket.to_string();
    assert_eq!(desk.type_in("yt"), [Effect::Copy(ticket.clone())]);
    assert_eq!(desk.type_in("Yy"), [Effect::Copy(ticket)]);
    desk.key(KeyCode::Esc);
    let [Effect::Copy(row)] = &desk.type_in("yr")[..] else {
        panic!("no row is copied");
    };
    assert!(row.contains(&id(1).to_string()), "{row}");
    desk.type_in("jjj");
    let [Effect::Copy(why)] = &desk.type_in("yw")[..] else {
        panic!("no reason is copied");
    };
    assert!(!why.is_empty(), "{why}");
    let [Effect::CopyScreen(area)] = desk.type_in("yy")[..] else {
        panic!("no panel is copied");
    };
    assert!(area.width == 78 && area.height > 3, "{area}");
}

#[test]
fn on_a_page_its_peer_is_copied_whatever_the_table_selects() {
    let mut desk = Desk::twelve(&options());
    desk.key(KeyCode::Enter);
    desk.model.select_row(3);
    assert_eq!(desk.type_in("yi"), [Effect::Copy(id(1).to_string())]);
}

#[test]
fn a_peer_that_is_named_is_opened_from_any_panel() {
    for view in ["1", "4", "5", "6"] {
        let mut desk = Desk::twelve(&options());
        desk.type_in(view);
        desk.type_in(&format!(":open {}", id(3).short()));
        desk.key(KeyCode::Enter);
        assert_eq!(desk.model.page, Some(id(3)), "{view}");
    }
}

#[test]
fn a_paste_outside_any_dialog_opens_the_connect_dialog() {
    let mut desk = Desk::twelve(&options());
    desk.send(Msg::Paste(id(5).to_string()));
    let effects = desk.key(KeyCode::Enter);
    assert_eq!(effects, [Effect::Connect(id(5).into())]);
    desk.send(Msg::Dialled(id(5), Ok(())));
    assert!(desk.model.overlay.is_none());
    assert!(desk.screen(80, 24).contains("connected to cafe"));
}

#[test]
fn the_nodes_own_ticket_is_not_dialled() {
    let mut desk = Desk::twelve(&options());
    let own = desk.model.data().snapshot.ticket.to_string();
    desk.send(Msg::Paste(own));
    assert_eq!(desk.key(KeyCode::Enter), []);
    assert!(desk.screen(80, 24).contains("own ticket"));
}

#[test]
fn a_wrong_filter_leaves_the_last_right_one_in_place() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("/path=idle");
    assert_eq!(desk.model.rows.len(), 3);
    desk.type_in("x");
    assert_eq!(desk.model.rows.len(), 3);
    let wrong = desk.terminal(80, 24);
    let buffer = wrong.backend().buffer();
    let underlined: String = (0..80)
        .filter_map(|x| buffer.cell((x, 23)))
        .filter(|cell| cell.modifier.contains(Modifier::UNDERLINED))
        .map(|cell| cell.symbol())
        .collect();
    assert_eq!(underlined, "idlex");
    assert!(wrong.backend().to_string().contains("did you mean idle?"));
    desk.key(KeyCode::Enter);
    assert!(matches!(desk.model.overlay, Some(Overlay::Filter { .. })));
    desk.key(KeyCode::Esc);
    assert_eq!(desk.model.rows.len(), 12);
}

#[test]
fn what_is_asked_of_a_peer_is_sent_and_its_answer_shown() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("jj");
    let phone = id(3);
    let ping = Request::Ping {
        until_direct: false,
    };
    assert_eq!(desk.type_in("p"), [Effect::Ask(phone, ping.clone())]);
    for ms in [38, 41, 37] {
        let answer = Ok(Answer::Pong {
            rtt: Duration::from_millis(ms),
            path: desk.model.selected().and_then(|peer| peer.path.clone()),
        });
        desk.send(Msg::Answered(phone, ping.clone(), answer));
    }
    let screen = desk.screen(80, 24);
    assert!(
        screen.contains("phone 38 41 37 · 39 ms direct v4"),
        "{screen}"
    );
    desk.send(Msg::Answered(phone, ping, Ok(Answer::Done)));
    assert_eq!(desk.type_in("R"), [Effect::Ask(phone, Request::Retry)]);
    desk.send(Msg::Answered(
        phone,
        Request::Retry,
        Err("the link is direct already".to_owned()),
    ));
    let screen = desk.screen(80, 24);
    assert!(
        screen.contains("phone: the link is direct already"),
        "{screen}"
    );
}

#[test]
fn the_policy_of_a_peer_goes_round_and_is_shown_with_its_path() {
    use peerway::PathPolicy::{Auto, DirectOnly, RelayOnly};
    let mut desk = Desk::twelve(&options());
    desk.type_in("jj");
    let phone = id(3);
    let asked = |policy| [Effect::Ask(phone, Request::Policy(policy))];
    // However fast it is pressed: a snapshot that shows it comes later.
    for policy in [RelayOnly, DirectOnly, Auto, RelayOnly] {
        assert_eq!(desk.type_in("r"), asked(policy));
    }
    let done = |policy| Msg::Answered(phone, Request::Policy(policy), Ok(Answer::Done));
    desk.send(done(RelayOnly));
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("phone is reached by relays only"),
        "{screen}"
    );
    let mut peers = twelve();
    let of = peers.iter_mut().find(|peer| peer["id"] == json!(phone));
    of.unwrap()["policy"] = json!("relay_only");
    desk.send(Msg::Sample(snapshot(&node(peers))));
    let screen = desk.screen(120, 40);
    assert!(screen.contains("[relay-only]"), "{screen}");
    assert_eq!(desk.type_in("r"), asked(DirectOnly));
    desk.send(Msg::Answered(
        phone,
        Request::Policy(DirectOnly),
        Err("no answer".to_owned()),
    ));
    assert_eq!(desk.type_in("r"), asked(DirectOnly), "it was not done");
    desk.type_in(":policy phone auto");
    assert_eq!(desk.key(KeyCode::Enter), asked(Auto));
    let mut reader = Desk::twelve(&Options {
        read_only: true,
        ..options()
    });
    assert_eq!(reader.type_in("r"), []);
}

#[test]
fn a_pair_of_a_page_is_forced_and_released_and_the_cursor_stays_on_it_and_it_is_said_when_it_dies()
{
    let mut desk = Desk::twelve(&options());
    desk.type_in("jjjj\n\tj");
    let peer = desk.model.page.unwrap();
    let remote = "10.0.3.17:38122".parse().unwrap();
    let asked = |action| {
        let tcp = false;
        let pair = Request::Pair {
            remote,
            tcp,
            action,
        };
        [Effect::Ask(peer, pair)]
    };
    for (key, action) in [
        ("p", PairAction::Probe),
        ("x", PairAction::Drop),
        ("F", PairAction::Force),
    ] {
        assert_eq!(desk.type_in(key), asked(action));
    }
    assert_eq!(desk.type_in("R"), [Effect::Ask(peer, Request::Retry)]);
    let mut peers = twelve();
    let of = peers.iter_mut().find(|it| it["id"] == json!(peer));
    let pairs = of.unwrap()["pairs"].as_array_mut().unwrap();
    pairs[1]["forced"] = true.into();
    pairs.rotate_left(1);
    desk.send(Msg::Sample(snapshot(&node(peers))));
    assert_eq!(desk.model.pairs.at, 0);
    let screen = desk.screen(120, 40);
    assert!(screen.contains("probing [forced]"), "{screen}");
    assert_eq!(desk.type_in("F"), asked(PairAction::Release));
    let released = EventKind::PairReleased { peer, remote };
    desk.send(Msg::Event(Event::new(AT_MS, released)));
    let screen = desk.screen(160, 40);
    let said = ": 10.0.3.17:38122, which was forced, does not answer";
    assert!(screen.contains(said), "{screen}");
    let mut reader = Desk::twelve(&Options {
        read_only: true,
        ..options()
    });
    assert_eq!(reader.type_in("jjjj\n\tFpxR"), []);
}

#[test]
fn nothing_is_ended_or_blocked_without_a_second_key() {
    for (key, request) in [("x", Request::Disconnect), ("b", Request::Block)] {
        let mut desk = Desk::twelve(&options());
        assert_eq!(desk.type_in(key), []);
        desk.key(KeyCode::Esc);
        assert_eq!(desk.type_in("y"), []);
        desk.key(KeyCode::Esc);
        desk.type_in(key);
        assert_eq!(desk.type_in("y"), [Effect::Ask(id(1), request)]);
    }
}

#[test]
fn a_new_name_stands_in_the_table_once_it_is_in_the_book() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("a attic");
    let named = Request::Rename("laptop attic".to_owned());
    assert_eq!(
        desk.key(KeyCode::Enter),
        [Effect::Ask(id(1), named.clone())]
    );
    assert!(!desk.screen(80, 24).contains("● laptop attic"));
    desk.send(Msg::Answered(id(1), named, Ok(Answer::Done)));
    assert!(desk.screen(80, 24).contains("● laptop attic"));
}

#[test]
fn read_only_hides_and_refuses_what_changes_something() {
    let mut desk = Desk::twelve(&Options {
        read_only: true,
        ..options()
    });
    for keys in [
        "c",
        "R",
        "x",
        "b",
        "a",
        ":block nas\n",
        ":rename nas attic\n",
        ":connect x\n",
    ] {
        let effects: Vec<_> = keys
            .chars()
            .flat_map(|key| match key {
                '\n' => desk.key(KeyCode::Enter),
                key => desk.key(KeyCode::Char(key)),
            })
            .collect();
        assert_eq!(effects, [], "{keys}");
        assert!(desk.model.overlay.is_none(), "{keys}");
        assert!(desk.screen(80, 24).contains("read-only: nothing"), "{keys}");
    }
    desk.send(Msg::Paste(id(5).to_string()));
    assert!(desk.model.overlay.is_none());
    desk.key(KeyCode::Esc);
    let screen = desk.screen(80, 24);
    assert!(
        screen.contains("READ-ONLY") && !screen.contains("c connect"),
        "{screen}"
    );
    assert!(!desk.type_in("p").is_empty());
}

#[test]
fn commands_are_run_completed_and_corrected() {
    let mut desk = Desk::twelve(&options());
    desk.type_in(":pi");
    desk.key(KeyCode::Tab);
    desk.type_in("pho");
    desk.key(KeyCode::Tab);
    let ping = Request::Ping {
        until_direct: false,
    };
    assert_eq!(desk.key(KeyCode::Enter), [Effect::Ask(id(3), ping)]);
    assert_eq!(desk.model.selected().map(|peer| peer.id), Some(id(3)));
    desk.type_in(":sort rtt reverse");
    desk.key(KeyCode::Enter);
    assert!(desk.model.sort.reversed && desk.model.sort.by == Column::Rtt);
    desk.type_in(":filter path=idle");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.model.rows.len(), 3);
    desk.type_in(":filter");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.model.rows.len(), 12);
    desk.type_in(":pong");
    desk.key(KeyCode::Enter);
    assert!(desk.screen(80, 24).contains("did you mean ping?"));
    desk.key(KeyCode::Esc);
    desk.send(Msg::Key(KeyEvent::new(
        KeyCode::Char(':'),
        KeyModifiers::NONE,
    )));
    desk.key(KeyCode::Up);
    assert!(desk.screen(80, 24).contains(":filter"));
    desk.key(KeyCode::Esc);
    desk.type_in(&format!(":connect {}", id(5)));
    assert_eq!(desk.key(KeyCode::Enter), [Effect::Connect(id(5).into())]);
    desk.key(KeyCode::Esc);
    desk.type_in(":q");
    assert_eq!(
        desk.key(KeyCode::Enter),
        [Effect::Quit { keep_screen: false }]
    );
}

#[test]
fn what_is_shown_and_the_pairs_of_a_peer_are_chosen_by_written_commands() {
    let mut desk = Desk::twelve(&options());
    let mut run = |line: &str| {
        desk.type_in(&format!(":{line}"));
        let asked = desk.key(KeyCode::Enter);
        (asked, desk.model.context(), desk.screen(120, 40))
    };
    let (_, context, _) = run("pairs build-box");
    assert_eq!(context, Context::Pairs);
    let (asked, ..) = run("pairs build-box drop 192.0.2.1:5000");
    let pair = Request::Pair {
        remote: "192.0.2.1:5000".parse().unwrap(),
        tcp: false,
        action: PairAction::Drop,
    };
    assert_eq!(asked, [Effect::Ask(id(4), pair)]);
    let (.., screen) = run("peers");
    assert!(screen.contains("LOSS"), "{screen}");
    let (.., screen) = run("columns name why");
    assert!(!screen.contains("LOSS"), "{screen}");
    let (.., screen) = run("columns");
    assert!(screen.contains("LOSS"), "{screen}");
    let (asked, ..) = run("services phone");
    assert_eq!(asked, [Effect::Services(id(3))]);
    let (asked, ..) = run("forward phone/web");
    assert_eq!(asked, [Effect::Tunnel(id(3), "web".to_owned())]);
    let (asked, ..) = run("measure");
    assert!(matches!(asked[..], [Effect::AskNetwork(_)]));
    let (.., screen) = run("copy");
    assert!(
        screen.contains("ticket"),
        "what may follow is listed: {screen}"
    );
}

#[test]
fn the_whole_grammar_filters_the_table() {
    let mut desk = Desk::twelve(&options());
    for (text, left) in [
        ("path=relay rtt>60", 2),
        ("path=v6 or path=lan", 4),
        ("!seed and state=idle", 1),
        ("(down>1M or up>100k) not nas", 1),
        ("state!=direct age<1m", 3),
        ("loss>0.1%", 5),
        ("why~nat", 1),
    ] {
        desk.type_in("/");
        desk.type_in(text);
        assert_eq!(desk.model.rows.len(), left, "{text}");
        desk.key(KeyCode::Esc);
    }
}

#[test]
fn rows_keep_their_order_while_one_goes_through_them() {
    let mut desk = Desk::plain(&node(twelve()));
    desk.type_in("sd");
    let order = |desk: &Desk| -> Vec<_> {
        let rows = 0..desk.model.rows.len();
        rows.map(|row| desk.model.peer(row).unwrap().id).collect()
    };
    let before = order(&desk);
    let mut changed = node(twelve());
    changed["at_ms"] = (AT_MS + 1000).into();
    for peer in changed["peers"].as_array_mut().unwrap() {
        peer["traffic"]["rx_rate"] =
            json!(10_000_000 - peer["traffic"]["rx_rate"].as_u64().unwrap());
    }
    desk.type_in("j");
    let selected = desk.model.selected().map(|peer| peer.id);
    desk.now += Duration::from_millis(500);
    desk.send(Msg::Sample(snapshot(&changed)));
    assert_eq!(order(&desk), before);
    changed["at_ms"] = (AT_MS + 2000).into();
    desk.sample(snapshot(&changed));
    assert_ne!(order(&desk), before);
    assert_eq!(desk.model.selected().map(|peer| peer.id), selected);
    // Another order is one at once.
    let by_rate = order(&desk);
    desk.type_in("jS");
    assert_ne!(order(&desk), by_rate);
}

#[test]
fn events_scroll_and_stay_put_while_new_ones_come() {
    let mut desk = Desk::twelve(&options());
    desk.key(KeyCode::Tab);
    assert_eq!(desk.model.focus, Panel::Events);
    desk.type_in("jjjjjj");
    let scrolled = desk.screen(80, 24);
    assert!(scrolled.contains("6 newer") && !scrolled.contains("direct path silent"));
    let selected = |desk: &Desk| {
        desk.model
            .listed_events()
            .nth(desk.model.events.at)
            .cloned()
    };
    let before = selected(&desk);
    let event = desk.model.data().events[0].clone();
    desk.send(Msg::Event(event));
    assert_eq!(desk.model.events.at, 7);
    assert_eq!(selected(&desk), before);
    desk.type_in("t");
    assert_eq!(desk.model.events.at, 0);
}

/// The page that tells users of the keys.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/dashboard.md");
const MARKS: [&str; 2] = [
    "<!-- keys: made of the program's table -->\n",
    "<!-- end -->",
];

/// The key table as the page has it.
fn table() -> String {
    let mut table = String::new();
    for line in keymap::help(false) {
        match line {
            HelpLine::Group(group) => {
                table += &format!("\n| {} | |\n|---|---|\n", group.title());
            }
            HelpLine::Keys(binding, help) => {
                let before = binding.before().trim();
                let first = (!before.is_empty()).then(|| format!("`{before}` "));
                let keys: Vec<_> = binding
                    .keys
                    .iter()
                    .map(|key| format!("`{}`", key.label(&UNICODE)))
                    .collect();
                let first = first.unwrap_or_default();
                table += &format!("| {first}{} | {help} |\n", keys.join(" "));
            }
        }
    }
    table + "\n"
}

#[test]
fn the_documented_keys_are_those_of_the_program() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let [begin, end] = MARKS;
    let (before, rest) = page.split_once(begin).unwrap();
    let (keys, after) = rest.split_once(end).unwrap();
    if std::env::var_os("PEERWAY_BLESS").is_some() {
        let page = format!("{before}{begin}{}{end}{after}", table());
        std::fs::write(PAGE, page).unwrap();
    } else {
        assert_eq!(
            keys,
            table(),
            "docs/dashboard.md has other keys than the program; PEERWAY_BLESS=1 takes them over"
        );
    }
}

#[test]
fn digits_and_tab_go_through_all_views_and_esc_leads_back() {
    let mut desk = Desk::twelve(&options());
    for (key, view) in ["1", "2", "3", "4", "5", "6", "7", "8"]
        .iter()
        .zip(View::ALL)
    {
        desk.type_in(key);
        assert_eq!(desk.model.view, view);
        let line = desk.screen(120, 40);
        let line = line.lines().nth(1).unwrap();
        assert!(line.contains(&format!("[{key} {}", view.name())), "{line}");
    }
    desk.type_in("6\t");
    assert_eq!(desk.model.view, View::Shares);
    desk.type_in("1");
    desk.key(KeyCode::Tab);
    assert_eq!(
        (desk.model.view, desk.model.focus),
        (View::Overview, Panel::Events)
    );
    desk.key(KeyCode::BackTab);
    assert_eq!(desk.model.focus, Panel::Peers);
    desk.type_in("3");
    desk.key(KeyCode::BackTab);
    assert_eq!(desk.model.view, View::Peers);
    desk.key(KeyCode::Esc);
    assert_eq!(desk.model.view, View::Overview);
}

#[test]
fn enter_opens_the_peers_page_and_its_neighbours_are_one_key_away() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("j");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.model.page, Some(id(2)));
    desk.type_in("]");
    assert_eq!(desk.model.page, Some(id(3)));
    desk.type_in("[");
    assert_eq!(desk.model.page, Some(id(2)));
    desk.sample(snapshot(&node(twelve().split_off(4))));
    assert_eq!(desk.model.page, Some(id(2)), "the page stays with its peer");
    assert!(desk.screen(80, 24).contains("no longer knows"));
    desk.key(KeyCode::Esc);
    assert_eq!((desk.model.view, desk.model.page), (View::Peers, None));
}

#[test]
fn whom_the_address_book_names_anew_is_called_so_and_dialled_by_that_name() {
    let mut desk = Desk::twelve(&options());
    assert!(!desk.screen(120, 40).contains("attic"));
    let mut people = options().people;
    people.names.insert(id(1), "attic".to_owned());
    desk.send(Msg::People(people));
    assert!(desk.model.dirty);
    assert!(desk.screen(120, 40).contains("attic"));
    let effects = desk.type_in("cattic\n");
    let [Effect::Connect(ticket)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(ticket.id(), id(1));
}

#[test]
fn read_only_help_scrolls_no_further_than_its_last_line() {
    let options = Options {
        read_only: true,
        ..options()
    };
    let mut desk = Desk::twelve(&options);
    desk.type_in("?G");
    let at_end = desk.screen(80, 24);
    desk.type_in("k");
    assert_ne!(desk.screen(80, 24), at_end, "the key moves nothing");
}

#[test]
fn help_can_be_read_to_the_end_of_each_line_on_a_narrow_screen() {
    let rows = |screen: &str| -> Vec<String> {
        let lines = screen.lines().map(|line| line.trim_matches('"'));
        let inside = lines.filter_map(|line| line.strip_prefix('│')?.strip_suffix('│'));
        inside.map(|line| line.replace(' ', "")).collect()
    };
    for (width, height) in [(60, 20), (40, 10)] {
        let mut desk = Desk::twelve(&options());
        desk.send(Msg::Resize(width, height));
        desk.type_in("?");
        let (mut read, mut screen) = (String::new(), desk.screen(width, height));
        loop {
            desk.type_in("j");
            let next = desk.screen(width, height);
            if next == screen {
                break;
            }
            read += &rows(&screen)[0];
            screen = next;
        }
        read += &rows(&screen).concat();
        for line in keymap::help(false) {
            if let HelpLine::Keys(_, help) = line {
                assert!(read.contains(&help.replace(' ', "")), "{width}: {help}");
            }
        }
    }
}

#[test]
fn a_warning_that_comes_while_the_screen_stands_still_is_unread_until_it_goes_on() {
    let mut desk = Desk::twelve(&options());
    desk.send(Msg::Resize(120, 40));
    desk.type_in("f");
    let relay = desk.model.data().snapshot.relays[0].url.to_string();
    let event = json!({"at_ms": AT_MS, "event": "relay_down", "relay": relay, "reason": "x"});
    let before = desk.screen(120, 40);
    desk.send(Msg::Event(serde_json::from_value(event).unwrap()));
    assert_eq!(desk.screen(120, 40), before);
    desk.type_in("6f");
    assert_eq!(desk.model.data().unread, 0);
    desk.type_in("1f3");
    assert_eq!(desk.model.data().unread, 0);
    desk.type_in("f");
}
