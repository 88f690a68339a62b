//! All that is known of one peer, the reason why it is not direct first.

use peerway::{Explanation, PeerSnapshot, PeerState};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Paragraph, Widget as _, Wrap},
};

use super::{phases::phases, popup};
use crate::dash::{
    format,
    layout::DETAILS_HEIGHT,
    look::Role,
    model::Model,
    words::{Address, Measured, Standing},
};

/// Of the box, where it stands over everything.
const WIDTH: u16 = 72;

/// In the room below the table if there is one, else over everything.
pub(super) fn details(model: &Model, frame: &mut Frame<'_>, body: Rect, room: Option<Rect>) {
    let Some(peer) = model.selected() else {
        return;
    };
    let name = model.words().name(&peer.id);
    let width = room.map_or(WIDTH, |room| room.width).min(body.width);
    let space = room.map_or(body.height, |room| room.height);
    let inside = (width.saturating_sub(4), space.saturating_sub(2));
    let mut lines = reason_within(model, peer, inside);
    if let Some(phases) = phases(model, peer) {
        lines.extend([Line::default(), phases]);
    }
    lines.push(Line::default());
    lines.extend(facts(model, peer));
    let title = format!("{name} {} j k next peer, Esc closes", model.look.glyphs.dot);
    let text = wrapped(lines);
    let (within, size) = match room {
        Some(room) => (room, (room.width, room.height)),
        None => (body, (WIDTH, height(&text, WIDTH - 4) + 2)),
    };
    let inside = popup(model, frame, within, size, &title);
    frame.render_widget(text, inside);
}

fn wrapped(lines: Vec<Line<'static>>) -> Paragraph<'static> {
    Paragraph::new(lines).wrap(Wrap { trim: false })
}

/// The same in so many columns and rows. Where these do not suffice, what would help comes before all that explains it.
pub(super) fn reason_within(
    model: &Model,
    peer: &PeerSnapshot,
    (width, rows): (u16, u16),
) -> Vec<Line<'static>> {
    let mut reason = reason(model, peer);
    if reason.len() > 2 && height(&wrapped(reason.clone()), width) > rows {
        let paragraph = reason.remove(1);
        reason.push(paragraph);
    }
    reason
}

/// The rows that a text takes in so many columns, up to what is kept for details.
fn height(text: &Paragraph<'_>, width: u16) -> u16 {
    let mut page = Buffer::empty(Rect::new(0, 0, width, DETAILS_HEIGHT - 2));
    text.render(page.area, &mut page);
    let is_used = |y: &u16| (0..width).any(|x| page[(x, *y)].symbol() != " ");
    let last = (0..page.area.height).rev().find(is_used);
    last.map_or(0, |last| last + 1)
}

/// Why the link stands as it does, and what would help.
pub(super) fn reason(model: &Model, peer: &PeerSnapshot) -> Vec<Line<'static>> {
    let name = model.words().name(&peer.id);
    let words = model.words();
    let why = words.why(peer);
    let line = why.map(Explanation::line);
    let line = line.map_or_else(String::new, |line| format!(": {line}"));
    let headline = match words.kind(peer) {
        Standing::Direct | Standing::Suspect => format!("{name}{line}"),
        Standing::Relay => format!("Why {name} is relayed{line}"),
        Standing::Connecting => format!("{name} is being connected{line}"),
        Standing::Idle if peer.ending => {
            format!(
                "{name} is left: its last connection has ended, and the link ends within ten seconds"
            )
        }
        Standing::Idle => format!("{name} is idle"),
        Standing::Unreachable => format!("Why {name} is unreachable{line}"),
    };
    let mut lines = vec![Line::styled(headline, model.look.style(Role::Title))];
    if let Some(why) = why {
        lines.push(Line::raw(why.paragraph()));
        if let Some(action) = why.action {
            let text = format!("{} {action}", model.look.glyphs.right);
            lines.push(Line::styled(text, model.look.style(Role::Info)));
        }
        // Whoever is no longer wanted is not tried again.
        let next = why.next_try.filter(|_| peer.state != PeerState::Idle);
        lines.extend(next.map(|next| Line::raw(next.to_string())));
    }
    lines
}

/// What is measured of a peer.
pub(super) fn facts(model: &Model, peer: &PeerSnapshot) -> Vec<Line<'static>> {
    let none = model.look.glyphs.none;
    let traffic = peer.traffic;
    let glyphs = model.look.glyphs;
    let path = peer.path.as_ref().map_or_else(
        || none.to_owned(),
        |path| model.words().path(path, Address::Full),
    );
    let badge = model.words().badge(peer);
    let badge = badge.map_or_else(String::new, |badge| format!(" {badge}"));
    let path = path + &badge;
    let rtt = peer.rtt.map_or_else(
        || none.to_owned(),
        |ms| {
            let ago = match (Measured::of(peer), peer.rtt_age) {
                (Measured::Ago(_) | Measured::TooLongAgo, Some(age)) => {
                    format!(", measured {} ago", format::age(age))
                }
                _ => String::new(),
            };
            let (rtt, lost) = (format::rtt(ms), peer.loss * 100.0);
            format!("{rtt}, {lost:.1}% lost{ago}")
        },
    );
    let rates = format!(
        "{} {}  {} {}",
        glyphs.down,
        format::rate(traffic.rx_rate),
        glyphs.up,
        format::rate(traffic.tx_rate)
    );
    let totals = format!(
        "{} {}  {} {}",
        glyphs.down,
        format::bytes(traffic.rx_bytes),
        glyphs.up,
        format::bytes(traffic.tx_bytes)
    );
    let probes = format!("{} of {} answered", peer.probes_answered, peer.probes_sent);
    let connections = match peer.connections {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    };
    let state = format!(
        "{} for {}, {connections}",
        model.words().kind(peer).word(),
        format::age(peer.state_age)
    );
    let state = if peer.ending {
        "its last connection has ended".to_owned()
    } else {
        state
    };
    vec![
        fact(model, "id", &peer.id.to_string()),
        fact(model, "state", &state),
        fact(model, "path", &path),
        fact(model, "RTT", &rtt),
        fact(model, "probes", &probes),
        fact(model, "now", &rates),
        fact(model, "total", &totals),
    ]
}

fn fact(model: &Model, name: &str, value: &str) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("{name:<10} "), model.look.style(Role::Dim)),
        Span::raw(value.to_owned()),
    ])
}
