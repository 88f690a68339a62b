//! All keys and signs, from the table that also dispatches them.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::popup;
use crate::dash::{
    format,
    keymap::{self, HelpLine},
    look::Role,
    model::Model,
    words::Standing,
};

pub(super) fn help(model: &Model, scrolled: usize, frame: &mut Frame<'_>, body: Rect) {
    let glyphs = model.look.glyphs;
    let lines = lines(model, body.width);
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

/// All of it, in lines that fit on a screen of this width.
pub(in crate::dash) fn lines(model: &Model, width: u16) -> Vec<Line<'static>> {
    let glyphs = model.look.glyphs;
    // Beside the border and the gap on both sides.
    let room = usize::from(width.saturating_sub(4));
    let mut lines = Vec::new();
    for line in keymap::help(model.read_only) {
        match line {
            HelpLine::Group(group) => {
                let title = Line::styled(group.title(), model.look.style(Role::Title));
                lines.push(title);
            }
            HelpLine::Keys(binding, help) => {
                let keys = model.keys.labels(binding, glyphs);
                let style = model.look.style(Role::Accent);
                told(&mut lines, Span::styled(keys, style), help, room);
            }
        }
    }
    lines.push(Line::default());
    for kind in Standing::ALL {
        let sign = Span::styled(kind.glyph(glyphs), model.look.style(kind.role()));
        told(&mut lines, sign, meaning(kind), room);
    }
    lines
}

/// What a key or sign stands for, on the right of it, in as many lines as that takes.
fn told(lines: &mut Vec<Line<'static>>, of: Span<'static>, what: &'static str, room: usize) {
    const LEFT: usize = 15;
    let Span { content, style } = of;
    let mut left = Span::styled(format!("{content:<14} "), style);
    let right = room.saturating_sub(left.width().max(LEFT));
    for row in format::folded(what, right) {
        let first = std::mem::replace(&mut left, Span::raw(" ".repeat(LEFT)));
        lines.push(Line::from(vec![first, Span::raw(row)]));
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
