//! `view`: the model as cells. Pure, and safe at every size.

mod content;
mod details;
mod dialogs;
mod events;
mod evidence;
mod exposed;
mod flows;
mod group;
mod header;
mod help;
mod inspector;
mod joined;
mod map;
mod menus;
mod moment;
mod network;
mod page;
mod pairs;
mod peers;
mod phases;
mod report;
mod rtt;
mod share;
mod sparklines;
mod stranger;
mod table;
mod tabs;
mod throughput;
mod transfers;
mod typing;
mod ways;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Row, Wrap},
};

use super::{
    layout::{Areas, MIN_HEIGHT, MIN_WIDTH, Panel},
    look::Role,
    model::{Model, Overlay},
    tabs::View,
};

pub(super) use self::{events::event_at, header::key_at, peers::heading_at, tabs::tab_at};
pub(super) use help::lines as help_lines;
pub(super) use map::{has_rings, has_room_for_rings, rings_field};
pub(super) use report::lines as report_lines;

pub(super) fn view(model: &Model, frame: &mut Frame<'_>) {
    let screen = frame.area();
    let Some(areas) = model.areas(screen) else {
        return too_small(model, frame);
    };
    header::header(model, frame, areas.header);
    tabs::tabs(model, frame, areas.tabs);
    if let Some(area) = areas.note {
        tabs::note_line(model, frame, area);
    }
    if let Some(area) = areas.throughput {
        throughput::throughput(model, frame, area);
    }
    if let Some(area) = areas.network {
        match model.view {
            View::Network => report::report(model, frame, area),
            View::Overview
            | View::Peers
            | View::Flows
            | View::Map
            | View::Events
            | View::Shares
            | View::Groups => {
                network::network(model, frame, area);
            }
        }
    }
    if let Some([down, up]) = areas.sparklines {
        sparklines::sparklines(model, frame, down, up);
    }
    if let Some(area) = areas.peers {
        peers::peers(model, frame, area);
    }
    if let Some(page) = &areas.page {
        page::page(model, frame, page);
    }
    if let Some(area) = areas.flows {
        flows::flows(model, frame, area);
    }
    if let Some(area) = areas.map {
        map::map(model, frame, area);
    }
    if let Some(area) = areas.members {
        group::members(model, frame, area);
    }
    if let Some(area) = areas.links {
        group::links(model, frame, area);
    }
    commons(model, frame, &areas);
    if let Some(area) = areas.diagnoses {
        events::diagnoses(model, frame, area);
    }
    if let Some(area) = areas.events {
        events::events(model, frame, area);
    }
    header::footer(model, frame, areas.footer);
    let body = Rect {
        height: screen.height.saturating_sub(1),
        ..screen
    };
    overlay(model, frame, body, areas.details);
    if let Some(chord) = model.chord {
        menus::following(model, chord, frame, body);
    }
}

/// What lies over the rest; `room` is for the details, where they stand below the table.
fn overlay(model: &Model, frame: &mut Frame<'_>, body: Rect, room: Option<Rect>) {
    match &model.overlay {
        Some(Overlay::Help { scrolled }) => help::help(model, *scrolled, frame, body),
        Some(Overlay::Connect(connect)) => dialogs::connect(model, connect, frame, body),
        Some(Overlay::Callers { at }) => menus::callers(model, *at, frame, body),
        Some(Overlay::Homes { at }) => menus::homes(model, *at, frame, body),
        Some(Overlay::Sort { at }) => menus::sort(model, *at, frame, body),
        Some(Overlay::Share) => share::share(model, frame, body),
        Some(Overlay::Stranger(peer)) => stranger::stranger(model, peer, frame, body),
        Some(Overlay::Services { peer, services, at }) => {
            menus::services(model, (peer, services, *at), frame, body);
        }
        Some(Overlay::Flow) => transfers::details(model, frame, body),
        Some(Overlay::Cancel(id)) => dialogs::cancel(model, *id, frame, body),
        Some(Overlay::Details) => details::details(model, frame, body, room),
        Some(Overlay::ConfirmQuit { .. }) => dialogs::confirm_quit(model, frame, body),
        Some(Overlay::Name { peer, input }) => dialogs::name(model, peer, input, frame, body),
        Some(Overlay::Confirm { peer, request }) => {
            dialogs::confirm(model, peer, request, frame, body);
        }
        Some(Overlay::Filter { .. } | Overlay::Prompt(_)) | None => {}
    }
}

/// Transfers, shares, and groups that were joined.
fn commons(model: &Model, frame: &mut Frame<'_>, areas: &Areas) {
    if let Some(area) = areas.transfers {
        transfers::transfers(model, frame, area);
    }
    if let Some(area) = areas.exposed {
        exposed::exposed(model, frame, area);
    }
    if let Some(area) = areas.shares {
        content::shares(model, frame, area);
    }
    if let Some(area) = areas.holders {
        content::holders(model, frame, area);
    }
    if let Some(area) = areas.groups {
        joined::groups(model, frame, area);
    }
    if let Some(area) = areas.fellows {
        joined::fellows(model, frame, area);
    }
    if let Some(area) = areas.posts {
        joined::posts(model, frame, area);
    }
}

/// What is needed, or what leaving would end, where that was asked for.
fn too_small(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    let text = if matches!(model.overlay, Some(Overlay::ConfirmQuit { .. })) {
        dialogs::quitting(model)
    } else {
        format!(
            "Terminal {} x {} is too small,\nneeds {MIN_WIDTH} x {MIN_HEIGHT}. {} quits.",
            area.width,
            area.height,
            model.quit_key()
        )
    };
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
}

/// A border with a title at the left and one at the right.
fn panel<'a>(model: &Model, title: &str, right: &str, panel: Option<Panel>) -> Block<'a> {
    let focused = panel.is_some_and(|panel| panel == model.focus) && model.overlay.is_none();
    let border = model
        .look
        .style(if focused { Role::Accent } else { Role::Dim });
    let line = model.look.glyphs.border.horizontal_top;
    let piece = |text: &str, role| {
        Span::styled(
            format!(" {text} "),
            Style::reset().patch(model.look.style(role)),
        )
    };
    let rule = Span::styled(line, border);
    let block = Block::bordered()
        .border_set(model.look.glyphs.border)
        .border_style(border)
        .title_top(Line::from(vec![rule.clone(), piece(title, Role::Title)]));
    if right.is_empty() {
        block
    } else {
        block.title_top(Line::from(vec![piece(right, Role::Dim), rule]).right_aligned())
    }
}

/// Clears the middle of the screen and draws a box there; the rest is its inside.
fn popup(
    model: &Model,
    frame: &mut Frame<'_>,
    within: Rect,
    (width, height): (u16, u16),
    title: &str,
) -> Rect {
    let area = within.centered(
        Constraint::Length(width.min(within.width)),
        Constraint::Length(height.min(within.height)),
    );
    let block = panel(model, title, "", None).border_style(model.look.style(Role::Accent));
    let inside = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    inside.inner(Margin::new(1, 0)).intersection(frame.area())
}

/// Text at the left and at the right of one line; the left gives way.
fn sides(frame: &mut Frame<'_>, area: Rect, left: Line<'_>, right: Line<'_>) {
    let right_width = u16::try_from(right.width())
        .unwrap_or(u16::MAX)
        .min(area.width);
    let [left_area, right_area] = area.layout(&Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(right_width),
    ]));
    frame.render_widget(left, left_area);
    frame.render_widget(right, right_area);
}

/// A row of a table; the selected one is a bar in one style, with a mark in the first cell's space.
fn selectable(model: &Model, mut cells: Vec<Line<'static>>, selected: bool) -> Row<'static> {
    if !selected {
        return Row::new(cells);
    }
    let bar = model.look.style(Role::Selected);
    for span in cells.iter_mut().flat_map(|cell| &mut cell.spans) {
        span.style = bar;
    }
    let mark = cells.first_mut().and_then(|cell| cell.spans.first_mut());
    if let Some(mark) = mark {
        mark.content = model.look.glyphs.cursor.into();
    }
    Row::new(cells).style(bar)
}

/// Sets one cell, if it is on the screen.
fn put(frame: &mut Frame<'_>, (x, y): (u16, u16), symbol: &str, style: Style) {
    if let Some(cell) = frame.buffer_mut().cell_mut((x, y)) {
        cell.set_symbol(symbol).set_style(style);
    }
}
