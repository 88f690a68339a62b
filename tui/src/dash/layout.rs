//! Where the panels are at each size of the terminal.

use ratatui::layout::{Constraint, Layout, Rect};

pub(super) const MIN_WIDTH: u16 = 40;
pub(super) const MIN_HEIGHT: u16 = 10;

/// A panel that can have the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Peers,
    Events,
}

/// The overview's parts; what does not fit is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) header: Rect,
    pub(super) totals: Rect,
    pub(super) throughput: Option<Rect>,
    pub(super) network: Option<Rect>,
    /// Download and upload as one line each, where the throughput panel does not fit.
    pub(super) sparklines: Option<[Rect; 2]>,
    pub(super) peers: Option<Rect>,
    pub(super) events: Option<Rect>,
    pub(super) footer: Rect,
}

impl Areas {
    /// The layout for a terminal of this size, or none if it is too small for any.
    pub(super) fn of(screen: Rect, focus: Panel, expanded: bool) -> Option<Self> {
        if screen.width < MIN_WIDTH || screen.height < MIN_HEIGHT {
            return None;
        }
        let [header, totals, body, footer] = screen.layout(&Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ]));
        let frame = Self {
            header,
            totals,
            footer,
            ..Self::default()
        };
        Some(if expanded {
            frame.single(body, focus)
        } else if screen.width >= 120 && screen.height >= 30 {
            frame.wide(body)
        } else if screen.width >= 80 && screen.height >= 16 {
            frame.medium(body)
        } else {
            frame.single(body, focus)
        })
    }

    fn wide(self, body: Rect) -> Self {
        let events_height = if body.height >= 35 { 10 } else { 6 };
        let [top, peers, events] = body.layout(&Layout::vertical([
            Constraint::Length(11),
            Constraint::Fill(1),
            Constraint::Length(events_height),
        ]));
        let [throughput, network] = top.layout(&Layout::horizontal([
            Constraint::Fill(1),
            Constraint::Length(44),
        ]));
        Self {
            throughput: Some(throughput),
            network: Some(network),
            peers: Some(peers),
            events: Some(events),
            ..self
        }
    }

    fn medium(self, body: Rect) -> Self {
        let sparklines_height = if body.height >= 21 { 4 } else { 0 };
        let events_height = if body.height >= 27 { 8 } else { 5 };
        let [top, peers, events] = body.layout(&Layout::vertical([
            Constraint::Length(sparklines_height),
            Constraint::Fill(1),
            Constraint::Length(events_height),
        ]));
        let halves = top.layout(&Layout::horizontal([Constraint::Fill(1); 2]));
        Self {
            sparklines: (sparklines_height > 0).then_some(halves),
            peers: Some(peers),
            events: Some(events),
            ..self
        }
    }

    fn single(self, body: Rect, focus: Panel) -> Self {
        match focus {
            Panel::Peers => Self {
                peers: Some(body),
                ..self
            },
            Panel::Events => Self {
                events: Some(body),
                ..self
            },
        }
    }

    /// Peers that fit below the table's heading.
    pub(super) fn peer_rows(&self) -> usize {
        self.peers
            .map_or(0, |area| usize::from(area.height.saturating_sub(3)))
    }

    /// Events that fit.
    pub(super) fn event_rows(&self) -> usize {
        self.events
            .map_or(0, |area| usize::from(area.height.saturating_sub(2)))
    }
}

/// Lines of help that fit above the footer and inside a border.
pub(super) fn help_rows(screen: Rect) -> usize {
    usize::from(screen.height.saturating_sub(3))
}
