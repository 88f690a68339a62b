//! The network around this node: what its NAT does and how that is known, its addresses, its relays, and what changed.

use std::time::Duration;

use peerway::{NodeSnapshot, PortAllocation, RefusalReason};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{
    network::{mapping, public, relay_line},
    panel, rtt, table,
};
use crate::dash::{
    format, layout::Panel, look::Role, map::users, model::Model, words::own_nat_class,
};

/// Changes that are told of, where nothing limits them.
const CHANGES: usize = 100;
/// From this width on the sections stand beside each other.
const WIDE_FROM: u16 = 100;

/// What belongs together, under its title.
struct Section {
    title: &'static str,
    note: String,
    lines: Vec<Line<'static>>,
}

/// Sections beside and below each other if they fit, or one list that scrolls.
pub(super) fn report(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let nat = nat(model, area.width);
    let addresses = addresses(model, area.width);
    let relays = relays(model, area.width);
    let changes = changes(model);
    let height = |lines: usize| u16::try_from(lines + 2).unwrap_or(u16::MAX);
    let top = height(nat.lines.len().max(addresses.lines.len()));
    let middle = height(relays.lines.len());
    if area.width < WIDE_FROM || top.saturating_add(middle).saturating_add(4) > area.height {
        return list(model, frame, area, [nat, addresses, relays, changes]);
    }
    let [top, middle, bottom] = area.layout(&Layout::vertical([
        Constraint::Length(top),
        Constraint::Length(middle),
        Constraint::Fill(1),
    ]));
    let home = model.data().snapshot.relays.first();
    let rtts = home.and_then(|home| model.data().history.relay(&home.url));
    let bottom = match home.filter(|_| bottom.height >= 8) {
        Some(home) => {
            let halves = Layout::horizontal([Constraint::Fill(1); 2]);
            let [changes, chart] = bottom.layout(&halves);
            let name = format!("RTT to {}", model.words().relay_label(&home.url));
            rtt::chart(model, (&name, rtts, None), frame, chart);
            changes
        }
        None => bottom,
    };
    let [left, right] = top.layout(&Layout::horizontal([Constraint::Fill(1); 2]));
    let panels = [
        (nat, left),
        (addresses, right),
        (relays, middle),
        (changes, bottom),
    ];
    for (section, area) in panels {
        let block = panel(model, section.title, &section.note, Some(Panel::Network));
        let inside = block.inner(area);
        frame.render_widget(block, area);
        draw(model, frame, inside, section.lines.into_iter());
    }
}

/// Lines of the report as a list, for those who scroll it.
pub(in crate::dash) fn lines(model: &Model, width: u16) -> usize {
    let sections = [
        nat(model, width),
        addresses(model, width),
        relays(model, width),
        changes(model),
    ];
    sections.iter().map(|section| section.lines.len() + 1).sum()
}

fn list(model: &Model, frame: &mut Frame<'_>, area: Rect, sections: [Section; 4]) {
    let note = sections.first().map(|section| section.note.clone());
    let block = panel(
        model,
        "Network",
        &note.unwrap_or_default(),
        Some(Panel::Network),
    );
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let lines: Vec<Line<'static>> = sections
        .into_iter()
        .flat_map(|section| {
            let title = format!(" {}", section.title);
            let title = Line::styled(title, model.look.style(Role::Title));
            std::iter::once(title).chain(section.lines)
        })
        .collect();
    let most = lines.len().saturating_sub(usize::from(inside.height));
    let shown = lines.into_iter().skip(model.network.at.min(most));
    draw(model, frame, inside, shown);
}

fn draw(
    model: &Model,
    frame: &mut Frame<'_>,
    inside: Rect,
    lines: impl Iterator<Item = Line<'static>>,
) {
    for (line, row) in lines.zip(inside.rows()) {
        let line = table::shortened(line, row.width, model.look.glyphs.ellipsis);
        frame.render_widget(line, row);
    }
}

fn fact(model: &Model, name: &str, text: String) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!(" {name:<9} "), model.look.style(Role::Dim)),
        Span::raw(text),
    ])
}

/// A fact in as many lines as it takes, on a screen of this width.
fn folded(model: &Model, name: &str, text: &str, width: u16) -> Vec<Line<'static>> {
    let rows = format::folded(text, room(width));
    let named = rows.into_iter().enumerate();
    named
        .map(|(at, row)| fact(model, if at == 0 { name } else { "" }, row))
        .collect()
}

/// A fact, and in grey what it is known from: behind it, or below where there is no room, on a screen of this width.
fn known(
    model: &Model,
    (name, text): (&str, String),
    from: &str,
    width: u16,
) -> Vec<Line<'static>> {
    let dim = model.look.style(Role::Dim);
    let room = room(width);
    let has_room = text.width() + 2 + from.width() <= room;
    let mut first = fact(model, name, text);
    if from.is_empty() {
        return vec![first];
    }
    if has_room {
        first.push_span(Span::styled(format!("  {from}"), dim));
        return vec![first];
    }
    let rows = format::folded(from, room).into_iter();
    let below = rows.map(|row| fact(model, "", row).style(dim));
    std::iter::once(first).chain(below).collect()
}

/// Columns beside the name of a fact, in its panel on a screen of this width.
fn room(width: u16) -> usize {
    let panel = if width >= WIDE_FROM { width / 2 } else { width };
    // The border, and the name with its blanks.
    usize::from(panel).saturating_sub(2 + 11).max(1)
}

fn nat(model: &Model, width: u16) -> Section {
    let snapshot = &model.data().snapshot;
    let network = &snapshot.network;
    let evidence = &network.nat_evidence;
    let asked = match (evidence.answered, evidence.asked) {
        (0, 0) => String::new(),
        (answered, asked) => format!("{answered} of {asked} relays answered"),
    };
    let same = match evidence.ports.as_slice() {
        [] => String::new(),
        ports if ports.len() == 1 => "1 fresh socket asked".to_owned(),
        ports => {
            let shown: Vec<String> = ports.iter().take(5).map(u16::to_string).collect();
            format!("fresh sockets got {}", shown.join(" "))
        }
    };
    let two = match evidence.two_ports {
        0 => String::new(),
        count => format!("{count} asked at two ports"),
    };
    let class = own_nat_class(network).to_owned();
    let nat64 = if network.nat64 { "yes" } else { "no" };
    let facts = [
        ("kind", class, asked),
        ("mapping", network.nat.mapping.to_string(), two),
        (
            "filtering",
            network.nat.filtering.to_string(),
            String::new(),
        ),
        ("ports", allocation(network.nat.allocation), same),
        ("NAT64", nat64.to_owned(), String::new()),
    ];
    let facts = facts.into_iter();
    let mut lines: Vec<Line<'static>> = facts
        .flat_map(|(name, text, from)| known(model, (name, text), &from, width))
        .collect();
    lines.push(fact(model, "forwarded", mapping(model, network)));
    if let Some(refusal) = &network.port_refusal {
        let reason = match refusal.reason {
            RefusalReason::NoPublicAddress => "the router has no public address itself",
            RefusalReason::Forbidden => "this computer may not have ports",
            RefusalReason::NoFreePort => "no port is left",
            RefusalReason::Other | _ => "the router does not say why",
        };
        let text = format!(
            "{} refused, code {}: {reason}",
            refusal.protocol, refusal.code
        );
        lines.push(fact(model, "", text));
    }
    Section {
        title: "NAT",
        note: checked(snapshot),
        lines,
    }
}

fn allocation(allocation: PortAllocation) -> String {
    match allocation {
        PortAllocation::Sequential { step } => format!("{step:+} from the last"),
        PortAllocation::Random { first, last } => format!("random, {first} to {last}"),
        PortAllocation::Unknown => "not measured".to_owned(),
    }
}

fn checked(snapshot: &NodeSnapshot) -> String {
    snapshot.network.checked_at_ms.map_or_else(
        || "not checked yet".to_owned(),
        |at| {
            let since = Duration::from_millis(snapshot.at_ms.saturating_sub(at));
            format!("checked {} ago", format::age(since))
        },
    )
}

fn addresses(model: &Model, width: u16) -> Section {
    let network = &model.data().snapshot.network;
    let families = [("IPv4", network.public_v4), ("IPv6", network.public_v6)];
    let families = families.into_iter();
    let mut lines: Vec<Line<'static>> = families
        .flat_map(|(name, addr)| {
            let seen = if addr.is_some() {
                "as relays see it"
            } else {
                ""
            };
            known(model, (name, public(model, addr)), seen, width)
        })
        .collect();
    for (row, addr) in network.local.iter().enumerate() {
        let name = if row == 0 { "local" } else { "" };
        lines.push(fact(model, name, model.words().addr(*addr)));
    }
    if network.interfaces_unread {
        let text = "the system does not list its interfaces".to_owned();
        lines.push(fact(model, "", text));
    }
    let lan = match &network.lan_trouble {
        Some(reason) => format!("by ticket only: {}", model.words().foreign(reason)),
        None if network.lan_off => {
            "by ticket only: this network is not searched (--no-lan, --relay-only or loopback)"
                .to_owned()
        }
        None => "peers are found by multicast DNS".to_owned(),
    };
    lines.extend(folded(model, "LAN", &lan, width));
    Section {
        title: "Addresses",
        note: String::new(),
        lines,
    }
}

fn relays(model: &Model, width: u16) -> Section {
    let snapshot = &model.data().snapshot;
    let mut lines: Vec<Line<'static>> = snapshot
        .relays
        .iter()
        .map(|relay| {
            let mut line = relay_line(model, "", relay, width);
            // Bars stand where the card has the name of its line.
            let bars = if width >= 80 {
                format!(" {} ", bars(model, &relay.url))
            } else {
                " ".to_owned()
            };
            if let Some(head) = line.spans.first_mut() {
                *head = Span::raw(bars);
            }
            let users = match users(model, &relay.url) {
                0 => String::new(),
                1 => "  1 peer through it".to_owned(),
                users => format!("  {users} peers through it"),
            };
            line.push_span(Span::styled(users, Style::new()));
            line
        })
        .collect();
    if lines.is_empty() {
        lines.push(fact(model, "", "none; start with --relay URL".to_owned()));
    }
    Section {
        title: "Relays",
        note: "RTT of two minutes".to_owned(),
        lines,
    }
}

fn bars(model: &Model, url: &peerway::RelayUrl) -> String {
    let rtts = model.data().history.relay(url);
    rtts.map_or_else(
        || " ".repeat(12),
        |rtts| rtt::bars(model.look.glyphs, &rtts.means(120, 12)),
    )
}

/// What of the events is about the node itself.
fn changes(model: &Model) -> Section {
    let events = model.data().events.iter().rev();
    let of_node = events.filter(|event| event.kind.peer().is_none());
    let mut lines: Vec<Line<'static>> = of_node
        .take(CHANGES)
        .map(|event| {
            let sentence = model.words().sentence(&event.kind);
            let clock = format::clock(event.at_ms, model.utc_offset_s);
            Line::from(vec![
                Span::styled(format!(" {clock} "), model.look.style(Role::Dim)),
                Span::styled(sentence.glyph, model.look.style(sentence.role)),
                Span::styled(
                    format!(" {} ", sentence.subject),
                    model.look.style(Role::Title),
                ),
                Span::raw(sentence.text),
            ])
        })
        .collect();
    if lines.is_empty() {
        let text = " nothing has changed since this window was opened";
        lines.push(Line::styled(text, model.look.style(Role::Dim)));
    }
    Section {
        title: "Changes",
        note: String::new(),
        lines,
    }
}
