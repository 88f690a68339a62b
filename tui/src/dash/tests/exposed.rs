//! What this node exposes, and what a peer lets it see.

use crossterm::event::KeyCode;
use insta::assert_snapshot;

use super::{
    commons::{commons, desk},
    fixtures::{Desk, id, options},
};
use crate::{
    Commons,
    dash::{
        Options,
        layout::Panel,
        model::Overlay,
        msg::{Effect, Msg},
    },
};

const SIZES: [(u16, u16); 5] = [(40, 10), (60, 20), (80, 24), (120, 40), (200, 50)];

#[test]
fn what_is_exposed_fits_every_size_below_the_connections() {
    for (name, keys) in [("exposed", "4\t\tG"), ("server", "4\t\tG\n")] {
        for (width, height) in SIZES {
            let mut desk = desk(&options());
            desk.screen(width, height);
            desk.type_in(keys);
            let screen = desk.screen(width, height);
            assert_snapshot!(format!("{name}_{width}x{height}"), screen);
        }
    }
}

#[test]
fn each_server_says_where_it_leads_for_whom_it_is_who_uses_it_and_how_much() {
    let mut desk = desk(&options());
    desk.screen(200, 50);
    desk.type_in("4");
    let screen = desk.screen(200, 50);
    let row = |name: &str| {
        let found = screen.lines().find(|line| line.contains(name));
        found.unwrap_or_else(|| panic!("{name}:\n{screen}"))
    };
    let web = row("127.0.0.1:8080");
    for told in [
        "● web",
        "family, phone",
        "ready",
        "laptop (2), phone",
        "40.0k",
        "2.0M",
    ] {
        assert!(web.contains(told), "{told}: {web}");
    }
    let nas = row("192.168.1.20:445");
    assert!(nas.contains("◌ nas") && nas.contains("waiting"), "{nas}");
    let game = row("27015");
    assert!(
        game.contains("whoever is let in") && game.contains("by command"),
        "{game}"
    );
}

#[test]
fn why_a_server_is_not_there_is_told_and_where_it_leads_is_hidden_where_addresses_are() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    desk.type_in("4\t\tj\n");
    let screen = desk.screen(80, 24);
    assert!(
        screen.contains("waiting: no socket at /home/anna/nas.sock yet"),
        "{screen}"
    );
    desk.key(KeyCode::Esc);
    desk.type_in("v\n");
    let screen = desk.screen(80, 24);
    assert!(screen.contains("waiting"), "{screen}");
    for private in ["192.168.", "/home/anna", "nas.sock"] {
        assert!(!screen.contains(private), "{private}:\n{screen}");
    }
}

#[test]
fn it_is_ascii_where_that_is_wanted() {
    let mut desk = desk(&Options {
        ascii: true,
        ..options()
    });
    desk.screen(200, 50);
    desk.type_in("4\t\tG\n");
    assert!(desk.screen(200, 50).is_ascii());
}

#[test]
fn enter_leads_from_a_server_to_who_uses_it_most() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    desk.type_in("4\t\tG\n");
    assert!(matches!(desk.model.overlay, Some(Overlay::Flow)));
    desk.type_in("\n");
    assert_eq!(desk.model.page, Some(id(1)));
    desk.type_in("4\t\tgg\n\n");
    assert!(desk.screen(80, 24).contains("nobody uses it now"));
}

#[test]
fn each_panel_of_the_view_can_have_all_of_it() {
    for (keys, shown) in [("", "Transfers"), ("\t", "Flows"), ("\t\t", "Exposed")] {
        let mut desk = desk(&options());
        desk.screen(120, 40);
        desk.type_in(&format!("4{keys}e"));
        let screen = desk.screen(120, 40);
        for panel in ["Transfers", "Flows", "Exposed"] {
            let is_there = screen.contains(&format!("─ {panel} · "));
            assert_eq!(is_there, panel == shown, "{panel}:\n{screen}");
        }
    }
}

#[test]
fn a_server_stays_selected_when_another_comes_before_it_and_nothing_is_told_of_one_that_is_gone() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    desk.type_in("4\t\tG\n");
    let mut more: Commons = (*commons(3)).clone();
    let mut app = more.servers[0].clone();
    app.name = "app".to_owned();
    more.servers.insert(0, app);
    desk.send(Msg::Commons(more.clone().into()));
    assert_eq!(desk.model.chosen.server.as_deref(), Some("web"));
    assert_eq!(desk.model.exposed.at, 3);
    assert!(desk.screen(80, 24).contains("─ web ─"));
    more.servers.pop();
    desk.send(Msg::Commons(more.clone().into()));
    assert!(desk.model.overlay.is_none());
    desk.type_in("\n");
    assert!(matches!(desk.model.overlay, Some(Overlay::Flow)));
    more.servers.clear();
    desk.send(Msg::Commons(more.into()));
    assert!(desk.model.overlay.is_none());
    assert_eq!(desk.model.focus, Panel::Transfers);
}

#[test]
fn the_focus_goes_on_when_nothing_is_exposed_any_more() {
    let mut desk = desk(&options());
    desk.screen(80, 24);
    desk.type_in("4\t\t");
    assert_eq!(desk.model.focus, Panel::Exposed);
    let mut none: Commons = (*commons(3)).clone();
    none.servers.clear();
    desk.send(Msg::Commons(none.into()));
    assert_eq!(desk.model.focus, Panel::Transfers);
    assert!(!desk.screen(80, 24).contains("Exposed"));
}

#[test]
fn what_a_peer_exposes_is_asked_from_its_row_its_page_and_what_is_told_of_it() {
    for keys in ["", "\n", "w", "5"] {
        let mut desk = Desk::twelve(&options());
        desk.screen(120, 40);
        desk.type_in(keys);
        assert_eq!(desk.type_in("o"), [Effect::Services(id(1))], "{keys:?}");
        desk.send(Msg::Services(id(1), Ok(vec!["web".to_owned()])));
        let screen = desk.screen(120, 40);
        assert!(screen.contains("Services of laptop"), "{keys:?}:\n{screen}");
        assert_eq!(
            desk.type_in("\n"),
            [Effect::Tunnel(id(1), "web".to_owned())]
        );
    }
}

#[test]
fn who_may_only_look_opens_no_tunnel() {
    let mut desk = Desk::twelve(&Options {
        read_only: true,
        ..options()
    });
    assert_eq!(desk.type_in("o"), []);
}
