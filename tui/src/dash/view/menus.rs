//! Small boxes of keys: what may follow the first one of a chord, and columns to sort by.

use std::time::Duration;

use peerway::{Caller, PeerId, RelaySnapshot, RelayState};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    text::{Line, Span},
    widgets::{Clear, Paragraph, Wrap},
};
use unicode_width::UnicodeWidthStr;

use super::{panel, popup};
use crate::{
    dash::{
        asking, format,
        keymap::{self, Action, BINDINGS, Chord},
        look::Role,
        model::Model,
    },
    printable::printable,
};

/// In the corner next to the footer, so that it hides little.
pub(super) fn following(model: &Model, chord: Chord, frame: &mut Frame<'_>, body: Rect) {
    let glyphs = model.look.glyphs;
    let lines: Vec<Line<'_>> = keymap::following(chord)
        .map(|(binding, word)| {
            Line::from(vec![
                Span::styled(
                    model.keys.label(binding, glyphs),
                    model.look.style(Role::Accent),
                ),
                Span::raw(format!("  {word}")),
            ])
        })
        .collect();
    let widest = lines.iter().map(Line::width).max().unwrap_or_default();
    let size = |length: usize, room: u16| u16::try_from(length).unwrap_or(room).min(room);
    let (width, height) = (
        size(widest.max(chord.title().width() + 2) + 4, body.width),
        size(lines.len() + 2, body.height),
    );
    let area = Rect {
        x: body.right() - width,
        y: body.bottom() - height,
        width,
        height,
    };
    let block = panel(model, chord.title(), "", None).border_style(model.look.style(Role::Accent));
    let inside = block.inner(area).inner(Margin::new(1, 0));
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    for (line, row) in lines.into_iter().zip(inside.rows()) {
        frame.render_widget(line, row);
    }
}

pub(super) fn sort(model: &Model, at: usize, frame: &mut Frame<'_>, body: Rect) {
    let glyphs = model.look.glyphs;
    let height = u16::try_from(model.sort_columns().len() + 2).unwrap_or(u16::MAX);
    let inside = popup(model, frame, body, (24, height), "Sort by");
    let (columns, sort) = (model.sort_columns(), model.sorted_by());
    let skipped = (at + 1).saturating_sub(usize::from(inside.height));
    let shown = columns.iter().copied().enumerate().skip(skipped);
    for ((row, column), area) in shown.zip(inside.rows()) {
        let key = BINDINGS
            .iter()
            .find(|binding| binding.action == Action::SortBy(column))
            .map(|binding| model.keys.label(binding, glyphs));
        let direction = match (sort.by == column, sort.reversed) {
            (false, _) => "",
            (true, false) => glyphs.ascending,
            (true, true) => glyphs.descending,
        };
        let line = Line::from(vec![
            Span::styled(
                if row == at { glyphs.cursor } else { " " },
                model.look.style(Role::Accent),
            ),
            Span::styled(
                format!(" {}", key.unwrap_or_default()),
                model.look.style(Role::Accent),
            ),
            Span::raw(format!("  {:<8}{direction}", column.word())),
        ]);
        let role = if row == at { Role::Title } else { Role::Text };
        frame.render_widget(line.style(model.look.style(role)), area);
    }
}

/// A box in which one of several lines is chosen, with words about it below them.
struct Choice<'a> {
    title: &'a str,
    lines: Vec<String>,
    /// The line that is chosen.
    at: usize,
    words: &'a str,
}

impl Choice<'_> {
    fn draw(&self, model: &Model, frame: &mut Frame<'_>, body: Rect) {
        let look = model.look;
        let height = u16::try_from(self.lines.len()).unwrap_or(u16::MAX);
        let size = (60, height.saturating_add(5).min(16));
        let inside = popup(model, frame, body, size, self.title);
        let [list, _, words] = inside.layout(&Layout::vertical([
            Constraint::Fill(1),
            Constraint::Length(1),
            Constraint::Length(2),
        ]));
        let skipped = (self.at + 1).saturating_sub(usize::from(list.height));
        let shown = self.lines.iter().enumerate().skip(skipped);
        for ((row, text), area) in shown.zip(list.rows()) {
            let is_chosen = row == self.at;
            let mark = if is_chosen { look.glyphs.cursor } else { " " };
            let role = if is_chosen { Role::Title } else { Role::Text };
            let line = Line::from(vec![
                Span::styled(mark, look.style(Role::Accent)),
                Span::raw(format!(" {text}")),
            ]);
            frame.render_widget(line.style(look.style(role)), area);
        }
        let text = Paragraph::new(self.words).wrap(Wrap { trim: true });
        frame.render_widget(text.style(look.style(Role::Dim)), words);
    }
}

/// What a peer exposes, one of which a port may lead to.
pub(super) fn services(
    model: &Model,
    (peer, services, at): (&PeerId, &[String], usize),
    frame: &mut Frame<'_>,
    body: Rect,
) {
    let line = |service: &String| {
        let open = model.tunnels.get(&(*peer, service.clone()));
        let at = open.map_or_else(String::new, |addr| format!("  at {addr}"));
        format!("{}{at}", printable(service))
    };
    let title = format!("Services of {}", model.words().name(peer));
    let choice = Choice {
        title: &format::fit(&title, 50, model.look.glyphs.ellipsis),
        lines: services.iter().map(line).collect(),
        at,
        words: "Enter leads a free port of this computer there, for as long as this window is open.",
    };
    choice.draw(model, frame, body);
}

/// The node's own relays, one of which may be preferred as home.
pub(super) fn homes(model: &Model, at: usize, frame: &mut Frame<'_>, body: Rect) {
    let line = |relay: &RelaySnapshot| {
        let name = model.words().relay(&relay.url);
        let rtt = match (relay.state, relay.rtt) {
            (RelayState::Up, Some(rtt)) => format::rtt(rtt),
            (RelayState::Up, None) => "up".to_owned(),
            _ => "not up".to_owned(),
        };
        let reason = relay
            .home_reason
            .map_or_else(String::new, |why| format!("  home, {why}"));
        format!("{name}  {rtt}{reason}")
    };
    let mut lines = vec!["the nearest, whichever that is".to_owned()];
    lines.extend(asking::own_relays(model).into_iter().map(line));
    let choice = Choice {
        title: "Home relay",
        lines,
        at,
        words: "Enter has this one be the home relay whenever it is up, as long as the node runs; Esc closes.",
    };
    choice.draw(model, frame, body);
}

/// Who called and was not let in.
pub(super) fn callers(model: &Model, at: usize, frame: &mut Frame<'_>, body: Rect) {
    let line = |caller: &Caller| {
        let at_ms = model.data().snapshot.at_ms;
        let ago = Duration::from_millis(at_ms.saturating_sub(caller.at_ms));
        let name = model.words().name(&caller.id);
        let short = caller.id.short();
        let known = if name == short {
            String::new()
        } else {
            format!("{name}  ")
        };
        format!("{known}{short}  called {} ago", format::age(ago))
    };
    let choice = Choice {
        title: "Not let in",
        lines: model.callers().into_iter().map(line).collect(),
        at,
        words: "Compare the id with what `peerway id` prints there. Enter lets it in, and writes it into the address book; Esc closes.",
    };
    choice.draw(model, frame, body);
}
