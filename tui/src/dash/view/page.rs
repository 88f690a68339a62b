//! One peer on the whole screen: why it is reached as it is, and what was measured.

use ratatui::{
    Frame,
    layout::Rect,
    text::Line,
    widgets::{Paragraph, Wrap},
};

use super::{
    details::{facts, reason},
    panel,
    phases::phases,
};
use crate::dash::{layout::Panel, model::Model};

pub(super) fn page(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some(peer) = model.page_peer() else {
        let block = panel(model, "Peer", "", Some(Panel::Peers));
        let inside = block.inner(area);
        frame.render_widget(block, area);
        let text = " The node no longer knows this peer. Esc goes back.";
        return frame.render_widget(Line::raw(text), inside);
    };
    let title = model.words().name(&peer.id);
    let block = panel(model, &title, "[ previous  ] next", Some(Panel::Peers));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let mut lines = reason(model, peer);
    lines.extend(phases(model, peer));
    lines.push(Line::default());
    lines.extend(facts(model, peer));
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), inside);
}
