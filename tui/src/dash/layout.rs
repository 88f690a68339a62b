//! Where the panels are at each size of the terminal.

use ratatui::layout::{Constraint, Layout, Rect};

pub(super) const MIN_WIDTH: u16 = 40;
pub(super) const MIN_HEIGHT: u16 = 10;
/// Lines of the details with their border.
pub(super) const DETAILS_HEIGHT: u16 = 23;

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
    /// The selected peer's details, where they stand below the table instead of over it.
    pub(super) details: Option<Rect>,
    pub(super) events: Option<Rect>,
    pub(super) footer: Rect,
}

/// What is wanted on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) focus: Panel,
    /// Only the panel with the focus.
    pub(super) expanded: bool,
    pub(super) details: bool,
}

impl Areas {
    /// The layout for a terminal of this size, or none if it is too small for any.
    pub(super) fn of(screen: Rect, wanted: Wanted) -> Option<Self> {
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
        let areas = if wanted.expanded {
            frame.single(body, wanted.focus)
        } else if screen.width >= 120 && screen.height >= 30 {
            frame.wide(body)
        } else if screen.width >= 80 && screen.height >= 16 {
            frame.medium(body)
        } else {
            frame.single(body, wanted.focus)
        };
        let tall_and_narrow = screen.width <= 84 && screen.height > 45;
        Some(if tall_and_narrow && wanted.details {
            areas.with_details()
        } else {
            areas
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

    /// Takes the details' room from the lower end of the table.
    fn with_details(self) -> Self {
        let Some(area) = self.peers else { return self };
        let [peers, details] = area.layout(&Layout::vertical([
            Constraint::Fill(1),
            Constraint::Length(DETAILS_HEIGHT),
        ]));
        Self {
            peers: Some(peers),
            details: Some(details),
            ..self
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
