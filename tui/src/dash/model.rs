//! Everything the dashboard knows. Nothing here reads a clock or draws.

mod absent;
mod commons;
mod data;
mod origin;
mod overlay;
mod usable;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use peerway::{
    Caller, Event, EventKind, NodeSnapshot, PathPolicy, PeerId, PeerSnapshot, SwarmSnapshot, Ticket,
};
use peerway_swarm::share::Hash;
use ratatui::layout::Rect;

use crate::{Commons, printable::printable};

use absent::Table;
pub(super) use data::Data;
use data::Still;
use origin::Origin;
pub(super) use overlay::{Notice, Overlay};

use super::{
    Outage, People,
    columns::Columns,
    contents,
    diagnoses::{self, Jump},
    exposed,
    filter::{self, About, Filter, Filters},
    flows::{self, has_flows},
    group, joined,
    keymap::{Action, Chord, Context},
    keys::Keys,
    layout::{Areas, Panel, Wanted},
    list::List,
    look::Look,
    note::note_lines,
    pings::Pings,
    prompt::Known,
    scrub,
    sort::Sort,
    speed::Speed,
    stack::Scale,
    tabs::View,
    transfers::{self, Chosen},
    window::Window,
    words::{Level, Twins, Words, is_warning},
};

/// Events that are kept.
const KEPT_EVENTS: usize = 500;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) look: Look,
    pub(super) keys: Keys,
    pub(super) title: String,
    pub(super) note: String,
    pub(super) mistake: String,
    pub(super) owns_node: bool,
    pub(super) names: BTreeMap<PeerId, String>,
    acquaintances: Vec<Ticket>,
    pub(super) decided: BTreeSet<PeerId>,
    pub(super) blocked: BTreeSet<PeerId>,
    /// When peers were last seen before this window was, milliseconds since the Unix epoch.
    pub(super) seen: BTreeMap<PeerId, u64>,
    /// Seconds east of Greenwich, for times of day.
    pub(super) utc_offset_s: i32,
    pub(super) screen: Rect,
    /// So many lines at the bottom of the terminal are the screen, if not all.
    inline: Option<u16>,
    live: Data,
    still: Option<Still>,
    pub(super) view: View,
    /// Whose page is open in the peers view.
    pub(super) page: Option<PeerId>,
    origin: Option<Origin>,
    /// What the history of that page shows, milliseconds since the Unix epoch, if not now.
    pub(super) moment: Option<u64>,
    pub(super) focus: Panel,
    pub(super) expanded: bool,
    /// Peers that are shown, in order, as positions in the snapshot.
    pub(super) rows: Vec<usize>,
    /// The selected row; what is selected is the peer, and the row follows it.
    pub(super) cursor: usize,
    selected: Option<PeerId>,
    /// The first row on the screen.
    pub(super) top: usize,
    /// Of the events, the newest is the first row.
    pub(super) events: List,
    pub(super) level: Level,
    /// Events that are longer than a line take several.
    pub(super) wraps: bool,
    pub(super) pairs: List,
    pub(super) flows: List,
    /// Where this computer's ports lead: to services of peers, by peer and name.
    pub(super) tunnels: BTreeMap<(PeerId, String), String>,
    pub(super) transfers: List,
    pub(super) exposed: List,
    pub(super) chosen: Chosen,
    /// The first line of the network's report.
    pub(super) network: List,
    /// Members of groups, and the links between them.
    pub(super) members: List,
    pub(super) links: List,
    /// The member without a link to this node that is selected on the map, instead of a peer.
    pub(super) stranger: Option<PeerId>,
    /// The map as a tree instead of rings.
    pub(super) as_tree: bool,
    pub(super) columns: Option<Columns>,
    pub(super) sort: Sort,
    pub(super) filters: Filters,
    /// What is shared and fetched: the rows that are shown, as positions in what is told, and the selected one.
    pub(super) share_rows: Vec<usize>,
    pub(super) shares: List,
    pub(super) share: Option<Hash>,
    pub(super) share_sort: Sort,
    /// With whom that one is exchanged.
    pub(super) holders: List,
    /// Groups that were joined, and who and what is in the selected one.
    pub(super) groups: List,
    pub(super) group: Option<String>,
    pub(super) fellows: List,
    pub(super) posts: List,
    /// How many posts there were of each group when it was told that they are read.
    pub(super) read: BTreeMap<String, usize>,
    pub(super) window: Window,
    pub(super) scale: Scale,
    pub(super) masked: bool,
    pub(super) overlay: Option<Overlay>,
    /// The first key of a chord was pressed.
    pub(super) chord: Option<Chord>,
    /// What is wrong with the whole node; looked for when something comes, not whenever it is shown.
    pub(super) diagnoses: Vec<String>,
    /// Only peers that are neither direct nor idle.
    pub(super) faults_only: bool,
    /// The view of peers has all of the address book.
    pub(super) book: bool,
    table: Table,
    pub(super) notice: Option<Notice>,
    /// What was answered to pings.
    pub(super) pings: Pings,
    /// The policy that a peer was given, until a snapshot shows it.
    pub(super) given: Option<(PeerId, PathPolicy)>,
    /// Commands that were written, the latest last.
    pub(super) history: Vec<String>,
    pub(super) read_only: bool,
    pub(super) replay: bool,
    /// How fast it is played, if it is one.
    pub(super) speed: Speed,
    /// What is shown is written into a file.
    pub(super) recording: bool,
    /// Events that were dropped on the way here.
    pub(super) lagged: u64,
    /// Nothing is heard of the node at the moment.
    pub(super) outage: Option<Outage>,
    pub(super) stopped: bool,
    /// The screen no longer shows what is here.
    pub(super) dirty: bool,
}

impl Model {
    pub(super) fn new(
        look: Look,
        options: &super::Options,
        utc_offset_s: i32,
        first: Arc<NodeSnapshot>,
    ) -> Self {
        let model = Self {
            look,
            keys: options.keys.clone(),
            title: options.title.clone(),
            note: options.note.clone(),
            mistake: printable(&options.mistake),
            owns_node: options.owns_node,
            names: options.people.names.clone(),
            acquaintances: options.people.acquaintances.clone(),
            decided: options.people.decided.clone(),
            blocked: options.people.blocked.clone(),
            seen: options.people.seen.clone(),
            utc_offset_s,
            screen: Rect::default(),
            inline: options.inline,
            live: Data::begin(first),
            still: None,
            view: View::default(),
            page: None,
            origin: None,
            moment: None,
            focus: Panel::Peers,
            expanded: false,
            rows: Vec::new(),
            cursor: 0,
            selected: None,
            top: 0,
            events: List::default(),
            level: Level::default(),
            wraps: false,
            pairs: List::default(),
            flows: List::default(),
            tunnels: BTreeMap::new(),
            transfers: List::default(),
            exposed: List::default(),
            chosen: Chosen::default(),
            network: List::default(),
            members: List::default(),
            links: List::default(),
            stranger: None,
            as_tree: false,
            columns: options.columns.clone(),
            sort: Sort::default(),
            filters: Filters::default(),
            share_rows: Vec::new(),
            shares: List::default(),
            share: None,
            share_sort: Sort::default(),
            holders: List::default(),
            groups: List::default(),
            group: None,
            fellows: List::default(),
            posts: List::default(),
            read: BTreeMap::new(),
            window: Window::default(),
            scale: Scale::default(),
            masked: false,
            overlay: None,
            chord: None,
            diagnoses: Vec::new(),
            faults_only: false,
            book: false,
            table: Table::default(),
            notice: None,
            pings: Pings::default(),
            given: None,
            history: Vec::new(),
            read_only: options.read_only,
            replay: options.replay,
            speed: Speed::default(),
            recording: options.record.is_some(),
            lagged: 0,
            outage: None,
            stopped: false,
            dirty: true,
        };
        model.arranged()
    }

    fn arranged(mut self) -> Self {
        self.arrange();
        self
    }

    /// The address book has changed.
    pub(super) fn meet(&mut self, people: People) {
        self.dirty = true;
        (self.names, self.acquaintances) = (people.names, people.acquaintances);
        (self.decided, self.seen) = (people.decided, people.seen);
        self.blocked = people.blocked;
    }

    /// Nothing is heard of the node, or it is there again.
    pub(super) fn lose(&mut self, outage: Option<Outage>) {
        self.dirty = true;
        self.outage = outage;
    }

    /// The terminal has become another size.
    pub(super) fn resize(&mut self, width: u16, height: u16) {
        let lines = self.inline.map_or(height, |lines| lines.min(height));
        self.screen = Rect::new(0, height - lines, width, lines);
    }

    /// Who called and was not let in, the latest first, but for those of whom it is decided.
    pub(super) fn callers(&self) -> Vec<&Caller> {
        let callers = self.data().snapshot.turned_away.iter();
        callers
            .filter(|caller| !self.decided.contains(&caller.id))
            .collect()
    }

    /// The peers that the first letters of their ids are enough for.
    pub(super) fn known(&self) -> Vec<Ticket> {
        let before = &self.acquaintances;
        let is_new = |id: &PeerId| before.iter().all(|known| known.id() != *id);
        let shown = self.live.snapshot.peers.iter().map(|peer| peer.id);
        let new = shown.filter(is_new).map(Ticket::from);
        before.iter().cloned().chain(new).collect()
    }

    /// What a command may name: peers of the address book, those who are shown, and transfers.
    pub(super) fn nameable(&self) -> Known {
        let shown = self.data().snapshot.peers.iter();
        let mut known: BTreeMap<_, _> = shown.map(|peer| (peer.id, peer.id.short())).collect();
        known.extend(self.names.clone());
        let transfers = transfers::all(self.data()).iter();
        Known {
            peers: known,
            transfers: transfers.map(|it| (it.id, transfers::name(it))).collect(),
        }
    }

    pub(super) fn record(&mut self, snapshot: Arc<NodeSnapshot>) {
        let jump = Jump::between(&self.live.snapshot, &snapshot);
        self.live.jump = jump.or(self.live.jump);
        self.live.changes.record(&self.live.snapshot, &snapshot);
        self.live.history.record(&snapshot);
        self.live.trails.record(&snapshot);
        self.live.twins = Twins::of(&snapshot);
        self.live.snapshot = snapshot;
    }

    pub(super) fn hear_of_groups(&mut self, swarm: Arc<SwarmSnapshot>) {
        self.live.swarm = swarm;
        self.dirty |= !self.is_frozen();
    }

    pub(super) fn hear_of_commons(&mut self, commons: Arc<Commons>) {
        self.live.meters.record(&commons);
        self.live.commons = Some(commons);
        self.dirty |= !self.is_frozen();
    }

    pub(super) fn push_event(&mut self, event: Event) {
        let areas = self.areas(self.screen);
        let shown = !self.is_frozen() && areas.is_some_and(|areas| areas.events.is_some());
        let is_news = event.at_ms >= self.live.began_ms;
        if is_warning(&event.kind) && is_news && !shown {
            self.live.unread += 1;
        }
        let is_listed = self.lists(&event);
        let is_loss = matches!(event.kind, EventKind::RelayDown { .. });
        self.live.trails.note(&event);
        self.live.events.push_back(event);
        if self.live.events.len() > KEPT_EVENTS {
            self.live.events.pop_front();
        }
        if is_loss {
            self.diagnoses = diagnoses::of(self);
        }
        let stays = self.events.at > 0 || self.moment.is_some();
        if stays && !self.is_frozen() && is_listed {
            self.events.at += 1;
            self.events.top += 1;
        }
    }

    /// How many of the events should be looked at, on a page of those that are about its peer.
    pub(super) fn warnings(&self) -> usize {
        let events = self.data().events.iter();
        let of_page = |event: &&Event| self.page.is_none_or(|id| event.kind.peer() == Some(id));
        let warnings = events.filter(|event| is_warning(&event.kind));
        warnings.filter(of_page).count()
    }

    pub(super) fn words(&self) -> Words<'_> {
        Words {
            names: &self.names,
            glyphs: self.look.glyphs,
            trails: &self.data().trails,
            blocked: &self.blocked,
            twins: &self.data().twins,
            masked: self.masked,
        }
    }

    /// The layout of a screen, which while drawing may differ from the last size that was told.
    pub(super) fn areas(&self, screen: Rect) -> Option<Areas> {
        let wanted = Wanted {
            view: self.view,
            page: self.page.is_some(),
            note: note_lines(self, screen.width),
            focus: self.focus,
            expanded: self.expanded,
            details: matches!(self.overlay, Some(Overlay::Details)),
            rows: self.data().snapshot.peers.len() + self.absent(),
            flows: has_flows(&self.data().snapshot),
            // Where a filter leaves none, a line says so.
            transfers: least_one(transfers::listed(self).len(), transfers::all(self.data())),
            exposed: least_one(exposed::listed(self).len(), exposed::all(self.data())),
            pairs: self.page_peer().map_or(0, |peer| peer.pairs.len()),
            events: self
                .page
                .map_or(0, |_| self.listed_events().take(100).count()),
            diagnoses: if self.view == View::Events {
                self.diagnoses.len()
            } else {
                0
            },
            groups: (self.view == View::Map && group::is_shared(self.data())).then(|| {
                let groups = self.data().swarm.groups.iter();
                groups.fold((0, 0), |(members, links), group| {
                    (members + group.members.len(), links + group.pairs.len())
                })
            }),
            commons: match self.view {
                View::Shares => self.share_rows.len(),
                View::Groups => joined::all(self.data()).len(),
                View::Overview
                | View::Peers
                | View::Network
                | View::Flows
                | View::Map
                | View::Events => 0,
            },
        };
        Areas::of(screen, wanted)
    }

    /// The key that leaves, as sentences name it.
    pub(super) fn quit_key(&self) -> String {
        let key = self
            .keys
            .first(Context::Peers, Action::Quit, self.look.glyphs);
        // Which always does.
        key.unwrap_or_else(|| "^C".to_owned())
    }

    pub(super) fn context(&self) -> Context {
        if let Some(chord) = self.chord {
            return chord.context();
        }
        match self.overlay {
            None => match self.focus {
                Panel::Peers => Context::Peers,
                Panel::Page => Context::Page,
                Panel::Pairs => Context::Pairs,
                Panel::Network => Context::Network,
                Panel::Flows => Context::Flows,
                Panel::Transfers => Context::Transfers,
                Panel::Exposed => Context::Exposed,
                Panel::Map => Context::Map,
                Panel::Members => Context::Members,
                Panel::Links => Context::Links,
                Panel::Events => Context::Events,
                Panel::Shares => Context::Shares,
                Panel::Holders => Context::Holders,
                Panel::Groups => Context::Groups,
                Panel::Fellows => Context::Fellows,
                Panel::Posts => Context::Posts,
            },
            Some(Overlay::Help { .. }) => Context::Help,
            Some(Overlay::Connect(_)) => Context::Connect,
            Some(Overlay::Filter { .. }) => Context::Filter,
            Some(Overlay::Share) => Context::Share,
            Some(Overlay::Prompt(_)) => Context::Prompt,
            Some(Overlay::Name { .. }) => Context::Name,
            Some(Overlay::Callers { .. }) => Context::Callers,
            Some(Overlay::Homes { .. }) => Context::Homes,
            Some(Overlay::Services { .. }) => Context::Services,
            Some(Overlay::Confirm { .. } | Overlay::Cancel(_)) => Context::Sure,
            Some(Overlay::Sort { .. }) => Context::Sort,
            Some(Overlay::Details) => Context::Details,
            Some(Overlay::Flow) if self.focus == Panel::Transfers => Context::Transfer,
            Some(Overlay::Flow) => Context::Flow,
            Some(Overlay::Stranger(_)) => Context::Stranger,
            Some(Overlay::ConfirmQuit { .. }) => Context::Confirm,
        }
    }

    /// Goes to a view, whose first panel gets the focus.
    pub(super) fn go_to(&mut self, view: View) {
        self.view = view;
        self.page = None;
        self.origin = None;
        self.moment = None;
        self.stranger = None;
        self.expanded = false;
        self.focus = self.panels().first().copied().unwrap_or(Panel::Peers);
    }

    /// Opens the selected peer's page, if a peer is selected.
    pub(super) fn open_page(&mut self) {
        if let Some(peer) = self.selected {
            let origin = self.take_origin();
            self.go_to(View::Peers);
            (self.page, self.origin) = (Some(peer), origin);
            self.focus = Panel::Page;
            self.events = List::default();
        }
    }

    /// Whose page is open, as long as the node knows of the peer.
    pub(super) fn page_peer(&self) -> Option<&PeerSnapshot> {
        self.data().snapshot.peer(self.page?)
    }

    /// The events that are listed, newest first: of the level, and on a page of its peer.
    pub(super) fn listed_events(&self) -> impl Iterator<Item = &Event> {
        let events = self.data().events.iter().rev();
        events.filter(|event| self.lists(event))
    }

    fn lists(&self, event: &Event) -> bool {
        let rule = &self.filters.events;
        self.level.shows(&event.kind)
            && self.page.is_none_or(|id| event.kind.peer() == Some(id))
            && (rule.is_empty() || rule.shows(&filter::of_event(event, &self.words())))
    }

    /// A list that has a cursor of its own, and how many rows it has.
    pub(super) fn list(&mut self, panel: Panel) -> Option<(&mut List, usize)> {
        match panel {
            Panel::Events => {
                let count = self.listed_events().count();
                Some((&mut self.events, count))
            }
            Panel::Pairs => {
                let count = self.page_peer().map_or(0, |peer| peer.pairs.len());
                Some((&mut self.pairs, count))
            }
            Panel::Flows => {
                let count = flows::listed(self).len();
                Some((&mut self.flows, count))
            }
            Panel::Transfers => {
                let count = transfers::listed(self).len();
                Some((&mut self.transfers, count))
            }
            Panel::Exposed => {
                let count = exposed::listed(self).len();
                Some((&mut self.exposed, count))
            }
            Panel::Members => {
                let count = group::members(self).len();
                Some((&mut self.members, count))
            }
            Panel::Links => {
                let count = group::pairs(self).len();
                Some((&mut self.links, count))
            }
            Panel::Shares => Some((&mut self.shares, self.share_rows.len())),
            Panel::Holders => {
                let count = contents::peers(self).len();
                Some((&mut self.holders, count))
            }
            Panel::Groups => {
                let count = joined::all(self.data()).len();
                Some((&mut self.groups, count))
            }
            Panel::Fellows => {
                let count = joined::fellows(self).len();
                Some((&mut self.fellows, count))
            }
            Panel::Posts => {
                let count = joined::posts(self).len();
                Some((&mut self.posts, count))
            }
            Panel::Peers | Panel::Page | Panel::Network | Panel::Map => None,
        }
    }

    /// The panels that may have the focus.
    pub(super) fn panels(&self) -> &'static [Panel] {
        match self.page {
            Some(_) => &[Panel::Page, Panel::Pairs, Panel::Events],
            None if self.view == View::Map && !group::is_shared(self.data()) => &[Panel::Map],
            None if self.view == View::Flows => self.panels_of_flows(),
            None => self.view.panels(),
        }
    }

    /// The next panel of this view, or the one before; in a view of one panel, the view after or before.
    pub(super) fn step_panel(&mut self, by: isize) {
        let panels = self.panels();
        if panels.len() < 2 {
            return self.go_to(self.view.step(by));
        }
        let at = panels.iter().position(|panel| *panel == self.focus);
        let to = at.unwrap_or(0).cast_signed() + by;
        let to = to.rem_euclid(panels.len().cast_signed()).cast_unsigned();
        if let Some(panel) = panels.get(to) {
            self.focus = *panel;
        }
    }

    /// Brings rows, selection and scrolling in line with everything else.
    pub(super) fn arrange(&mut self) {
        self.arrange_rows();
        self.diagnoses = diagnoses::of(self);
        self.arrange_groups();
        scrub::keep(self);
        let areas = self.areas(self.screen).unwrap_or_default();
        let height = areas.peer_rows().max(1);
        self.top = self
            .top
            .clamp((self.cursor + 1).saturating_sub(height), self.cursor)
            .min(self.rows.len().saturating_sub(height));
        if areas.events.is_some() && !self.is_frozen() {
            self.live.unread = 0;
        }
        let events = self.listed_events().count();
        self.events.keep(events, areas.event_rows());
        let pairs = self.page_peer().map_or(0, |peer| peer.pairs.len());
        self.pairs.keep(pairs, areas.pair_rows());
        let flows = flows::listed(self).len();
        self.flows.keep(flows, areas.flow_rows());
        if self.view == View::Map {
            let (members, links) = (group::members(self).len(), group::pairs(self).len());
            self.members.keep(members, areas.list_rows(Panel::Members));
            self.links.keep(links, areas.list_rows(Panel::Links));
        }
        match self.view {
            View::Flows => self.arrange_transfers(),
            View::Shares => self.arrange_shares(),
            View::Groups => self.arrange_joined(),
            View::Overview | View::Peers | View::Network | View::Map | View::Events => {}
        }
    }

    /// What is selected may be gone, or the groups may be shared no more.
    fn arrange_groups(&mut self) {
        let may_go = matches!(self.view, View::Map | View::Flows);
        if may_go && !self.panels().contains(&self.focus) {
            self.focus = self.panels().first().copied().unwrap_or(Panel::Peers);
            self.close_flow();
        }
        if let Some(id) = self.stranger
            && !group::strangers(self).contains_key(&id)
        {
            self.stranger = None;
        }
    }

    /// The filter of what is listed where the focus is.
    pub(super) fn about(&self) -> About {
        match self.focus {
            Panel::Events => About::Events,
            Panel::Members | Panel::Links => About::Groups,
            Panel::Shares | Panel::Holders => About::Shares,
            Panel::Groups | Panel::Fellows => About::Members,
            Panel::Posts => About::Posts,
            Panel::Flows | Panel::Transfers | Panel::Exposed => About::Flows,
            Panel::Peers | Panel::Page | Panel::Pairs | Panel::Network | Panel::Map => About::Peers,
        }
    }

    /// Other rows may be listed then.
    pub(super) fn take_filter(&mut self, about: About, filter: Filter) {
        *self.filter_of(about) = filter;
        if matches!(about, About::Events) {
            scrub::mark(self);
        }
    }

    pub(super) fn filter_of(&mut self, about: About) -> &mut Filter {
        self.filters.of(about)
    }
}

/// So many rows; one of a list that has some, none of which is shown.
fn least_one<T>(shown: usize, all: &[T]) -> usize {
    shown.max(usize::from(!all.is_empty()))
}
