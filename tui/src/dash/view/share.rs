//! The node's ticket as text and as a QR code.

use peerway::Ticket;
use qrcode::{Color, EcLevel, QrCode};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color as Paint, Style},
    text::Line,
    widgets::{Paragraph, Wrap},
};

use super::{popup, put};
use crate::dash::{look::Role, model::Model, words::Reach};

/// Light modules around the code. The standard asks for four; readers are content with two, and then it fits 80x24.
const QUIET: usize = 2;
const TEXT_WIDTH: u16 = 32;

pub(super) fn share(model: &Model, frame: &mut Frame<'_>, body: Rect) {
    let ticket = &model.data().snapshot.ticket;
    let text = ticket.to_string();
    // The largest code needs the footer's line too.
    let screen = frame.area();
    let code = QrCode::with_error_correction_level(&text, EcLevel::L).ok();
    let size = code.as_ref().map(|code| Cells::of(model, code));
    let fitting = size.filter(|cells| {
        cells.width + TEXT_WIDTH + 4 <= screen.width && cells.height + 2 <= screen.height
    });
    match (code, fitting) {
        (Some(code), Some(cells)) => {
            let size = (cells.width + TEXT_WIDTH + 4, cells.height + 2);
            let inside = popup(model, frame, screen, size, "Share this node");
            let [code_area, text_area] = inside.layout(&Layout::horizontal([
                Constraint::Length(cells.width + 1),
                Constraint::Fill(1),
            ]));
            let code_area = Rect {
                width: cells.width,
                ..code_area
            };
            draw(model, frame, code_area, &code);
            describe(model, frame, text_area, ticket, None);
        }
        (_, _) => {
            let needed = size.map_or_else(
                || "The ticket is too long for a QR code.".to_owned(),
                |cells| {
                    format!(
                        "The QR code needs a terminal of {} x {}.",
                        cells.width + TEXT_WIDTH + 4,
                        cells.height + 2
                    )
                },
            );
            let inside = popup(model, frame, body, (66, 16), "Share this node");
            describe(model, frame, inside, ticket, Some(needed));
        }
    }
}

/// The size of a code on the screen.
#[derive(Clone, Copy)]
struct Cells {
    width: u16,
    height: u16,
}

impl Cells {
    fn of(model: &Model, code: &QrCode) -> Self {
        let side = (code.width() + 2 * QUIET) as u16;
        if has_half_blocks(model) {
            Self {
                width: side,
                height: side.div_ceil(2),
            }
        } else {
            Self {
                width: side * 2,
                height: side,
            }
        }
    }
}

fn has_half_blocks(model: &Model) -> bool {
    !model.look.glyphs.hanging.is_ascii()
}

/// Two modules per cell, or a module of two cells where there are no half blocks. Light is drawn and dark is left, as
/// most terminals are dark; with colours both are painted.
fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect, code: &QrCode) {
    let style = if model.look.colored {
        Style::new().fg(Paint::White).bg(Paint::Black)
    } else {
        Style::new()
    };
    let side = code.width() + 2 * QUIET;
    let light = |x: usize, y: usize| is_light(code, x, y);
    for (row, y) in (area.y..area.bottom()).enumerate() {
        for (column, x) in (area.x..area.right()).enumerate() {
            let symbol = if has_half_blocks(model) {
                match (light(column, row * 2), light(column, row * 2 + 1)) {
                    (true, true) => "█",
                    (true, false) => "▀",
                    (false, true) => "▄",
                    (false, false) => " ",
                }
            } else if light(column / 2, row) {
                "#"
            } else {
                " "
            };
            if row < side {
                put(frame, (x, y), symbol, style);
            }
        }
    }
}

fn is_light(code: &QrCode, x: usize, y: usize) -> bool {
    let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < code.width());
    match (inside(x), inside(y)) {
        (Some(x), Some(y)) => code[(x, y)] == Color::Light,
        _ => y < code.width() + 2 * QUIET,
    }
}

fn describe(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    ticket: &Ticket,
    note: Option<String>,
) {
    let dim = model.look.style(Role::Dim);
    let mut lines = Vec::new();
    if let Some(note) = note {
        lines.push(Line::styled(note, model.look.style(Role::Warn)));
        lines.push(Line::default());
    }
    lines.extend([
        Line::styled("ticket", dim),
        Line::raw(ticket.to_string()),
        Line::default(),
        Line::raw(contents(ticket)),
        Line::default(),
    ]);
    if let Some(reach) = Reach::without_relay(&model.data().snapshot) {
        let style = model.look.style(reach.role());
        lines.extend([Line::styled(reach.sentence(), style), Line::default()]);
    }
    lines.push(Line::styled("y copies it, Esc closes", dim));
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

fn contents(ticket: &Ticket) -> String {
    let count = |count: usize, one: &str, many: &str| match count {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    format!(
        "It holds this node's key, {} and {}.",
        count(ticket.relays().len(), "relay", "relays"),
        count(ticket.addrs().len(), "address", "addresses")
    )
}
