//! A line that is being written at the bottom of the screen.

use std::ops::Range;

use ratatui::{
    style::Modifier,
    text::{Line, Span},
};
use tui_input::Input;

use crate::dash::{look::Role, model::Model};

/// Columns of it that stay for what is said of it.
const REST: usize = 12;

/// The text with a caret, from where the caret is seen in so many columns, and what is wrong in it underlined.
pub(super) fn line(
    model: &Model,
    sign: char,
    input: &Input,
    wrong: Option<Range<usize>>,
    room: usize,
) -> Line<'static> {
    let style = model.look.style(Role::Accent);
    let is_wrong = |at: usize| wrong.as_ref().is_some_and(|wrong| wrong.contains(&at));
    let mut line = Line::styled(format!(" {sign}"), style);
    let mut caret = Some(Span::raw(model.look.glyphs.caret));
    let skipped = input.cursor().saturating_sub(room.saturating_sub(REST));
    for (at, letter) in input.value().chars().enumerate().skip(skipped) {
        if at == input.cursor() {
            line.extend(caret.take());
        }
        let style = if is_wrong(at) {
            model
                .look
                .style(Role::Bad)
                .add_modifier(Modifier::UNDERLINED)
        } else {
            style
        };
        line.push_span(Span::styled(letter.to_string(), style));
    }
    line.extend(caret);
    line.push_span("   ");
    line
}
