//! Download and upload in one line each, for terminals without room for the throughput panel.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    text::Line,
};

use super::{panel, put};
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
    let width = usize::from(chart.width);
    let history = &model.data().history;
    let track = history.total();
    let columns: Vec<u64> = stretched(history, track, model.window, width)
        .into_iter()
        .map(&value)
        .collect();
    let peak = columns.iter().copied().max().unwrap_or_default();
    let style = model.look.style(Role::Info);
    for (x, column) in (chart.x..chart.right()).zip(&columns) {
        let eighths = (*column * 8).div_ceil(peak.max(1));
        let level = usize::try_from(eighths).unwrap_or(0).min(8);
        if let Some(symbol) = model.look.glyphs.levels.get(level) {
            put(frame, (x, chart.y), symbol, style);
        }
    }
    let text = format!(
        " now {:<8} peak {}",
        format::short(value(track.latest())),
        format::short(value(track.peak(model.window.seconds())))
    );
    frame.render_widget(Line::styled(text, model.look.style(Role::Dim)), legend);
}
