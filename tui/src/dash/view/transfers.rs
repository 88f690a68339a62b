//! Files that come and go now, above the connections that carry them; and what is known of one, or of a connection.

use peerway::{FlowSnapshot, PeerSnapshot};
use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{exposed::lines, flows, panel, popup, table};
use crate::{
    dash::{
        exposed,
        flows::listed as listed_flows,
        format,
        layout::Panel,
        look::Role,
        model::Model,
        transfers::{all, glyph, left, listed, rate, selected, shown, whom},
        words::Address,
    },
    printable::printable,
    transfers::{Direction, Transfer},
};

/// Of the bar that shows how much is here.
const BAR: usize = 16;
const BAR_FROM: u16 = 100;
const WIDTH: u16 = 72;
/// Of a label, with what parts it from the text.
const LABEL: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Glyph,
    Name,
    State,
    With,
    Size,
    Done,
    Rate,
    Left,
}

/// With the panel's width from which each is shown.
const COLUMNS: [(Column, u16); 8] = [
    (Column::Glyph, 0),
    (Column::Name, 0),
    (Column::State, 0),
    (Column::With, 60),
    (Column::Size, 76),
    (Column::Done, 0),
    (Column::Rate, 50),
    (Column::Left, 70),
];

pub(super) fn transfers(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let listed = listed(model);
    let paused = listed.iter().filter(|it| it.paused).count();
    let right = match paused {
        0 => String::new(),
        paused => format!("{paused} paused"),
    };
    let all = all(model.data()).len();
    let title = flows::title(model, "Transfers", (listed.len(), all));
    let right = flows::order(model, &right, area, &title);
    let block = panel(model, &title, &right, Some(Panel::Transfers));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let columns = table::fitting(COLUMNS, area.width);
    let height = usize::from(inside.height.saturating_sub(1));
    if listed.is_empty() {
        return table::say(model, frame, inside, &[flows::NOTHING]);
    }
    let shown = listed.iter().enumerate().skip(model.transfers.top);
    let is_focused = model.focus == Panel::Transfers;
    let rows = shown.take(height).map(|(at, transfer)| {
        let cells = columns.iter();
        let cells = cells.map(|column| cell(model, transfer, *column, area.width));
        let is_selected = is_focused && at == model.transfers.at;
        (cells.collect(), is_selected)
    });
    let heading = columns.iter().map(|column| column.align(column.heading()));
    let widths = columns.iter().map(|column| column.width(area.width));
    table::draw(model, frame, inside, (heading, widths), rows);
}

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Self::Glyph => "",
            Self::Name => "NAME",
            Self::State => "STATE",
            Self::With => "WITH",
            Self::Size => "SIZE",
            Self::Done => "DONE",
            Self::Rate => "RATE",
            Self::Left => "LEFT",
        }
    }

    fn width(self, panel: u16) -> Constraint {
        match self {
            Self::Glyph => Constraint::Length(2),
            Self::Name => Constraint::Fill(1),
            Self::State => Constraint::Length(10),
            Self::With => Constraint::Length(14),
            Self::Done if panel >= BAR_FROM => Constraint::Length(BAR as u16 + 5),
            Self::Size | Self::Done | Self::Rate | Self::Left => Constraint::Length(6),
        }
    }

    fn align(self, text: impl Into<String>) -> Line<'static> {
        let line = Line::raw(text.into());
        match self {
            Self::Glyph | Self::Name | Self::State | Self::With => line,
            Self::Size | Self::Done | Self::Rate | Self::Left => line.right_aligned(),
        }
    }
}

fn cell(model: &Model, transfer: &Transfer, column: Column, panel: u16) -> Line<'static> {
    let (look, glyphs) = (model.look, model.look.glyphs);
    let none = || glyphs.none.to_owned();
    let rate = rate(model.data(), transfer);
    let (glyph, role) = glyph(transfer, glyphs);
    let text = match column {
        Column::Glyph => {
            let glyph = Span::styled(glyph, look.style(role));
            return Line::from(vec![Span::raw(" "), glyph]);
        }
        Column::State => return Line::from(Span::styled(transfer.word(), look.style(role))),
        Column::Name => shown(model, transfer),
        Column::With => format::fit(&whom(model, transfer), 14, glyphs.ellipsis),
        Column::Size if transfer.moved.bytes == 0 => none(),
        Column::Size => format::short(transfer.moved.bytes),
        Column::Done => match transfer.percent() {
            Some(percent) if panel >= BAR_FROM => {
                format!("{} {percent:>3}%", bar(model, percent))
            }
            Some(percent) => format!("{percent}%"),
            None => format::short(transfer.moved.bytes_done),
        },
        Column::Rate if rate == 0 => none(),
        Column::Rate => format::short(rate),
        Column::Left => left(transfer, rate).map_or_else(none, format::age),
    };
    column.align(text)
}

fn bar(model: &Model, percent: u8) -> String {
    let glyphs = model.look.glyphs;
    let full = glyphs.levels.last().copied().unwrap_or("#");
    let cells = usize::from(percent) * BAR / 100;
    format!(
        "{}{}",
        full.repeat(cells),
        glyphs.point.repeat(BAR.saturating_sub(cells))
    )
}

/// All that is known of the selected transfer or connection.
pub(super) fn details(model: &Model, frame: &mut Frame<'_>, body: Rect) {
    let (title, lines) = if model.focus == Panel::Transfers {
        let Some(transfer) = selected(model) else {
            return;
        };
        (shown(model, transfer), of_transfer(model, transfer))
    } else if model.focus == Panel::Exposed {
        let Some(server) = exposed::selected(model) else {
            return;
        };
        (printable(&server.name), lines(model, server))
    } else {
        let flows = listed_flows(model);
        let Some((peer, flow)) = flows.get(model.flows.at) else {
            return;
        };
        (printable(&flow.alpn), of_flow(model, peer, flow))
    };
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let room = usize::from(WIDTH.min(body.width)).saturating_sub(6);
    let title = format::fit(&title, room, model.look.glyphs.ellipsis);
    let inside = popup(model, frame, body, (WIDTH, height), &title);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), inside);
}

pub(super) fn labelled(model: &Model, label: &str, text: String) -> Line<'static> {
    let dim = model.look.style(Role::Dim);
    Line::from(vec![
        Span::styled(format!("{label:<LABEL$} "), dim),
        Span::raw(text),
    ])
}

/// What comes and what goes.
pub(super) fn both(model: &Model, down: String, up: String) -> String {
    let glyphs = model.look.glyphs;
    format!("{} {down}  {} {up}", glyphs.down, glyphs.up)
}

fn of_transfer(model: &Model, transfer: &Transfer) -> Vec<Line<'static>> {
    let (words, moved) = (model.words(), transfer.moved);
    let rate = rate(model.data(), transfer);
    let state = match (transfer.paused, transfer.direction) {
        (true, _) => "paused: p lets it go on",
        (false, Direction::Receiving) => "receiving, p pauses it",
        (false, Direction::Sending) => "sending, p pauses it",
        (false, Direction::Fetching) => "fetching, p pauses it",
        (false, Direction::Forwarding) => "forwarding, p pauses it",
    };
    let is_forward = transfer.direction == Direction::Forwarding;
    let done = match transfer.percent() {
        None if is_forward => format!("{} both ways", format::bytes(moved.bytes_done)),
        Some(percent) => format!(
            "{percent}%, {} of {}",
            format::bytes(moved.bytes_done),
            format::bytes(moved.bytes)
        ),
        None => format!("{} of an unknown size", format::bytes(moved.bytes_done)),
    };
    let mut lines = vec![
        labelled(model, "state", state.to_owned()),
        labelled(model, "with", whom(model, transfer)),
    ];
    let peer = transfer.peer.and_then(|id| model.data().snapshot.peer(id));
    if let Some(peer) = peer {
        lines.push(labelled(model, "path", words.link(peer, Address::None)));
    }
    lines.push(labelled(model, "done", done));
    if !is_forward {
        let files = format!("{} of {}", moved.files_done, moved.files);
        lines.push(labelled(model, "files", files));
    }
    if moved.bytes_held > 0 {
        let text = format!("{} from an earlier try", format::bytes(moved.bytes_held));
        lines.push(labelled(model, "of these", text));
    }
    let mut speed = format::rate(rate);
    if let Some(left) = left(transfer, rate) {
        speed.push_str(&format!(", {} left", format::age(left)));
    }
    lines.push(labelled(model, "rate", speed));
    if let Some(folder) = &transfer.folder {
        let folder = if model.masked {
            "hidden".to_owned()
        } else {
            printable(&folder.display().to_string())
        };
        lines.push(labelled(model, "into", folder));
    }
    let number = format!("{}, for `peerway transfers`", transfer.id);
    lines.push(labelled(model, "number", number));
    lines
}

fn of_flow(model: &Model, peer: &PeerSnapshot, flow: &FlowSnapshot) -> Vec<Line<'static>> {
    let words = model.words();
    let traffic = flow.traffic;
    let who = if flow.outgoing {
        "this node dialled"
    } else {
        "the peer dialled"
    };
    let both = |down, up| both(model, down, up);
    let (received, sent) = flow.datagrams;
    let mut lines = vec![
        labelled(model, "with", words.name(&peer.id)),
        labelled(model, "path", words.link(peer, Address::Full)),
    ];
    if let Some(rtt) = peer.rtt {
        lines.push(labelled(model, "round trip", format::rtt(rtt)));
    }
    lines.extend([
        labelled(
            model,
            "open for",
            format!("{}, {who}", format::age(flow.age)),
        ),
        labelled(model, "streams", flow.streams.to_string()),
        labelled(
            model,
            "datagrams",
            both(received.to_string(), sent.to_string()),
        ),
        labelled(
            model,
            "now",
            both(format::rate(traffic.rx_rate), format::rate(traffic.tx_rate)),
        ),
        labelled(
            model,
            "in all",
            both(
                format::bytes(traffic.rx_bytes),
                format::bytes(traffic.tx_bytes),
            ),
        ),
    ]);
    lines
}
