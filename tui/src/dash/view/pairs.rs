//! The addresses at which a peer was looked for, and the ways that a link took.

use peerway::{CandidatePair, PairState, PeerSnapshot};
use ratatui::{
    Frame,
    layout::{Constraint, Margin, Rect},
    text::{Line, Span},
};

use super::{moment, panel, table};
use crate::dash::{
    format,
    layout::Panel,
    look::Role,
    model::Model,
    strip::{Strip, Way},
    words::Standing,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Glyph,
    Remote,
    Kind,
    State,
    Rtt,
    Sent,
    Heard,
    Next,
}

/// With the panel's width from which each is shown.
const COLUMNS: [(Column, u16); 8] = [
    (Column::Glyph, 0),
    (Column::Remote, 0),
    (Column::Kind, 60),
    (Column::State, 0),
    (Column::Rtt, 50),
    (Column::Sent, 70),
    (Column::Heard, 76),
    (Column::Next, 84),
];

pub(super) fn pairs(model: &Model, peer: &PeerSnapshot, frame: &mut Frame<'_>, area: Rect) {
    let title = format!(
        "Candidate pairs {} {}",
        model.look.glyphs.dot,
        peer.pairs.len()
    );
    let block = panel(model, &title, "", Some(Panel::Pairs));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if peer.pairs.is_empty() {
        let text = " no address of this peer is being probed";
        frame.render_widget(Line::styled(text, model.look.style(Role::Dim)), inside);
        return;
    }
    let columns = table::fitting(COLUMNS, area.width);
    let height = usize::from(inside.height.saturating_sub(1));
    let shown = peer.pairs.iter().enumerate().skip(model.pairs.top);
    let focused = model.focus == Panel::Pairs && model.overlay.is_none();
    let rows = shown.take(height).map(|(at, pair)| {
        let selected = focused && at == model.pairs.at;
        let cells = columns.iter().map(|column| cell(model, pair, *column));
        (cells.collect(), selected)
    });
    let heading = columns.iter().map(|column| column.heading());
    let is_forced = peer.pairs.iter().any(|pair| pair.forced);
    let widths = columns.iter().map(|column| column.width(is_forced));
    table::draw(model, frame, inside, (heading, widths), rows);
}

impl Column {
    fn heading(self) -> Line<'static> {
        match self {
            Self::Glyph => Line::default(),
            Self::Remote => Line::raw("REMOTE"),
            Self::Kind => Line::raw("KIND"),
            Self::State => Line::raw("STATE"),
            Self::Rtt => Line::raw("RTT").right_aligned(),
            Self::Sent => Line::raw("PROBES").right_aligned(),
            Self::Heard => Line::raw("HEARD").right_aligned(),
            Self::Next => Line::raw("NEXT").right_aligned(),
        }
    }

    fn width(self, is_forced: bool) -> Constraint {
        match self {
            Self::Glyph => Constraint::Length(2),
            Self::Remote => Constraint::Fill(1),
            Self::Kind | Self::Rtt | Self::Sent | Self::Heard => Constraint::Length(6),
            Self::State if is_forced => Constraint::Length(17),
            Self::State => Constraint::Length(8),
            Self::Next => Constraint::Length(7),
        }
    }
}

fn cell(model: &Model, pair: &CandidatePair, column: Column) -> Line<'static> {
    let glyphs = model.look.glyphs;
    let none = || glyphs.none.to_owned();
    let (glyph, role) = match pair.state {
        PairState::Used => (glyphs.direct, Role::Good),
        PairState::Standby => (glyphs.idle, Role::Good),
        PairState::Probing => (glyphs.connecting, Role::Info),
        PairState::Silent => (glyphs.unreachable, Role::Bad),
        PairState::Waiting | PairState::Unknown | _ => (glyphs.idle, Role::Dim),
    };
    let text = match column {
        Column::Glyph => {
            let glyph = Span::styled(glyph, model.look.style(role));
            return Line::from(vec![Span::raw(" "), glyph]);
        }
        Column::Remote => return Line::raw(model.words().addr(pair.remote)),
        Column::Kind => return Line::raw(pair.kind.to_string()),
        Column::State => {
            let state = Span::styled(pair.state.to_string(), model.look.style(role));
            let forced = Span::styled(FORCED, model.look.style(Role::Warn));
            return Line::from_iter([state].into_iter().chain(pair.forced.then_some(forced)));
        }
        Column::Rtt => pair.rtt.map_or_else(none, format::rtt),
        Column::Sent => pair.sent.to_string(),
        Column::Heard => pair.heard.to_string(),
        Column::Next => pair.next.map_or_else(none, format::span),
    };
    Line::raw(text).right_aligned()
}

/// What stands behind the state of a pair that the user forced.
const FORCED: &str = " [forced]";

/// The ways that the link took so far, as a strip with their shares.
pub(super) fn history(model: &Model, peer: &PeerSnapshot, frame: &mut Frame<'_>, area: Rect) {
    let data = model.data();
    let Some(trail) = data.trails.peer(&peer.id) else {
        return;
    };
    let strip = Strip::of(trail, data.snapshot.at_ms);
    let span = match strip.to_ms.saturating_sub(strip.from_ms) / 60_000 {
        minutes @ 0..120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    };
    let title = format!("Path history {} {span}", model.look.glyphs.dot);
    let glyphs = model.look.glyphs;
    let keys = format!("{} {}", glyphs.left, glyphs.right);
    let block = panel(model, &title, &keys, None);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let inside = inside.inner(Margin::new(1, 0));
    let (shares, switches) = strip.shares();
    let relays: Vec<&Way> = shares.keys().filter(|way| way.relay.is_some()).collect();
    let columns = usize::from(inside.width);
    let pointed = model.moment.map(|at_ms| strip.cell_of(at_ms, columns));
    let cells = strip.cells(columns);
    let cells = Line::from_iter(cells.iter().enumerate().map(|(column, way)| {
        let cell = way.as_ref().map_or_else(
            || Span::raw(" "),
            |way| {
                let at = relays.iter().position(|relay| *relay == way);
                Span::styled(shade(model, way, at), model.look.style(way.kind.role()))
            },
        );
        if pointed == Some(column) {
            // A full block has no other side: the cursor is a shape of its own.
            Span::styled(model.look.glyphs.axis, model.look.style(Role::Accent))
        } else {
            cell
        }
    }));
    let total: u64 = shares.values().sum();
    let mut legend = Line::default();
    let mut parts = vec![match switches {
        1 => "1 switch".to_owned(),
        switches => format!("{switches} switches"),
    }];
    for (way, time) in &shares {
        let at = relays.iter().position(|relay| *relay == way);
        let name = match &way.relay {
            Some(url) => format!("relay {}", model.words().relay_label(url)),
            None => way.kind.word().to_owned(),
        };
        let glyph = Span::styled(shade(model, way, at), model.look.style(way.kind.role()));
        legend.push_span(glyph);
        legend.push_span(Span::raw(format!(" {name}  ")));
        match time.saturating_mul(100) / total.max(1) {
            0 => {}
            share => parts.push(format!("{name} {share} %")),
        }
    }
    let separator = format!(" {} ", model.look.glyphs.dot);
    let shares = Line::styled(parts.join(&separator), model.look.style(Role::Dim));
    let mut lines = match model.moment {
        Some(at_ms) => {
            let [then, why] = moment::lines(model, peer, &strip, (at_ms, columns));
            vec![cells, then, why]
        }
        None => vec![cells, legend, shares],
    };
    if usize::from(inside.height) > lines.len() {
        lines.insert(0, times(model, &strip, columns));
    }
    for (line, row) in lines.into_iter().zip(inside.rows()) {
        frame.render_widget(line, row);
    }
}

/// When the strip begins and ends, and what the cursor is at.
fn times(model: &Model, strip: &Strip<'_>, width: usize) -> Line<'static> {
    let dim = model.look.style(Role::Dim);
    let clock = |ms| format::clock(ms, model.utc_offset_s);
    let [mut from, mut to] = [clock(strip.from_ms), clock(strip.to_ms)];
    from.truncate(5);
    to.truncate(5);
    let gap = |used: usize| Span::raw(" ".repeat(width.saturating_sub(used)));
    let Some(at_ms) = model.moment else {
        let gap = gap(from.len() + to.len());
        return Line::from(vec![Span::raw(from), gap, Span::raw(to)]).style(dim);
    };
    let then = clock(at_ms);
    let middle = strip.cell_of(at_ms, width).saturating_sub(then.len() / 2);
    let left = middle.min(width.saturating_sub(then.len()));
    let right = left + then.len();
    if from.len() >= left {
        from.clear();
    }
    if right + to.len() >= width {
        to.clear();
    }
    let before = Span::raw(" ".repeat(left - from.len().min(left)));
    let after = gap(right + to.len());
    let then = Span::styled(then, model.look.style(Role::Accent));
    Line::from(vec![Span::raw(from), before, then, after, Span::raw(to)]).style(dim)
}

/// The shape of a way; `relay` counts the peer's relays.
fn shade(model: &Model, way: &Way, relay: Option<usize>) -> &'static str {
    let glyphs = model.look.glyphs;
    let [solid, dark, medium, light, _] = glyphs.shades;
    match way.kind {
        Standing::Direct => solid,
        Standing::Suspect => dark,
        Standing::Relay if relay.is_some_and(|at| at % 2 == 1) => light,
        Standing::Relay => medium,
        Standing::Connecting | Standing::Idle | Standing::Unreachable => way.kind.glyph(glyphs),
    }
}
