//! The ways that a link took so far, as a strip with their shares.

use peerway::PeerSnapshot;
use ratatui::{
    Frame,
    layout::{Margin, Rect},
    text::{Line, Span},
};

use super::{moment, panel};
use crate::dash::{
    format,
    look::Role,
    model::Model,
    strip::{Strip, Way},
    words::Standing,
};

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
