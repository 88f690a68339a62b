//! What the peers are used for, the busiest first.

use std::cmp::Reverse;

use peerway::PeerSnapshot;
use ratatui::{
    Frame,
    layout::{Constraint, Margin, Rect},
    text::Line,
    widgets::{Row, Table},
};

use super::panel;
use crate::dash::{format, layout::Panel, look::Role, model::Model};

pub(super) fn flows(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let mut peers: Vec<&PeerSnapshot> = model.data().snapshot.peers.iter().collect();
    peers.retain(|peer| peer.connections > 0);
    peers.sort_by_key(|peer| Reverse(peer.traffic.rx_rate.saturating_add(peer.traffic.tx_rate)));
    let title = format!("Flows {} {}", model.look.glyphs.dot, peers.len());
    let block = panel(model, &title, "", Some(Panel::Flows));
    let inside = block.inner(area).inner(Margin::new(1, 0));
    frame.render_widget(block, area);
    if peers.is_empty() {
        let text = "no connection is open";
        frame.render_widget(Line::styled(text, model.look.style(Role::Dim)), inside);
        return;
    }
    let right = |text: String| Line::raw(text).right_aligned();
    let rows = peers.iter().take(usize::from(inside.height)).map(|peer| {
        Row::new([
            Line::raw(model.words().name(&peer.id)),
            right(peer.connections.to_string()),
            right(format::short(peer.traffic.rx_rate)),
            right(format::short(peer.traffic.tx_rate)),
        ])
    });
    let heading = [
        Line::raw("PEER"),
        right("CONNECTIONS".to_owned()),
        right("DOWN".to_owned()),
        right("UP".to_owned()),
    ];
    let heading = Row::new(heading).style(model.look.style(Role::Dim));
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(11),
        Constraint::Length(6),
        Constraint::Length(6),
    ];
    frame.render_widget(Table::new(rows, widths).header(heading), inside);
}
