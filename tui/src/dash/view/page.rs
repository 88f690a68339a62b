//! One peer on the whole screen: why it is reached as it is, what was measured, and what happened.

use peerway::PeerSnapshot;
use ratatui::{
    Frame,
    layout::{Margin, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{details, events, evidence::evidence, pairs, panel, rtt, sides, ways};
use crate::dash::{
    format,
    layout::{PageAreas, Panel},
    look::Role,
    model::Model,
    words::{Address, Measured, Standing},
};

pub(super) fn page(model: &Model, frame: &mut Frame<'_>, areas: &PageAreas) {
    crumb(model, frame, areas.crumb);
    let Some(peer) = model.page_peer() else {
        let area = areas.why.unwrap_or_default();
        let block = panel(model, "Peer", "", Some(Panel::Page));
        let inside = block.inner(area);
        frame.render_widget(block, area);
        let text = " The node no longer knows this peer. Esc goes back.";
        return frame.render_widget(Line::raw(text), inside);
    };
    if let Some(area) = areas.why {
        why(model, peer, frame, area);
    }
    if let Some(area) = areas.strip {
        ways::history(model, peer, frame, area);
    }
    if let Some(area) = areas.rtt {
        let rtts = model.data().history.peer(&peer.id);
        let rtts = rtts.map(|track| track.rtts());
        rtt::chart(model, ("RTT", rtts, Some(peer.loss)), frame, area);
    }
    if let Some(area) = areas.pairs {
        pairs::pairs(model, peer, frame, area);
    }
    if let Some(area) = areas.events {
        events::events(model, frame, area);
    }
}

/// `Peers › laptop  q9xa…7m  ● direct v6  4 ms  ↓ 8.1M ↑ 220k  for 2h13m`
fn crumb(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let (look, words) = (model.look, model.words());
    let glyphs = look.glyphs;
    let Some(id) = model.page else { return };
    let dim = look.style(Role::Dim);
    let mut left = vec![
        Span::styled(format!(" Peers {} ", glyphs.right), dim),
        Span::styled(words.name(&id), look.style(Role::Title)),
    ];
    let ping = model.pings.of(id);
    // An answer that comes now is worth more than keys that the last line has too.
    let right = if area.width >= if ping.is_some() { 100 } else { 60 } {
        "[ previous  ] next "
    } else {
        ""
    };
    if let Some(peer) = model.page_peer() {
        let kind = words.kind(peer);
        if area.width >= 100 && words.name(&id) != id.short() {
            left.push(Span::styled(
                format!("  {}", id.short()),
                look.style(Role::Accent),
            ));
        }
        let link = words.link(peer, Address::None);
        let link = format!("  {} {link}", kind.glyph(glyphs));
        left.push(Span::styled(link, look.style(kind.role())));
        if let Some(rtt) = Measured::rtt(peer).filter(|_| kind.is_reached() && ping.is_none()) {
            left.push(Span::raw(format!("  {}", format::rtt(rtt))));
        }
        if let Some(ping) = ping {
            let used: usize = left.iter().map(Span::width).sum();
            let room = usize::from(area.width).saturating_sub(used + right.len() + 8);
            left.push(Span::styled("  ping ", dim));
            left.extend(ping.strip(&look, room).spans);
        }
        if area.width >= 80 && ping.is_none() {
            let (down, up) = (peer.traffic.rx_rate, peer.traffic.tx_rate);
            left.push(Span::raw(format!(
                "  {} {} {} {}",
                glyphs.down,
                format::short(down),
                glyphs.up,
                format::short(up)
            )));
        }
        if area.width >= 100 && ping.is_none() {
            let age = format::age(peer.state_age);
            left.push(Span::styled(format!("  for {age}"), dim));
        }
    }
    sides(frame, area, Line::from(left), Line::styled(right, dim));
}

/// The reason, what would help, and what both were concluded from.
fn why(model: &Model, peer: &PeerSnapshot, frame: &mut Frame<'_>, area: Rect) {
    let name = model.words().name(&peer.id);
    let title = match model.words().kind(peer) {
        Standing::Relay => format!("Why is {name} relayed?"),
        Standing::Unreachable => format!("Why is {name} unreachable?"),
        Standing::Direct | Standing::Suspect | Standing::Connecting | Standing::Idle => {
            format!("How is {name} reached?")
        }
    };
    let block = panel(model, &title, "", Some(Panel::Page));
    let inside = block.inner(area).inner(Margin::new(1, 0));
    frame.render_widget(block, area);
    let mut reason = details::reason(model, peer);
    let steps = evidence(model, peer, inside.width);
    let facts = details::facts(model, peer);
    let mut lines = Vec::new();
    // The cause and the steps come first: a small screen has room for no more.
    let is_short = usize::from(inside.height) < reason.len() + steps.len() + facts.len() + 3;
    if is_short && reason.len() > 1 && !steps.is_empty() {
        let paragraph = reason.remove(1);
        lines.append(&mut reason);
        lines.extend(steps);
        lines.push(paragraph);
    } else {
        lines.append(&mut reason);
        if !steps.is_empty() {
            lines.push(Line::default());
            lines.extend(steps);
        }
    }
    lines.push(Line::default());
    lines.extend(facts);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(text, inside);
}
