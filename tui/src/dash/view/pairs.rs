//! The addresses at which a peer was looked for: both ends, what came of the probes, and when and why the next one leaves.

use peerway::{CandidatePair, NextReason, PairState, PeerSnapshot};
use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::{Line, Span},
};

use super::{panel, table};
use crate::dash::{format, layout::Panel, look::Role, model::Model};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Glyph,
    Local,
    Remote,
    Kind,
    State,
    Rtt,
    Probes,
    Heard,
    Score,
    Last,
    Next,
}

/// With the panel's width from which each is shown.
const COLUMNS: [(Column, u16); 11] = [
    (Column::Glyph, 0),
    (Column::Local, 104),
    (Column::Remote, 0),
    (Column::Kind, 60),
    (Column::State, 0),
    (Column::Rtt, 50),
    (Column::Probes, 68),
    (Column::Heard, 136),
    (Column::Score, 74),
    (Column::Last, 80),
    (Column::Next, 88),
];
/// From this width on, the kind of this node's end stands before that of the peer's.
const BOTH_KINDS_FROM: u16 = 104;
/// From this width on, the next probe has its reason.
const REASON_FROM: u16 = 118;

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
        return table::say(
            model,
            frame,
            inside,
            &["no address of this peer is being probed"],
        );
    }
    let columns = table::fitting(COLUMNS, area.width);
    let height = usize::from(inside.height.saturating_sub(1));
    let shown = peer.pairs.iter().enumerate().skip(model.pairs.top);
    let focused = model.focus == Panel::Pairs && model.overlay.is_none();
    let rows = shown.take(height).map(|(at, pair)| {
        let selected = focused && at == model.pairs.at;
        let cell = |column: &Column| cell(model, (peer, pair), *column, area.width);
        (columns.iter().map(cell).collect(), selected)
    });
    let heading = columns.iter().map(|column| column.heading());
    let is_forced = peer.pairs.iter().any(|pair| pair.forced);
    let widths = columns.iter();
    let widths = widths.map(|column| column.width(is_forced, area.width));
    table::draw(model, frame, inside, (heading, widths), rows);
}

impl Column {
    fn heading(self) -> Line<'static> {
        match self {
            Self::Glyph => Line::default(),
            Self::Local => Line::raw("LOCAL"),
            Self::Remote => Line::raw("REMOTE"),
            Self::Kind => Line::raw("KIND"),
            Self::State => Line::raw("STATE"),
            Self::Rtt => Line::raw("RTT").right_aligned(),
            Self::Probes => Line::raw("PROBES").right_aligned(),
            Self::Heard => Line::raw("HEARD").right_aligned(),
            Self::Score => Line::raw("SCORE").right_aligned(),
            Self::Last => Line::raw("LAST").right_aligned(),
            Self::Next => Line::raw("NEXT").right_aligned(),
        }
    }

    fn width(self, is_forced: bool, panel: u16) -> Constraint {
        match self {
            Self::Glyph => Constraint::Length(2),
            Self::Local | Self::Remote => Constraint::Fill(1),
            Self::Kind if panel >= BOTH_KINDS_FROM => Constraint::Length(13),
            Self::Kind | Self::Rtt | Self::Probes | Self::Heard => Constraint::Length(6),
            Self::Score => Constraint::Length(5),
            Self::State if is_forced => Constraint::Length(17),
            Self::State => Constraint::Length(8),
            Self::Last => Constraint::Length(6),
            Self::Next if panel >= REASON_FROM => Constraint::Length(17),
            Self::Next => Constraint::Length(7),
        }
    }
}

fn cell(
    model: &Model,
    (peer, pair): (&PeerSnapshot, &CandidatePair),
    column: Column,
    panel: u16,
) -> Line<'static> {
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
        Column::Local => {
            let local = pair.local.map(|addr| model.words().addr(addr));
            return Line::raw(local.unwrap_or_else(none));
        }
        Column::Remote => return Line::raw(model.words().addr(pair.remote)),
        Column::Kind => {
            let here = pair.local_kind.filter(|_| panel >= BOTH_KINDS_FROM);
            let here = here.map(|kind| format!("{kind}/"));
            return Line::raw(format!("{}{}", here.unwrap_or_default(), pair.kind));
        }
        Column::State => {
            let state = Span::styled(pair.state.to_string(), model.look.style(role));
            let forced = Span::styled(FORCED, model.look.style(Role::Warn));
            return Line::from_iter([state].into_iter().chain(pair.forced.then_some(forced)));
        }
        Column::Rtt => pair.rtt.map_or_else(none, format::rtt),
        Column::Probes => format::answered(pair.answered, pair.sent),
        Column::Heard => pair.heard.to_string(),
        Column::Score => pair.rank.map_or_else(none, |rank| rank.to_string()),
        Column::Last => pair.last.map_or_else(none, format::span),
        Column::Next => next(peer, pair, panel >= REASON_FROM).unwrap_or_else(none),
    };
    Line::raw(text).right_aligned()
}

/// When the next probe leaves there, and why then; only when, where there is no room for both.
fn next(peer: &PeerSnapshot, pair: &CandidatePair, with_reason: bool) -> Option<String> {
    let try_after = || peer.why.as_ref()?.next_try;
    let (after, reason) = match pair.state {
        PairState::Probing => (pair.next, "this round"),
        PairState::Used => (None, "when idle"),
        PairState::Standby => (pair.next, "as a spare"),
        PairState::Dropped => (None, "by R or p"),
        PairState::Silent | PairState::Waiting | PairState::Unknown | _ => {
            let next = try_after()?;
            let reason = match next.reason {
                NextReason::Running => "this round",
                NextReason::Round => "next round",
                NextReason::Redial => "next call",
                NextReason::Trial => "after trial",
                NextReason::Cooldown => "guessing",
                NextReason::Busy => "when free",
                NextReason::Traffic => "with traffic",
                NextReason::Width => "if too narrow",
                NextReason::Unknown | _ => "later",
            };
            (pair.next.or(next.after), reason)
        }
    };
    let after = after.map(format::span);
    match (after, with_reason) {
        (Some(after), true) => Some(format!("{after} {reason}")),
        (after, false) => after,
        (None, true) => Some(reason.to_owned()),
    }
}

/// What stands behind the state of a pair that the user forced.
const FORCED: &str = " [forced]";
