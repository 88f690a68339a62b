//! Where shares are, and groups that were joined.

use ratatui::layout::{Constraint, Layout, Rect};

use super::{Areas, Panel, Wanted};

/// A border and a heading.
const HEADED: u16 = 3;
/// What is said of the selected share, with its border, and some of those with whom it is exchanged.
const SELECTED: u16 = 14;
/// With fewer lines inside, less is said of it and more of those.
const TERSE_BELOW: u16 = 9;

impl Areas {
    /// The table, and below it the selected one; with less room what has the focus.
    pub(super) fn shares(self, body: Rect, wanted: Wanted) -> Self {
        if wanted.expanded || body.height < SELECTED + 2 * HEADED {
            return self.single(body, wanted.focus);
        }
        let most = body.height.saturating_sub(SELECTED);
        let [shares, holders] = body.layout(&Layout::vertical([
            Constraint::Length(height(wanted.commons).min(most)),
            Constraint::Fill(1),
        ]));
        Self {
            shares: Some(shares),
            holders: Some(holders),
            ..self
        }
    }

    /// The table, and below it members and posts of the selected group; with less room what has the focus.
    pub(super) fn joined(self, body: Rect, wanted: Wanted) -> Self {
        if wanted.expanded || body.height < 5 * HEADED {
            return self.single(body, wanted.focus);
        }
        let most = body.height / 4;
        let [groups, rest] = body.layout(&Layout::vertical([
            Constraint::Length(height(wanted.commons).min(most.max(HEADED + 1))),
            Constraint::Fill(1),
        ]));
        let two = if body.width >= 100 {
            Layout::horizontal([Constraint::Percentage(58), Constraint::Fill(1)])
        } else if body.height >= 8 * HEADED {
            Layout::vertical([Constraint::Fill(1); 2])
        } else {
            // There is room for one of the two.
            let below = if wanted.focus == Panel::Posts {
                Panel::Posts
            } else {
                Panel::Fellows
            };
            return Self {
                groups: Some(groups),
                ..self.single(rest, below)
            };
        };
        let [fellows, posts] = rest.layout(&two);
        Self {
            groups: Some(groups),
            fellows: Some(fellows),
            posts: Some(posts),
            ..self
        }
    }
}

/// Of a table of so many rows.
fn height(rows: usize) -> u16 {
    let rows = u16::try_from(rows.max(1)).unwrap_or(u16::MAX);
    rows.saturating_add(HEADED)
}

/// Lines before the first of those with whom a share is exchanged: what is said of it, and the heading.
pub(in crate::dash) fn holders_head(panel: Option<Rect>) -> u16 {
    let inside = panel.map_or(0, |panel| panel.height.saturating_sub(2));
    if inside < TERSE_BELOW { 3 } else { 7 }
}
