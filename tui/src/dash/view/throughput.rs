//! Download stacked upward by peer, upload mirrored below.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    text::{Line, Span},
};

use unicode_width::UnicodeWidthStr as _;

use super::{panel, put};
use crate::dash::{
    format,
    look::Role,
    model::Model,
    stack::{Filling, LEAST_SCALE, Scale, Series, peak, round_up, series, shared_scale, stack},
};

const LEGEND_WIDTH: u16 = 26;
const LABEL_WIDTH: u16 = 6;

pub(super) fn throughput(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let dot = model.look.glyphs.dot;
    let block = panel(
        model,
        &format!("Throughput {dot} stacked by peer{}", model.scale.name(", ")),
        &format!("{} {dot} + - zoom", model.window.name()),
        None,
    );
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let [labels, plot, legend] = inside.layout(&Layout::horizontal([
        Constraint::Length(LABEL_WIDTH),
        Constraint::Fill(1),
        Constraint::Length(LEGEND_WIDTH),
    ]));
    let stacked = series(&model.data().history, model.window, usize::from(plot.width));
    let [down_peak, up_peak] = [
        peak(&stacked, |rate| rate.down),
        peak(&stacked, |rate| rate.up),
    ];
    let rows = plot.height.saturating_sub(1);
    let (unit, up_rows) = match model.scale {
        Scale::Linear => shared_scale(down_peak, up_peak, rows),
        // Equally high, so that equal rates are.
        Scale::Log => (0, rows / 2),
    };
    let [down_plot, up_plot, time] = plot.layout(&Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(up_rows),
        Constraint::Length(1),
    ]));
    let full = |plot: Rect| match model.scale {
        Scale::Linear => unit.saturating_mul(u64::from(plot.height)),
        Scale::Log => round_up(down_peak.max(up_peak).max(LEAST_SCALE)),
    };
    let (down_scale, up_scale) = (full(down_plot), full(up_plot));
    for (column, x) in (plot.x..plot.right()).enumerate() {
        let rates = || stacked.iter().filter_map(|one| one.columns.get(column));
        let down: Vec<u64> = rates().map(|rate| rate.down).collect();
        let down = model.scale.flat_column(&down, down_scale);
        let cells = stack(&down, down_scale, down_plot.height);
        for (row, (y, cell)) in (down_plot.y..down_plot.bottom())
            .rev()
            .zip(cells)
            .enumerate()
        {
            rising(model, frame, (x, y), cell, row);
        }
        let up: Vec<u64> = rates().map(|rate| rate.up).collect();
        let up = model.scale.flat_column(&up, up_scale);
        let cells = stack(&up, up_scale, up_plot.height);
        for (y, cell) in (up_plot.y..up_plot.bottom()).zip(cells) {
            hanging(model, frame, (x, y), cell);
        }
    }
    axes(
        model,
        frame,
        labels,
        (down_plot, down_scale),
        (up_plot, up_scale),
    );
    times(model, frame, time);
    let legend = legend.inner(Margin::new(1, 0));
    if !stacked.is_empty() {
        legends(model, frame, legend, &stacked);
    }
}

/// Only the solid shade has eighths; the others are drawn from half a cell on, or when there is nothing below.
fn rising(model: &Model, frame: &mut Frame<'_>, at: (u16, u16), cell: Filling, row: usize) {
    let Some((eighths, index)) = cell else { return };
    let glyphs = model.look.glyphs;
    let symbol = match eighths {
        8 => shade(model, index),
        partial if index == 0 || row == 0 => glyphs
            .levels
            .get(partial as usize)
            .copied()
            .unwrap_or_default(),
        4.. => shade(model, index),
        _ => return,
    };
    put(frame, at, symbol, model.look.style(Role::Series(index)));
}

fn hanging(model: &Model, frame: &mut Frame<'_>, at: (u16, u16), cell: Filling) {
    let Some((eighths, index)) = cell else { return };
    let symbol = if eighths >= 6 {
        shade(model, index)
    } else {
        model.look.glyphs.hanging
    };
    put(frame, at, symbol, model.look.style(Role::Series(index)));
}

fn shade(model: &Model, index: usize) -> &'static str {
    model
        .look
        .glyphs
        .shades
        .get(index)
        .copied()
        .unwrap_or_default()
}

fn axes(
    model: &Model,
    frame: &mut Frame<'_>,
    labels: Rect,
    (down, down_scale): (Rect, u64),
    (up, up_scale): (Rect, u64),
) {
    let style = model.look.style(Role::Dim);
    let mut label = |y: u16, text: &str, mark: &str| {
        let area = Rect {
            y,
            height: 1,
            ..labels
        };
        let line = Line::styled(format!("{text}{mark}"), style).right_aligned();
        frame.render_widget(line, area.intersection(labels));
    };
    let glyphs = model.look.glyphs;
    for y in down.y..down.bottom().saturating_sub(1) {
        label(y, "", glyphs.tick);
    }
    // In the only row the axis stands, beside which part of another number would be a third one.
    if down.height > 1 {
        label(down.y, &compact(down_scale), glyphs.tick);
    }
    if down.height >= 4 && down.height.is_multiple_of(2) {
        label(
            down.y + down.height / 2,
            &compact(model.scale.at(0.5, down_scale as f64, LEAST_SCALE as f64) as u64),
            glyphs.tick,
        );
    }
    label(down.bottom().saturating_sub(1), "0", glyphs.axis);
    for y in up.y..up.bottom().saturating_sub(1) {
        label(y, "", glyphs.tick);
    }
    label(
        up.bottom().saturating_sub(1),
        &compact(up_scale),
        glyphs.tick,
    );
}

/// Scales are round, so that their decimals say nothing.
pub(super) fn compact(rate: u64) -> String {
    format::short(rate).replace(".0", "")
}

fn times(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let style = model.look.style(Role::Dim);
    let seconds = model.window.seconds();
    for quarter in 0..4 {
        let x = area.x + area.width / 4 * quarter;
        let ago = seconds - seconds / 4 * usize::from(quarter);
        let text = if seconds >= 3600 {
            format!("-{} min", ago / 60)
        } else {
            format!("-{ago}s")
        };
        let label = Rect {
            x,
            width: area.width / 4,
            ..area
        };
        frame.render_widget(Line::styled(text, style), label.intersection(area));
    }
    frame.render_widget(Line::styled("now", style).right_aligned(), area);
}

/// Who is who, with the current rates.
fn legends(model: &Model, frame: &mut Frame<'_>, area: Rect, series: &[Series]) {
    const NAME_WIDTH: usize = 10;
    let glyphs = model.look.glyphs;
    let heading = format!("{:<12}{:>6}{:>6}", "B/s now", glyphs.down, glyphs.up);
    let heading = Line::styled(heading, model.look.style(Role::Dim));
    let lines = series.iter().enumerate().map(|(index, one)| {
        let name = one
            .peer
            .map_or_else(|| "others".to_owned(), |id| model.words().name(&id));
        let name = format::fit(&name, NAME_WIDTH, glyphs.ellipsis);
        let padding = " ".repeat(NAME_WIDTH.saturating_sub(name.width()));
        let [down, up] = [one.now.down, one.now.up].map(format::short);
        Line::from(vec![
            Span::styled(shade(model, index), model.look.style(Role::Series(index))),
            Span::raw(format!(" {name}{padding}{down:>6}{up:>6}")),
        ])
    });
    for (line, row) in [heading].into_iter().chain(lines).zip(area.rows()) {
        frame.render_widget(line, row);
    }
}
