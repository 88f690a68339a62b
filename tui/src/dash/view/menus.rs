//! Small boxes of keys: what may follow the first one of a chord, and columns to sort by.

use ratatui::{
    Frame,
    layout::{Margin, Rect},
    text::{Line, Span},
    widgets::Clear,
};
use unicode_width::UnicodeWidthStr;

use super::{panel, popup};
use crate::dash::{
    keymap::{self, Action, BINDINGS, Chord},
    look::Role,
    model::Model,
    sort::Column,
};

/// In the corner next to the footer, so that it hides little.
pub(super) fn following(model: &Model, chord: Chord, frame: &mut Frame<'_>, body: Rect) {
    let glyphs = model.look.glyphs;
    let lines: Vec<Line<'_>> = keymap::following(chord)
        .map(|(binding, word)| {
            Line::from(vec![
                Span::styled(binding.label(glyphs), model.look.style(Role::Accent)),
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
    let height = u16::try_from(Column::ALL.len() + 2).unwrap_or(u16::MAX);
    let inside = popup(model, frame, body, (24, height), "Sort by");
    for ((row, column), area) in Column::ALL.into_iter().enumerate().zip(inside.rows()) {
        let key = BINDINGS
            .iter()
            .find(|binding| binding.action == Action::SortBy(column))
            .map(|binding| binding.label(glyphs));
        let direction = match (model.sort.by == column, model.sort.reversed) {
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
