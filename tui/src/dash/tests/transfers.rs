//! Files that come and go now, and what is wanted of them.

use crossterm::event::KeyCode;
use insta::assert_snapshot;

use super::{
    commons::{commons, desk},
    fixtures::{Desk, id, options},
};
use crate::{
    Commons, TransferOrder,
    dash::{
        Options,
        layout::Panel,
        model::Overlay,
        msg::{Effect, Msg},
    },
    transfers::Direction,
};

const SIZES: [(u16, u16); 4] = [(40, 10), (60, 20), (80, 24), (120, 40)];

#[test]
fn transfers_fit_every_size_above_the_connections() {
    for (name, keys) in [("transfers", "4"), ("transfer", "4j\n"), ("cancel", "4x")] {
        for (width, height) in SIZES {
            let mut desk = desk(&options());
            desk.screen(width, height);
            desk.type_in(keys);
            let screen = desk.screen(width, height);
            assert_snapshot!(format!("{name}_{width}x{height}"), screen);
        }
    }
    let mut desk = desk(&options());
    desk.screen(80, 24);
    desk.type_in("4\t\n");
    assert_snapshot!("connection_80x24", desk.screen(80, 24));
}

#[test]
fn p_pauses_what_moves_and_lets_what_is_paused_go_on() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    let asked = desk.type_in("4p");
    assert_eq!(asked, [Effect::Order(3, TransferOrder::Pause)]);
    let asked = desk.type_in("jp");
    assert_eq!(asked, [Effect::Order(4, TransferOrder::Resume)]);
    desk.send(Msg::Ordered(4, TransferOrder::Resume, Ok(())));
    let screen = desk.screen(80, 24);
    assert!(screen.contains("backup.tar goes on"), "{screen}");
    // Also where all is said of one.
    let asked = desk.type_in("\np");
    assert_eq!(asked, [Effect::Order(4, TransferOrder::Resume)]);
    assert!(matches!(desk.model.overlay, Some(Overlay::Flow)));
}

#[test]
fn x_cancels_only_after_a_second_key() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    assert_eq!(desk.type_in("4x"), []);
    desk.key(KeyCode::Esc);
    assert_eq!(desk.type_in("y"), [], "that is the first key of others");
    desk.key(KeyCode::Esc);
    let asked = desk.type_in("xy");
    assert_eq!(asked, [Effect::Order(3, TransferOrder::Cancel)]);
    let reason = "no transfer 3 goes on here".to_owned();
    desk.send(Msg::Ordered(3, TransferOrder::Cancel, Err(reason)));
    let screen = desk.screen(80, 24);
    assert!(screen.contains("no transfer 3"), "{screen}");
}

#[test]
fn who_may_only_look_changes_no_transfer() {
    let mut desk = desk(&Options {
        read_only: true,
        ..options()
    });
    desk.screen(80, 24);
    assert_eq!(desk.type_in("4pxy"), []);
    assert!(desk.model.overlay.is_none());
}

#[test]
fn a_transfer_stays_selected_when_another_ends_and_the_focus_goes_on_when_all_have() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    desk.type_in("4j");
    assert_eq!(desk.model.chosen.transfer, Some(4));
    let mut fewer: Commons = (*commons(3)).clone();
    fewer.transfers.remove(0);
    desk.send(Msg::Commons(fewer.clone().into()));
    assert_eq!(
        (desk.model.chosen.transfer, desk.model.transfers.at),
        (Some(4), 0)
    );
    fewer.transfers.clear();
    desk.send(Msg::Commons(fewer.into()));
    assert_eq!(desk.model.focus, Panel::Flows);
    assert!(!desk.screen(80, 24).contains("Transfers"));
}

#[test]
fn what_is_told_of_a_transfer_is_closed_when_that_ends() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    desk.type_in("4\n");
    let mut fewer: Commons = (*commons(3)).clone();
    fewer.transfers.pop();
    desk.send(Msg::Commons(fewer.clone().into()));
    assert!(matches!(desk.model.overlay, Some(Overlay::Flow)));
    fewer.transfers.remove(0);
    desk.send(Msg::Commons(fewer.into()));
    assert!(desk.model.overlay.is_none());
}

#[test]
fn the_mask_hides_where_files_are_put() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    desk.type_in("4v\n");
    let screen = desk.screen(80, 24);
    assert!(
        screen.contains("hidden") && !screen.contains("/home/anna"),
        "{screen}"
    );
}

#[test]
fn charts_are_linear_or_logarithmic_and_their_titles_say_so() {
    let mut desk = Desk::twelve(&options());
    for (name, keys, (width, height)) in [
        ("log_overview", "", (120, 40)),
        ("log_narrow", "", (80, 24)),
        ("log_page", "\n", (120, 40)),
    ] {
        desk.screen(width, height);
        desk.type_in(keys);
        let before = desk.screen(width, height);
        assert!(!before.contains("log "), "{before}");
        desk.type_in("L");
        let screen = desk.screen(width, height);
        assert!(screen.contains("log "), "{screen}");
        assert_snapshot!(name, screen);
        desk.type_in("L");
        assert_eq!(desk.screen(width, height), before);
    }
}

#[test]
fn o_leads_a_port_to_what_the_peer_of_a_flow_exposes() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    assert_eq!(desk.type_in("4o"), [Effect::Services(id(1))]);
    let services = vec!["ssh".to_owned(), "web\u{1b}".to_owned()];
    desk.send(Msg::Services(id(1), Ok(services)));
    assert_snapshot!("services_80x24", desk.screen(80, 24));
    let asked = desk.type_in("j\n");
    assert_eq!(asked, [Effect::Tunnel(id(1), "web\u{1b}".to_owned())]);
    desk.send(Msg::Tunnel(
        id(1),
        "web".to_owned(),
        Ok("127.0.0.1:40123".to_owned()),
    ));
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("127.0.0.1:40123 leads to web of"),
        "{screen}"
    );
    // It is said again whenever it is asked for, and no other port is taken.
    desk.send(Msg::Services(id(1), Ok(vec!["web".to_owned()])));
    let screen = desk.screen(80, 24);
    assert!(screen.contains("web  at 127.0.0.1:40123"), "{screen}");
    assert_eq!(desk.type_in("\n"), []);
    let screen = desk.screen(120, 40);
    assert!(screen.contains("127.0.0.1:40123 leads to web"), "{screen}");
    let reason = Err("the node has ended".to_owned());
    desk.send(Msg::Tunnel(id(1), "web".to_owned(), reason));
    assert!(desk.model.tunnels.is_empty());
    // What comes from many has no peer at its other end.
    assert_eq!(desk.type_in("jo"), []);
    // And who exposes nothing is named.
    desk.send(Msg::Services(id(1), Ok(Vec::new())));
    let screen = desk.screen(120, 40);
    assert!(screen.contains("exposes nothing"), "{screen}");
}

#[test]
fn transfers_are_paused_resumed_and_cancelled_by_written_commands_from_any_view() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    desk.type_in(":pause holiday.mov");
    let asked = desk.key(KeyCode::Enter);
    assert_eq!(asked, [Effect::Order(3, TransferOrder::Pause)]);
    desk.type_in(":resume");
    assert_eq!(desk.key(KeyCode::Enter), []);
    assert!(desk.screen(80, 24).contains("name one behind it"));
    // In their view it is the selected one.
    desk.type_in("4j:resume");
    let asked = desk.key(KeyCode::Enter);
    assert_eq!(asked, [Effect::Order(4, TransferOrder::Resume)]);
    desk.type_in(":cancel 3");
    assert_eq!(desk.key(KeyCode::Enter), []);
    let asked = desk.type_in("y");
    assert_eq!(asked, [Effect::Order(3, TransferOrder::Cancel)]);
}

#[test]
fn a_forward_is_paused_as_a_transfer_is_and_ends_where_it_was_begun() {
    let mut told: Commons = (*commons(2)).clone();
    let forward = &mut told.transfers[0];
    forward.direction = Direction::Forwarding;
    forward.name = Some("web at 127.0.0.1:9000".to_owned());
    (forward.folder, forward.moved.bytes) = (None, 0);
    let mut desk = desk(&options());
    desk.screen(120, 40);
    desk.send(Msg::Commons(told.into()));
    assert_eq!(desk.type_in("4x"), []);
    assert!(desk.model.overlay.is_none());
    assert!(desk.screen(120, 40).contains("peerway forward remove"));
    let asked = desk.type_in("p");
    assert_eq!(asked, [Effect::Order(3, TransferOrder::Pause)]);
    desk.type_in("\n");
    let screen = desk.screen(120, 40);
    assert!(screen.contains("both ways"), "{screen}");
    assert!(screen.contains("web at 127.0.0.1:9000"), "{screen}");
    desk.key(KeyCode::Esc);
    desk.type_in("v\n");
    let screen = desk.screen(120, 40);
    assert!(!screen.contains("127.0.0.1:9000"), "{screen}");
}

#[test]
fn a_recording_is_asked_nothing_by_written_commands_either() {
    let mut desk = desk(&Options {
        replay: true,
        ..options()
    });
    desk.screen(80, 24);
    for line in [
        "pause 3",
        "cancel 3",
        "ping phone",
        "rename phone x",
        "services phone",
        "connect phone",
    ] {
        desk.type_in(&format!(":{line}"));
        assert_eq!(desk.key(KeyCode::Enter), [], "{line}");
    }
}

#[test]
fn the_grammar_filters_all_that_view_4_lists_and_esc_lists_all_again() {
    let mut desk = desk(&options());
    desk.screen(120, 40);
    let shown = |desk: &Desk| {
        let model = &desk.model;
        let flows = crate::dash::flows::listed(model).len();
        let transfers = crate::dash::transfers::listed(model).len();
        (transfers, flows, crate::dash::exposed::listed(model).len())
    };
    desk.type_in("4");
    let all = shown(&desk);
    assert!(all.0 > 1 && all.1 > 2 && all.2 > 2, "{all:?}");
    desk.type_in("/laptop\n");
    let of_laptop = shown(&desk);
    assert!(of_laptop.1 == 1 && of_laptop.2 == 1, "{of_laptop:?}");
    let screen = desk.screen(120, 40);
    let titles = [
        format!("Flows · 1 of {}", all.1),
        format!("Exposed · 1 of {}", all.2),
    ];
    for part in titles.iter().map(String::as_str).chain(["filter: laptop"]) {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
    // Elsewhere all are counted.
    desk.type_in("1");
    assert_eq!(shown(&desk).1, all.1);
    desk.type_in("4");
    desk.key(KeyCode::Esc);
    assert_eq!(shown(&desk), all);
    for (filter, left) in [
        ("kind=connection", (0, all.1, 0)),
        ("kind=server state=waiting", (0, 0, 1)),
        ("state=paused", (1, 0, 0)),
        ("kind=transfer or kind=forward", (all.0, 0, 0)),
        ("protocol~tunnel down>1M", (0, 1, 0)),
        ("kind=server text~8080", (0, 0, 1)),
        ("path=lan kind!=server kind=connection", (0, 1, 0)),
    ] {
        desk.type_in(&format!("/{filter}\n"));
        assert_eq!(shown(&desk), left, "{filter}");
        let screen = desk.screen(80, 24);
        assert!(
            screen.contains("Nothing here matches the filter"),
            "{filter}:\n{screen}"
        );
        desk.key(KeyCode::Esc);
    }
    desk.type_in("/why=forced");
    let screen = desk.screen(120, 40);
    assert!(screen.contains("why is of peers, not of flows"), "{screen}");
}

#[test]
fn what_is_selected_in_view_4_is_what_keys_are_about_while_a_filter_hides_others() {
    let mut desk = desk(&options());
    desk.screen(120, 40);
    desk.type_in("4/state=paused\n");
    let asked = desk.type_in("p");
    assert_eq!(asked, [Effect::Order(4, TransferOrder::Resume)]);
    desk.type_in("\n");
    assert!(desk.screen(120, 40).contains("backup.tar"));
}
