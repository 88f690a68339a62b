//! What happened, newest first.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::panel;
use crate::dash::{format, layout::Panel, look::Role, model::Model};

/// Columns for the peer's name.
const SUBJECT_WIDTH: usize = 12;
/// What happens while a link is made takes parts of a second.
const MILLISECONDS_FROM: u16 = 100;

pub(super) fn events(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let events = &model.data().events;
    let warnings = model.warnings();
    let following = if model.events_back == 0 {
        "following".to_owned()
    } else {
        format!("{} newer", model.events_back)
    };
    let right = match warnings {
        0 => following,
        1 => format!("{following} {} 1 warning", model.look.glyphs.dot),
        n => format!("{following} {} {n} warnings", model.look.glyphs.dot),
    };
    let block = panel(model, "Events", &right, Some(Panel::Events));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if events.is_empty() {
        let text = Line::styled(" nothing has happened yet", model.look.style(Role::Dim));
        frame.render_widget(text, inside);
    }
    let newest_first = events.iter().rev().skip(model.events_back);
    for (row, event) in inside.rows().zip(newest_first) {
        let sentence = model.words().sentence(&event.kind);
        let ellipsis = model.look.glyphs.ellipsis;
        let subject = format::fit(&sentence.subject, SUBJECT_WIDTH, ellipsis);
        let mut clock = format::clock(event.at_ms, model.utc_offset_s);
        if area.width >= MILLISECONDS_FROM {
            clock += &format!(".{:03}", event.at_ms % 1000);
        }
        let line = Line::from(vec![
            Span::styled(format!(" {clock} "), model.look.style(Role::Dim)),
            Span::styled(sentence.glyph, model.look.style(sentence.role)),
            Span::styled(
                format!(" {subject}{} ", padding(&subject)),
                model.look.style(Role::Title),
            ),
            Span::raw(sentence.text),
        ]);
        frame.render_widget(line, row);
    }
}

fn padding(subject: &str) -> String {
    let width = unicode_width::UnicodeWidthStr::width(subject);
    " ".repeat(SUBJECT_WIDTH.saturating_sub(width))
}
