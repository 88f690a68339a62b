//! Where the parts of a peer's page are.

use ratatui::layout::{Constraint, Layout, Rect};

use super::Panel;

/// A border, the time, the strip, its legend and the shares.
const STRIP_HEIGHT: u16 = 6;

/// The parts of a page; what does not fit is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dash) struct PageAreas {
    /// The line that says whose page it is.
    pub(in crate::dash) crumb: Rect,
    pub(in crate::dash) why: Option<Rect>,
    pub(in crate::dash) strip: Option<Rect>,
    pub(in crate::dash) rtt: Option<Rect>,
    pub(in crate::dash) pairs: Option<Rect>,
    pub(in crate::dash) events: Option<Rect>,
}

impl PageAreas {
    /// The tables have so many pairs and events.
    pub(super) fn of(
        area: Rect,
        focus: Panel,
        expanded: bool,
        (pairs, events): (usize, usize),
    ) -> Self {
        let [crumb, body] = area.layout(&Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
        ]));
        let page = Self {
            crumb,
            ..Self::default()
        };
        let height = |rows: usize| u16::try_from(rows.max(1)).unwrap_or(u16::MAX);
        let (pairs, events) = (
            height(pairs).saturating_add(3),
            height(events).saturating_add(2),
        );
        if expanded || body.height < 12 {
            page.single(body, focus)
        } else if body.width >= 100 && body.height >= 24 {
            page.wide(body, pairs, events)
        } else if body.height >= 34 {
            page.tall(body, pairs)
        } else if body.height >= 18 {
            page.medium(body, focus, (pairs, events))
        } else if focus == Panel::Page {
            let [why, strip] = rows(body, [0, STRIP_HEIGHT - 1]);
            Self {
                why: Some(why),
                strip: Some(strip),
                ..page
            }
        } else {
            page.single(body, focus)
        }
    }

    fn single(self, body: Rect, focus: Panel) -> Self {
        match focus {
            Panel::Pairs => Self {
                pairs: Some(body),
                ..self
            },
            Panel::Events => Self {
                events: Some(body),
                ..self
            },
            Panel::Peers
            | Panel::Page
            | Panel::Network
            | Panel::Flows
            | Panel::Transfers
            | Panel::Exposed
            | Panel::Map
            | Panel::Members
            | Panel::Links
            | Panel::Shares
            | Panel::Holders
            | Panel::Groups
            | Panel::Fellows
            | Panel::Posts => Self {
                why: Some(body),
                ..self
            },
        }
    }

    /// Reasons and charts side by side, the tables below.
    fn wide(self, body: Rect, pairs: u16, events: u16) -> Self {
        let pairs = pairs.min(body.height / 3);
        // What the tables leave is for the reasons, up to all that is known.
        let most = body
            .height
            .saturating_sub(pairs.saturating_add(events.max(5)));
        let top = most.clamp((body.height * 2 / 5).max(12), 28.max(body.height / 2));
        let [top, pairs, events] = body.layout(&Layout::vertical([
            Constraint::Length(top),
            Constraint::Length(pairs),
            Constraint::Fill(1),
        ]));
        let [why, charts] = top.layout(&Layout::horizontal([Constraint::Fill(1); 2]));
        let [strip, rtt] = rows(charts, [STRIP_HEIGHT, 0]);
        Self {
            why: Some(why),
            strip: Some(strip),
            rtt: Some(rtt),
            pairs: Some(pairs),
            events: Some(events),
            ..self
        }
    }

    /// Everything one below the other.
    fn tall(self, body: Rect, pairs: u16) -> Self {
        let [why, strip, rtt, pairs, events] = body.layout(&Layout::vertical([
            Constraint::Fill(2),
            Constraint::Length(STRIP_HEIGHT),
            Constraint::Length(8),
            Constraint::Length(pairs.min(body.height / 4)),
            Constraint::Fill(1),
        ]));
        Self {
            why: Some(why),
            strip: Some(strip),
            rtt: Some(rtt),
            pairs: Some(pairs),
            events: Some(events),
            ..self
        }
    }

    /// Of the tables only the one with the focus.
    fn medium(self, body: Rect, focus: Panel, (pairs, events): (u16, u16)) -> Self {
        let table = if focus == Panel::Pairs { pairs } else { events };
        let [why, charts, table] = body.layout(&Layout::vertical([
            Constraint::Fill(1),
            Constraint::Length(STRIP_HEIGHT),
            // What the table leaves is for the reasons.
            Constraint::Length(table.min(body.height / 4 + 1)),
        ]));
        let [strip, rtt] = charts.layout(&Layout::horizontal([Constraint::Fill(1); 2]));
        let is_wide = body.width >= 80;
        let pairs = focus == Panel::Pairs;
        Self {
            why: Some(why),
            strip: Some(if is_wide { strip } else { charts }),
            rtt: is_wide.then_some(rtt),
            pairs: pairs.then_some(table),
            events: (!pairs).then_some(table),
            ..self
        }
    }
}

/// Two parts of these heights; the one of height 0 has what is left.
fn rows(area: Rect, heights: [u16; 2]) -> [Rect; 2] {
    area.layout(&Layout::vertical(heights.map(|height| match height {
        0 => Constraint::Fill(1),
        height => Constraint::Length(height),
    })))
}
