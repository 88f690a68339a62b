//! The peers around this node: rings by round-trip time, or a tree by the way to them.

use peerway::{PathKind, PeerId, RelayState};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Clear,
};
use unicode_width::UnicodeWidthStr as _;

use super::{panel, put, table};
use crate::dash::{
    format, group,
    layout::Panel,
    look::Role,
    map::{Branch, Hub, Link, Map, RADII, RINGS, Who, branches, fits},
    model::Model,
    words::{Address, Standing},
};

/// With more peers than that only the selected one has a line.
const CROWD: usize = 16;

pub(super) fn map(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let glyphs = model.look.glyphs;
    let has_rings = has_rings(model, area);
    let relays = model.data().snapshot.relays.len();
    let plural = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    };
    let mut title = format!(
        "Map {} {}, {}",
        glyphs.dot,
        plural(model.rows.len(), "peer"),
        plural(relays, "relay")
    );
    let form = if has_rings { "rings" } else { "tree" };
    let tables = model
        .areas(model.screen)
        .is_some_and(|areas| areas.members.is_some());
    let form = match group::lag(model.data()) {
        Some(lag) => format!("groups {} old {} {form}", format::age(lag), glyphs.dot),
        None if group::is_shared(model.data()) && !tables && area.width >= 50 => {
            format!("Tab: members {} {form}", glyphs.dot)
        }
        None => form.to_owned(),
    };
    for group in &model.data().swarm.groups {
        let part = format!(" {} {}", glyphs.dot, group::summary(group));
        if title.width() + part.width() + form.width() + 8 <= usize::from(area.width) {
            title += &part;
        }
    }
    let block = panel(model, &title, &form, Some(Panel::Map));
    frame.render_widget(block, area);
    let inside = field(area);
    if has_rings {
        rings(model, frame, area);
    } else {
        tree(model, frame, inside);
    }
}

/// Whether the panel shows rings: they were not switched off, and have room.
pub(in crate::dash) fn has_rings(model: &Model, area: Rect) -> bool {
    !model.as_tree && has_room_for_rings(area)
}

pub(in crate::dash) fn has_room_for_rings(area: Rect) -> bool {
    fits(field(area))
}

/// Where the map is in its panel.
pub(in crate::dash) fn field(area: Rect) -> Rect {
    area.inner(Margin::new(2, 1))
}

/// Where the rings are in the panel, and below them what they mean.
pub(in crate::dash) fn rings_field(area: Rect) -> [Rect; 2] {
    let lines = Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]);
    field(area).layout(&lines)
}

fn rings(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let [field, legend] = rings_field(area);
    let map = Map::of(model, field);
    let look = model.look;
    for (part, _) in RADII.into_iter().zip(RINGS) {
        ring(model, frame, &map, part, field);
    }
    let is_reached = |hub: &&Hub| matches!(hub.state, Some(RelayState::Up) | None);
    for hub in map.relays.iter().filter(is_reached) {
        line(model, frame, map.center, hub.at, (Role::Dim, Stroke::Solid));
    }
    links(model, frame, &map);
    ring_labels(model, frame, &map, field);
    for hub in &map.relays {
        let role = if is_reached(&hub) {
            Role::Info
        } else {
            Role::Bad
        };
        put(frame, hub.at, look.glyphs.hub, look.style(role));
        let text = Rect {
            x: hub.label.x + 1,
            width: hub.label.width.saturating_sub(1),
            ..hub.label
        };
        frame.render_widget(Line::styled(hub.text.clone(), look.style(Role::Text)), text);
    }
    own(model, frame, &map, field);
    peers(model, frame, &map);
    let hidden = match map.hidden {
        0 => String::new(),
        count => format!("   +{count} without room: t"),
    };
    frame.render_widget(legends(model, &hidden), legend);
}

/// Of this node, and between others.
fn links(model: &Model, frame: &mut Frame<'_>, map: &Map) {
    let look = model.look;
    let is_crowded = map.peers.len() > CROWD;
    let selected = Who::selected(model);
    let shown = |link: &&Link| !is_crowded || link.ends.contains(&selected);
    for link in map.links.iter().filter(shown) {
        let stroke = match link.path {
            path if path.is_direct() => (Role::Dim, Stroke::Solid),
            PathKind::Relay => (Role::Warn, Stroke::Double),
            PathKind::Lan
            | PathKind::DirectV6
            | PathKind::DirectV4
            | PathKind::Tcp
            | PathKind::None
            | PathKind::Unknown
            | _ => (Role::Dim, Stroke::Dashed),
        };
        line(model, frame, link.from, link.to, stroke);
    }
    for place in &map.peers {
        let Some(peer) = peer(model, place.who) else {
            continue;
        };
        if is_crowded && place.who != selected {
            continue;
        }
        let kind = model.words().kind(peer);
        let from = place.hub.and_then(|hub| map.relays.get(hub));
        match (from, kind) {
            (Some(hub), _) => {
                for y in hub.at.1 + 1..place.at.1 {
                    put(
                        frame,
                        (hub.at.0, y),
                        look.glyphs.via,
                        look.style(Role::Warn),
                    );
                }
            }
            (None, Standing::Direct | Standing::Suspect) => {
                line(
                    model,
                    frame,
                    map.center,
                    place.at,
                    (kind.role(), Stroke::Solid),
                );
            }
            (None, Standing::Idle) => {
                line(
                    model,
                    frame,
                    map.center,
                    place.at,
                    (Role::Dim, Stroke::Dashed),
                );
            }
            (None, Standing::Relay | Standing::Connecting | Standing::Unreachable) => {}
        }
    }
}

/// To the right and a little below, where there are neither peers nor relays.
fn ring_labels(model: &Model, frame: &mut Frame<'_>, map: &Map, field: Rect) {
    let (across, below) = (0.94, 0.34);
    let labels = || {
        let peers = map.peers.iter().map(|place| place.label);
        peers.chain(map.relays.iter().map(|hub| hub.label))
    };
    for (part, time) in RADII.into_iter().zip(RINGS) {
        let label = format!("{} ms", time.as_millis());
        let x = f64::from(map.center.0) + part * map.radius.0 * across;
        let y = f64::from(map.center.1) + part * map.radius.1 * below;
        let area = Rect::new(x as u16, y.round() as u16, label.width() as u16, 1);
        // Part of a number would be another one.
        let around = Rect::new(area.x.saturating_sub(1), area.y, area.width + 2, 1);
        if labels().any(|other| other.intersects(around)) {
            continue;
        }
        let line = Line::styled(label, model.look.style(Role::Dim));
        frame.render_widget(line, area.intersection(field));
    }
}

fn own(model: &Model, frame: &mut Frame<'_>, map: &Map, field: Rect) {
    let glyphs = model.look.glyphs;
    put(
        frame,
        map.center,
        glyphs.center,
        model.look.style(Role::Accent),
    );
    let name = format::fit(&title(model), 14, glyphs.ellipsis);
    let label = Rect::new(map.center.0 + 1, map.center.1, name.width() as u16 + 2, 1);
    let label = label.intersection(field);
    let name = format!(" {name} ");
    frame.render_widget(Line::styled(name, model.look.style(Role::Title)), label);
}

fn peers(model: &Model, frame: &mut Frame<'_>, map: &Map) {
    let selected = Who::selected(model);
    for place in &map.peers {
        let kind = peer(model, place.who).map(|peer| model.words().kind(peer));
        let (glyph, role) = match kind {
            Some(kind) => (kind.glyph(model.look.glyphs), kind.role()),
            None => (model.look.glyphs.idle, Role::Info),
        };
        let (style, mark) = if place.who == selected {
            let style = model.look.style(Role::Selected);
            (style, style)
        } else {
            (model.look.style(Role::Text), model.look.style(role))
        };
        let glyph = Span::styled(glyph, mark);
        let text = Span::styled(place.text.clone(), style);
        let gap = Span::styled(" ", style);
        let line = if place.at.0 == place.label.x {
            Line::from(vec![glyph, gap, text])
        } else {
            Line::from(vec![text, gap, glyph])
        };
        frame.render_widget(Clear, place.label);
        frame.render_widget(line, place.label);
    }
}

fn peer(model: &Model, who: Who) -> Option<&peerway::PeerSnapshot> {
    match who {
        Who::Peer(row) => model.peer(row),
        Who::Stranger(_) => None,
    }
}

fn legends(model: &Model, hidden: &str) -> Line<'static> {
    let glyphs = model.look.glyphs;
    let bar = glyphs.border.horizontal_top;
    let others = if group::is_shared(model.data()) {
        let double = glyphs.double;
        format!(
            "  {double}{double} others relayed  {} no link here",
            glyphs.idle
        )
    } else {
        String::new()
    };
    let text = format!(
        "{bar}{bar} direct  {bar} {bar} idle  {} via relay  {} relay{others}   rings: round trip{hidden}",
        glyphs.via, glyphs.hub
    );
    Line::styled(text, model.look.style(Role::Dim))
}

fn ring(model: &Model, frame: &mut Frame<'_>, map: &Map, part: f64, field: Rect) {
    let style = model.look.style(Role::Dim);
    let (width, height) = (part * map.radius.0, part * map.radius.1);
    let steps = ((width + height) * 1.6) as u32;
    for step in 0..steps {
        let angle = f64::from(step) / f64::from(steps) * std::f64::consts::TAU;
        let x = (f64::from(map.center.0) + width * angle.cos()).round() as u16;
        let y = (f64::from(map.center.1) + height * angle.sin()).round() as u16;
        if field.contains((x, y).into()) {
            put(frame, (x, y), model.look.glyphs.point, style);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stroke {
    Solid,
    Dashed,
    Double,
}

/// From near the node to next to the other end.
fn line(
    model: &Model,
    frame: &mut Frame<'_>,
    from: (u16, u16),
    to: (u16, u16),
    (role, stroke): (Role, Stroke),
) {
    let glyphs = model.look.glyphs;
    let (right, down) = (
        f64::from(to.0) - f64::from(from.0),
        f64::from(to.1) - f64::from(from.1),
    );
    let steps = right.abs().max(down.abs()) as u32;
    let slope = if (right > 0.0) == (down > 0.0) {
        glyphs.falling
    } else {
        glyphs.rising
    };
    let mut before = from;
    let style: Style = model.look.style(role);
    for step in 1..steps {
        let part = f64::from(step) / f64::from(steps);
        let x = (f64::from(from.0) + part * right).round() as u16;
        let y = (f64::from(from.1) + part * down).round() as u16;
        // A step along only one axis is drawn along it.
        let glyph = match (x == before.0, y == before.1) {
            _ if stroke == Stroke::Double => glyphs.double,
            (_, true) => glyphs.border.horizontal_top,
            (true, false) => glyphs.border.vertical_left,
            (false, false) => slope,
        };
        before = (x, y);
        let is_drawn = match stroke {
            Stroke::Solid => true,
            Stroke::Double => step % 2 == 1,
            Stroke::Dashed => step % 3 == 1,
        };
        if is_drawn {
            put(frame, (x, y), glyph, style);
        }
    }
}

fn title(model: &Model) -> String {
    if model.title.is_empty() {
        "this node".to_owned()
    } else {
        model.title.clone()
    }
}

fn tree(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let mut lines = Vec::new();
    let mut selected = 0;
    let glyphs = model.look.glyphs;
    let dim = model.look.style(Role::Dim);
    lines.push(Line::from(vec![
        Span::styled(glyphs.center, model.look.style(Role::Accent)),
        Span::styled(format!(" {}", title(model)), model.look.style(Role::Title)),
    ]));
    let all = branches(model);
    for (index, branch) in all.iter().enumerate() {
        let is_last = index + 1 == all.len();
        let [fork, beside] = if is_last {
            [glyphs.last, " "]
        } else {
            [glyphs.fork, glyphs.border.vertical_left]
        };
        let mut line = heading(model, branch);
        line.spans.insert(0, Span::styled(format!("{fork} "), dim));
        lines.push(line);
        for (at, who) in branch.whos.iter().enumerate() {
            let fork = if at + 1 == branch.whos.len() {
                glyphs.last
            } else {
                glyphs.fork
            };
            if *who == Who::selected(model) {
                selected = lines.len();
            }
            let stem = Span::styled(format!("{beside} {fork} "), dim);
            lines.push(match who {
                Who::Peer(row) => leaf(model, *row, stem, area.width),
                Who::Stranger(id) => stranger(model, *id, stem),
            });
        }
    }
    let height = usize::from(area.height);
    let most = lines.len().saturating_sub(height);
    let top = selected.saturating_sub(height / 2).min(most);
    for (line, row) in lines.into_iter().skip(top).zip(area.rows()) {
        let line = table::shortened(line, row.width, glyphs.ellipsis);
        frame.render_widget(line, row);
    }
}

fn heading(model: &Model, branch: &Branch<'_>) -> Line<'static> {
    let look = model.look;
    let count = branch.whos.len();
    if let Some(group) = branch.group {
        let text = group::summary(group);
        let unlinked = match count {
            0 => String::new(),
            count => format!(" {} {count} without a link here", look.glyphs.dot),
        };
        return Line::from(vec![
            Span::styled(format!("{} ", look.glyphs.idle), look.style(Role::Info)),
            Span::styled(text, look.style(Role::Title)),
            Span::styled(unlinked, look.style(Role::Dim)),
        ]);
    }
    let (glyph, text, role) = match branch.relay {
        Some(url) => {
            let relays = &model.data().snapshot.relays;
            let relay = relays.iter().find(|relay| relay.url == *url);
            let rtt = relay.and_then(|relay| relay.rtt).map(format::rtt);
            let name = model.words().relay(url);
            let text = format!("{name} {}", rtt.unwrap_or_default());
            (look.glyphs.hub, text, Role::Info)
        }
        None => {
            let kind = branch.kind;
            (kind.glyph(look.glyphs), kind.word().to_owned(), kind.role())
        }
    };
    Line::from(vec![
        Span::styled(format!("{glyph} "), look.style(role)),
        Span::styled(text, look.style(Role::Title)),
        Span::styled(
            format!(" {} {count}", look.glyphs.dot),
            look.style(Role::Dim),
        ),
    ])
}

/// A member that this node has no link to: who reaches it is said by the others.
fn stranger(model: &Model, id: PeerId, stem: Span<'static>) -> Line<'static> {
    let look = model.look;
    let members = group::members(model);
    let it = members.iter().find(|member| member.it.id == id);
    let name = format::fit(&model.words().name(&id), 16, look.glyphs.ellipsis);
    let padding = " ".repeat(16_usize.saturating_sub(name.width()));
    let style = if Who::selected(model) == Who::Stranger(id) {
        look.style(Role::Selected)
    } else {
        look.style(Role::Text)
    };
    let said = it.map(|member| {
        let it = member.it;
        format!(
            "  {}, {} direct, {} relayed",
            it.presence, it.direct, it.relayed
        )
    });
    Line::from(vec![
        stem,
        Span::styled(look.glyphs.idle, look.style(Role::Info)),
        Span::styled(format!(" {name}{padding}"), style),
        Span::styled(said.unwrap_or_default(), look.style(Role::Dim)),
    ])
}

fn leaf(model: &Model, row: usize, stem: Span<'static>, width: u16) -> Line<'static> {
    let Some(peer) = model.peer(row) else {
        return Line::default();
    };
    let words = model.words();
    let kind = words.kind(peer);
    let name = format::fit(&words.name(&peer.id), 16, model.look.glyphs.ellipsis);
    let padding = " ".repeat(16_usize.saturating_sub(name.width()));
    let rtt = peer.rtt.filter(|_| kind.is_reached()).map(format::rtt);
    let style = if Who::selected(model) == Who::Peer(row) {
        model.look.style(Role::Selected)
    } else {
        model.look.style(Role::Text)
    };
    let mut line = Line::from(vec![
        stem,
        Span::styled(kind.glyph(model.look.glyphs), model.look.style(kind.role())),
        Span::styled(format!(" {name}{padding}"), style),
        Span::raw(format!(" {:>6}", rtt.unwrap_or_default())),
    ]);
    if width >= 56 {
        let link = words.link(peer, Address::None);
        line.push_span(Span::styled(
            format!("  {link}"),
            model.look.style(kind.role()),
        ));
    }
    line
}
