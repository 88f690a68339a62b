//! How a peer was reached at a moment of its path history, how fast, and why.

use std::time::Duration;

use peerway::PeerSnapshot;
use ratatui::text::{Line, Span};

use super::{phases::word, table::shortened};
use crate::dash::{format, look::Role, model::Model, strip::Strip};

/// `◐ relay fra1 61 ms  since 13:34:10, for 28m` and why, in so many columns each.
pub(super) fn lines(
    model: &Model,
    peer: &PeerSnapshot,
    strip: &Strip<'_>,
    (at_ms, columns): (u64, usize),
) -> [Line<'static>; 2] {
    let Some((phase, end)) = strip.phase_at(at_ms) else {
        return [Line::default(), Line::default()];
    };
    let (look, glyphs) = (model.look, model.look.glyphs);
    let way = format!("{} {}", phase.kind.glyph(glyphs), word(model, phase));
    let mut then = Line::from(Span::styled(way, look.style(phase.kind.role())));
    let measured = model.data().history.rtt_at(&peer.id, at_ms);
    let rtt = measured.or(phase.rtt).filter(|_| phase.kind.is_linked());
    if let Some(rtt) = rtt {
        then.push_span(format!(" {}", format::rtt(rtt)));
    }
    let since = format::clock(phase.since_ms, model.utc_offset_s);
    let lasted = |until: u64| Duration::from_millis(until.saturating_sub(phase.since_ms));
    let lasted = match end {
        Some(end) => format!(", for {}", format::span(lasted(end))),
        None => format!(", for {} until now", format::age(lasted(strip.to_ms))),
    };
    let dim = look.style(Role::Dim);
    then.push_span(Span::styled(format!("  since {since}{lasted}"), dim));
    let reason = phase.reason.as_deref().unwrap_or("why is not known");
    let width = u16::try_from(columns).unwrap_or(u16::MAX);
    let reason = Line::raw(model.words().foreign(reason));
    [then, reason].map(|line| shortened(line, width, glyphs.ellipsis))
}
