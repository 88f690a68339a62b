//! The whole of the groups that share their links: their members, and how they are linked to each other.

use peerway::Presence;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Clear, Paragraph, Wrap},
};
use unicode_width::UnicodeWidthStr as _;

use super::{panel, table};
use crate::{
    dash::{
        format,
        group::{self, Member, Pair},
        layout::Panel,
        look::Role,
        model::Model,
        words::nat_class,
    },
    printable::printable,
};

/// With more rows than that, a reason that is cut off is told in full below the others.
const FULL_TEXT_FROM: u16 = 8;
const NAME_WIDTH: u16 = 14;
/// With fewer columns a reason is told in a word or two.
const LABELS_BELOW: u16 = 62;
/// From here on there is room for who handed a status on.
const VIA_FROM: u16 = 86;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Glyph,
    Group,
    Name,
    State,
    Nat,
    Version,
    Direct,
    Relayed,
    Down,
    Up,
    Heard,
}

/// With the panel's width from which each is shown.
const COLUMNS: [(Column, u16); 11] = [
    (Column::Glyph, 0),
    (Column::Group, 0),
    (Column::Name, 0),
    (Column::State, 36),
    (Column::Nat, 72),
    (Column::Version, 92),
    (Column::Direct, 0),
    (Column::Relayed, 0),
    (Column::Down, 66),
    (Column::Up, 66),
    (Column::Heard, 48),
];

pub(super) fn members(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let members = group::members(model);
    let groups = &model.data().swarm.groups;
    let dot = model.look.glyphs.dot;
    let title = match &groups[..] {
        [one] => format!("Group {dot} {} {dot} {}", one.name, members.len()),
        several => format!("Groups {dot} {} {dot} {}", several.len(), members.len()),
    };
    let inside = framed(model, frame, area, &title, Panel::Members);
    if members.is_empty() {
        return table::say(model, frame, inside, &["no member matches the filter"]);
    }
    let columns: Vec<Column> = COLUMNS
        .into_iter()
        .filter(|(column, from)| {
            area.width >= *from && (*column != Column::Group || groups.len() > 1)
        })
        .map(|(column, _)| column)
        .collect();
    let height = usize::from(inside.height.saturating_sub(1));
    let shown = members.iter().enumerate().skip(model.members.top);
    let rows = shown.take(height).map(|(at, member)| {
        let cells = columns
            .iter()
            .map(|column| cell(model, member, *column, area.width));
        let selected = at == model.members.at && has_focus(model, Panel::Members);
        (cells.collect(), selected)
    });
    let heading = columns.iter().map(|column| column.heading());
    let widths = columns.iter().map(|column| column.width(inside.width));
    table::draw(model, frame, inside, (heading, widths), rows);
}

fn has_focus(model: &Model, panel: Panel) -> bool {
    model.focus == panel && model.overlay.is_none()
}

/// The border, with what limits the rows or makes them doubtful.
fn framed(model: &Model, frame: &mut Frame<'_>, area: Rect, title: &str, of: Panel) -> Rect {
    let mut notes = Vec::new();
    if let Some(lag) = group::lag(model.data()) {
        notes.push(format!("{} old", format::age(lag)));
    }
    if !model.filters.groups.is_empty() {
        notes.push(format!("filter: {}", model.filters.groups.text()));
    }
    let notes = notes.join(&format!(" {} ", model.look.glyphs.dot));
    let room = usize::from(area.width).saturating_sub(title.width() + 8);
    let notes = format::fit(&notes, room, model.look.glyphs.ellipsis);
    let block = panel(model, title, &notes, Some(of));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    inside
}

impl Column {
    fn heading(self) -> Line<'static> {
        match self {
            Self::Glyph => Line::default(),
            Self::Group => Line::raw("GROUP"),
            Self::Name => Line::raw("NAME"),
            Self::State => Line::raw("STATE"),
            Self::Nat => Line::raw("NAT"),
            Self::Version => Line::raw("VERSION"),
            Self::Direct => Line::raw("DIRECT").right_aligned(),
            Self::Relayed => Line::raw("RELAYED").right_aligned(),
            Self::Down => Line::raw("DOWN").right_aligned(),
            Self::Up => Line::raw("UP").right_aligned(),
            Self::Heard => Line::raw("HEARD").right_aligned(),
        }
    }

    fn width(self, inside: u16) -> Constraint {
        match self {
            Self::Glyph => Constraint::Length(2),
            Self::Group if inside < 58 => Constraint::Length(8),
            Self::Group => Constraint::Length(12),
            Self::Name => Constraint::Min(10),
            Self::State => Constraint::Length(9),
            Self::Nat => Constraint::Length(18),
            Self::Version => Constraint::Length(9),
            Self::Direct => Constraint::Length(6),
            Self::Relayed => Constraint::Length(7),
            Self::Down | Self::Up => Constraint::Length(5),
            Self::Heard if inside + 2 >= VIA_FROM => Constraint::Length(20),
            Self::Heard => Constraint::Length(6),
        }
    }
}

fn cell(model: &Model, member: &Member<'_>, column: Column, panel: u16) -> Line<'static> {
    let (look, glyphs) = (model.look, model.look.glyphs);
    let none = || glyphs.none.to_owned();
    let it = member.it;
    let status = it.status.as_ref();
    let (glyph, role) = group::glyph(it.presence, glyphs);
    // What no longer holds is not as bright as what does.
    let text_role = match it.presence {
        Presence::Here | Presence::Fresh => Role::Text,
        Presence::Stale | Presence::Left | Presence::Silent | Presence::Unknown | _ => Role::Dim,
    };
    let text = match column {
        Column::Glyph => {
            let glyph = Span::styled(glyph, look.style(role));
            return Line::from(vec![Span::raw(" "), glyph]);
        }
        Column::State => {
            let state = Span::styled(it.presence.to_string(), look.style(role));
            return Line::from(state);
        }
        Column::Group => return Line::styled(member.group.name.clone(), look.style(text_role)),
        Column::Name => {
            return Line::styled(group::name(model, &it.id), look.style(text_role));
        }
        Column::Nat => {
            let class = status.map_or_else(none, |it| nat_class(it.nat).to_owned());
            return Line::styled(class, look.style(text_role));
        }
        Column::Version => {
            let version = status.map_or_else(none, |it| printable(&it.version));
            return Line::styled(version, look.style(text_role));
        }
        Column::Direct => it.direct.to_string(),
        Column::Relayed if it.relayed > 0 => {
            let count = Span::styled(it.relayed.to_string(), look.style(Role::Warn));
            return Line::from(count).right_aligned();
        }
        Column::Relayed => it.relayed.to_string(),
        Column::Down => status.map_or_else(none, |it| format::short(it.rx_rate)),
        Column::Up => status.map_or_else(none, |it| format::short(it.tx_rate)),
        Column::Heard if it.presence == Presence::Here => none(),
        Column::Heard => heard(model, member, panel >= VIA_FROM).unwrap_or_else(none),
    };
    Line::styled(text, look.style(text_role)).right_aligned()
}

/// When, and by whom if not by itself where there is room for it.
fn heard(model: &Model, member: &Member<'_>, has_room: bool) -> Option<String> {
    let ago = format::age(member.heard(model.data())?);
    let via = member
        .it
        .via
        .filter(|_| has_room)
        .map(|via| group::name(model, &via));
    Some(match via {
        Some(via) => {
            let via = format::fit(&via, usize::from(NAME_WIDTH), model.look.glyphs.ellipsis);
            format!("{ago} by {via}")
        }
        None => ago,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LinkColumn {
    Glyph,
    Group,
    Pair,
    Path,
    Rtt,
    Down,
    Up,
    Why,
}

/// With this width of the panel links are told with what goes over them.
const RATES_FROM: u16 = 130;
const LINK_COLUMNS: [(LinkColumn, u16); 8] = [
    (LinkColumn::Glyph, 0),
    (LinkColumn::Group, 70),
    (LinkColumn::Pair, 0),
    (LinkColumn::Path, 0),
    (LinkColumn::Rtt, 46),
    (LinkColumn::Down, RATES_FROM),
    (LinkColumn::Up, RATES_FROM),
    (LinkColumn::Why, 52),
];

pub(super) fn links(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let pairs = group::pairs(model);
    let dot = model.look.glyphs.dot;
    let relayed = pairs.iter().filter(|pair| pair.it.is_relayed()).count();
    let relayed = match relayed {
        0 => String::new(),
        count => format!(" {dot} {count} relayed"),
    };
    let title = format!("Links {dot} {}{relayed}", pairs.len());
    let inside = framed(model, frame, area, &title, Panel::Links);
    if pairs.is_empty() {
        let text = if model.filters.groups.is_empty() {
            "no member says anything of a link yet"
        } else {
            "no pair matches the filter"
        };
        return table::say(model, frame, inside, &[text]);
    }
    let columns: Vec<LinkColumn> = LINK_COLUMNS
        .into_iter()
        .filter(|(column, from)| {
            let several = model.data().swarm.groups.len() > 1;
            area.width >= *from && (*column != LinkColumn::Group || several)
        })
        .map(|(column, _)| column)
        .collect();
    let height = usize::from(inside.height.saturating_sub(1));
    let focused = has_focus(model, Panel::Links);
    let shown = pairs.iter().enumerate().skip(model.links.top);
    let rows = shown.take(height).map(|(at, pair)| {
        let cells = columns
            .iter()
            .map(|column| link_cell(model, pair, *column, area.width));
        (cells.collect(), at == model.links.at && focused)
    });
    let heading = columns.iter().map(|column| column.heading());
    let widths = columns.iter().map(|column| column.width(area.width));
    table::draw(model, frame, inside, (heading, widths), rows);
    let selected = pairs.get(model.links.at).filter(|_| focused);
    if let Some(pair) = selected.filter(|_| inside.height >= FULL_TEXT_FROM) {
        full(model, frame, inside, pair);
    }
}

/// All that is said of the selected pair, at the end of the table.
fn full(model: &Model, frame: &mut Frame<'_>, inside: Rect, pair: &Pair<'_>) {
    let [here, there] = pair.ends().map(|end| group::name(model, &end));
    let path = pair.path(&model.words(), model.data());
    let why = pair.why(model);
    let colon = if why.is_empty() { "" } else { ": " };
    let text = format!(" {here} and {there}, {path}{colon}{why} ({here} says so)");
    let rows = text.width().div_ceil(usize::from(inside.width.max(1))) + 1;
    let rows = u16::try_from(rows).unwrap_or(u16::MAX);
    let [_, rule, words] = inside.layout(&Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(rows.min(inside.height / 2)),
    ]));
    let dashes = model.look.glyphs.border.horizontal_top;
    let dashes = dashes.repeat(usize::from(rule.width));
    frame.render_widget(Line::styled(dashes, model.look.style(Role::Dim)), rule);
    frame.render_widget(Clear, words);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), words);
}

impl LinkColumn {
    fn heading(self) -> Line<'static> {
        match self {
            Self::Glyph => Line::default(),
            Self::Group => Line::raw("GROUP"),
            Self::Pair => Line::raw("PAIR"),
            Self::Path => Line::raw("PATH"),
            Self::Rtt => Line::raw("RTT").right_aligned(),
            Self::Down => Line::raw("DOWN").right_aligned(),
            Self::Up => Line::raw("UP").right_aligned(),
            Self::Why => Line::raw("WHY"),
        }
    }

    fn width(self, panel: u16) -> Constraint {
        match self {
            Self::Glyph => Constraint::Length(2),
            Self::Group => Constraint::Length(8),
            Self::Pair => Constraint::Length(pair_width(panel)),
            Self::Path => Constraint::Length(path_width(panel)),
            Self::Rtt => Constraint::Length(6),
            Self::Down | Self::Up => Constraint::Length(5),
            Self::Why if panel < LABELS_BELOW => Constraint::Length(11),
            Self::Why => Constraint::Fill(1),
        }
    }
}

/// Of two names and what is between them.
fn pair_width(panel: u16) -> u16 {
    match panel {
        0..46 => panel.saturating_sub(16),
        46..52 => panel.saturating_sub(25),
        52..LABELS_BELOW => panel.saturating_sub(37),
        LABELS_BELOW..90 => 21,
        90.. => 2 * NAME_WIDTH + 3,
    }
}

fn path_width(panel: u16) -> u16 {
    match panel {
        0..46 => 10,
        46..90 => 12,
        90.. => 22,
    }
}

fn link_cell(model: &Model, pair: &Pair<'_>, column: LinkColumn, panel: u16) -> Line<'static> {
    let (look, glyphs) = (model.look, model.look.glyphs);
    let none = || glyphs.none.to_owned();
    let (glyph, role) = group::path_glyph(pair.says.path, glyphs);
    let fit = |text: &str, width: u16| format::fit(text, usize::from(width), glyphs.ellipsis);
    let text = match column {
        LinkColumn::Glyph => {
            let glyph = Span::styled(glyph, look.style(role));
            return Line::from(vec![Span::raw(" "), glyph]);
        }
        LinkColumn::Group => return Line::raw(fit(&pair.group.name, 8)),
        LinkColumn::Pair => {
            let each = pair_width(panel).saturating_sub(3) / 2;
            let [here, there] = pair.ends().map(|end| fit(&group::name(model, &end), each));
            return Line::raw(format!("{here} - {there}"));
        }
        LinkColumn::Path => {
            let path = pair.path(&model.words(), model.data());
            return Line::from(Span::styled(
                fit(&path, path_width(panel)),
                look.style(role),
            ));
        }
        LinkColumn::Why if panel < LABELS_BELOW => {
            let why = pair.says.why.filter(|_| !pair.it.is_direct());
            return Line::raw(why.map_or("", |why| why.label()));
        }
        LinkColumn::Why => {
            // What stands before it: the mark, both ends, the path, the round trip, and the blanks between.
            let before = 2 + 2 + pair_width(panel) + path_width(panel) + 6 + 4;
            let group = if model.data().swarm.groups.len() > 1 {
                9
            } else {
                0
            };
            let rates = if panel >= RATES_FROM { 12 } else { 0 };
            let room = panel.saturating_sub(before + group + rates);
            return Line::raw(fit(&pair.why(model), room));
        }
        LinkColumn::Rtt => pair.says.rtt.map_or_else(none, format::rtt),
        LinkColumn::Down => format::short(pair.says.rx_rate),
        LinkColumn::Up => format::short(pair.says.tx_rate),
    };
    Line::raw(text).right_aligned()
}
