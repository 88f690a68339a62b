//! What happened, newest first.

use peerway::Event;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    panel,
    table::{say, shortened},
};
use crate::dash::{format, layout::Panel, list::List, look::Role, model::Model, words::Level};

/// Columns for the peer's name.
const SUBJECT_WIDTH: usize = 12;
/// What happens while a link is made takes parts of a second.
const MILLISECONDS_FROM: u16 = 100;
/// With more rows than that, an event that is cut off is told in full below the others.
const FULL_TEXT_FROM: u16 = 14;

pub(super) fn events(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let name = model.page.map(|id| model.words().name(&id));
    let title = match name {
        Some(name) => format!("Events {} {name}", model.look.glyphs.dot),
        None => "Events".to_owned(),
    };
    let block = panel(model, &title, &state(model), Some(Panel::Events));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let mut listed = model.listed_events().skip(model.events.top).peekable();
    if listed.peek().is_none() {
        let text = if model.data().events.is_empty() {
            "nothing has happened since this window was opened"
        } else if !model.filters.events.is_empty() {
            "no event matches the filter; Esc clears it"
        } else if model.level == Level::All {
            "nothing has happened to this peer since this window was opened"
        } else {
            "nothing of that level has happened; l shows more"
        };
        return say(model, frame, inside, &[text]);
    }
    // What the history shows is pointed to from there.
    let is_pointed_to = model.focus == Panel::Events || model.moment.is_some();
    let focused = is_pointed_to && model.overlay.is_none();
    if model.wraps {
        return wrapped(model, frame, inside, focused);
    }
    let mut cut = None;
    for ((row, area), event) in (model.events.top..).zip(inside.rows()).zip(listed) {
        let mut line = line(model, event, inside.width);
        if focused && row == model.events.at {
            cut = (line.width() > usize::from(inside.width)).then(|| line.clone());
            line = selected(model, line);
        }
        let line = shortened(line, inside.width, model.look.glyphs.ellipsis);
        frame.render_widget(line, area);
    }
    if let Some(line) = cut.filter(|_| inside.height >= FULL_TEXT_FROM) {
        full(model, frame, inside, &line);
    }
}

/// Each event in as many rows as it takes.
fn wrapped(model: &Model, frame: &mut Frame<'_>, inside: Rect, focused: bool) {
    let mut rows = inside.rows();
    for (at, lines) in shown(model, inside) {
        let is_selected = focused && at == model.events.at;
        for (number, line) in lines.into_iter().enumerate() {
            let Some(row) = rows.next() else { return };
            let line = match (is_selected, number) {
                (false, _) => line,
                (true, 0) => selected(model, line),
                (true, _) => line.patch_style(model.look.style(Role::Selected)),
            };
            frame.render_widget(line, row);
        }
    }
}

/// The events that are on the screen where they wrap, each with its place in the list: from the first one of the list on, or from a later
/// one, so that the selected one is seen.
fn shown(model: &Model, inside: Rect) -> Vec<(usize, Vec<Line<'static>>)> {
    let height = usize::from(inside.height);
    let List { at, top } = model.events;
    // Each takes a row at least.
    let listed = model.listed_events().enumerate().skip(top).take(height);
    let mut all: Vec<_> = listed
        .map(|(place, event)| (place, folded(model, event, inside.width)))
        .collect();
    let mut until_selected: usize = all
        .iter()
        .filter(|(place, _)| *place <= at)
        .map(|(_, lines)| lines.len())
        .sum();
    let mut skipped = 0;
    for (place, lines) in &all {
        if until_selected <= height || *place >= at {
            break;
        }
        until_selected -= lines.len();
        skipped += 1;
    }
    all.split_off(skipped)
}

/// The event that stands so many rows below the first one, where events wrap: its place in the list.
pub(in crate::dash) fn event_at(model: &Model, inside: Rect, row: usize) -> Option<usize> {
    let mut below = row;
    for (place, lines) in shown(model, inside) {
        match below.checked_sub(lines.len()) {
            Some(rest) => below = rest,
            None => return Some(place),
        }
    }
    None
}

fn folded(model: &Model, event: &Event, width: u16) -> Vec<Line<'static>> {
    let Line { mut spans, .. } = line(model, event, width);
    let Some(text) = spans.pop() else {
        return Vec::new();
    };
    let indent: usize = spans.iter().map(Span::width).sum();
    // Less than that is no room for words.
    let room = usize::from(width).saturating_sub(indent + 1).max(10);
    let mut rows = format::folded(text.content.trim_start(), room).into_iter();
    spans.push(Span::raw(format!(" {}", rows.next().unwrap_or_default())));
    let further = rows.map(|row| Line::raw(format!("{:indent$} {row}", "")));
    std::iter::once(Line::from(spans)).chain(further).collect()
}

/// What is wrong with the whole node.
pub(super) fn diagnoses(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let lines = &model.diagnoses;
    let glyphs = model.look.glyphs;
    let title = format!("Diagnoses {} {}", glyphs.dot, lines.len());
    let block = panel(model, &title, "", None);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    for (text, row) in lines.iter().zip(inside.rows()) {
        let room = usize::from(inside.width).saturating_sub(4);
        let line = Line::from(vec![
            Span::styled(
                format!(" {} ", glyphs.warning),
                model.look.style(Role::Warn),
            ),
            Span::raw(format::fit(text, room, glyphs.ellipsis)),
        ]);
        frame.render_widget(line, row);
    }
}

/// What of the list is seen, and how many events should be looked at.
fn state(model: &Model) -> String {
    let mut parts = Vec::new();
    if model.level != Level::All {
        parts.push(format!("level: {}", model.level.word()));
    }
    if !model.filters.events.is_empty() {
        parts.push(format!("filter: {}", model.filters.events.text()));
    }
    if model.wraps {
        parts.push("wrapped".to_owned());
    }
    parts.push(match model.events.at {
        0 => "following".to_owned(),
        newer => format!("{newer} newer"),
    });
    match model.warnings() {
        0 => {}
        1 => parts.push("1 warning".to_owned()),
        warnings => parts.push(format!("{warnings} warnings")),
    }
    parts.join(&format!(" {} ", model.look.glyphs.dot))
}

fn line(model: &Model, event: &Event, width: u16) -> Line<'static> {
    let sentence = model.words().sentence(&event.kind);
    let ellipsis = model.look.glyphs.ellipsis;
    let subject = format::fit(&sentence.subject, SUBJECT_WIDTH, ellipsis);
    let mut clock = format::clock(event.at_ms, model.utc_offset_s);
    if width + 2 >= MILLISECONDS_FROM {
        clock += &format!(".{:03}", event.at_ms % 1000);
    }
    let mut spans = vec![
        Span::styled(format!(" {clock} "), model.look.style(Role::Dim)),
        Span::styled(sentence.glyph, model.look.style(sentence.role)),
    ];
    // On a page it is known whom the events are about.
    if model.page.is_none() {
        spans.push(Span::styled(
            format!(" {subject}{}", padding(&subject)),
            model.look.style(Role::Title),
        ));
    }
    spans.push(Span::raw(format!(" {}", sentence.text)));
    Line::from(spans)
}

fn selected(model: &Model, mut line: Line<'static>) -> Line<'static> {
    let bar = model.look.style(Role::Selected);
    for span in &mut line.spans {
        span.style = bar;
    }
    if let Some(clock) = line.spans.first_mut() {
        let marked = clock.content.replacen(' ', model.look.glyphs.cursor, 1);
        clock.content = marked.into();
    }
    line.style(bar)
}

/// The selected event in as many rows as it takes, at the end of the list.
fn full(model: &Model, frame: &mut Frame<'_>, inside: Rect, line: &Line<'static>) {
    let rows = line.width().div_ceil(usize::from(inside.width.max(1))) + 1;
    let rows = u16::try_from(rows)
        .unwrap_or(u16::MAX)
        .min(inside.height / 2);
    let [_, rule, text] = inside.layout(&Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(rows),
    ]));
    let dashes = model.look.glyphs.border.horizontal_top;
    let dashes = dashes.repeat(usize::from(rule.width));
    frame.render_widget(Line::styled(dashes, model.look.style(Role::Dim)), rule);
    frame.render_widget(ratatui::widgets::Clear, text);
    let paragraph = Paragraph::new(line.clone()).wrap(Wrap { trim: true });
    frame.render_widget(paragraph, text);
}

fn padding(subject: &str) -> String {
    " ".repeat(SUBJECT_WIDTH.saturating_sub(subject.width()))
}
