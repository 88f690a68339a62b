//! The order of the peers.

use std::{cmp::Ordering, time::Duration};

use peerway::PeerSnapshot;

use super::words::{Measured, Words};

/// By which column, and whether the other way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) by: Column,
    pub(super) reversed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Column {
    #[default]
    State,
    Name,
    Rtt,
    Loss,
    Down,
    Up,
    Total,
    Age,
    Size,
    Done,
    Holders,
}

impl Column {
    pub(super) const ALL: [Self; 11] = [
        Self::State,
        Self::Name,
        Self::Rtt,
        Self::Loss,
        Self::Down,
        Self::Up,
        Self::Total,
        Self::Age,
        Self::Size,
        Self::Done,
        Self::Holders,
    ];
    /// Of peers, in the order of the menu.
    pub(super) const PEERS: &[Self] = &[
        Self::State,
        Self::Name,
        Self::Rtt,
        Self::Loss,
        Self::Down,
        Self::Up,
        Self::Total,
        Self::Age,
    ];
    /// Of shares.
    pub(super) const SHARES: &[Self] = &[
        Self::State,
        Self::Name,
        Self::Size,
        Self::Done,
        Self::Holders,
        Self::Down,
        Self::Up,
        Self::Total,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Name => "name",
            Self::Rtt => "rtt",
            Self::Loss => "loss",
            Self::Down => "down",
            Self::Up => "up",
            Self::Total => "total",
            Self::Age => "age",
            Self::Size => "size",
            Self::Done => "done",
            Self::Holders => "holders",
        }
    }
}

impl Sort {
    /// By another column in its own direction; by the same one the other way round.
    pub(super) fn choose(&mut self, column: Column) {
        let reversed = self.by == column && !self.reversed;
        (self.by, self.reversed) = (column, reversed);
    }

    /// Rates, sums and losses come largest first, all else smallest first; equal peers stay in the order of their names.
    pub(super) fn apply(self, rows: &mut [usize], peers: &[PeerSnapshot], words: &Words<'_>) {
        rows.sort_by_cached_key(|row| peers.get(*row).map(|peer| words.name(&peer.id)));
        rows.sort_by(|a, b| {
            let (Some(a), Some(b)) = (peers.get(*a), peers.get(*b)) else {
                return Ordering::Equal;
            };
            match self.by {
                Column::State => words.kind(a).cmp(&words.kind(b)),
                Column::Name | Column::Size | Column::Done | Column::Holders => Ordering::Equal,
                Column::Rtt => rtt(a).cmp(&rtt(b)),
                Column::Loss => b.loss.total_cmp(&a.loss),
                Column::Down => b.traffic.rx_rate.cmp(&a.traffic.rx_rate),
                Column::Up => b.traffic.tx_rate.cmp(&a.traffic.tx_rate),
                Column::Total => total(b).cmp(&total(a)),
                Column::Age => a.state_age.cmp(&b.state_age),
            }
        });
        if self.reversed {
            rows.reverse();
        }
    }
}

fn rtt(peer: &PeerSnapshot) -> Duration {
    Measured::rtt(peer).unwrap_or(Duration::MAX)
}

fn total(peer: &PeerSnapshot) -> u64 {
    let traffic = peer.traffic;
    traffic.rx_bytes.saturating_add(traffic.tx_bytes)
}
