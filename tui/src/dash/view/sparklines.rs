//! Download and upload in one line each, for terminals without room for the throughput panel.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    text::Line,
};

use super::{panel, throughput::compact};
use crate::dash::{
    format,
    history::Rate,
    look::Role,
    model::Model,
    stack::{LEAST_SCALE, round_up, stretched},
};

pub(super) fn sparklines(model: &Model, frame: &mut Frame<'_>, down: Rect, up: Rect) {
    let history = &model.data().history;
    let width = usize::from(down.width.max(up.width).saturating_sub(4));
    let columns = stretched(history, history.total(), model.window, width);
    let scale = common_scale(&columns);
    for (area, title, value) in [
        (down, "Down", (|rate| rate.down) as fn(Rate) -> u64),
        (up, "Up", |rate| rate.up),
    ] {
        sparkline(model, frame, area, title, (value, scale));
    }
}

/// What a full bar stands for, in both directions.
pub(super) fn common_scale(columns: &[Rate]) -> u64 {
    let peak = columns.iter().map(|rate| rate.down.max(rate.up)).max();
    round_up(peak.unwrap_or_default().max(LEAST_SCALE))
}

fn sparkline(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    (value, scale): (fn(Rate) -> u64, u64),
) {
    let title = format!("{title} {}{}", model.window.name(), model.scale.name(" "));
    let full = if area.width < 36 {
        format!("scale {}", compact(scale))
    } else {
        format!("scale {}", format::rate(scale).replace(".0 ", " "))
    };
    let block = panel(model, &title, &full, None);
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
    for (row, area) in (0..chart.height).rev().zip(chart.rows()) {
        let bars = (chart.height, row);
        let line = levels(model, columns.iter().copied().map(value), scale, bars);
        frame.render_widget(Line::styled(line, model.look.style(Role::Info)), area);
    }
    let text = format!(
        " now {:<8} peak {}",
        format::short(value(track.latest())),
        format::short(value(track.peak(model.window.seconds())))
    );
    frame.render_widget(Line::styled(text, model.look.style(Role::Dim)), legend);
}

/// One row of bars, of which `rows` make up `scale`, and `row` counts from the lowest one; what is not nothing is seen.
pub(super) fn levels(
    model: &Model,
    values: impl Iterator<Item = u64>,
    scale: u64,
    (rows, row): (u16, u16),
) -> String {
    let eighths = u128::from(rows) * 8;
    let below = u128::from(row) * 8;
    let level = |value: u64| {
        let value = model.scale.flat(value, scale);
        let height = (u128::from(value) * eighths).div_ceil(u128::from(scale.max(1)));
        height.saturating_sub(below).min(8) as usize
    };
    values
        .filter_map(|value| model.look.glyphs.levels.get(level(value)).copied())
        .collect()
}
