//! The peer table: one row answers how a peer is connected, how fast, how long, and if not direct, why.

use peerway::PeerSnapshot;
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Margin, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Row, Table, Wrap},
};

use super::panel;
use crate::dash::{
    format,
    layout::Panel,
    look::Role,
    model::Model,
    sort,
    words::{Address, Kind, short_reason},
};

/// Cells of the round-trip time's sparkline.
const SPARK_CELLS: usize = 12;

pub(super) fn peers(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let block = panel(
        model,
        &title(model),
        &order(model, area.width),
        Some(Panel::Peers),
    );
    let inside = block.inner(area);
    let height = usize::from(inside.height.saturating_sub(1));
    let block = match range(model, height) {
        Some(range) => block.title_bottom(Line::styled(
            range,
            Style::reset().patch(model.look.style(Role::Dim)),
        )),
        None => block,
    };
    frame.render_widget(block, area);
    if model.rows.is_empty() {
        let text = if model.data().snapshot.peers.is_empty() {
            "No peers yet. Press c to connect with a ticket, Y to share this node's own."
        } else {
            "No peer matches the filter. Esc clears it."
        };
        let text = Paragraph::new(text).wrap(Wrap { trim: true });
        let inside = inside.inner(Margin::new(1, 0));
        frame.render_widget(text.style(model.look.style(Role::Dim)), inside);
        return;
    }
    let columns = columns(model, inside.width);
    let path_width = path_width(&columns, inside.width);
    let rows = model
        .rows
        .iter()
        .enumerate()
        .skip(model.top)
        .take(height)
        .filter_map(|(row, index)| {
            let peer = model.data().snapshot.peers.get(*index)?;
            let style = if marked(model, row) {
                model.look.style(Role::Selected)
            } else {
                Style::new()
            };
            let cells = columns
                .iter()
                .map(|column| cell(model, peer, (*column, path_width), marked(model, row)));
            Some(Row::new(cells).style(style))
        });
    let widths = columns.iter().map(|column| {
        column
            .width(inside.width)
            .map_or(Constraint::Fill(1), Constraint::Length)
    });
    let heading = columns.iter().map(|column| {
        Line::styled(column.heading(model), model.look.style(Role::Dim))
            .alignment(column.alignment())
    });
    let table = Table::new(rows, widths)
        .header(Row::new(heading))
        .column_spacing(1);
    frame.render_widget(table, inside);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    State,
    Name,
    Id,
    Path,
    Rtt,
    Spark,
    Loss,
    Down,
    Up,
    Total,
    Age,
    Why,
}

/// The columns in the order of the screen, with the terminal's width from which they are shown.
const COLUMNS: [(Column, u16); 12] = [
    (Column::State, 0),
    (Column::Name, 0),
    (Column::Id, 104),
    (Column::Path, 0),
    (Column::Rtt, 0),
    (Column::Spark, 120),
    (Column::Loss, 112),
    (Column::Down, 60),
    (Column::Up, 60),
    (Column::Total, 150),
    (Column::Age, 72),
    (Column::Why, 80),
];

fn columns(model: &Model, inside_width: u16) -> Vec<Column> {
    COLUMNS
        .into_iter()
        .filter(|(column, from)| {
            inside_width + 2 >= *from && (*column != Column::Id || !model.names.is_empty())
        })
        .map(|(column, _)| column)
        .collect()
}

impl Column {
    /// None for the column that takes what the others leave.
    fn width(self, inside: u16) -> Option<u16> {
        let wide = inside >= 108;
        Some(match self {
            Self::State => 2,
            Self::Name if inside >= 148 => 20,
            Self::Name if inside < 58 => 10,
            Self::Name => 12,
            Self::Id => 8,
            Self::Path => return None,
            Self::Rtt => 6,
            Self::Spark => SPARK_CELLS as u16,
            Self::Loss => 5,
            Self::Down | Self::Up if wide => 9,
            Self::Down | Self::Up => 5,
            Self::Total => 15,
            Self::Age => 6,
            Self::Why => 11,
        })
    }

    fn alignment(self) -> Alignment {
        match self {
            Self::State | Self::Name | Self::Id | Self::Path | Self::Spark => Alignment::Left,
            Self::Rtt
            | Self::Loss
            | Self::Down
            | Self::Up
            | Self::Total
            | Self::Age
            | Self::Why => Alignment::Right,
        }
    }

    fn heading(self, model: &Model) -> String {
        let (word, sorted) = match self {
            Self::State => ("", Some(sort::Column::State)),
            Self::Name => ("NAME", Some(sort::Column::Name)),
            Self::Id => ("ID", None),
            Self::Path => ("PATH", None),
            Self::Rtt => ("RTT", Some(sort::Column::Rtt)),
            Self::Spark => ("RTT 60 s", None),
            Self::Loss => ("LOSS", None),
            Self::Down => ("DOWN", Some(sort::Column::Down)),
            Self::Up => ("UP", Some(sort::Column::Up)),
            Self::Total => ("TOTAL", None),
            Self::Age => ("AGE", Some(sort::Column::Age)),
            Self::Why => ("WHY", None),
        };
        if sorted == Some(model.sort.by) {
            format!("{word}{}", direction(model))
        } else {
            word.to_owned()
        }
    }
}

fn marked(model: &Model, row: usize) -> bool {
    row == model.cursor && model.focus == Panel::Peers
}

/// What the other columns leave to PATH.
fn path_width(columns: &[Column], inside: u16) -> usize {
    let others: u16 = columns
        .iter()
        .filter_map(|column| column.width(inside))
        .map(|width| width + 1)
        .sum();
    usize::from(inside.saturating_sub(others))
}

fn cell(
    model: &Model,
    peer: &PeerSnapshot,
    (column, path_width): (Column, usize),
    selected: bool,
) -> Line<'static> {
    let (look, glyphs) = (model.look, model.look.glyphs);
    let wide = model.screen.width >= 110;
    let rate = |rate| match (rate, wide) {
        (0, _) => "0".to_owned(),
        (rate, true) => format::rate(rate),
        (rate, false) => format::short(rate),
    };
    let reached = !matches!(Kind::of(peer), Kind::Connecting | Kind::Unreachable);
    let measured = |text: Option<String>| {
        text.filter(|_| reached)
            .unwrap_or_else(|| glyphs.none.to_owned())
    };
    let kind = Kind::of(peer);
    let text = match column {
        Column::State => {
            let marker = if selected { glyphs.cursor } else { " " };
            return Line::from(vec![
                Span::raw(marker),
                Span::styled(kind.glyph(glyphs), look.style(kind.role())),
            ]);
        }
        Column::Name => {
            let width = if model.screen.width >= 150 { 20 } else { 12 };
            format::fit(&model.words().name(&peer.id), width, glyphs.ellipsis)
        }
        Column::Id => peer.id.short(),
        Column::Path if model.screen.width < 60 => kind.word().to_owned(),
        Column::Path => {
            let address = if wide && kind == Kind::Direct {
                Address::Ip
            } else {
                Address::None
            };
            let text = model.words().link(peer, address);
            let text = format::fit(&text, path_width, glyphs.ellipsis);
            return Line::styled(text, look.style(kind.role()));
        }
        Column::Rtt => measured(peer.rtt_ms.map(format::rtt)),
        Column::Spark => return Line::raw(spark(model, peer)),
        Column::Loss => measured(Some(format!("{:.1}%", peer.loss * 100.0))),
        Column::Down => measured(Some(rate(peer.traffic.rx_rate))),
        Column::Up => measured(Some(rate(peer.traffic.tx_rate))),
        Column::Total => format!(
            "{}{} {}{}",
            glyphs.down,
            format::short(peer.traffic.rx_bytes),
            glyphs.up,
            format::short(peer.traffic.tx_bytes)
        ),
        Column::Age => format::age(peer.state_age_ms),
        Column::Why => {
            let why = short_reason(peer);
            return Line::styled(why, look.style(Role::Warn)).alignment(column.alignment());
        }
    };
    Line::raw(text).alignment(column.alignment())
}

/// The last minute of round-trip times, scaled to twice their median so that a steady line is half high.
fn spark(model: &Model, peer: &PeerSnapshot) -> String {
    let Some(track) = model.data().history.peer(&peer.id) else {
        return String::new();
    };
    let means = track.rtts(SPARK_CELLS);
    let mut measured: Vec<f32> = means.iter().flatten().copied().collect();
    measured.sort_by(f32::total_cmp);
    let median = measured.get(measured.len() / 2).copied().unwrap_or(1.0);
    let scale = (2.0 * median).max(10.0);
    let level = |mean: Option<f32>| mean.map_or(0, |ms| ((ms / scale * 8.0) as usize).clamp(1, 8));
    means
        .into_iter()
        .filter_map(|mean| model.look.glyphs.levels.get(level(mean)).copied())
        .collect()
}

fn title(model: &Model) -> String {
    let (shown, all) = (model.rows.len(), model.data().snapshot.peers.len());
    let dot = model.look.glyphs.dot;
    if shown == all {
        format!("Peers {dot} {all}")
    } else {
        format!("Peers {dot} {shown} of {all}")
    }
}

fn order(model: &Model, width: u16) -> String {
    let sorted = format!("sort: {} {}", model.sort.by.word(), direction(model));
    match model.filter.text() {
        _ if width < 60 => String::new(),
        "" if width < 120 => sorted,
        "" => format!("{sorted} {} filter: none", model.look.glyphs.dot),
        filter => format!("{sorted} {} filter: {filter}", model.look.glyphs.dot),
    }
}

fn direction(model: &Model) -> &'static str {
    if model.sort.reversed {
        model.look.glyphs.descending
    } else {
        model.look.glyphs.ascending
    }
}

/// `1-8 of 12`, if not all rows are on the screen.
fn range(model: &Model, height: usize) -> Option<String> {
    let count = model.rows.len();
    let last = (model.top + height).min(count);
    (count > height).then(|| format!(" {}-{last} of {count} ", model.top + 1))
}
