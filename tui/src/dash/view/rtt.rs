//! Round-trip times: as bars in a cell each, and as a line over two minutes.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::Line,
};

use super::{panel, put};
use crate::dash::{
    history::{KEPT_RTTS, Rtts, Spread},
    look::{Glyphs, Role},
    model::Model,
};

const LABEL_WIDTH: u16 = 6;
/// What is quicker is next to nothing where the chart is one of logarithms.
const LEAST_MS: f64 = 1.0;

/// Each step is a doubling, the same for all peers: 1 ms or less is the lowest one.
pub(super) fn bars(glyphs: &Glyphs, means: &[Option<f32>]) -> String {
    let level =
        |mean: &Option<f32>| mean.map_or(0, |ms| (1.0 + ms.max(1.0).log2()).min(8.0) as usize);
    means
        .iter()
        .filter_map(|mean| glyphs.levels.get(level(mean)).copied())
        .collect()
}

/// A line from the left to now; gaps are where nothing was measured.
pub(super) fn chart(
    model: &Model,
    (title, rtts, loss): (&str, Option<&Rtts>, Option<f64>),
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let block = panel(
        model,
        &format!(
            "{title} {} 2 min{}",
            model.look.glyphs.dot,
            model.scale.name(", ")
        ),
        "",
        None,
    );
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let dim = model.look.style(Role::Dim);
    let Some((rtts, spread)) = rtts.and_then(|rtts| Some((rtts, rtts.spread()?))) else {
        frame.render_widget(Line::styled(" not measured yet", dim), inside);
        return;
    };
    let [plot, legend] = inside.layout(&Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(1),
    ]));
    let [labels, plot] = plot.layout(&Layout::horizontal([
        Constraint::Length(LABEL_WIDTH),
        Constraint::Fill(1),
    ]));
    let full = scale(spread.most);
    for (row, area) in labels.rows().enumerate() {
        let tick = model.look.glyphs.tick;
        // At the top and in the middle; the last row's floor is 0.
        let label = match row {
            0 => format!("{full:.0}{tick}"),
            row if labels.height >= 4 && row == usize::from(labels.height / 2) => {
                let part = 1.0 - row as f64 / f64::from(labels.height);
                format!("{:.0}{tick}", model.scale.at(part, full.into(), LEAST_MS))
            }
            _ => tick.to_owned(),
        };
        frame.render_widget(Line::styled(label, dim).right_aligned(), area);
    }
    line(model, frame, plot, rtts, full);
    frame.render_widget(Line::raw(figures(&spread, loss, legend.width)), legend);
}

/// As many of the figures as fit; the first to give way are those that tell least.
fn figures(spread: &Spread, loss: Option<f64>, width: u16) -> String {
    let mut parts = vec![
        (3, format!("  min {:.0}", spread.least)),
        (1, format!("  p50 {:.0}", spread.median)),
        (4, format!("  p95 {:.0}", spread.p95)),
        (2, format!("  max {:.0} ms", spread.most)),
    ];
    parts.extend(loss.map(|loss| (0, format!("  loss {:.1} %", loss * 100.0))));
    parts.push((5, format!("  jitter {:.1}", spread.jitter)));
    let text = |parts: &[(u8, String)]| -> String {
        let all: String = parts.iter().map(|(_, text)| text.as_str()).collect();
        all.chars().skip(1).collect()
    };
    for least in (1..=5).rev() {
        if text(&parts).len() <= usize::from(width) {
            break;
        }
        parts.retain(|(rank, _)| *rank != least);
    }
    text(&parts)
}

/// What the top of the chart stands for, milliseconds: round, and above all that was measured.
fn scale(most: f32) -> f32 {
    const STEPS: [f32; 8] = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
    let decades = [1.0, 10.0, 100.0, 1000.0, 10_000.0];
    let scales = decades
        .into_iter()
        .flat_map(|decade| STEPS.map(|step| step * decade));
    scales
        .into_iter()
        .find(|full| *full >= most * 1.1)
        .unwrap_or_else(|| most.max(1.0))
}

/// Two dots a cell across and four along, as Braille has them; with ASCII one.
fn line(model: &Model, frame: &mut Frame<'_>, plot: Rect, rtts: &Rtts, full: f32) {
    let across = if model.look.glyphs.has_braille { 2 } else { 1 };
    let along = if model.look.glyphs.has_braille { 4 } else { 1 };
    let columns = usize::from(plot.width) * across;
    let rows = usize::from(plot.height) * along;
    let means = rtts.means(KEPT_RTTS, columns);
    let height = |ms: f32| {
        let part = model.scale.part(ms.into(), full.into(), LEAST_MS);
        let from_top = (1.0 - part) * rows.saturating_sub(1) as f64;
        from_top.round() as usize
    };
    let mut cells = vec![0_u8; usize::from(plot.width) * usize::from(plot.height)];
    let mut before = None;
    for (column, mean) in means.into_iter().enumerate() {
        let now = mean.map(height);
        if let Some(now) = now {
            // A jump is a line too.
            let from = before.unwrap_or(now);
            for row in from.min(now)..=from.max(now) {
                let cell = row / along * usize::from(plot.width) + column / across;
                if let Some(cell) = cells.get_mut(cell) {
                    *cell |= dot(column % across, row % along);
                }
            }
        }
        before = now;
    }
    let style = model.look.style(Role::Info);
    for (cell, position) in cells.into_iter().zip(plot.positions()) {
        if cell == 0 {
            continue;
        }
        let braille = char::from_u32(0x2800 + u32::from(cell)).unwrap_or('*');
        let symbol = if model.look.glyphs.has_braille {
            braille
        } else {
            '*'
        };
        let symbol = symbol.encode_utf8(&mut [0; 4]).to_owned();
        put(frame, (position.x, position.y), &symbol, style);
    }
}

/// The bit of a dot in Unicode's Braille patterns.
fn dot(column: usize, row: usize) -> u8 {
    const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    let column = DOTS.get(column);
    column.and_then(|dots| dots.get(row)).copied().unwrap_or(0)
}
