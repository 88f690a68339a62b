//! What this node exposes, below the connections: where each server leads, for whom it is, who uses it and how much.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::{Line, Span},
};

use super::{
    flows, panel, table,
    transfers::{both, labelled},
};
use crate::{
    dash::{
        exposed::{all, clients, glyph, listed, rates, state, target, whom},
        format,
        layout::Panel,
        model::Model,
    },
    printable::printable,
    servers::Served,
};

/// In narrower panels who uses a server is a number.
const NAMES_FROM: u16 = 76;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Glyph,
    Name,
    Target,
    For,
    State,
    Clients,
    Down,
    Up,
    Total,
}

/// With the panel's width from which each is shown.
const COLUMNS: [(Column, u16); 9] = [
    (Column::Glyph, 0),
    (Column::Name, 0),
    (Column::Target, 60),
    (Column::For, 96),
    (Column::State, 110),
    (Column::Clients, 0),
    (Column::Down, 0),
    (Column::Up, 0),
    (Column::Total, 140),
];

pub(super) fn exposed(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let servers = listed(model);
    let title = flows::title(model, "Exposed", (servers.len(), all(model.data()).len()));
    let right = flows::order(model, "", area, &title);
    let block = panel(model, &title, &right, Some(Panel::Exposed));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if servers.is_empty() {
        return table::say(model, frame, inside, &[flows::NOTHING]);
    }
    let columns = table::fitting(COLUMNS, area.width);
    let height = usize::from(inside.height.saturating_sub(1));
    let shown = servers.iter().enumerate().skip(model.exposed.top);
    let is_focused = model.focus == Panel::Exposed;
    let rows = shown.take(height).map(|(at, server)| {
        let cells = columns.iter();
        let cells = cells.map(|column| cell(model, server, *column, area.width));
        (cells.collect(), is_focused && at == model.exposed.at)
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
            Self::Target => "LEADS TO",
            Self::For => "FOR",
            Self::State => "STATE",
            Self::Clients => "USED BY",
            Self::Down => "DOWN",
            Self::Up => "UP",
            Self::Total => "TOTAL",
        }
    }

    fn width(self, panel: u16) -> Constraint {
        match self {
            Self::Glyph => Constraint::Length(2),
            Self::Name => Constraint::Fill(2),
            Self::Target | Self::For => Constraint::Fill(3),
            Self::State => Constraint::Length(10),
            Self::Clients if panel >= NAMES_FROM => Constraint::Fill(3),
            Self::Clients => Constraint::Length(7),
            Self::Down | Self::Up => Constraint::Length(5),
            Self::Total => Constraint::Length(15),
        }
    }

    fn align(self, text: impl Into<String>) -> Line<'static> {
        let line = Line::raw(text.into());
        match self {
            Self::Glyph | Self::Name | Self::Target | Self::For | Self::State | Self::Clients => {
                line
            }
            Self::Down | Self::Up | Self::Total => line.right_aligned(),
        }
    }
}

fn cell(model: &Model, server: &Served, column: Column, panel: u16) -> Line<'static> {
    let (look, glyphs) = (model.look, model.look.glyphs);
    let (glyph, role) = glyph(server, glyphs);
    let rates = rates(model.data(), server);
    let rate = |rate| match rate {
        0 => glyphs.none.to_owned(),
        rate => format::short(rate),
    };
    let text = match column {
        Column::Glyph => {
            let glyph = Span::styled(glyph, look.style(role));
            return Line::from(vec![Span::raw(" "), glyph]);
        }
        Column::State => return Line::from(Span::styled(state(server), look.style(role))),
        Column::Name => printable(&server.name),
        Column::Target => target(model, server),
        Column::For => printable(&whom(server)),
        Column::Clients => match server.clients.len() {
            0 => glyphs.none.to_owned(),
            _ if panel >= NAMES_FROM => clients(model, server),
            1 => "1 peer".to_owned(),
            count => format!("{count} peers"),
        },
        Column::Down => rate(rates.down),
        Column::Up => rate(rates.up),
        Column::Total => format!(
            "{}{} {}{}",
            glyphs.down,
            format::short(server.received),
            glyphs.up,
            format::short(server.sent)
        ),
    };
    column.align(text)
}

/// All that is known of one.
pub(super) fn lines(model: &Model, server: &Served) -> Vec<Line<'static>> {
    let mut how = state(server).to_owned();
    // It names the path or the port at which nobody listens.
    if let Some(reason) = server.reason.as_ref().filter(|_| !model.masked) {
        how = format!("{how}: {}", printable(reason));
    }
    if !server.kept {
        how = "exposed by a command, and as long as that runs".to_owned();
    }
    let by = match server.clients.len() {
        0 => "nobody now".to_owned(),
        _ => clients(model, server),
    };
    let rates = rates(model.data(), server);
    let limit = server.limit.clone();
    vec![
        labelled(model, "state", how),
        labelled(model, "leads to", target(model, server)),
        labelled(model, "for", printable(&whom(server))),
        labelled(model, "limit", limit.unwrap_or_else(|| "none".to_owned())),
        labelled(model, "used by", by),
        labelled(
            model,
            "now",
            both(model, format::rate(rates.down), format::rate(rates.up)),
        ),
        labelled(
            model,
            "in all",
            both(
                model,
                format::bytes(server.received),
                format::bytes(server.sent),
            ),
        ),
    ]
}
