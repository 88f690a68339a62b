//! The first line and the last one.

use peerway::{NodeSnapshot, RelayState};
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{
    sides,
    sparklines::{common_scale, levels},
    throughput::compact,
    typing,
};
use crate::dash::{
    format,
    history::Rate,
    keymap::{self, Action, Binding, Context, Key},
    look::Role,
    model::{Model, Overlay},
    prompt,
    stack::stretched,
    words::{Reach, own_nat_class},
};

/// Cells of each sparkline in the header.
const SPARK_CELLS: usize = 6;

/// Who the node is, what its network is like, and what goes through it.
pub(super) fn header(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let snapshot = &model.data().snapshot;
    let wide = area.width >= 100;
    let right = rates(model, snapshot, wide);
    let mut room = usize::from(area.width).saturating_sub(right.width() + 2);
    let (glyph, role) = health(model, snapshot);
    let mut left = vec![Span::raw(" "), Span::styled(glyph, model.look.style(role))];
    room = room.saturating_sub(2);
    // Where there is little room, a name says enough.
    let id = if model.title.is_empty() || area.width >= 80 {
        format!(" {}", snapshot.id.short())
    } else {
        String::new()
    };
    let parts = [
        (format!(" {}", model.title), Role::Title),
        (id, Role::Accent),
        (network(model, snapshot, wide), Role::Text),
        (relay(model, snapshot, wide), Role::Text),
    ];
    for (text, role) in parts
        .into_iter()
        .filter(|(text, _)| !text.trim().is_empty())
    {
        if text.width() <= room {
            room -= text.width();
            left.push(Span::styled(text, model.look.style(role)));
        }
    }
    sides(frame, area, Line::from(left), right);
}

/// The most useful keys, or what was just said; the mode at the right.
pub(super) fn footer(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let right = mode(model);
    let room = usize::from(area.width).saturating_sub(right.width() + 1);
    let left = match (&model.overlay, &model.notice) {
        (Some(Overlay::Filter { input, error, .. }), _) => {
            let wrong = error.as_ref().map(|error| error.at.clone());
            let mut line = typing::line(model, '/', input, wrong, room);
            let room = room.saturating_sub(line.width());
            let rest = match error {
                Some(error) => {
                    let error = error.to_string();
                    let error = format::fit(&error, room, model.look.glyphs.ellipsis);
                    Line::styled(error, model.look.style(Role::Bad))
                }
                None => keys(model, Context::Filter, room),
            };
            line.extend(rest);
            line
        }
        (Some(Overlay::Prompt(prompt)), _) => {
            let mut line = typing::line(model, ':', &prompt.input, None, room);
            let room = room.saturating_sub(line.width());
            if prompt.input.value().is_empty() {
                line.extend(keys(model, Context::Prompt, room));
                return sides(frame, area, line, right);
            }
            let (text, role) = match &prompt.error {
                Some(error) => (error.clone(), Role::Bad),
                None => {
                    let known = model.nameable();
                    let next = prompt::candidates(prompt.input.value(), &known);
                    (next.join(" "), Role::Dim)
                }
            };
            let text = format::fit(&text, room, model.look.glyphs.ellipsis);
            line.push_span(Span::styled(text, model.look.style(role)));
            line
        }
        (_, Some(notice)) => {
            let text = format::fit(
                &notice.text,
                room.saturating_sub(1),
                model.look.glyphs.ellipsis,
            );
            Line::styled(format!(" {text}"), model.look.style(notice.role))
        }
        _ => keys(model, model.context(), room),
    };
    sides(frame, area, left, right);
}

/// The text before and from the character at `position`.
pub(super) fn split_at_char(text: &str, position: usize) -> (&str, &str) {
    let at = text
        .char_indices()
        .nth(position)
        .map_or(text.len(), |(at, _)| at);
    text.split_at(at)
}

/// As many keys as fit; the first one, and the last one, which leads out, always stay.
fn keys(model: &Model, context: Context, room: usize) -> Line<'static> {
    let spans = hints(model, context, room)
        .into_iter()
        .flat_map(|(_, key, word)| {
            [
                Span::styled(key, model.look.style(Role::Accent)),
                Span::styled(word, model.look.style(Role::Text)),
            ]
        });
    Line::from_iter(spans)
}

fn hints(model: &Model, context: Context, room: usize) -> Vec<(&'static Binding, String, String)> {
    let glyphs = model.look.glyphs;
    let mut hints: Vec<_> = keymap::footer(context)
        .filter(|(binding, _)| !(model.read_only && binding.action.is_change()))
        .filter(|(binding, _)| model.has_use_for(binding.action))
        .filter_map(|(binding, word)| {
            let key = model.keys.within(binding, context).next()?;
            let word = if binding.action == Action::NextPanel && model.panels().len() < 2 {
                "next view"
            } else if binding.action == Action::ToggleTree && model.as_tree {
                "rings"
            } else {
                word
            };
            Some((
                binding,
                format!(" {}", key.label(glyphs)),
                format!(" {word} "),
            ))
        })
        .collect();
    let width = |hints: &[(&Binding, String, String)]| -> usize {
        let widths = hints
            .iter()
            .map(|(_, key, word)| key.width() + word.width());
        widths.sum()
    };
    while hints.len() > 2 && width(&hints) > room {
        hints.remove(hints.len() - 2);
    }
    hints
}

/// The key that the footer tells of at this column.
pub(in crate::dash) fn key_at(model: &Model, area: Rect, x: u16) -> Option<Key> {
    let is_written = matches!(
        model.overlay,
        Some(Overlay::Filter { .. } | Overlay::Prompt(_))
    );
    if is_written || model.notice.is_some() {
        return None;
    }
    let room = usize::from(area.width).saturating_sub(mode(model).width() + 1);
    let mut left = usize::from(area.x);
    let context = model.context();
    for (binding, key, word) in hints(model, context, room) {
        let right = left + key.width() + word.width();
        if (left..right).contains(&usize::from(x)) {
            return model.keys.within(binding, context).next().copied();
        }
        left = right;
    }
    None
}

fn mode(model: &Model) -> Line<'static> {
    let mut spans = Vec::new();
    if model.lagged > 0 {
        let text = format!("dropped {} events ", model.lagged);
        spans.push(Span::styled(text, model.look.style(Role::Warn)));
    }
    if model.recording {
        spans.push(Span::styled("REC ", model.look.style(Role::Bad)));
    }
    if model.read_only && !model.replay {
        spans.push(Span::styled("READ-ONLY ", model.look.style(Role::Info)));
    }
    if model.masked {
        spans.push(Span::styled("MASKED ", model.look.style(Role::Warn)));
    }
    let wide = model.screen.width >= 100;
    if wide && model.is_frozen() {
        let at = format::clock(model.data().snapshot.at_ms, model.utc_offset_s);
        let text = format!("as it was at {at}  ");
        spans.push(Span::styled(text, model.look.style(Role::Dim)));
    } else if wide && !model.stopped && !model.replay {
        let whose = if model.owns_node {
            "this window runs the node  "
        } else {
            "watching a running node  "
        };
        spans.push(Span::styled(whose, model.look.style(Role::Dim)));
    }
    let (text, role) = if let Some(lasts) = model.frozen_for() {
        (format!("FROZEN {} ", format::lasting(lasts)), Role::Warn)
    } else if model.stopped && model.replay {
        ("REPLAY ENDED ".to_owned(), Role::Info)
    } else if model.stopped {
        ("STOPPED ".to_owned(), Role::Bad)
    } else if model.outage.is_some() {
        ("LOST ".to_owned(), Role::Bad)
    } else if model.replay {
        let times = model.look.glyphs.times;
        (format!("REPLAY {}{times} ", model.speed), Role::Info)
    } else {
        ("LIVE ".to_owned(), Role::Good)
    };
    spans.push(Span::styled(text, model.look.style(role)));
    Line::from(spans)
}

fn rates(model: &Model, snapshot: &NodeSnapshot, wide: bool) -> Line<'static> {
    let glyphs = model.look.glyphs;
    let traffic = snapshot.traffic;
    let text = if wide {
        format!(
            "{} {}  {} {}   up {} ",
            glyphs.down,
            format::rate(traffic.rx_rate),
            glyphs.up,
            format::rate(traffic.tx_rate),
            format::age(snapshot.uptime)
        )
    } else {
        let [down, up, scale] = sparks(model);
        format!(
            "{}{}{down} {}{}{up} {scale}",
            glyphs.down,
            format::short(traffic.rx_rate),
            glyphs.up,
            format::short(traffic.tx_rate)
        )
    };
    Line::styled(text, Style::new())
}

/// Sparklines of both directions, and what a full bar of either stands for: for screens without room for charts.
fn sparks(model: &Model) -> [String; 3] {
    let areas = model.areas(model.screen).unwrap_or_default();
    if areas.sparklines.is_some() || !(60..80).contains(&model.screen.width) {
        return Default::default();
    }
    let history = &model.data().history;
    let columns = stretched(history, history.total(), model.window, SPARK_CELLS);
    let scale = common_scale(&columns);
    let line = |value: fn(Rate) -> u64| {
        let values = columns.iter().copied().map(value);
        format!(" {}", levels(model, values, scale, (1, 0)))
    };
    let full = model.look.glyphs.levels.last().copied();
    let scale = compact(scale);
    [
        line(|rate| rate.down),
        line(|rate| rate.up),
        format!("{}{scale} ", full.unwrap_or_default()),
    ]
}

/// Whether others can reach the node.
fn health(model: &Model, snapshot: &NodeSnapshot) -> (&'static str, Role) {
    let glyphs = model.look.glyphs;
    let states = || snapshot.relays.iter().map(|relay| relay.state);
    if Reach::without_relay(snapshot) == Some(Reach::Local) {
        (glyphs.warning, Role::Warn)
    } else if snapshot.relays.is_empty() || states().any(|state| state == RelayState::Up) {
        (glyphs.direct, Role::Good)
    } else if states().any(|state| state == RelayState::Connecting) {
        (glyphs.connecting, Role::Info)
    } else {
        (glyphs.unreachable, Role::Bad)
    }
}

fn network(model: &Model, snapshot: &NodeSnapshot, wide: bool) -> String {
    let network = &snapshot.network;
    let class = own_nat_class(network);
    let v6 = network.public_v6.is_some();
    let dot = model.look.glyphs.dot;
    if wide {
        let v6 = if v6 { "v6 ok" } else { "no v6" };
        format!("   NAT {class} {dot} {v6}")
    } else {
        let v6 = if v6 { "v6" } else { "no v6" };
        format!("  NAT {class} {v6}")
    }
}

fn relay(model: &Model, snapshot: &NodeSnapshot, wide: bool) -> String {
    let gap = if wide { "   relay " } else { "  " };
    let words = model.words();
    let home = snapshot
        .relays
        .iter()
        .find(|relay| relay.home)
        .or_else(|| snapshot.relays.first())
        // A relay of a peer's is none of ours.
        .filter(|_| Reach::without_relay(snapshot).is_none());
    let Some(relay) = home else {
        return if wide { "   no relay" } else { "  no relay" }.to_owned();
    };
    let (name, room) = if wide {
        (words.relay(&relay.url), 32)
    } else {
        (words.relay_label(&relay.url), 15)
    };
    let name = format::fit(&name, room, model.look.glyphs.ellipsis);
    match (relay.state, relay.rtt) {
        (RelayState::Up, Some(ms)) => format!("{gap}{name} {}", format::rtt(ms)),
        (RelayState::Up, None) => format!("{gap}{name}"),
        (RelayState::Connecting, _) => format!("{gap}{name} connecting"),
        _ => format!("{gap}{name} down"),
    }
}
