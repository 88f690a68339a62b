//! The peer table: one row answers how a peer is connected, how fast, how long, and if not direct, why.

use std::time::Duration;

use peerway::PeerSnapshot;
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Margin, Rect},
    style::{Style, Stylize as _},
    text::{Line, Span},
    widgets::{Paragraph, Row, Table, Wrap},
};
use unicode_width::UnicodeWidthStr;

use super::{inspector::inspector, panel, rtt::bars};
use crate::dash::{
    columns::{Column, Columns},
    format,
    keymap::{Action, Context},
    layout::Panel,
    look::{Glyphs, Role},
    model::Model,
    sort,
    trail::Trail,
    words::{Address, Measured, Standing},
};
use crate::printable::printable;

/// What PATH keeps where names are long.
const ENOUGH_PATH: u16 = 30;
/// Cells of the round-trip time's sparkline.
const SPARK_CELLS: usize = 12;

/// For a node that knows nobody yet.
const WELCOME: [&str; 6] = [
    "No peers yet.",
    "",
    "`peerway pair` on both computers has them know each other by name.",
    "c connects: paste the ticket that `peerway up` prints on the other computer,",
    "or that its dashboard shows with Y.",
    "Y shows this node's own ticket, for the other side to paste.",
];

/// How those of the address book are seen whom this node has nothing to do with, if there are any.
fn in_book(model: &Model) -> Option<String> {
    let key = model
        .keys
        .first(Context::Peers, Action::Book, model.look.glyphs)?;
    let count = model.names.len();
    (count > 0).then(|| format!("{key} lists the {count} of the address book."))
}

/// Why none of the peers is shown, and what shows them.
fn no_row(model: &Model) -> String {
    let all = model
        .keys
        .first(Context::Peers, Action::FaultsOnly, model.look.glyphs);
    match all.filter(|_| model.faults_only) {
        Some(key) if model.filters.peers.is_empty() => {
            format!("No peer has a fault. {key} shows all.")
        }
        Some(key) => format!(
            "No peer with a fault matches the filter. Esc clears it, and {key} shows those without."
        ),
        None => "No peer matches the filter. Esc clears it.".to_owned(),
    }
}

pub(super) fn peers(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let block = panel(
        model,
        &title(model),
        &order(model, area.width),
        Some(Panel::Peers),
    );
    let inside = block.inner(area);
    let height = usize::from(inside.height.saturating_sub(1));
    let block = match range(model, height) {
        Some(range) => block.title_bottom(Line::styled(
            range,
            Style::reset().patch(model.look.style(Role::Dim)),
        )),
        None => block,
    };
    frame.render_widget(block, area);
    if model.rows.is_empty() {
        let lines: Vec<Line<'_>> = if model.data().snapshot.peers.is_empty() && model.absent() == 0
        {
            let mut lines: Vec<_> = WELCOME.map(Line::raw).into();
            lines.extend(in_book(model).map(Line::raw));
            lines
        } else {
            vec![Line::raw(no_row(model))]
        };
        let text = Paragraph::new(lines).wrap(Wrap { trim: true });
        let inside = inside.inner(Margin::new(1, 0));
        frame.render_widget(text.style(model.look.style(Role::Dim)), inside);
        return;
    }
    let columns = columns(model, inside.width);
    let rows = model
        .rows
        .iter()
        .enumerate()
        .skip(model.top)
        .take(height)
        .filter_map(|(row, _)| {
            let peer = model.peer(row)?;
            let selected = row == model.cursor;
            let cells = columns.iter().map(|(column, width)| {
                let cell = cell(model, peer, (*column, *width), selected);
                let changed = model.data().changes.has(peer.id, *column);
                if changed { cell.bold() } else { cell }
            });
            Some(if selected && model.focus == Panel::Peers {
                let bar = model.look.style(Role::Selected);
                Row::new(cells.map(|cell| unpainted(cell, bar))).style(bar)
            } else {
                Row::new(cells)
            })
        });
    let heading = columns.iter().map(|(column, _)| {
        Line::styled(heading(*column, model), model.look.style(Role::Dim))
            .alignment(alignment(*column))
    });
    let widths = columns.iter().map(|(_, width)| Constraint::Length(*width));
    let table = Table::new(rows, widths)
        .header(Row::new(heading))
        .column_spacing(1);
    frame.render_widget(table, inside);
    let used = u16::try_from(model.rows.len() + 1).unwrap_or(u16::MAX);
    let [_, rest] = inside.layout(&Layout::vertical([
        Constraint::Length(used.min(inside.height)),
        Constraint::Fill(1),
    ]));
    inspector(model, frame, rest);
}

/// A cell in the colours of the selection alone: its own would be patches in the bar.
fn unpainted(mut cell: Line<'static>, bar: Style) -> Line<'static> {
    cell.style = bar;
    for span in &mut cell.spans {
        span.style = bar;
    }
    cell
}

/// The columns in the order of the screen, with the terminal's width from which they are shown.
const COLUMNS: [(Column, u16); 15] = [
    (Column::State, 0),
    (Column::Name, 0),
    (Column::Id, 104),
    (Column::Path, 0),
    (Column::Rtt, 0),
    (Column::Spark, 120),
    (Column::Loss, 112),
    (Column::Jitter, 150),
    (Column::Down, 60),
    (Column::Up, 60),
    (Column::Total, 150),
    (Column::Version, 166),
    (Column::Seen, 166),
    (Column::Age, 72),
    (Column::Why, 80),
];

/// The columns that are shown, and how wide each is; PATH has what the others leave.
fn columns(model: &Model, inside: u16) -> Vec<(Column, u16)> {
    let mut columns: Vec<(Column, u16)> = match &model.columns {
        Some(wanted) => chosen(wanted, inside),
        None => COLUMNS
            .into_iter()
            .filter(|(column, from)| {
                inside + 2 >= *from && (*column != Column::Id || !model.names.is_empty())
            })
            .map(|(column, _)| (column, width(column, inside)))
            .collect(),
    };
    let gaps = columns.len().saturating_sub(1) as u16;
    let others: u16 = columns.iter().map(|(_, width)| width).sum();
    let mut path = inside.saturating_sub(others + gaps);
    for (column, width) in &mut columns {
        if *column == Column::Name && model.columns.is_none() {
            let more = longer_names(model, *width).min(path.saturating_sub(ENOUGH_PATH));
            (*width, path) = (*width + more, path - more);
        }
    }
    for (column, width) in &mut columns {
        if *column == Column::Path {
            *width = path;
        }
    }
    columns
}

/// What the longest name of the address book takes beyond so many cells.
fn longer_names(model: &Model, width: u16) -> u16 {
    const MOST: usize = 32;
    let names = model.names.values().map(|name| name.width());
    let longest = names.max().unwrap_or_default().min(MOST);
    u16::try_from(longest)
        .unwrap_or_default()
        .saturating_sub(width)
}

/// As many of the columns that were asked for as fit; the last ones give way.
fn chosen(wanted: &Columns, inside: u16) -> Vec<(Column, u16)> {
    const LEAST_PATH: u16 = 10;
    let mut room = inside;
    let wanted = wanted
        .all()
        .iter()
        .map(|column| (*column, width(*column, inside)));
    let fits = |(column, width): &(Column, u16)| {
        let least = if *column == Column::Path {
            LEAST_PATH
        } else {
            *width
        };
        let left = room.checked_sub(least + 1);
        room = left.unwrap_or_default();
        left.is_some()
    };
    wanted.take_while(fits).collect()
}

fn width(column: Column, inside: u16) -> u16 {
    let wide = inside >= 108;
    match column {
        Column::State => 2,
        Column::Name if inside >= 148 => 20,
        Column::Name if inside < 58 => 10,
        Column::Name => 12,
        Column::Id => 8,
        Column::Path => 0,
        Column::Rtt | Column::Jitter => 6,
        Column::Spark => SPARK_CELLS as u16,
        Column::Loss => 5,
        Column::Down | Column::Up if wide => 9,
        Column::Down | Column::Up => 5,
        Column::Total => 15,
        Column::Age | Column::Seen => 6,
        Column::Version => 8,
        Column::Why => 11,
    }
}

fn alignment(column: Column) -> Alignment {
    match column {
        Column::State
        | Column::Name
        | Column::Id
        | Column::Path
        | Column::Spark
        | Column::Version => Alignment::Left,
        Column::Rtt
        | Column::Loss
        | Column::Jitter
        | Column::Down
        | Column::Up
        | Column::Total
        | Column::Age
        | Column::Seen
        | Column::Why => Alignment::Right,
    }
}

/// What clicking on the heading sorts by.
fn sorted(column: Column) -> Option<sort::Column> {
    match column {
        Column::Spark
        | Column::Id
        | Column::Path
        | Column::Jitter
        | Column::Version
        | Column::Seen
        | Column::Why => None,
        Column::State => Some(sort::Column::State),
        Column::Name => Some(sort::Column::Name),
        Column::Rtt => Some(sort::Column::Rtt),
        Column::Loss => Some(sort::Column::Loss),
        Column::Down => Some(sort::Column::Down),
        Column::Up => Some(sort::Column::Up),
        Column::Total => Some(sort::Column::Total),
        Column::Age => Some(sort::Column::Age),
    }
}

fn heading(column: Column, model: &Model) -> String {
    let word = match column {
        Column::Spark => return spark_heading(model.look.glyphs),
        Column::State => "",
        Column::Name => "NAME",
        Column::Id => "ID",
        Column::Path => "PATH",
        Column::Rtt => "RTT",
        Column::Loss => "LOSS",
        Column::Jitter => "JITTER",
        Column::Down => "DOWN",
        Column::Up => "UP",
        Column::Total => "TOTAL",
        Column::Age => "AGE",
        Column::Why => "WHY",
        Column::Version => "VERSION",
        Column::Seen => "SEEN",
    };
    let by = sorted(column);
    if by == Some(model.sort.by) {
        format!("{word}{}", direction(model))
    } else {
        word.to_owned()
    }
}

/// The column to sort by whose heading stands here, inside the table's border.
pub(in crate::dash) fn heading_at(model: &Model, inside: Rect, x: u16) -> Option<sort::Column> {
    let mut left = inside.x;
    for (column, width) in columns(model, inside.width) {
        if (left..left.saturating_add(width)).contains(&x) {
            return sorted(column);
        }
        left = left.saturating_add(width + 1);
    }
    None
}

fn cell(
    model: &Model,
    peer: &PeerSnapshot,
    (column, width): (Column, u16),
    selected: bool,
) -> Line<'static> {
    let (look, glyphs) = (model.look, model.look.glyphs);
    let wide = model.screen.width >= 110;
    let rate = |rate| match (rate, wide) {
        (0, _) => "0".to_owned(),
        (rate, true) => format::rate(rate),
        (rate, false) => format::short(rate),
    };
    let words = model.words();
    let kind = words.kind(peer);
    let measured = |text: Option<String>| {
        text.filter(|_| kind.is_reached())
            .unwrap_or_else(|| glyphs.none.to_owned())
    };
    let ping = model.pings.of(peer.id).filter(|_| column == Column::Path);
    if let Some(ping) = ping {
        return ping.strip(&look, usize::from(width));
    }
    let text = match column {
        Column::State => {
            let marker = if selected { glyphs.cursor } else { " " };
            return Line::from(vec![
                Span::raw(marker),
                Span::styled(kind.glyph(glyphs), look.style(kind.role())),
            ]);
        }
        Column::Name => format::fit(&words.name(&peer.id), usize::from(width), glyphs.ellipsis),
        Column::Id => peer.id.short(),
        Column::Path if model.screen.width < 60 => kind.word().to_owned(),
        Column::Path => {
            let address = if wide && kind == Standing::Direct {
                Address::Ip
            } else {
                Address::None
            };
            let text = link(model, peer, address, usize::from(width));
            return Line::styled(text, look.style(kind.role()));
        }
        Column::Rtt | Column::Loss => {
            let rtt = Measured::rtt(peer);
            let text = if column == Column::Loss {
                rtt.map(|_| format!("{:.1}%", peer.loss * 100.0))
            } else {
                rtt.map(format::rtt)
            };
            let role = match Measured::of(peer) {
                Measured::Lately => Role::Text,
                Measured::Ago(_) | Measured::TooLongAgo => Role::Dim,
            };
            let text = Line::styled(measured(text), look.style(role));
            return text.alignment(alignment(column));
        }
        Column::Spark => return Line::raw(spark(model, peer)),
        Column::Jitter => measured(jitter(model, peer)),
        Column::Down => measured(Some(rate(peer.traffic.rx_rate))),
        Column::Up => measured(Some(rate(peer.traffic.tx_rate))),
        Column::Total => format!(
            "{}{} {}{}",
            glyphs.down,
            format::short(peer.traffic.rx_bytes),
            glyphs.up,
            format::short(peer.traffic.tx_bytes)
        ),
        Column::Age if model.is_absent(peer.id) => glyphs.none.to_owned(),
        Column::Age => format::age(peer.state_age),
        Column::Version => {
            let version = version(model, peer).unwrap_or_else(|| glyphs.none.to_owned());
            format::fit(&version, usize::from(width), glyphs.ellipsis)
        }
        Column::Seen => seen(model, peer),
        Column::Why => {
            let why = words.short_reason(peer);
            return Line::styled(why, look.style(Role::Warn)).alignment(alignment(column));
        }
    };
    Line::raw(text).alignment(alignment(column))
}

/// Where there is no room for all, the policy stays, and the address goes.
fn link(model: &Model, peer: &PeerSnapshot, address: Address, width: usize) -> String {
    let (words, ellipsis) = (model.words(), model.look.glyphs.ellipsis);
    let Some(badge) = words.badge(peer) else {
        return format::fit(&words.link(peer, address), width, ellipsis);
    };
    let room = width.saturating_sub(badge.len() + 1);
    let link = words.link_itself(peer, address);
    let link = match link.width() <= room {
        true => link,
        false => format::fit(&words.link_itself(peer, Address::None), room, ellipsis),
    };
    format::fit(&format!("{link} {badge}"), width, ellipsis)
}

/// As it tells the members of a group that it shares with this node.
fn version(model: &Model, peer: &PeerSnapshot) -> Option<String> {
    let groups = model.data().swarm.groups.iter();
    let mut members = groups.flat_map(|group| &group.members);
    let member = members.find(|member| member.id == peer.id && member.status.is_some())?;
    member
        .status
        .as_ref()
        .map(|status| printable(&status.version))
}

/// When it was last reached: now, or as long ago as this window or the address book knows.
fn seen(model: &Model, peer: &PeerSnapshot) -> String {
    if model.words().kind(peer).is_linked() {
        return "now".to_owned();
    }
    let trail = model.data().trails.peer(&peer.id);
    let left = trail.and_then(Trail::left_at_ms);
    let last = left.max(model.seen.get(&peer.id).copied());
    last.map_or_else(
        || model.look.glyphs.none.to_owned(),
        |at_ms| {
            let ago = model.data().snapshot.at_ms.saturating_sub(at_ms);
            format::age(Duration::from_millis(ago))
        },
    )
}

fn jitter(model: &Model, peer: &PeerSnapshot) -> Option<String> {
    let track = model.data().history.peer(&peer.id)?;
    let jitter = track.rtts().spread()?.jitter;
    Some(format!("{jitter:.1}ms"))
}

/// The last minute of round-trip times.
fn spark(model: &Model, peer: &PeerSnapshot) -> String {
    let track = model.data().history.peer(&peer.id);
    track.map_or_else(String::new, |track| {
        bars(model.look.glyphs, &track.rtts().means(60, SPARK_CELLS))
    })
}

/// `60s ▁1█128ms`: what the lowest and the highest bar stand for.
fn spark_heading(glyphs: &Glyphs) -> String {
    let [_, low, .., high] = glyphs.levels;
    format!("60s {low}1{high}128ms")
}

fn title(model: &Model) -> String {
    let (shown, linked) = (model.rows.len(), model.data().snapshot.peers.len());
    let dot = model.look.glyphs.dot;
    let all = linked + model.absent();
    let book = match model.absent() {
        0 => String::new(),
        count => format!(", {count} of them in the address book alone"),
    };
    if shown == all {
        format!("Peers {dot} {all}{book}")
    } else {
        format!("Peers {dot} {shown} of {all}{book}")
    }
}

fn order(model: &Model, width: u16) -> String {
    let sorted = format!("sort: {} {}", model.sort.by.word(), direction(model));
    match model.filters.peers.text() {
        _ if width < 60 => String::new(),
        "" if width < 120 => sorted,
        "" => format!("{sorted} {} filter: none", model.look.glyphs.dot),
        filter => format!("{sorted} {} filter: {filter}", model.look.glyphs.dot),
    }
}

fn direction(model: &Model) -> &'static str {
    if model.sort.reversed {
        model.look.glyphs.descending
    } else {
        model.look.glyphs.ascending
    }
}

/// `1-8 of 12`, if not all rows are on the screen.
fn range(model: &Model, height: usize) -> Option<String> {
    let count = model.rows.len();
    let last = (model.top + height).min(count);
    (count > height).then(|| format!(" {}-{last} of {count} ", model.top + 1))
}
