//! The rows of the table of peers: those of the node, and below them, where they are wanted, all others of the address book.

use std::{collections::BTreeMap, time::Duration};

use peerway::{PeerId, PeerSnapshot, PeerState};

use crate::dash::{filter, model::Model, sort::Sort, tabs::View};

/// As long as the cursor was moved that lately, no row goes away from under it.
const MOVED_LATELY: Duration = Duration::from_millis(900);

/// What the table has beyond the node's peers in the order of the moment.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Those of the address book whom the node has nothing to do with, below the others.
    absent: Vec<PeerSnapshot>,
    /// While the cursor is being moved.
    order: Option<HeldOrder>,
}

/// The order in which rows stay for now.
#[derive(Debug)]
struct HeldOrder {
    places: BTreeMap<PeerId, usize>,
    until: Duration,
}

impl Model {
    /// The peer in a row of the table.
    pub(in crate::dash) fn peer(&self, row: usize) -> Option<&PeerSnapshot> {
        self.placed(*self.rows.get(row)?)
    }

    pub(in crate::dash) fn selected(&self) -> Option<&PeerSnapshot> {
        self.peer(self.cursor)
    }

    /// Whether the node has nothing to do with the peer, who is shown because the address book has it.
    pub(in crate::dash) fn is_absent(&self, peer: PeerId) -> bool {
        self.table.absent.iter().any(|it| it.id == peer)
    }

    /// How many of those there are.
    pub(in crate::dash) fn absent(&self) -> usize {
        self.table.absent.len()
    }

    /// Selects a peer, if it is shown.
    pub(in crate::dash) fn select_shown(&mut self, peer: PeerId) -> bool {
        let found = self.row_of(peer);
        if let Some(row) = found {
            self.select_row(row);
        }
        found.is_some()
    }

    pub(in crate::dash) fn select_row(&mut self, row: usize) {
        self.cursor = row.min(self.rows.len().saturating_sub(1));
        self.selected = self.selected().map(|peer| peer.id);
    }

    /// Selects a peer, which may be hidden by the filter.
    pub(in crate::dash) fn select(&mut self, peer: PeerId) {
        self.cursor = self.row_of(peer).unwrap_or(self.cursor);
        self.selected = Some(peer);
        self.stranger = None;
    }

    /// Keeps the rows in their order while the user goes through them; `before` is where the cursor was, and by what they were sorted.
    pub(in crate::dash) fn hold_order(
        &mut self,
        before: (usize, Sort),
        is_users: bool,
        now: Duration,
    ) {
        if self.sort != before.1 {
            self.table.order = None;
        } else if is_users && self.cursor != before.0 {
            let rows = 0..self.rows.len();
            let ids = rows.filter_map(|row| Some((self.peer(row)?.id, row)));
            self.table.order = Some(HeldOrder {
                places: ids.collect(),
                until: now + MOVED_LATELY,
            });
        } else if self
            .table
            .order
            .as_ref()
            .is_some_and(|order| order.until <= now)
        {
            self.table.order = None;
        }
    }

    /// Those whom the filter lets through, the node's peers first, and the selection where the selected one is now.
    pub(super) fn arrange_rows(&mut self) {
        self.find_absent();
        let words = self.words();
        let peers = &self.data().snapshot.peers;
        let is_shown = |peer: &PeerSnapshot| {
            let matches = self.filters.peers.is_empty()
                || self.filters.peers.shows(&filter::of_peer(peer, &words));
            matches && (!self.faults_only || words.kind(peer).is_fault())
        };
        let places = |peers: &[PeerSnapshot]| -> Vec<usize> {
            let shown = peers.iter().enumerate().filter(|(_, peer)| is_shown(peer));
            let mut places: Vec<_> = shown.map(|(place, _)| place).collect();
            self.sort.apply(&mut places, peers, &words);
            places
        };
        let mut rows = places(peers);
        let below = places(&self.table.absent);
        rows.extend(below.into_iter().map(|place| place + peers.len()));
        if let Some(order) = &self.table.order {
            let place = |row: &usize| order.places.get(&self.placed(*row)?.id).copied();
            // Who is new comes last until then.
            rows.sort_by_key(|row| place(row).unwrap_or(usize::MAX));
        }
        self.rows = rows;
        let found = self.selected.and_then(|peer| self.row_of(peer));
        self.select_row(found.unwrap_or(self.cursor));
    }

    fn find_absent(&mut self) {
        let is_wanted = self.book && self.view == View::Peers && self.page.is_none();
        let snapshot = &self.data().snapshot;
        let known = self.names.keys().copied();
        let met = self.acquaintances.iter().map(peerway::Ticket::id);
        let mut absent: Vec<PeerId> = known.chain(met).filter(|_| is_wanted).collect();
        absent.sort_unstable();
        absent.dedup();
        absent.retain(|id| *id != snapshot.id && snapshot.peer(*id).is_none());
        let rows = absent.into_iter();
        self.table.absent = rows
            .map(|id| PeerSnapshot::new(id, PeerState::Idle))
            .collect();
    }

    fn placed(&self, place: usize) -> Option<&PeerSnapshot> {
        let peers = &self.data().snapshot.peers;
        let below = || self.table.absent.get(place.checked_sub(peers.len())?);
        peers.get(place).or_else(below)
    }

    fn row_of(&self, peer: PeerId) -> Option<usize> {
        let is_it = |place: &usize| self.placed(*place).is_some_and(|it| it.id == peer);
        self.rows.iter().position(is_it)
    }
}
