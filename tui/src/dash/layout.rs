//! Where the panels are at each size of the terminal.

mod commons;
mod page;

use ratatui::layout::{Constraint, Layout, Margin, Rect};

use super::tabs::View;

pub(super) use commons::holders_head;
pub(super) use page::PageAreas;

pub(super) const MIN_WIDTH: u16 = 40;
pub(super) const MIN_HEIGHT: u16 = 10;
/// Lines of the details with their border.
pub(super) const DETAILS_HEIGHT: u16 = 23;

/// Lines for the selected peer below a table that leaves room.
const INSPECTOR_HEIGHT: u16 = 12;

/// A border, a bar and a legend.
const LEAST_CHARTS: u16 = 4;

/// A panel that can have the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Peers,
    /// Why a peer is reached as it is, on its page.
    Page,
    /// The addresses that were probed, on the page.
    Pairs,
    Network,
    Flows,
    /// Files that come and go.
    Transfers,
    /// Servers that peers may use.
    Exposed,
    Map,
    /// Members of groups.
    Members,
    /// How they are linked.
    Links,
    Events,
    /// What is shared and fetched.
    Shares,
    /// The selected one of these, and with whom it is exchanged.
    Holders,
    /// Groups that were joined.
    Groups,
    /// Members of the selected one.
    Fellows,
    /// What was said in it.
    Posts,
}

/// Where something that concerns the whole screen is told in a line of its own.
const NOTE_FROM: u16 = 16;

/// The parts of a view; what does not fit is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) header: Rect,
    pub(super) tabs: Rect,
    pub(super) note: Option<Rect>,
    pub(super) throughput: Option<Rect>,
    pub(super) network: Option<Rect>,
    /// Download and upload as one line each, where the throughput panel does not fit.
    pub(super) sparklines: Option<[Rect; 2]>,
    pub(super) peers: Option<Rect>,
    /// The selected peer's details, where they stand below the table instead of over it.
    pub(super) details: Option<Rect>,
    /// The peer page, in the place of the table.
    pub(super) page: Option<PageAreas>,
    pub(super) flows: Option<Rect>,
    pub(super) transfers: Option<Rect>,
    pub(super) exposed: Option<Rect>,
    pub(super) map: Option<Rect>,
    pub(super) members: Option<Rect>,
    pub(super) links: Option<Rect>,
    /// What is wrong with the whole node, above the events.
    pub(super) diagnoses: Option<Rect>,
    pub(super) events: Option<Rect>,
    pub(super) shares: Option<Rect>,
    pub(super) holders: Option<Rect>,
    pub(super) groups: Option<Rect>,
    pub(super) fellows: Option<Rect>,
    pub(super) posts: Option<Rect>,
    pub(super) footer: Rect,
}

/// What is wanted on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) view: View,
    /// The peer page instead of the table.
    pub(super) page: bool,
    /// Lines about what concerns the whole screen.
    pub(super) note: u16,
    pub(super) focus: Panel,
    /// Only the panel with the focus.
    pub(super) expanded: bool,
    pub(super) details: bool,
    /// Peers in the table.
    pub(super) rows: usize,
    /// Whether any flow is open: for a card of them.
    pub(super) flows: bool,
    /// Transfers that go on.
    pub(super) transfers: usize,
    /// Servers that are exposed.
    pub(super) exposed: usize,
    /// Rows of the pairs' table, on a page.
    pub(super) pairs: usize,
    /// Events that are listed, up to what a page shows.
    pub(super) events: usize,
    /// Lines about what is wrong with the whole node.
    pub(super) diagnoses: usize,
    /// Members of groups that share, and their links; none if no group does.
    pub(super) groups: Option<(usize, usize)>,
    /// Rows of the table of shares, or of groups that were joined.
    pub(super) commons: usize,
}

impl Areas {
    /// The layout for a terminal of this size, or none if it is too small for any.
    pub(super) fn of(screen: Rect, wanted: Wanted) -> Option<Self> {
        if screen.width < MIN_WIDTH || screen.height < MIN_HEIGHT {
            return None;
        }
        let has_note = wanted.note > 0 && screen.height >= NOTE_FROM;
        // One is enough where there is little room.
        let lines = if screen.height >= 2 * MIN_HEIGHT {
            wanted.note
        } else {
            1
        };
        let [header, tabs, note, body, footer] = screen.layout(&Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(if has_note { lines } else { 0 }),
            Constraint::Fill(1),
            Constraint::Length(1),
        ]));
        let frame = Self {
            header,
            tabs,
            note: has_note.then_some(note),
            footer,
            ..Self::default()
        };
        let areas = match wanted.view {
            View::Overview => frame.overview(screen, body, wanted),
            View::Peers if wanted.page => frame.page(screen, body, wanted),
            View::Peers => frame.single(body, Panel::Peers),
            View::Network => frame.single(body, Panel::Network),
            View::Flows => frame.flows(body, wanted),
            View::Map => frame.map(body, wanted),
            View::Events => frame.events(body, wanted.diagnoses),
            View::Shares => frame.shares(body, wanted),
            View::Groups => frame.joined(body, wanted),
        };
        Some(if is_tall_and_narrow(screen) && wanted.details {
            areas.with_details()
        } else {
            areas
        })
    }

    fn overview(self, screen: Rect, body: Rect, wanted: Wanted) -> Self {
        if wanted.expanded {
            self.single(body, wanted.focus)
        } else if screen.width >= 120 && screen.height >= 30 {
            self.wide(body, wanted)
        } else if screen.width >= 80 && screen.height >= 16 {
            self.medium(body, wanted.rows)
        } else {
            self.narrow(body, wanted)
        }
    }

    fn wide(self, body: Rect, wanted: Wanted) -> Self {
        let least_events = if body.height >= 35 { 10 } else { 6 };
        let [top, peers, bottom] = shares(body, wanted.rows, (11, body.height / 3), least_events);
        let [throughput, network] = top.layout(&Layout::horizontal([
            Constraint::Fill(1),
            Constraint::Length(44),
        ]));
        let flows = if wanted.flows { bottom.width / 2 } else { 0 };
        let [flows, events] = bottom.layout(&Layout::horizontal([
            Constraint::Length(flows),
            Constraint::Fill(1),
        ]));
        Self {
            flows: (flows.width > 0).then_some(flows),
            throughput: Some(throughput),
            network: Some(network),
            peers: Some(peers),
            events: Some(events),
            ..self
        }
    }

    fn medium(self, body: Rect, rows: usize) -> Self {
        let charts = if body.height >= 19 {
            (4, body.height / 5)
        } else {
            (0, 0)
        };
        let least_events = if body.height >= 27 { 8 } else { 5 };
        let [top, peers, events] = shares(body, rows, charts, least_events);
        let halves = top.layout(&Layout::horizontal([Constraint::Fill(1); 2]));
        Self {
            sparklines: (top.height > 0).then_some(halves),
            peers: Some(peers),
            events: Some(events),
            ..self
        }
    }

    /// The panel with the focus alone, unless the table leaves room.
    fn narrow(self, body: Rect, wanted: Wanted) -> Self {
        const LEAST_EVENTS: u16 = 6;
        let peers = filled(wanted.rows);
        if wanted.focus == Panel::Events || peers.saturating_add(LEAST_EVENTS) > body.height {
            return self.single(body, wanted.focus);
        }
        let most = if body.width >= 60 { body.height / 3 } else { 0 };
        let [top, peers, events] = shares(body, wanted.rows, (0, most), LEAST_EVENTS);
        let halves = top.layout(&Layout::horizontal([Constraint::Fill(1); 2]));
        Self {
            sparklines: (top.height > 0).then_some(halves),
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
            Panel::Page | Panel::Pairs => self,
            Panel::Network => Self {
                network: Some(body),
                ..self
            },
            Panel::Flows => Self {
                flows: Some(body),
                ..self
            },
            Panel::Transfers => Self {
                transfers: Some(body),
                ..self
            },
            Panel::Exposed => Self {
                exposed: Some(body),
                ..self
            },
            Panel::Map => Self {
                map: Some(body),
                ..self
            },
            Panel::Members => Self {
                members: Some(body),
                ..self
            },
            Panel::Links => Self {
                links: Some(body),
                ..self
            },
            Panel::Events => Self {
                events: Some(body),
                ..self
            },
            Panel::Shares => Self {
                shares: Some(body),
                ..self
            },
            Panel::Holders => Self {
                holders: Some(body),
                ..self
            },
            Panel::Groups => Self {
                groups: Some(body),
                ..self
            },
            Panel::Fellows => Self {
                fellows: Some(body),
                ..self
            },
            Panel::Posts => Self {
                posts: Some(body),
                ..self
            },
        }
    }

    /// Transfers above the connections that carry them, and what is exposed below, if there are any; with less room what has the focus.
    fn flows(self, body: Rect, wanted: Wanted) -> Self {
        const HEADED: u16 = 3;
        if wanted.transfers + wanted.exposed == 0 {
            return self.single(body, Panel::Flows);
        }
        let has_both = wanted.transfers > 0 && wanted.exposed > 0;
        let least = if has_both { 5 * HEADED } else { 4 * HEADED };
        if wanted.expanded || body.height < least {
            return self.single(body, wanted.focus);
        }
        let height = |rows: usize, most: u16| match u16::try_from(rows) {
            Ok(0) => 0,
            rows => rows.unwrap_or(u16::MAX).saturating_add(HEADED).min(most),
        };
        let most = body.height / if has_both { 3 } else { 2 };
        let [transfers, flows, exposed] = body.layout(&Layout::vertical([
            Constraint::Length(height(wanted.transfers, most)),
            Constraint::Fill(1),
            Constraint::Length(height(wanted.exposed, most)),
        ]));
        Self {
            transfers: (wanted.transfers > 0).then_some(transfers),
            exposed: (wanted.exposed > 0).then_some(exposed),
            ..self.single(flows, Panel::Flows)
        }
    }

    /// What is wrong above what happened, if there is anything wrong, and room for it.
    fn events(self, body: Rect, diagnoses: usize) -> Self {
        const LEAST_EVENTS: u16 = 5;
        let height = u16::try_from(diagnoses + 2).unwrap_or(u16::MAX);
        if diagnoses == 0 || height.saturating_add(LEAST_EVENTS) > body.height {
            return self.single(body, Panel::Events);
        }
        let [diagnoses, events] = body.layout(&Layout::vertical([
            Constraint::Length(height),
            Constraint::Fill(1),
        ]));
        Self {
            diagnoses: Some(diagnoses),
            ..self.single(events, Panel::Events)
        }
    }

    /// The map, and beside or below it the groups, where there are any; with less room what has the focus.
    fn map(self, body: Rect, wanted: Wanted) -> Self {
        const HEADED: u16 = 3;
        let Some((members, links)) = wanted.groups.filter(|_| !wanted.expanded) else {
            return self.single(body, wanted.focus);
        };
        let height = |rows: usize| {
            let rows = u16::try_from(rows.max(1)).unwrap_or(u16::MAX);
            rows.saturating_add(HEADED)
        };
        let (members, links) = (height(members), height(links));
        let with = |map, [members, links]: [Rect; 2]| Self {
            map,
            members: Some(members),
            links: Some(links),
            ..self
        };
        let stacked = |area: Rect| {
            let members = members.min(area.height / 2);
            area.layout(&Layout::vertical([
                Constraint::Length(members),
                Constraint::Fill(1),
            ]))
        };
        if body.width >= 160 && body.height >= 24 {
            let [map, tables] = body.layout(&Layout::horizontal([Constraint::Fill(1); 2]));
            with(Some(map), stacked(tables))
        } else if body.width >= 100 && body.height >= 28 {
            let tables = members.max(links.min(16)).clamp(6, body.height / 2);
            let [map, tables] = body.layout(&Layout::vertical([
                Constraint::Fill(1),
                Constraint::Length(tables),
            ]));
            let tables = tables.layout(&Layout::horizontal([
                Constraint::Percentage(42),
                Constraint::Fill(1),
            ]));
            with(Some(map), tables)
        } else if body.height >= 40 {
            let [map, tables] = body.layout(&Layout::vertical([Constraint::Fill(1); 2]));
            with(Some(map), stacked(tables))
        } else if wanted.focus != Panel::Map && body.height >= 16 {
            with(None, stacked(body))
        } else {
            self.single(body, wanted.focus)
        }
    }

    /// A page in the place of the table, or below it.
    fn page(self, screen: Rect, body: Rect, wanted: Wanted) -> Self {
        let mut areas = self;
        let mut page = body;
        if is_tall_and_narrow(screen) && !wanted.expanded {
            let [peers, rest] = body.layout(&Layout::vertical([
                Constraint::Length(body.height / 3),
                Constraint::Fill(1),
            ]));
            (areas.peers, page) = (Some(peers), rest);
        }
        areas.page = Some(PageAreas::of(
            page,
            wanted.focus,
            wanted.expanded,
            (wanted.pairs, wanted.events),
        ));
        areas
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

    /// Rows of such a list that are seen at once.
    pub(super) fn list_rows(&self, panel: Panel) -> usize {
        self.list(panel).map_or(0, |rows| usize::from(rows.height))
    }

    /// Events that fit.
    pub(super) fn event_rows(&self) -> usize {
        let events = self.page.map_or(self.events, |page| page.events);
        events.map_or(0, |area| usize::from(area.height.saturating_sub(2)))
    }

    /// Pairs that fit below their heading.
    pub(super) fn pair_rows(&self) -> usize {
        let pairs = self.page.and_then(|page| page.pairs);
        pairs.map_or(0, |area| usize::from(area.height.saturating_sub(3)))
    }

    /// Where the rows of a list are that has a cursor of its own.
    pub(super) fn list(&self, panel: Panel) -> Option<Rect> {
        let (area, headings) = match panel {
            Panel::Events => (self.page.map_or(self.events, |page| page.events), 0),
            Panel::Pairs => (self.page.and_then(|page| page.pairs), 1),
            Panel::Flows => (self.flows, 1),
            Panel::Transfers => (self.transfers, 1),
            Panel::Exposed => (self.exposed, 1),
            Panel::Members => (self.members, 1),
            Panel::Links => (self.links, 1),
            Panel::Shares => (self.shares, 1),
            Panel::Holders => (self.holders, holders_head(self.holders)),
            Panel::Groups => (self.groups, 1),
            Panel::Fellows => (self.fellows, 1),
            Panel::Posts => (self.posts, 0),
            Panel::Peers | Panel::Page | Panel::Network | Panel::Map => (None, 0),
        };
        let inside = area?.inner(Margin::new(1, 1));
        Some(Rect {
            y: inside.y + headings,
            height: inside.height.saturating_sub(headings),
            ..inside
        })
    }

    /// Flows that fit below their heading.
    pub(super) fn flow_rows(&self) -> usize {
        self.flows
            .map_or(0, |area| usize::from(area.height.saturating_sub(3)))
    }
}

fn is_tall_and_narrow(screen: Rect) -> bool {
    screen.width <= 84 && screen.height > 45
}

/// The height of a table of so many peers with all that is said of the selected one.
fn filled(rows: usize) -> u16 {
    u16::try_from(rows.max(1))
        .unwrap_or(u16::MAX)
        .saturating_add(3 + INSPECTOR_HEIGHT)
}

/// Charts, peers and events from top to bottom. What the table and the selected peer do not need is for the charts, up to
/// their limit, and for the events.
fn shares(body: Rect, rows: usize, (least, most): (u16, u16), events: u16) -> [Rect; 3] {
    let room = body.height.saturating_sub(events);
    let charts = room
        .saturating_sub(filled(rows))
        .clamp(least, most.max(least));
    let charts = if charts < LEAST_CHARTS { 0 } else { charts };
    let peers = room.saturating_sub(charts).min(filled(rows));
    body.layout(&Layout::vertical([
        Constraint::Length(charts),
        Constraint::Length(peers),
        Constraint::Fill(1),
    ]))
}

/// Lines of help that fit above the footer and inside a border.
pub(super) fn help_rows(screen: Rect) -> usize {
    usize::from(screen.height.saturating_sub(3))
}
