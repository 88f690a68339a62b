//! How a peer was reached so far: each phase with its time, the relay before the direct path too, however short it was.

use std::time::Duration;

use peerway::PeerSnapshot;
use ratatui::text::{Line, Span};

use crate::dash::{
    format,
    look::Role,
    model::Model,
    trail::Phase,
    words::{Address, Standing},
};

/// Phases that are told of, the last ones.
const TOLD: usize = 6;

/// `14:02:31 ◌ hello 12 ms → ◐ relay fra1 136 ms → ● direct v4 for 5s`; none for a peer that has only ever been as it is.
pub(super) fn phases(model: &Model, peer: &PeerSnapshot) -> Option<Line<'static>> {
    let data = model.data();
    let phases: Vec<_> = data.trails.peer(&peer.id)?.phases().collect();
    let told = phases.len().min(TOLD);
    let skipped = phases.len() - told;
    let (first, _) = phases.get(skipped).filter(|_| told > 1)?;
    let glyphs = model.look.glyphs;
    let dim = model.look.style(Role::Dim);
    let since = format::clock(first.since_ms, model.utc_offset_s);
    let mut line = Line::from(Span::styled(format!("{since} "), dim));
    if skipped > 0 {
        line.push_span(Span::styled(format!("{} ", glyphs.ellipsis), dim));
    }
    for (at, (phase, end)) in phases.iter().skip(skipped).enumerate() {
        if at > 0 {
            line.push_span(Span::styled(format!(" {} ", glyphs.right), dim));
        }
        let role = phase.kind.role();
        let lasted = match end {
            Some(end) => format::span(lasting(phase, *end)),
            None => {
                let lasts = lasting(phase, data.snapshot.at_ms);
                format!("for {}", format::age(lasts))
            }
        };
        let text = format!("{} {}", phase.kind.glyph(glyphs), word(model, phase));
        line.push_span(Span::styled(text, model.look.style(role)));
        line.push_span(Span::raw(format!(" {lasted}")));
    }
    Some(line)
}

fn lasting(phase: &Phase, at_ms: u64) -> Duration {
    Duration::from_millis(at_ms.saturating_sub(phase.since_ms))
}

pub(super) fn word(model: &Model, phase: &Phase) -> String {
    let path = phase.path.as_ref();
    let path = path.map(|path| model.words().path(path, Address::None));
    match (phase.kind, path, &phase.why) {
        (Standing::Direct | Standing::Relay, Some(path), _) => path,
        (Standing::Connecting, ..) => "hello".to_owned(),
        (Standing::Suspect, ..) => "silent".to_owned(),
        (Standing::Unreachable, _, Some(why)) => why.cause.label().to_owned(),
        (kind, ..) => kind.word().to_owned(),
    }
}
