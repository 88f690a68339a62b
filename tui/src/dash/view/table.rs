//! What the tables of the views have in common.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Row, Table, Wrap},
};

use super::selectable;
use crate::dash::{format, look::Role, model::Model};

/// The columns for which there is room, of those that each say from which width they are shown.
pub(super) fn fitting<C: Copy, const N: usize>(columns: [(C, u16); N], width: u16) -> Vec<C> {
    let shown = columns.into_iter().filter(|(_, from)| width >= *from);
    shown.map(|(column, _)| column).collect()
}

/// Between columns.
const GAP: u16 = 1;

/// Rows under what heads their columns, which have these widths; each says whether it is selected.
pub(super) fn draw<'a>(
    model: &Model,
    frame: &mut Frame<'_>,
    inside: Rect,
    (heading, widths): (
        impl Iterator<Item = Line<'a>>,
        impl Iterator<Item = Constraint>,
    ),
    rows: impl Iterator<Item = (Vec<Line<'static>>, bool)>,
) {
    let widths: Vec<Constraint> = widths.collect();
    let rooms = Layout::horizontal(&widths).spacing(GAP).split(inside);
    let ellipsis = model.look.glyphs.ellipsis;
    let rows = rows.map(|(cells, selected)| {
        let cells = cells.into_iter().zip(rooms.iter());
        let cells = cells.map(|(cell, room)| shortened(cell, room.width, ellipsis));
        selectable(model, cells.collect(), selected)
    });
    let heading = Row::new(heading).style(model.look.style(Role::Dim));
    let table = Table::new(rows, widths).header(heading);
    frame.render_widget(table.column_spacing(GAP), inside);
}

/// A line in so many columns; a sign stands where the rest is cut off.
pub(super) fn shortened(line: Line<'static>, width: u16, ellipsis: &'static str) -> Line<'static> {
    let mut room = usize::from(width);
    if line.width() <= room {
        return line;
    }
    let (style, alignment) = (line.style, line.alignment);
    let mut spans = Vec::new();
    for span in line.spans {
        if span.width() < room {
            room -= span.width();
            spans.push(span);
            continue;
        }
        // One letter more than there is room for, whatever follows.
        let text = format!("{}x", span.content);
        spans.push(Span::styled(format::fit(&text, room, ellipsis), span.style));
        break;
    }
    let mut line = Line::from(spans).style(style);
    line.alignment = alignment;
    line
}

/// What is said where there would be no row.
pub(super) fn say(model: &Model, frame: &mut Frame<'_>, inside: Rect, lines: &[&'static str]) {
    let lines: Vec<Line<'static>> = lines.iter().map(|line| Line::raw(*line)).collect();
    let text = Paragraph::new(lines).wrap(Wrap { trim: true });
    let text = text.style(model.look.style(Role::Dim));
    frame.render_widget(text, inside.inner(Margin::new(1, 0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_cut_off_says_so_wherever_its_parts_end() {
        let line = || {
            Line::from(vec![
                Span::raw("one "),
                Span::raw("two "),
                Span::raw("three"),
            ])
        };
        let text = |width| {
            let line = shortened(line(), width, "~");
            let parts = line.spans.iter().map(|span| span.content.as_ref());
            parts.collect::<String>()
        };
        for (width, shown) in [
            (13, "one two three"),
            (12, "one two thr~"),
            (8, "one two~"),
            (6, "one t~"),
            (1, "~"),
        ] {
            assert_eq!(text(width), shown, "{width}");
        }
    }
}
