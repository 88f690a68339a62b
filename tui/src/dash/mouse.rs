//! The mouse: what is under the pointer, and what a click or the wheel does there.

use std::time::Duration;

use crossterm::event::{KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Margin, Position, Rect};

use super::{
    keymap::{Key, Step},
    layout::Panel,
    model::{Model, Overlay},
    msg::Effect,
    open::open,
    scrub,
    sort::Column,
    tabs::View,
    update::{press, step_by},
    view,
};

/// Rows for one notch of the wheel.
const NOTCH: usize = 3;

/// What can be clicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Tab(View),
    Key(Key),
    Heading(Column),
    Row(usize),
    /// A row of another list, from the first one on the screen.
    Line(Panel, usize),
    /// So many columns from the left border of the path history.
    Moment(u16),
    Panel(Panel),
}

pub(super) fn mouse(
    model: &mut Model,
    event: MouseEvent,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let at = Position::new(event.column, event.row);
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => {
            if let Some(target) = target(model, at) {
                model.dirty = true;
                click(model, target, now, effects);
            }
        }
        MouseEventKind::ScrollDown => scroll(model, at, Step::Down),
        MouseEventKind::ScrollUp => scroll(model, at, Step::Up),
        MouseEventKind::Down(_)
        | MouseEventKind::Up(_)
        | MouseEventKind::Drag(_)
        | MouseEventKind::Moved
        | MouseEventKind::ScrollLeft
        | MouseEventKind::ScrollRight => {}
    }
}

fn click(model: &mut Model, target: Target, now: Duration, effects: &mut Vec<Effect>) {
    match target {
        Target::Tab(view) => model.go_to(view),
        Target::Key(key) => {
            let modifiers = if key.control {
                KeyModifiers::CONTROL
            } else {
                KeyModifiers::NONE
            };
            press(model, &KeyEvent::new(key.code, modifiers), now, effects);
        }
        Target::Heading(column) => model.sort.choose(column),
        // What is selected already is opened.
        Target::Row(row) if row == model.cursor && model.focus == Panel::Peers => {
            model.open_page();
        }
        Target::Row(row) => {
            model.focus = Panel::Peers;
            model.select_row(row);
        }
        Target::Line(panel, line) => {
            let was = model.focus == panel;
            model.focus = panel;
            let Some((list, count)) = model.list(panel) else {
                return;
            };
            let row = list.top + line;
            if row >= count {
                return;
            }
            let is_again = was && list.at == row;
            list.at = row;
            model.follow_cursor();
            if is_again {
                open(model, now);
            }
        }
        Target::Moment(column) => scrub::point(model, column),
        Target::Panel(panel) => model.focus = panel,
    }
}

/// The wheel is for the panel under the pointer, wherever the focus is.
fn scroll(model: &mut Model, at: Position, step: Step) {
    let focus = model.focus;
    match (&model.overlay, panel_at(model, at)) {
        (Some(Overlay::Help { .. } | Overlay::Details | Overlay::Sort { .. }), _) => {}
        (None, Some(panel)) => model.focus = panel,
        (Some(_), _) | (None, None) => return,
    }
    model.dirty = true;
    for _ in 0..NOTCH {
        step_by(model, step);
    }
    model.focus = focus;
}

/// While something lies over the screen, only what its keys are in the last line.
fn target(model: &Model, at: Position) -> Option<Target> {
    let areas = model.areas(model.screen)?;
    if areas.footer.contains(at) {
        return view::key_at(model, areas.footer, at.x).map(Target::Key);
    }
    if model.overlay.is_some() || model.chord.is_some() {
        return None;
    }
    if areas.tabs.contains(at) {
        return view::tab_at(model, areas.tabs, at.x).map(Target::Tab);
    }
    if let Some(area) = areas.peers.filter(|area| area.contains(at)) {
        return Some(in_table(model, area, at));
    }
    let strip = areas.page.as_ref().and_then(|page| page.strip);
    if let Some(strip) = strip.filter(|strip| strip.contains(at)) {
        return Some(Target::Moment(at.x - strip.x));
    }
    let panel = panel_at(model, at)?;
    let line = areas.list(panel).and_then(|rows| {
        let line = usize::from(at.y.saturating_sub(rows.y));
        match (rows.contains(at), panel) {
            (false, _) => None,
            (true, Panel::Events) if model.wraps => {
                let place = view::event_at(model, rows, line)?;
                Some(place.saturating_sub(model.events.top))
            }
            (true, _) => Some(line),
        }
    });
    Some(line.map_or(Target::Panel(panel), |line| Target::Line(panel, line)))
}

fn in_table(model: &Model, area: Rect, at: Position) -> Target {
    let inside = area.inner(Margin::new(1, 1));
    if at.y == inside.y
        && let Some(column) = view::heading_at(model, inside, at.x)
    {
        return Target::Heading(column);
    }
    let line = usize::from(at.y.saturating_sub(inside.y));
    let row = (model.top + line).checked_sub(1);
    match row {
        Some(row) if line > 0 && inside.contains(at) && row < model.rows.len() => Target::Row(row),
        _ => Target::Panel(Panel::Peers),
    }
}

fn panel_at(model: &Model, at: Position) -> Option<Panel> {
    let areas = model.areas(model.screen)?;
    let page = areas.page.as_ref();
    let panels = [
        (areas.peers, Panel::Peers),
        (page.and_then(|page| page.why), Panel::Page),
        (page.and_then(|page| page.pairs), Panel::Pairs),
        (page.and_then(|page| page.events), Panel::Events),
        (areas.events, Panel::Events),
        (areas.flows, Panel::Flows),
        (areas.transfers, Panel::Transfers),
        (areas.exposed, Panel::Exposed),
        (areas.map, Panel::Map),
        (areas.members, Panel::Members),
        (areas.links, Panel::Links),
        (areas.network, Panel::Network),
        (areas.shares, Panel::Shares),
        (areas.holders, Panel::Holders),
        (areas.groups, Panel::Groups),
        (areas.fellows, Panel::Fellows),
        (areas.posts, Panel::Posts),
    ];
    panels
        .into_iter()
        .filter(|(_, panel)| *panel == Panel::Peers || model.panels().contains(panel))
        .find(|(area, _)| area.is_some_and(|area| area.contains(at)))
        .map(|(_, panel)| panel)
}
