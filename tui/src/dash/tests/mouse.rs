//! What a click and the wheel do.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::fixtures::{Desk, id, options};
use crate::dash::{
    layout::Panel,
    model::Overlay,
    msg::{Effect, Msg},
    sort::Column,
    tabs::View,
};

fn send(desk: &mut Desk, kind: MouseEventKind, (column, row): (u16, u16)) -> Vec<Effect> {
    desk.send(Msg::Mouse(MouseEvent {
        kind,
        column,
        row,
        modifiers: KeyModifiers::NONE,
    }))
}

/// Where a text stands on the screen, the last time.
fn find(desk: &mut Desk, text: &str) -> (u16, u16) {
    let screen = desk.screen(120, 40);
    let lines: Vec<_> = screen.lines().enumerate().collect();
    let (row, line) = lines
        .into_iter()
        .rev()
        .find(|(_, line)| line.contains(text))
        .unwrap_or_else(|| panic!("{text}: {screen}"));
    // Each line is in quotation marks.
    let before = line.split(text).next().unwrap().chars().count() - 1;
    (before as u16, row as u16)
}

fn click(desk: &mut Desk, text: &str) -> Vec<Effect> {
    let at = find(desk, text);
    send(desk, MouseEventKind::Down(MouseButton::Left), at)
}

#[test]
fn a_row_is_selected_and_then_opened() {
    let mut desk = Desk::twelve(&options());
    click(&mut desk, "◐ build-box");
    assert_eq!(desk.model.selected().map(|peer| peer.id), Some(id(4)));
    assert_eq!(desk.model.page, None);
    click(&mut desk, "◐ build-box");
    assert_eq!(desk.model.page, Some(id(4)));
}

#[test]
fn headings_sort_and_tabs_lead_to_their_views() {
    let mut desk = Desk::twelve(&options());
    click(&mut desk, "NAME ");
    assert_eq!(
        (desk.model.sort.by, desk.model.sort.reversed),
        (Column::Name, false)
    );
    click(&mut desk, "NAME");
    assert!(desk.model.sort.reversed);
    click(&mut desk, "3 Network");
    assert_eq!(desk.model.view, View::Network);
    click(&mut desk, "1 Overview");
    assert_eq!(desk.model.view, View::Overview);
}

#[test]
fn a_key_in_the_last_line_does_what_it_says() {
    let mut desk = Desk::twelve(&options());
    click(&mut desk, "? help");
    assert!(desk.screen(120, 40).contains("Help"));
    click(&mut desk, "Esc close");
    assert!(desk.model.overlay.is_none());
    assert_eq!(
        click(&mut desk, "q quit"),
        [Effect::Quit { keep_screen: false }]
    );
}

#[test]
fn the_wheel_is_for_what_is_under_the_pointer() {
    let mut desk = Desk::twelve(&options());
    let table = find(&mut desk, "● laptop");
    send(&mut desk, MouseEventKind::ScrollDown, table);
    assert_eq!((desk.model.cursor, desk.model.focus), (3, Panel::Peers));
    send(&mut desk, MouseEventKind::ScrollUp, table);
    assert_eq!(desk.model.cursor, 0);
}

#[test]
fn rows_of_flows_events_and_pairs_are_selected_and_then_opened() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("4");
    click(&mut desk, "→ phone");
    let row = desk.model.flows.at;
    assert!(row > 0);
    click(&mut desk, "→ phone");
    assert!(matches!(desk.model.overlay, Some(Overlay::Flow)));
    desk.type_in("\n");
    assert_eq!(desk.model.page, Some(id(3)));

    desk.type_in("6");
    click(&mut desk, "nyc1");
    assert!(desk.model.events.at > 0);
    click(&mut desk, "● phone");
    let row = desk.model.events.at;
    click(&mut desk, "● phone");
    assert_eq!(desk.model.page, Some(id(3)));
    assert!(row > 0);

    let mut desk = Desk::twelve(&options());
    desk.type_in("jjjj\n");
    click(&mut desk, "10.0.3.17:38122");
    assert_eq!((desk.model.focus, desk.model.pairs.at), (Panel::Pairs, 1));
    // Below the last row there is nothing to select.
    let (x, y) = find(&mut desk, "[2001:db8:c::5]:41641");
    send(
        &mut desk,
        MouseEventKind::Down(MouseButton::Left),
        (x, y + 1),
    );
    assert_eq!(desk.model.pairs.at, 1);
}
