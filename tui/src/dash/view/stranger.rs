//! What is known of somebody to whom this node has no link: the groups that both belong to, and what others say of its links.

use peerway::PeerId;
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::popup;
use crate::{
    dash::{format, group, joined, look::Role, model::Model, words::nat_class},
    printable::printable,
};

/// Of a label, with what parts it from the text.
const LABEL: usize = 10;
const WIDTH: u16 = 76;

pub(super) fn stranger(model: &Model, peer: &PeerId, frame: &mut Frame<'_>, body: Rect) {
    let lines = lines(model, peer);
    let width = WIDTH.min(body.width.saturating_sub(2));
    let wrapped = lines.iter().map(|line| {
        let rows = line
            .width()
            .div_ceil(usize::from(width.saturating_sub(4).max(1)));
        rows.max(1)
    });
    let height = u16::try_from(wrapped.sum::<usize>() + 2).unwrap_or(u16::MAX);
    let inside = popup(
        model,
        frame,
        body,
        (width, height),
        &group::name(model, peer),
    );
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), inside);
}

fn lines(model: &Model, peer: &PeerId) -> Vec<Line<'static>> {
    let (look, data) = (model.look, model.data());
    let labelled = |label: &str, text: String| {
        let label = format!("{label:<LABEL$} ");
        Line::from(vec![
            Span::styled(label, look.style(Role::Dim)),
            Span::raw(text),
        ])
    };
    let mut lines = vec![
        labelled("id", peer.to_string()),
        labelled(
            "link",
            "none from this node; p pings it, which makes one".to_owned(),
        ),
    ];
    for joined in joined::all(data) {
        let name = printable(&joined.group.name);
        let fellows = joined::of(data, &joined.group);
        for fellow in fellows.iter().filter(|it| it.id == *peer) {
            let ago = format::age(joined::ago(data, fellow.since_ms));
            let text = if fellow.standing.is_member() {
                format!("{} of {name} for {ago}", fellow.role)
            } else {
                format!("{name}: {} {ago} ago", fellow.standing.state())
            };
            lines.push(labelled("group", text));
        }
    }
    let members = group::members(model).into_iter();
    for member in members.filter(|member| member.it.id == *peer) {
        let mut text = format!(
            "{} in {}",
            member.it.presence,
            printable(&member.group.name)
        );
        if let Some(heard) = member.heard(data) {
            text.push_str(&format!(", heard {} ago", format::age(heard)));
        }
        if let Some(via) = member.it.via {
            text.push_str(&format!(" by {}", group::name(model, &via)));
        }
        if let Some(status) = &member.it.status {
            text.push_str(&format!(", NAT {}", nat_class(status.nat)));
        }
        lines.push(labelled("status", text));
    }
    let pairs = group::pairs(model);
    let pairs: Vec<_> = pairs
        .iter()
        .filter(|pair| pair.ends().contains(peer))
        .collect();
    for pair in &pairs {
        let other = pair.it.other(*peer);
        let path = pair.path(&model.words(), data);
        let why = pair.why(model);
        let colon = if why.is_empty() { "" } else { ": " };
        let text = format!("{}, {path}{colon}{why}", group::name(model, &other));
        lines.push(labelled("linked to", text));
    }
    if pairs.is_empty() {
        let text = "nobody says; a group tells once its members share their links";
        lines.push(labelled("linked to", text.to_owned()));
    }
    lines
}
