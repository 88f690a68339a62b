//! What the links are used for: the connections of all peers, with what each carries.

use peerway::{FlowSnapshot, PeerSnapshot};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{panel, table, throughput::throughput};
use crate::{
    dash::{
        flows::{has_flows, listed},
        format,
        layout::Panel,
        look::Role,
        model::Model,
        tabs::View,
        words::Address,
    },
    printable::printable,
};

/// A chart with its border that says something.
const CHART_HEIGHT: u16 = 11;
/// In narrower panels protocols are named without what Peerway's own begin with.
const NAMES_FROM: u16 = 50;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Direction,
    Peer,
    Protocol,
    Path,
    Streams,
    Datagrams,
    Rtt,
    Down,
    Up,
    Total,
    Age,
}

/// With the panel's width from which each is shown.
const COLUMNS: [(Column, u16); 11] = [
    (Column::Direction, 0),
    (Column::Peer, 0),
    (Column::Protocol, 0),
    (Column::Path, 96),
    (Column::Streams, 76),
    (Column::Datagrams, 120),
    (Column::Rtt, 110),
    (Column::Down, 36),
    (Column::Up, 36),
    (Column::Total, 140),
    (Column::Age, 56),
];

/// The table; in the view of its own, what it leaves is for the chart of what the flows carry.
pub(super) fn flows(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let flows = listed(model);
    let rows = u16::try_from(flows.len().max(1)).unwrap_or(u16::MAX);
    let wanted = rows.saturating_add(3);
    let has_chart = model.view == View::Flows
        && area.width >= 60
        && area.height >= wanted.saturating_add(CHART_HEIGHT);
    let [table, chart] = area.layout(&Layout::vertical(if has_chart {
        [Constraint::Length(wanted), Constraint::Fill(1)]
    } else {
        [Constraint::Fill(1), Constraint::Length(0)]
    }));
    self::table(model, frame, table, &flows);
    if has_chart {
        throughput(model, frame, chart);
    }
}

fn table(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    flows: &[(&PeerSnapshot, &FlowSnapshot)],
) {
    let peers = model.data().snapshot.peers.iter();
    let all = peers.map(|peer| peer.flows.len()).sum();
    let heading = title(model, "Flows", (flows.len(), all));
    let right = if model.view == View::Flows {
        order(model, "most carried first", area, &heading)
    } else {
        "4 opens this tab".to_owned()
    };
    let block = panel(model, &heading, &right, Some(Panel::Flows));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if flows.is_empty() && has_flows(&model.data().snapshot) {
        return table::say(model, frame, inside, &[NOTHING]);
    }
    if flows.is_empty() {
        let lines = [
            "No connection is open: nothing is sent but what keeps links alive.",
            "`peerway forward`, `speed` and programs with the library open some.",
        ];
        return table::say(model, frame, inside, &lines);
    }
    let columns = table::fitting(COLUMNS, area.width);
    let height = usize::from(inside.height.saturating_sub(1));
    let is_view = model.view == View::Flows;
    let shown = flows.iter().enumerate();
    let top = if is_view { model.flows.top } else { 0 };
    let rows = shown.skip(top).take(height).map(|(at, (peer, flow))| {
        let cells = columns
            .iter()
            .map(|column| cell(model, peer, flow, *column, area.width));
        let selected = is_view && model.focus == Panel::Flows && at == model.flows.at;
        (cells.collect(), selected)
    });
    let heading = columns.iter().map(|column| column.align(column.heading()));
    let widths = columns.iter().map(|column| column.width());
    table::draw(model, frame, inside, (heading, widths), rows);
}

/// Where the filter leaves none.
pub(super) const NOTHING: &str = "Nothing here matches the filter. Esc clears it.";

/// So many of all.
pub(super) fn title(model: &Model, what: &str, (shown, all): (usize, usize)) -> String {
    let dot = model.look.glyphs.dot;
    if shown == all {
        format!("{what} {dot} {all}")
    } else {
        format!("{what} {dot} {shown} of {all}")
    }
}

/// What stands at the right of a title, and the filter, as far as there is room.
pub(super) fn order(model: &Model, what: &str, area: Rect, title: &str) -> String {
    if model.filters.flows.is_empty() {
        return what.to_owned();
    }
    let glyphs = model.look.glyphs;
    let filter = format!("filter: {}", printable(model.filters.flows.text()));
    let text = match what {
        "" => filter,
        what => format!("{what} {} {filter}", glyphs.dot),
    };
    let room = usize::from(area.width).saturating_sub(title.width() + 8);
    format::fit(&text, room, glyphs.ellipsis)
}

impl Column {
    fn heading(self) -> String {
        match self {
            Self::Direction => "",
            Self::Peer => "PEER",
            Self::Protocol => "PROTOCOL",
            Self::Path => "PATH",
            Self::Streams => "STREAMS",
            Self::Datagrams => "DATAGRAMS",
            Self::Rtt => "RTT",
            Self::Down => "DOWN",
            Self::Up => "UP",
            Self::Total => "TOTAL",
            Self::Age => "AGE",
        }
        .to_owned()
    }

    fn width(self) -> Constraint {
        match self {
            Self::Direction => Constraint::Length(2),
            Self::Peer => Constraint::Length(14),
            Self::Protocol | Self::Path => Constraint::Fill(1),
            Self::Streams => Constraint::Length(7),
            Self::Datagrams => Constraint::Length(9),
            Self::Rtt | Self::Age => Constraint::Length(6),
            Self::Down | Self::Up => Constraint::Length(5),
            Self::Total => Constraint::Length(15),
        }
    }

    fn align(self, text: String) -> Line<'static> {
        let line = Line::raw(text);
        match self {
            Self::Direction | Self::Peer | Self::Protocol | Self::Path => line,
            Self::Streams
            | Self::Datagrams
            | Self::Rtt
            | Self::Down
            | Self::Up
            | Self::Total
            | Self::Age => line.right_aligned(),
        }
    }
}

fn cell(
    model: &Model,
    peer: &PeerSnapshot,
    flow: &FlowSnapshot,
    column: Column,
    panel: u16,
) -> Line<'static> {
    let glyphs = model.look.glyphs;
    let words = model.words();
    let (down, up) = (glyphs.down, glyphs.up);
    let traffic = flow.traffic;
    let text = match column {
        Column::Direction => {
            let (arrow, role) = if flow.outgoing {
                (glyphs.right, Role::Info)
            } else {
                (glyphs.left, Role::Good)
            };
            let arrow = Span::styled(arrow, model.look.style(role));
            return Line::from(vec![Span::raw(" "), arrow]);
        }
        Column::Peer => format::fit(&words.name(&peer.id), 14, glyphs.ellipsis),
        Column::Protocol => {
            let name = printable(&flow.alpn);
            // What most have in common gives way first.
            let short = name.strip_prefix("peerway/").filter(|_| panel < NAMES_FROM);
            let room = if panel < NAMES_FROM { 10 } else { usize::MAX };
            format::fit(short.unwrap_or(&name), room, glyphs.ellipsis)
        }
        Column::Path => words.link(peer, Address::None),
        Column::Streams => flow.streams.to_string(),
        Column::Datagrams => match flow.datagrams {
            (0, 0) => glyphs.none.to_owned(),
            (received, sent) => {
                let count = format::short(received.saturating_add(sent));
                format!("{count:>9}")
            }
        },
        Column::Rtt => peer.rtt.map_or_else(|| glyphs.none.to_owned(), format::rtt),
        Column::Down => format::short(traffic.rx_rate),
        Column::Up => format::short(traffic.tx_rate),
        Column::Total => format!(
            "{down}{} {up}{}",
            format::short(traffic.rx_bytes),
            format::short(traffic.tx_bytes)
        ),
        Column::Age => format::age(flow.age),
    };
    column.align(text)
}
