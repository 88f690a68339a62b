//! What is known of the network the node is in.

use std::{net::SocketAddr, time::Duration};

use peerway::{HomeReason, NatBehavior, NetworkSnapshot, RelayRole, RelaySnapshot, RelayState};
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{panel, table};
use crate::dash::{format, layout::Panel, look::Role, model::Model, words::own_nat_class};

pub(super) fn network(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let block = panel(model, "Network", "NAT report", Some(Panel::Network));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let snapshot = &model.data().snapshot;
    let network = &snapshot.network;
    let mut lines = vec![
        fact(model, "IPv4", public(model, network.public_v4)),
        fact(model, "IPv6", public(model, network.public_v6)),
        fact(model, "NAT", own_nat_class(network).to_owned()),
    ];
    // Relays come first where there is room for the one or the other; view 3 has both.
    let relays = snapshot.relays.len().max(1);
    let others = lines.len() + 1 + usize::from(network.lan_trouble.is_some()) + relays + 1;
    let axes = behaviors(network);
    if others + axes.len() <= usize::from(inside.height) {
        lines.extend(axes);
    }
    lines.push(fact(model, "Ports", mapping(model, network)));
    if let Some(reason) = &network.lan_trouble {
        let text = format!("by ticket only: {}", model.words().foreign(reason));
        let room = usize::from(inside.width).saturating_sub(8);
        let text = format::fit(&text, room, model.look.glyphs.ellipsis);
        lines.push(fact(model, "LAN", text));
    }
    let room = usize::from(inside.height).saturating_sub(lines.len() + 1);
    if snapshot.relays.is_empty() {
        lines.push(fact(
            model,
            "Relay",
            "none; start with --relay URL".to_owned(),
        ));
    }
    for (row, relay) in snapshot.relays.iter().take(room).enumerate() {
        lines.push(relay_line(
            model,
            if row == 0 { "Relay" } else { "" },
            relay,
            inside.width,
        ));
    }
    let used = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    for (line, row) in lines.into_iter().zip(inside.rows()) {
        let line = table::shortened(line, row.width, model.look.glyphs.ellipsis);
        frame.render_widget(line, row);
    }
    if let Some(row) = inside.rows().next_back().filter(|_| used < inside.height) {
        let checked = network.checked_at_ms.map_or_else(
            || " not checked yet".to_owned(),
            |at| {
                format!(
                    " checked {} ago",
                    format::age(Duration::from_millis(snapshot.at_ms.saturating_sub(at)))
                )
            },
        );
        frame.render_widget(Line::styled(checked, model.look.style(Role::Dim)), row);
    }
}

/// Both axes of RFC 4787, as far as they were measured.
fn behaviors(network: &NetworkSnapshot) -> Vec<Line<'static>> {
    let axes = [
        (network.nat.mapping, "mapping"),
        (network.nat.filtering, "filtering"),
    ];
    let measured = axes
        .into_iter()
        .filter(|(behavior, _)| *behavior != NatBehavior::Unknown);
    let line = |(behavior, axis)| Line::raw(format!("   {behavior} {axis}"));
    measured.map(line).collect()
}

pub(super) fn fact(model: &Model, name: &str, text: String) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!(" {name:<6} "), model.look.style(Role::Dim)),
        Span::raw(text),
    ])
}

pub(super) fn public(model: &Model, addr: Option<SocketAddr>) -> String {
    addr.map_or_else(|| "none seen".to_owned(), |addr| model.words().addr(addr))
}

pub(super) fn mapping(model: &Model, network: &NetworkSnapshot) -> String {
    network.port_mapping.map_or_else(
        || "no port is forwarded".to_owned(),
        |mapping| {
            let lifetime = mapping
                .expires_in
                .map(|left| format!(" ({})", format::age(left)));
            format!(
                "{} {} {}{}",
                mapping.protocol,
                model.look.glyphs.check,
                model.words().addr(mapping.external),
                lifetime.unwrap_or_default()
            )
        },
    )
}

/// What one of the node's own relays is to it, and why.
fn home(relay: &RelaySnapshot) -> String {
    if relay.draining {
        return "  about to stop".to_owned();
    }
    match (relay.role, relay.home_reason) {
        (Some(RelayRole::Home), None | Some(HomeReason::Only)) => "  home".to_owned(),
        (Some(RelayRole::Home), Some(reason)) => format!("  home, {reason}"),
        (Some(RelayRole::Standby), _) => "  standby".to_owned(),
        _ => String::new(),
    }
}

/// In so many columns; where those do not suffice, it is not said why it is the home relay.
pub(super) fn relay_line(
    model: &Model,
    name: &str,
    relay: &RelaySnapshot,
    width: u16,
) -> Line<'static> {
    let ellipsis = model.look.glyphs.ellipsis;
    let mut line = fact(model, name, String::new());
    let host = format::fit(&model.words().relay_label(&relay.url), 15, ellipsis);
    let (state, role) = match (relay.state, relay.rtt) {
        (RelayState::Up, Some(ms)) => (format::rtt(ms), Role::Good),
        (RelayState::Up, None) => ("up".to_owned(), Role::Good),
        (RelayState::Connecting, _) => ("connecting".to_owned(), Role::Info),
        _ => ("down".to_owned(), Role::Bad),
    };
    line.push_span(Span::styled(format!("{host:<15} "), Style::new()));
    line.push_span(Span::styled(state, model.look.style(role)));
    let note = match &relay.error {
        Some(error) => format!("  {}", model.words().foreign(error)),
        None => {
            let home = home(relay);
            let has_room = line.width() + home.len() <= usize::from(width);
            let role = home.split(',').next().map(str::to_owned);
            role.filter(|_| !has_room).unwrap_or(home)
        }
    };
    line.push_span(Span::styled(note, model.look.style(Role::Dim)));
    line
}
