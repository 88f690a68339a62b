//! Download stacked upward by peer, upload mirrored below.

use peerway::PeerId;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    text::{Line, Span},
};

use super::{panel, put};
use crate::dash::{
    format,
    history::{History, Rate, Track},
    look::Role,
    model::{Model, Window},
};

/// Peers with a shade of their own; all others share one.
const NAMED: usize = 4;
const LEGEND_WIDTH: u16 = 25;
const LABEL_WIDTH: u16 = 6;

pub(super) fn throughput(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let dot = model.look.glyphs.dot;
    let block = panel(
        model,
        &format!("Throughput {dot} stacked by peer"),
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
    let up_rows = (plot.height.saturating_sub(1) / 4).max(1);
    let [down_plot, up_plot, time] = plot.layout(&Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(up_rows),
        Constraint::Length(1),
    ]));
    let series = series(model, usize::from(plot.width));
    let down_scale = scale(&series, |rate| rate.down);
    let up_scale = scale(&series, |rate| rate.up);
    for column in 0..plot.width {
        let rates: Vec<Rate> = series
            .iter()
            .map(|one| {
                one.columns
                    .get(usize::from(column))
                    .copied()
                    .unwrap_or_default()
            })
            .collect();
        let down: Vec<u64> = rates.iter().map(|rate| rate.down).collect();
        let up: Vec<u64> = rates.iter().map(|rate| rate.up).collect();
        for (row, cell) in stack(&down, down_scale, down_plot.height)
            .into_iter()
            .enumerate()
        {
            let y = down_plot.bottom().saturating_sub(1 + row as u16);
            rising(model, frame, (plot.x + column, y), cell, row);
        }
        for (row, cell) in stack(&up, up_scale, up_plot.height).into_iter().enumerate() {
            hanging(
                model,
                frame,
                (plot.x + column, up_plot.y + row as u16),
                cell,
            );
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
    legends(
        model,
        frame,
        legend.inner(Margin::new(1, 0)),
        &series,
        down_plot.height,
    );
}

/// One layer of the stack.
struct Series {
    peer: Option<PeerId>,
    columns: Vec<Rate>,
    now: Rate,
}

/// The peers with the most traffic in the window, then all others together.
fn series(model: &Model, width: usize) -> Vec<Series> {
    let history = &model.data().history;
    let mut ranked: Vec<(u64, PeerId, &Track)> = history
        .peers()
        .map(|(id, track)| (track.volume(model.window.seconds()), *id, track))
        .filter(|(volume, ..)| *volume > 0)
        .collect();
    ranked.sort_by_key(|(volume, id, _)| (std::cmp::Reverse(*volume), *id));
    let columns = |track| stretched(history, track, model.window, width);
    let mut series: Vec<Series> = ranked
        .iter()
        .take(NAMED)
        .map(|(_, id, track)| Series {
            peer: Some(*id),
            columns: columns(track),
            now: track.latest(),
        })
        .collect();
    if ranked.len() > NAMED {
        let mut others = vec![Rate::default(); width];
        let mut now = Rate::default();
        for (_, _, track) in ranked.iter().skip(NAMED) {
            now = now + track.latest();
            for (sum, rate) in others.iter_mut().zip(columns(track)) {
                *sum = *sum + rate;
            }
        }
        series.push(Series {
            peer: None,
            columns: others,
            now,
        });
    }
    series
}

/// The window's samples spread over the columns, whether there are more of them or fewer.
pub(super) fn stretched(
    history: &History,
    track: &Track,
    window: Window,
    width: usize,
) -> Vec<Rate> {
    let seconds = window.seconds().div_ceil(width.max(1));
    let bins = window.seconds() / seconds;
    let averages = history.averages(track, seconds, bins);
    (0..width)
        .map(|column| {
            averages
                .get(column * bins / width)
                .copied()
                .unwrap_or_default()
        })
        .collect()
}

/// The least of 1, 2, 5 times a power of ten that no column exceeds.
fn scale(series: &[Series], value: impl Fn(Rate) -> u64) -> u64 {
    let columns = series
        .iter()
        .map(|one| one.columns.len())
        .max()
        .unwrap_or(0);
    let peak = (0..columns)
        .map(|column| {
            series
                .iter()
                .filter_map(|one| one.columns.get(column))
                .map(|rate| value(*rate))
                .sum::<u64>()
        })
        .max()
        .unwrap_or_default();
    let mut scale = 1000_u64;
    for factor in [2, 5, 10].into_iter().cycle() {
        let Some(next) = power_of_ten(scale).checked_mul(factor) else {
            break;
        };
        if scale >= peak {
            break;
        }
        scale = next;
    }
    scale
}

fn power_of_ten(value: u64) -> u64 {
    10_u64.saturating_pow(value.checked_ilog10().unwrap_or(0))
}

/// How far a cell is filled, in eighths, and by which series most of all.
type Filling = Option<(u64, usize)>;

/// One column of the stack, from the axis outward.
fn stack(values: &[u64], scale: u64, rows: u16) -> Vec<Filling> {
    let eighths = u64::from(rows) * 8;
    let mut edges = Vec::with_capacity(values.len());
    let mut sum = 0_u64;
    for value in values {
        sum = sum.saturating_add(*value);
        let edge = u128::from(sum) * u128::from(eighths) / u128::from(scale.max(1));
        let least = u64::from(sum > 0);
        edges.push(u64::try_from(edge).unwrap_or(eighths).clamp(least, eighths));
    }
    (0..u64::from(rows))
        .map(|row| {
            let (bottom, top) = (row * 8, row * 8 + 8);
            let mut below = 0;
            let mut most: Filling = None;
            for (index, edge) in edges.iter().enumerate() {
                let inside = (*edge).clamp(bottom, top) - below.clamp(bottom, top);
                if inside > most.map_or(0, |(inside, _)| inside) {
                    most = Some((inside, index));
                }
                below = *edge;
            }
            most.map(|(_, index)| (below.clamp(bottom, top) - bottom, index))
        })
        .collect()
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
    label(down.y, &compact(down_scale), glyphs.tick);
    if down.height >= 4 && down.height.is_multiple_of(2) {
        label(
            down.y + down.height / 2,
            &compact(down_scale / 2),
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
fn compact(rate: u64) -> String {
    format::short_rate(rate).replace(".0", "")
}

fn times(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let style = model.look.style(Role::Dim);
    let seconds = model.window.seconds();
    for quarter in 0..4 {
        let x = area.x + area.width / 4 * quarter;
        let text = format!("-{}s", seconds - seconds / 4 * usize::from(quarter));
        let label = Rect {
            x,
            width: area.width / 4,
            ..area
        };
        frame.render_widget(Line::styled(text, style), label.intersection(area));
    }
    frame.render_widget(Line::styled("now", style).right_aligned(), area);
}

fn legends(model: &Model, frame: &mut Frame<'_>, area: Rect, series: &[Series], down_rows: u16) {
    let glyphs = model.look.glyphs;
    let line = |index: usize, one: &Series, mark: &str, rate: u64| {
        let name = one
            .peer
            .map_or_else(|| "others".to_owned(), |id| model.words().name(&id));
        let name = format::fit(&name, 11, glyphs.ellipsis);
        let padding = " "
            .repeat(11_usize.saturating_sub(unicode_width::UnicodeWidthStr::width(name.as_str())));
        Line::from(vec![
            Span::styled(mark.to_owned(), model.look.style(Role::Series(index))),
            Span::raw(format!(" {name}{padding}{:>9}", format::rate(rate))),
        ])
    };
    let [down_area, up_area] = area.layout(&Layout::vertical([
        Constraint::Length(down_rows),
        Constraint::Fill(1),
    ]));
    for ((index, one), row) in series.iter().enumerate().zip(down_area.rows()) {
        let line = line(index, one, shade(model, index), one.now.down);
        frame.render_widget(line, row);
    }
    for ((index, one), row) in series.iter().enumerate().zip(up_area.rows()) {
        frame.render_widget(line(index, one, glyphs.up, one.now.up), row);
    }
}
