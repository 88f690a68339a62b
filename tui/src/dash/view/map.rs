//! The peers around this node, by the way to them.

use ratatui::{
    Frame,
    layout::{Margin, Rect},
    text::{Line, Span},
};

use super::panel;
use crate::dash::{format, layout::Panel, look::Role, model::Model, words::Address};

pub(super) fn map(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let title = format!("Map {} {} peers", model.look.glyphs.dot, model.rows.len());
    let block = panel(model, &title, "tree", Some(Panel::Map));
    let inside = block.inner(area).inner(Margin::new(1, 0));
    frame.render_widget(block, area);
    let words = model.words();
    let peers = &model.data().snapshot.peers;
    let shown = model.rows.iter().enumerate().skip(model.top);
    for ((row, index), area) in shown.zip(inside.rows()) {
        let Some(peer) = peers.get(*index) else {
            continue;
        };
        let kind = words.kind(peer);
        let name = format::fit(&words.name(&peer.id), 20, model.look.glyphs.ellipsis);
        let style = if row == model.cursor {
            model.look.style(Role::Selected)
        } else {
            model.look.style(Role::Text)
        };
        let line = Line::from(vec![
            Span::styled(kind.glyph(model.look.glyphs), model.look.style(kind.role())),
            Span::styled(format!(" {name:<20} "), style),
            Span::raw(words.link(peer, Address::None)),
        ]);
        frame.render_widget(line, area);
    }
}
