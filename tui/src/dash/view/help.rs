//! All keys and signs, from the table that also dispatches them.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::popup;
use crate::dash::{
    keymap::{self, HelpLine},
    look::Role,
    model::Model,
    words::Standing,
};

pub(super) fn help(model: &Model, scrolled: usize, frame: &mut Frame<'_>, body: Rect) {
    let glyphs = model.look.glyphs;
    let mut lines: Vec<Line<'_>> = keymap::help(model.read_only)
        .map(|line| line_of(model, &line))
        .collect();
    lines.push(Line::default());
    for kind in Standing::ALL {
        lines.push(Line::from(vec![
            Span::styled(
                format!("{:<14} ", kind.glyph(glyphs)),
                model.look.style(kind.role()),
            ),
            Span::raw(meaning(kind)),
        ]));
    }
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let title = format!("Help {} j k scroll, Esc closes", glyphs.dot);
    let widest = lines.iter().map(Line::width).max().unwrap_or_default();
    let width = u16::try_from(widest + 4).unwrap_or(u16::MAX);
    let inside = popup(model, frame, body, (width, height), &title);
    let most = lines.len().saturating_sub(usize::from(inside.height));
    for (line, row) in lines
        .into_iter()
        .skip(scrolled.min(most))
        .zip(inside.rows())
    {
        frame.render_widget(line, row);
    }
}

fn line_of(model: &Model, line: &HelpLine) -> Line<'static> {
    match line {
        HelpLine::Group(group) => Line::styled(group.title(), model.look.style(Role::Title)),
        HelpLine::Keys(binding, help) => Line::from(vec![
            Span::styled(
                format!("{:<14} ", model.keys.labels(binding, model.look.glyphs)),
                model.look.style(Role::Accent),
            ),
            Span::raw(*help),
        ]),
    }
}

fn meaning(kind: Standing) -> &'static str {
    match kind {
        Standing::Direct => "direct: data goes straight to the peer",
        Standing::Suspect => "suspect: the direct path fell silent, data goes both ways",
        Standing::Relay => "relay: data goes through a relay, which cannot read it",
        Standing::Connecting => "connecting: no path yet",
        Standing::Idle => "idle: nothing is wanted from this peer now",
        Standing::Unreachable => "unreachable: no answer; tried again by itself",
    }
}
