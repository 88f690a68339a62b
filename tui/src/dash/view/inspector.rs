//! The selected peer, in the room that a short table leaves: who is linked with whom and by which way, and why.

use peerway::PeerSnapshot;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    details::{facts, reason_within},
    phases::phases,
};
use crate::dash::{
    format,
    look::Role,
    model::Model,
    words::{Address, Standing},
};

/// With less room the table's own columns have to do.
const LEAST_HEIGHT: u16 = 3;
/// A name of the measurements and a whole id.
const FACTS_WIDTH: u16 = 63;
/// What sentences take to be read with ease.
const LEAST_TEXT_WIDTH: u16 = 46;

pub(super) fn inspector(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some(peer) = model.selected().filter(|_| area.height >= LEAST_HEIGHT) else {
        return;
    };
    let [head, text] = area.layout(&Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
    ]));
    frame.render_widget(route(model, peer, usize::from(head.width)), head);
    let text = text.inner(Margin::new(1, 0));
    let phases = phases(model, peer);
    let above = 1 + u16::from(phases.is_some());
    let has_two = text.width >= FACTS_WIDTH + LEAST_TEXT_WIDTH;
    let width = if has_two {
        text.width - FACTS_WIDTH - 2
    } else {
        text.width
    };
    let room = (width, (text.height + 1).saturating_sub(above));
    let mut lines = reason_within(model, peer, room);
    if let Some(phases) = phases {
        lines.insert(1, phases);
    }
    let paragraph = |lines| Paragraph::new(lines).wrap(Wrap { trim: false });
    if !has_two {
        lines.push(Line::default());
        lines.extend(facts(model, peer));
        frame.render_widget(paragraph(lines), text);
        return;
    }
    let rest = lines.split_off(lines.len().min(usize::from(above)));
    let [title, rest_area] = text.layout(&Layout::vertical([
        Constraint::Length(above),
        Constraint::Fill(1),
    ]));
    let [reasons, measured] = rest_area.layout(
        &Layout::horizontal([Constraint::Fill(1), Constraint::Length(FACTS_WIDTH)]).spacing(2),
    );
    frame.render_widget(Paragraph::new(lines), title);
    frame.render_widget(paragraph(rest), reasons);
    frame.render_widget(Paragraph::new(facts(model, peer)), measured);
}

/// `── studio ─────── ● direct v6 4 ms ─────── laptop ──`
fn route(model: &Model, peer: &PeerSnapshot, width: usize) -> Line<'static> {
    let (words, glyphs) = (model.words(), model.look.glyphs);
    let kind = words.kind(peer);
    let rtt = peer.rtt.filter(|_| kind.is_reached());
    let rtt = rtt.map_or_else(String::new, |ms| format!(" {}", format::rtt(ms)));
    let why = if kind == Standing::Unreachable {
        words.short_reason(peer).to_owned()
    } else {
        words.link(peer, Address::None)
    };
    let way = format!(" {} {why}{rtt} ", kind.glyph(glyphs));
    let here = if model.title.is_empty() {
        " this node ".to_owned()
    } else {
        format!(" {} ", model.title)
    };
    let there = format!(" {} ", words.name(&peer.id));
    let rule = |columns: usize| {
        let text = glyphs.border.horizontal_top.repeat(columns);
        Span::styled(text, model.look.style(Role::Dim))
    };
    let name = |text| Span::styled(text, model.look.style(Role::Title));
    let room = width.saturating_sub(way.width() + here.width() + there.width() + 4);
    Line::from(vec![
        rule(2),
        name(here),
        rule(room / 2),
        Span::styled(way, model.look.style(kind.role())),
        rule(room - room / 2),
        name(there),
        rule(2),
    ])
}
