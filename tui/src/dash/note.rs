//! What concerns the whole screen, and stands in a line of its own.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr as _;

use super::{format, look::Role, model::Model, words::Reach};
use crate::printable::printable;

/// That the node has stopped or is silent, what it shows, who can reach it, or what is wrong with it; none if all is as it should be.
pub(super) fn note(model: &Model) -> Option<(Cow<'_, str>, Role)> {
    let network = &model.data().snapshot.network;
    if model.stopped {
        let (text, role) = if model.replay {
            ("the recording ends here", Role::Info)
        } else {
            let text = "the node has stopped; what you see is the last of it";
            (text, Role::Bad)
        };
        Some((text.into(), role))
    } else if let Some(outage) = &model.outage {
        let since = format::clock(outage.since_ms, model.utc_offset_s);
        let reason = model.words().foreign(&printable(&outage.reason));
        let text = format!("no contact with the node since {since}, trying again: {reason}");
        Some((text.into(), Role::Bad))
    } else if !model.mistake.is_empty() {
        let note = Some(&model.note).filter(|note| !note.is_empty());
        let note = note.map_or_else(String::new, |note| format!(". {note}"));
        let text = format!("{} {}{note}", model.look.glyphs.warning, model.mistake);
        Some((text.into(), Role::Warn))
    } else if !model.note.is_empty() {
        Some((model.note.as_str().into(), Role::Accent))
    } else if let Some(reach) = Reach::without_relay(&model.data().snapshot) {
        let line = reach.line(network.lan_trouble.is_none() && !network.lan_off);
        Some((line.into(), reach.role()))
    } else if network.lan_trouble.is_some() {
        let text = "peers on this network are found by ticket, not by id alone";
        Some((text.into(), Role::Warn))
    } else {
        diagnosis(model)
    }
}

/// How many lines it takes. Why there is no contact, and what is wrong with a file, is told in full, up to four lines.
pub(super) fn note_lines(model: &Model, width: u16) -> u16 {
    let room = usize::from(width.saturating_sub(2).max(1));
    match note(model) {
        None => 0,
        Some((text, _)) if is_told_in_full(model) => {
            // Words that are wrapped leave some room.
            let lines = text.width().div_ceil(room.saturating_sub(8).max(1));
            u16::try_from(lines).unwrap_or(u16::MAX).clamp(1, 4)
        }
        Some(_) => 1,
    }
}

fn is_told_in_full(model: &Model) -> bool {
    !model.stopped && (model.outage.is_some() || !model.mistake.is_empty())
}

/// The first of them; the events' view has all.
fn diagnosis(model: &Model) -> Option<(Cow<'_, str>, Role)> {
    let all = &model.diagnoses;
    let more = match all.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more: 6)", count - 1),
    };
    let first = all.first()?;
    let text = format!("{} {first}{more}", model.look.glyphs.warning);
    Some((text.into(), Role::Warn))
}
