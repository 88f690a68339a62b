//! Download and upload in one line each, for terminals without room for the throughput panel.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    text::Line,
};

use super::panel;
use crate::dash::{format, history::Rate, look::Role, model::Model, stack::stretched};

pub(super) fn sparklines(model: &Model, frame: &mut Frame<'_>, down: Rect, up: Rect) {
    sparkline(model, frame, down, "Down", |rate| rate.down);
    sparkline(model, frame, up, "Up", |rate| rate.up);
}

fn sparkline(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    value: impl Fn(Rate) -> u64,
) {
    let block = panel(model, &format!("{title} {}", model.window.name()), "", None);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let [chart, legend] = inside.layout(&Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(1),
    ]));
    let chart = chart.inner(Margin::new(1, 0));
    let history = &model.data().history;
    let track = history.total();
    let columns = stretched(history, track, model.window, usize::from(chart.width));
    let line = levels(model, columns.into_iter().map(&value));
    frame.render_widget(Line::styled(line, model.look.style(Role::Info)), chart);
    let text = format!(
        " now {:<8} peak {}",
        format::short(value(track.latest())),
        format::short(value(track.peak(model.window.seconds())))
    );
    frame.render_widget(Line::styled(text, model.look.style(Role::Dim)), legend);
}

/// One cell per value, the highest one full and none but zero empty.
pub(super) fn levels(model: &Model, values: impl Iterator<Item = u64> + Clone) -> String {
    let peak = values.clone().max().unwrap_or_default().max(1);
    let level = |value: u64| (u128::from(value) * 8).div_ceil(u128::from(peak)) as usize;
    values
        .filter_map(|value| model.look.glyphs.levels.get(level(value)).copied())
        .collect()
}
