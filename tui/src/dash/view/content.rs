//! What is shared and fetched, and with whom the selected one is exchanged.

use peerway_swarm::share::{ContentPeer, ContentState, Kind};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr as _;

use super::{panel, table};
use crate::{
    dash::{
        contents::{self, Content},
        format,
        layout::{Panel, holders_head},
        look::Role,
        model::Model,
        sort,
        words::{Address, Standing},
    },
    printable::printable,
};

/// Of the bar that shows how much is here.
const BAR: usize = 16;
const BAR_FROM: u16 = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Glyph,
    Name,
    State,
    Size,
    Done,
    Holders,
    Down,
    Up,
    Left,
    Total,
    For,
}

/// With the panel's width from which each is shown.
const COLUMNS: [(Column, u16); 11] = [
    (Column::Glyph, 0),
    (Column::Name, 0),
    (Column::State, 52),
    (Column::Size, 0),
    (Column::Done, 0),
    (Column::Holders, 62),
    (Column::Down, 44),
    (Column::Up, 56),
    (Column::Left, 76),
    (Column::Total, 124),
    (Column::For, 110),
];

/// The table of all.
pub(super) fn shares(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let all = contents::told(model.data());
    let dot = model.look.glyphs.dot;
    let title = format!("Shares {dot} {}", model.share_rows.len());
    let right = right(model, area, &title);
    let block = panel(model, &title, &right, Some(Panel::Shares));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if model.share_rows.is_empty() {
        let lines: &[&str] = if !all.is_empty() {
            &["no share matches the filter"]
        } else if model.data().commons.is_none() {
            &[
                "Nothing of its shares is told here.",
                "Its owner sees it, at its computer.",
            ]
        } else {
            &[
                "Nothing is shared, and nothing fetched.",
                "`peerway share FILE` shares something, `peerway get LINK` fetches it.",
            ]
        };
        return table::say(model, frame, inside, lines);
    }
    let columns = table::fitting(COLUMNS, area.width);
    let height = usize::from(inside.height.saturating_sub(1));
    let shown = contents::rows(model).enumerate().skip(model.shares.top);
    let rows = shown.take(height).map(|(at, content)| {
        let cells = columns
            .iter()
            .map(|column| cell(model, &content, *column, area.width));
        let selected = at == model.shares.at && model.overlay.is_none();
        (cells.collect(), selected)
    });
    let heading = columns.iter().map(|column| {
        let sorted = model.share_sort;
        let mark = match (column.sorted() == Some(sorted.by), sorted.reversed) {
            (false, _) => "",
            (true, false) => model.look.glyphs.ascending,
            (true, true) => model.look.glyphs.descending,
        };
        column.align(format!("{}{mark}", column.heading()))
    });
    let widths = columns.iter().map(|column| column.width(area.width));
    table::draw(model, frame, inside, (heading, widths), rows);
}

/// The order and the filter, as far as there is room.
fn right(model: &Model, area: Rect, title: &str) -> String {
    let glyphs = model.look.glyphs;
    let direction = if model.share_sort.reversed {
        glyphs.descending
    } else {
        glyphs.ascending
    };
    let sort = format!("sort: {} {direction}", model.share_sort.by.word());
    let text = if model.filters.shares.is_empty() {
        sort
    } else {
        let dot = glyphs.dot;
        format!(
            "{sort} {dot} filter: {}",
            printable(model.filters.shares.text())
        )
    };
    let room = usize::from(area.width).saturating_sub(title.width() + 8);
    format::fit(&text, room, glyphs.ellipsis)
}

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Self::Glyph => "",
            Self::Name => "NAME",
            Self::State => "STATE",
            Self::Size => "SIZE",
            Self::Done => "DONE",
            Self::Holders => "HOLDERS",
            Self::Down => "DOWN",
            Self::Up => "UP",
            Self::Left => "LEFT",
            Self::Total => "TOTAL",
            Self::For => "FOR",
        }
    }

    fn sorted(self) -> Option<sort::Column> {
        match self {
            Self::Name => Some(sort::Column::Name),
            Self::State => Some(sort::Column::State),
            Self::Size => Some(sort::Column::Size),
            Self::Done => Some(sort::Column::Done),
            Self::Holders => Some(sort::Column::Holders),
            Self::Down => Some(sort::Column::Down),
            Self::Up => Some(sort::Column::Up),
            Self::Total => Some(sort::Column::Total),
            Self::Glyph | Self::Left | Self::For => None,
        }
    }

    fn width(self, panel: u16) -> Constraint {
        match self {
            Self::Glyph => Constraint::Length(2),
            Self::Name => Constraint::Fill(1),
            Self::State => Constraint::Length(9),
            Self::Done if panel >= BAR_FROM => Constraint::Length(BAR as u16 + 5),
            Self::Size | Self::Done | Self::Left | Self::Down | Self::Up => Constraint::Length(6),
            Self::Holders => Constraint::Length(8),
            Self::Total => Constraint::Length(15),
            Self::For => Constraint::Length(6),
        }
    }

    fn align(self, text: String) -> Line<'static> {
        let line = Line::raw(text);
        match self {
            Self::Glyph | Self::Name | Self::State | Self::For => line,
            Self::Size
            | Self::Done
            | Self::Holders
            | Self::Down
            | Self::Up
            | Self::Left
            | Self::Total => line.right_aligned(),
        }
    }
}

fn cell(model: &Model, content: &Content<'_>, column: Column, panel: u16) -> Line<'static> {
    let (look, glyphs) = (model.look, model.look.glyphs);
    let none = || glyphs.none.to_owned();
    let it = content.it;
    let (glyph, role) = contents::glyph(it.state, glyphs);
    let rate = |rate: u64| {
        if rate == 0 {
            none()
        } else {
            format::short(rate)
        }
    };
    let text = match column {
        Column::Glyph => {
            let glyph = Span::styled(glyph, look.style(role));
            return Line::from(vec![Span::raw(" "), glyph]);
        }
        Column::State => {
            return Line::from(Span::styled(contents::word(it.state), look.style(role)));
        }
        Column::Name => content.name(),
        Column::Size if it.bytes == 0 && it.kind == Kind::Folder => none(),
        Column::Size => format::short(it.bytes),
        Column::Done if panel >= BAR_FROM => {
            format!("{} {:>3}%", bar(model, content.done()), content.done())
        }
        Column::Done => format!("{}%", content.done()),
        Column::Holders => content.holders().to_string(),
        Column::Down => rate(content.rates.down),
        Column::Up => rate(content.rates.up),
        Column::Left => content.left().map_or_else(none, format::age),
        Column::Total => format!(
            "{}{} {}{}",
            glyphs.down,
            format::short(it.received),
            glyphs.up,
            format::short(it.sent)
        ),
        Column::For => if it.public { "link" } else { "book" }.to_owned(),
    };
    column.align(text)
}

fn bar(model: &Model, percent: u8) -> String {
    let levels = model.look.glyphs.levels;
    let eighths = usize::from(percent) * BAR * 8 / 100;
    let cells = (0..BAR).map(|cell| {
        let level = eighths.saturating_sub(cell * 8).min(8);
        // Bars lie: only whole cells are drawn, and halves as nearly full ones.
        let full = levels.last().copied().unwrap_or("#");
        if level >= 4 {
            full
        } else {
            model.look.glyphs.point
        }
    });
    cells.collect()
}

/// What is said of the selected share, and with whom it is exchanged.
pub(super) fn holders(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let selected = contents::selected(model);
    let title = selected.map_or_else(|| "Share".to_owned(), |content| content.name());
    let room = usize::from(area.width).saturating_sub(8);
    let title = format::fit(&title, room, model.look.glyphs.ellipsis);
    let block = panel(model, &title, "", Some(Panel::Holders));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let Some(content) = selected else {
        return table::say(model, frame, inside, &["no share is selected"]);
    };
    let head = holders_head(Some(area)).saturating_sub(1);
    let [said, table] = inside.layout(&Layout::vertical([
        Constraint::Length(head),
        Constraint::Fill(1),
    ]));
    for (line, row) in said_of(model, &content, said).into_iter().zip(said.rows()) {
        frame.render_widget(line, row);
    }
    peers(model, frame, table);
}

/// What matters most comes first: there may be room for two lines.
fn said_of(model: &Model, content: &Content<'_>, area: Rect) -> Vec<Line<'static>> {
    let (look, glyphs, it) = (model.look, model.look.glyphs, content.it);
    let (_, role) = contents::glyph(it.state, glyphs);
    let dot = glyphs.dot;
    let mut state = match it.state {
        ContentState::Fetching | ContentState::Waiting | ContentState::Paused => format!(
            "{}% {dot} {} of {}",
            content.done(),
            format::bytes(it.bytes_done),
            format::bytes(it.bytes)
        ),
        ContentState::Fetched
        | ContentState::Shared
        | ContentState::Changed
        | ContentState::Unknown
        | _ => format::bytes(it.bytes),
    };
    if it.kind == Kind::Folder {
        state.push_str(&format!(" {dot} {} of {} files", it.files_done, it.files));
    }
    if let Some(left) = content.left() {
        state.push_str(&format!(" {dot} {} left", format::age(left)));
    }
    let why = match it.state {
        ContentState::Waiting => "nobody who is there has what is missing".to_owned(),
        ContentState::Changed if it.reason.is_none() => {
            "its file is another now: share it again".to_owned()
        }
        ContentState::Fetching
        | ContentState::Paused
        | ContentState::Fetched
        | ContentState::Shared
        | ContentState::Changed
        | ContentState::Unknown
        | _ => it.reason.as_deref().map(printable).unwrap_or_default(),
    };
    let word = format!(" {:<10}", contents::word(it.state));
    let mut first = vec![Span::styled(word, look.style(role)), Span::raw(state)];
    if !why.is_empty() {
        let is_fine = it.state == ContentState::Shared;
        let role = if is_fine { Role::Dim } else { Role::Warn };
        first.push(Span::styled(format!("  {why}"), look.style(role)));
    }
    let rates = format!(
        "{} {}  {} {} {dot} in all {} {}  {} {}",
        glyphs.down,
        format::rate(content.rates.down),
        glyphs.up,
        format::rate(content.rates.up),
        glyphs.down,
        format::bytes(it.received),
        glyphs.up,
        format::bytes(it.sent),
    );
    let whom = if it.public {
        "whoever has the link"
    } else {
        "peers of the address book"
    };
    let path = if model.masked {
        "hidden".to_owned()
    } else {
        printable(&it.path.display().to_string())
    };
    let labelled = |label: &str, text: String| {
        let room = usize::from(area.width).saturating_sub(12);
        Line::from(vec![
            Span::styled(format!(" {label:<10}"), look.style(Role::Dim)),
            Span::raw(format::fit(&text, room, glyphs.ellipsis)),
        ])
    };
    let mut lines = vec![Line::from(first), labelled("now", rates)];
    if !it.pieces.is_empty() {
        lines.push(labelled("pieces", pieces(model, &it.pieces, area.width)));
    }
    lines.extend([
        labelled("path", path),
        labelled("for", whom.to_owned()),
        labelled("hash", it.hash.to_string()),
    ]);
    lines
}

/// Which of it is here, from its beginning to its end; a column per part, or per several.
fn pieces(model: &Model, pieces: &[u8], width: u16) -> String {
    let glyphs = model.look.glyphs;
    let room = usize::from(width).saturating_sub(12).max(1);
    let per = pieces.len().div_ceil(room).max(1);
    let columns = pieces.chunks(per).map(|part| {
        let sum: usize = part.iter().map(|it| usize::from(*it)).sum();
        let percent = sum / part.len().max(1);
        match percent {
            0 => glyphs.point,
            100 => glyphs.levels.last().copied().unwrap_or("#"),
            _ => {
                let level = (percent * 8 / 100).clamp(1, 7);
                glyphs.levels.get(level).copied().unwrap_or("+")
            }
        }
    });
    columns.collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PeerColumn {
    Glyph,
    Name,
    Has,
    Path,
    Received,
    Sent,
}

const PEER_COLUMNS: [(PeerColumn, u16); 6] = [
    (PeerColumn::Glyph, 0),
    (PeerColumn::Name, 0),
    (PeerColumn::Has, 0),
    (PeerColumn::Path, 50),
    (PeerColumn::Received, 0),
    (PeerColumn::Sent, 0),
];

fn peers(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let peers = contents::peers(model);
    if peers.is_empty() {
        let line = Line::styled(
            " nobody fetches it or gives any of it",
            model.look.style(Role::Dim),
        );
        return frame.render_widget(line, area);
    }
    let columns = table::fitting(PEER_COLUMNS, area.width);
    let height = usize::from(area.height.saturating_sub(1));
    let shown = peers.iter().enumerate().skip(model.holders.top);
    let focused = model.focus == Panel::Holders && model.overlay.is_none();
    let rows = shown.take(height).map(|(at, peer)| {
        let cells = columns.iter().map(|column| peer_cell(model, peer, *column));
        (cells.collect(), focused && at == model.holders.at)
    });
    let heading = columns.iter().map(|column| match column {
        PeerColumn::Glyph => Line::default(),
        PeerColumn::Name => Line::raw("WITH"),
        PeerColumn::Has => Line::raw("HAS").right_aligned(),
        PeerColumn::Path => Line::raw("PATH"),
        PeerColumn::Received => Line::raw("FROM IT").right_aligned(),
        PeerColumn::Sent => Line::raw("TO IT").right_aligned(),
    });
    let widths = columns.iter().map(|column| match column {
        PeerColumn::Glyph => Constraint::Length(2),
        PeerColumn::Name => Constraint::Fill(1),
        PeerColumn::Has => Constraint::Length(5),
        PeerColumn::Path => Constraint::Fill(2),
        PeerColumn::Received | PeerColumn::Sent => Constraint::Length(8),
    });
    table::draw(model, frame, area, (heading, widths), rows);
}

fn peer_cell(model: &Model, peer: &ContentPeer, column: PeerColumn) -> Line<'static> {
    let (look, glyphs, words) = (model.look, model.look.glyphs, model.words());
    let none = || glyphs.none.to_owned();
    let snapshot = model.data().snapshot.peer(peer.id);
    let moved = |bytes: u64| {
        if bytes == 0 {
            none()
        } else {
            format::short(bytes)
        }
    };
    let text = match column {
        PeerColumn::Glyph => {
            let (glyph, role) = if peer.active {
                (glyphs.direct, Role::Good)
            } else {
                (glyphs.idle, Role::Dim)
            };
            return Line::from(vec![Span::raw(" "), Span::styled(glyph, look.style(role))]);
        }
        PeerColumn::Name => return Line::raw(words.name(&peer.id)),
        PeerColumn::Path => {
            let Some(peer) = snapshot else {
                return Line::styled("no link", look.style(Role::Dim));
            };
            let link = words.link(peer, Address::None);
            return Line::styled(link, look.style(Standing::of(peer).role()));
        }
        PeerColumn::Has => peer.has.map_or_else(none, |has| format!("{has}%")),
        PeerColumn::Received => moved(peer.received),
        PeerColumn::Sent => moved(peer.sent),
    };
    Line::raw(text).right_aligned()
}
