//! The groups that the node belongs to, who is in the selected one, and what was said there.

use peerway::PeerSnapshot;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Clear, Paragraph, Table, Wrap},
};
use unicode_width::UnicodeWidthStr as _;

use super::{panel, selectable, table};
use crate::{
    commons::Joined,
    dash::{
        filter::Filter,
        format, group,
        joined::{self, Fellow, Tie},
        layout::Panel,
        look::Role,
        model::Model,
        words::Standing,
    },
    printable::printable,
};

/// With more lines than that, a post that is cut off is told in full below the others.
const FULL_TEXT_FROM: u16 = 4;
const NAME_WIDTH: usize = 12;
const DAY_MS: u64 = 24 * 3600 * 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Glyph,
    Name,
    Role,
    Members,
    Online,
    Relayed,
    Unread,
    Last,
    Posts,
    Id,
}

/// With the panel's width from which each is shown.
const COLUMNS: [(Column, u16); 10] = [
    (Column::Glyph, 0),
    (Column::Name, 0),
    (Column::Role, 52),
    (Column::Members, 0),
    (Column::Online, 0),
    (Column::Relayed, 62),
    (Column::Unread, 0),
    (Column::Last, 72),
    (Column::Posts, 90),
    (Column::Id, 110),
];

pub(super) fn groups(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let all = joined::all(model.data());
    let dot = model.look.glyphs.dot;
    let title = format!("Groups {dot} {}", all.len());
    let block = panel(model, &title, "", Some(Panel::Groups));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if all.is_empty() {
        let lines: &[&str] = if model.data().commons.is_none() {
            &[
                "Nothing of its groups is told here.",
                "Its owner sees it, at its computer.",
            ]
        } else {
            &[
                "This node belongs to no group.",
                "`peerway group create NAME` makes one, `group join INVITE` joins one.",
            ]
        };
        return table::say(model, frame, inside, lines);
    }
    let columns = table::fitting(COLUMNS, area.width);
    let height = usize::from(inside.height.saturating_sub(1));
    let shown = all.iter().enumerate().skip(model.groups.top);
    let rows = shown.take(height).map(|(at, joined)| {
        let cells = columns.iter().map(|column| cell(model, joined, *column));
        let selected = at == model.groups.at && model.overlay.is_none();
        (cells.collect(), selected)
    });
    let heading = columns.iter().map(|column| column.heading());
    let widths = columns.iter().map(|column| column.width());
    table::draw(model, frame, inside, (heading, widths), rows);
}

impl Column {
    fn heading(self) -> Line<'static> {
        let text = match self {
            Self::Glyph => "",
            Self::Name => return Line::raw("NAME"),
            Self::Role => return Line::raw("ROLE"),
            Self::Members => "MEMBERS",
            Self::Online => "ONLINE",
            Self::Relayed => "RELAYED",
            Self::Unread => "UNREAD",
            Self::Last => "LAST",
            Self::Posts => "POSTS",
            Self::Id => return Line::raw("ID"),
        };
        Line::raw(text).right_aligned()
    }

    fn width(self) -> Constraint {
        match self {
            Self::Glyph => Constraint::Length(2),
            Self::Name => Constraint::Fill(1),
            Self::Role => Constraint::Length(8),
            Self::Members | Self::Relayed => Constraint::Length(7),
            Self::Online | Self::Unread | Self::Last | Self::Posts => Constraint::Length(6),
            Self::Id => Constraint::Length(8),
        }
    }
}

fn cell(model: &Model, joined: &Joined, column: Column) -> Line<'static> {
    let (look, glyphs, data) = (model.look, model.look.glyphs, model.data());
    let none = || glyphs.none.to_owned();
    let it = &joined.group;
    let fellows = || {
        let fellows = joined::of(data, it).into_iter();
        fellows.filter(|fellow| fellow.standing.is_member())
    };
    let is_relayed = |fellow: &Fellow<'_>| matches!(fellow.standing, Tie::Peer(peer) if Standing::of(peer) == Standing::Relay);
    let counted = |count: usize, role: Role| {
        let role = if count > 0 { role } else { Role::Text };
        Line::from(Span::styled(count.to_string(), look.style(role))).right_aligned()
    };
    let text = match column {
        Column::Glyph => {
            let (glyph, role) = match (it.role, it.has_key) {
                (None, _) => (glyphs.unreachable, Role::Bad),
                (Some(_), false) => (glyphs.connecting, Role::Warn),
                (Some(_), true) => (glyphs.direct, Role::Good),
            };
            return Line::from(vec![Span::raw(" "), Span::styled(glyph, look.style(role))]);
        }
        Column::Name => return Line::raw(joined::apart(&printable(&it.name))),
        Column::Role => {
            return Line::raw(it.role.map_or("removed", |role| role.word()));
        }
        Column::Id => return Line::raw(it.id.chars().take(8).collect::<String>()),
        Column::Members => it.members.len().to_string(),
        Column::Online => fellows()
            .filter(|fellow| fellow.standing.is_online())
            .count()
            .to_string(),
        Column::Relayed => return counted(fellows().filter(is_relayed).count(), Role::Warn),
        Column::Unread => return counted(it.unread, Role::Info),
        Column::Posts => it.posts.to_string(),
        Column::Last => joined
            .posts
            .last()
            .map_or_else(none, |post| format::age(joined::ago(data, post.sent_ms))),
    };
    Line::raw(text).right_aligned()
}

/// The border, with what limits the rows.
fn framed(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    (of, filter): (Panel, &Filter),
) -> Rect {
    let notes = if filter.is_empty() {
        String::new()
    } else {
        format!("filter: {}", printable(filter.text()))
    };
    let room = usize::from(area.width).saturating_sub(title.width() + 8);
    let notes = format::fit(&notes, room, model.look.glyphs.ellipsis);
    let block = panel(model, title, &notes, Some(of));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    inside
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FellowColumn {
    Glyph,
    Name,
    Role,
    Path,
    Rtt,
    Since,
    Why,
}

const FELLOW_COLUMNS: [(FellowColumn, u16); 7] = [
    (FellowColumn::Glyph, 0),
    (FellowColumn::Name, 0),
    (FellowColumn::Role, 48),
    (FellowColumn::Path, 0),
    (FellowColumn::Rtt, 44),
    (FellowColumn::Since, 78),
    (FellowColumn::Why, 60),
];

/// Who belongs to the selected group, and who did.
pub(super) fn fellows(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let fellows = joined::fellows(model);
    let members = fellows.iter().filter(|it| it.standing.is_member());
    let online = members.clone().filter(|it| it.standing.is_online()).count();
    let dot = model.look.glyphs.dot;
    let group = joined::selected(model).map_or_else(String::new, |joined| {
        format!(" {dot} {}", joined::apart(&printable(&joined.group.name)))
    });
    let count = members.count();
    let title = format!("Members{group} {dot} {online} of {count} online");
    let room = usize::from(area.width).saturating_sub(6);
    let title = format::fit(&title, room, model.look.glyphs.ellipsis);
    let of = (Panel::Fellows, &model.filters.members);
    let inside = framed(model, frame, area, &title, of);
    if fellows.is_empty() {
        let text = if model.filters.members.is_empty() {
            "no group is selected"
        } else {
            "no member matches the filter"
        };
        return table::say(model, frame, inside, &[text]);
    }
    let columns = table::fitting(FELLOW_COLUMNS, area.width);
    let focused = model.focus == Panel::Fellows && model.overlay.is_none();
    let height = usize::from(inside.height.saturating_sub(1));
    let shown = fellows.iter().enumerate().skip(model.fellows.top);
    let rows = shown.take(height).map(|(at, fellow)| {
        let cells = columns
            .iter()
            .map(|column| fellow_cell(model, fellow, *column));
        (cells.collect(), focused && at == model.fellows.at)
    });
    let heading = columns.iter().map(|column| match column {
        FellowColumn::Glyph => Line::default(),
        FellowColumn::Name => Line::raw("NAME"),
        FellowColumn::Role => Line::raw("ROLE"),
        FellowColumn::Path => Line::raw("PATH"),
        FellowColumn::Rtt => Line::raw("RTT").right_aligned(),
        FellowColumn::Since => Line::raw("SINCE").right_aligned(),
        FellowColumn::Why => Line::raw("WHY").right_aligned(),
    });
    let widths = columns.iter().map(|column| match column {
        FellowColumn::Glyph => Constraint::Length(2),
        FellowColumn::Name => Constraint::Fill(2),
        FellowColumn::Role => Constraint::Length(8),
        FellowColumn::Path => Constraint::Fill(3),
        FellowColumn::Rtt | FellowColumn::Since => Constraint::Length(6),
        FellowColumn::Why => Constraint::Length(11),
    });
    table::draw(model, frame, inside, (heading, widths), rows);
}

fn fellow_cell(model: &Model, fellow: &Fellow<'_>, column: FellowColumn) -> Line<'static> {
    let (look, glyphs, words) = (model.look, model.look.glyphs, model.words());
    let (glyph, role) = fellow.standing.glyph(glyphs);
    let is_there = fellow.standing.is_online();
    let text_role = if is_there { Role::Text } else { Role::Dim };
    let peer: Option<&PeerSnapshot> = match fellow.standing {
        Tie::Peer(peer) => Some(peer),
        Tie::Here | Tie::Heard | Tie::Unseen | Tie::Left | Tie::Removed => None,
    };
    let left = |text: String, role: Role| Line::styled(text, look.style(role));
    let text = match column {
        FellowColumn::Glyph => {
            return Line::from(vec![Span::raw(" "), Span::styled(glyph, look.style(role))]);
        }
        FellowColumn::Name => return left(group::name(model, &fellow.id), text_role),
        FellowColumn::Role => return left(fellow.role.word().to_owned(), text_role),
        FellowColumn::Path => {
            let text = fellow.standing.text(model);
            return Line::from(Span::styled(text, look.style(role)));
        }
        FellowColumn::Rtt => {
            let rtt = peer.filter(|_| is_there).and_then(|peer| peer.rtt);
            rtt.map_or_else(|| glyphs.none.to_owned(), format::rtt)
        }
        FellowColumn::Since => format::age(joined::ago(model.data(), fellow.since_ms)),
        FellowColumn::Why => peer.map_or("", |peer| words.short_reason(peer)).to_owned(),
    };
    Line::styled(text, look.style(text_role)).right_aligned()
}

/// What was said, newest first.
pub(super) fn posts(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let (glyphs, data) = (model.look.glyphs, model.data());
    let posts = joined::posts(model);
    let unread = joined::selected(model).map_or(0, |joined| joined.group.unread);
    let dot = glyphs.dot;
    let title = match unread {
        0 => "Messages".to_owned(),
        count => format!("Messages {dot} {count} unread"),
    };
    let of = (Panel::Posts, &model.filters.posts);
    let inside = framed(model, frame, area, &title, of);
    if posts.is_empty() {
        let text = match joined::selected(model) {
            None => "no group is selected",
            Some(_) if !model.filters.posts.is_empty() => "no message matches the filter",
            Some(_) => "nothing was said yet: `peerway group post NAME TEXT`",
        };
        return table::say(model, frame, inside, &[text]);
    }
    let focused = model.focus == Panel::Posts && model.overlay.is_none();
    let height = usize::from(inside.height);
    let shown = posts.iter().enumerate().skip(model.posts.top).take(height);
    let rows = shown.map(|(at, (post, is_unread))| {
        let is_old = data.snapshot.at_ms.saturating_sub(post.sent_ms) >= DAY_MS;
        let when = if is_old {
            format!("{:>8}", format::age(joined::ago(data, post.sent_ms)))
        } else {
            format::clock(post.sent_ms, model.utc_offset_s)
        };
        let mark = if *is_unread { dot } else { " " };
        let name = group::name(model, &post.author);
        let name = format::fit(&name, NAME_WIDTH, glyphs.ellipsis);
        let pad = " ".repeat(NAME_WIDTH.saturating_sub(name.width()));
        let (text_role, name_role) = match (&post.text, *is_unread) {
            (None, _) => (Role::Dim, Role::Dim),
            (Some(_), true) => (Role::Title, Role::Title),
            (Some(_), false) => (Role::Text, Role::Text),
        };
        let line = Line::from(vec![
            Span::raw(" "),
            Span::styled(when, model.look.style(Role::Dim)),
            Span::styled(format!(" {mark} "), model.look.style(Role::Info)),
            Span::styled(format!("{name}{pad} "), model.look.style(name_role)),
            Span::styled(joined::text(model, post), model.look.style(text_role)),
        ]);
        let line = table::shortened(line, inside.width, model.look.glyphs.ellipsis);
        selectable(model, vec![line], focused && at == model.posts.at)
    });
    let table = Table::new(rows, [Constraint::Fill(1)]);
    frame.render_widget(table, inside);
    let selected = posts.get(model.posts.at).filter(|_| focused);
    if let Some((post, _)) = selected
        && inside.height >= FULL_TEXT_FROM
    {
        full(model, frame, inside, &joined::lines(model, post));
    }
}

/// All of the selected post, where the line does not hold it.
fn full(model: &Model, frame: &mut Frame<'_>, inside: Rect, lines: &[String]) {
    // The time, the mark and the name.
    const BEFORE: usize = 13 + NAME_WIDTH;
    let width = usize::from(inside.width.max(1));
    let fits = |line: &String| line.width() + BEFORE <= width;
    if matches!(lines, [] | [_]) && lines.iter().all(fits) {
        return;
    }
    let folded = lines.iter().map(|line| match line.width().div_ceil(width) {
        0 | 1 => 1,
        // Words that do not fit go on to the next line.
        rows => rows + 1,
    });
    let rows = u16::try_from(folded.sum::<usize>()).unwrap_or(u16::MAX);
    let [_, rule, words] = inside.layout(&Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(rows.min(inside.height / 2)),
    ]));
    let dashes = model.look.glyphs.border.horizontal_top;
    let dashes = dashes.repeat(usize::from(rule.width));
    frame.render_widget(Line::styled(dashes, model.look.style(Role::Dim)), rule);
    frame.render_widget(Clear, words);
    let text = Paragraph::new(lines.join("\n")).wrap(Wrap { trim: false });
    frame.render_widget(text, words);
}
