//! What the tables of the views have in common.

use ratatui::{
    Frame,
    layout::{Constraint, Margin, Rect},
    text::Line,
    widgets::{Row, Table},
};

use crate::dash::{look::Role, model::Model};

/// The columns for which there is room, of those that each say from which width they are shown.
pub(super) fn fitting<C: Copy, const N: usize>(columns: [(C, u16); N], width: u16) -> Vec<C> {
    let shown = columns.into_iter().filter(|(_, from)| width >= *from);
    shown.map(|(column, _)| column).collect()
}

/// Rows under what heads their columns, which have these widths.
pub(super) fn draw<'a>(
    model: &Model,
    frame: &mut Frame<'_>,
    inside: Rect,
    (heading, widths): (
        impl Iterator<Item = Line<'a>>,
        impl Iterator<Item = Constraint>,
    ),
    rows: impl Iterator<Item = Row<'a>>,
) {
    let heading = Row::new(heading).style(model.look.style(Role::Dim));
    let table = Table::new(rows, widths).header(heading).column_spacing(1);
    frame.render_widget(table, inside);
}

/// What is said where there would be no row.
pub(super) fn say(model: &Model, frame: &mut Frame<'_>, inside: Rect, lines: &[&'static str]) {
    for (line, row) in lines.iter().zip(inside.inner(Margin::new(1, 0)).rows()) {
        frame.render_widget(Line::styled(*line, model.look.style(Role::Dim)), row);
    }
}
