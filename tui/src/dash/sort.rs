//! The order of the peers.

use std::{cmp::Ordering, time::Duration};

use peerway::PeerSnapshot;

use super::words::Words;

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
    Down,
    Up,
    Age,
}

impl Column {
    pub(super) fn next(self) -> Self {
        match self {
            Self::State => Self::Name,
            Self::Name => Self::Rtt,
            Self::Rtt => Self::Down,
            Self::Down => Self::Up,
            Self::Up => Self::Age,
            Self::Age => Self::State,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Name => "name",
            Self::Rtt => "rtt",
            Self::Down => "down",
            Self::Up => "up",
            Self::Age => "age",
        }
    }
}

impl Sort {
    /// Rates come largest first, all else smallest first; equal peers stay in the order of their names.
    pub(super) fn apply(self, rows: &mut [usize], peers: &[PeerSnapshot], words: &Words<'_>) {
        rows.sort_by_cached_key(|row| peers.get(*row).map(|peer| words.name(&peer.id)));
        rows.sort_by(|a, b| {
            let (Some(a), Some(b)) = (peers.get(*a), peers.get(*b)) else {
                return Ordering::Equal;
            };
            match self.by {
                Column::State => words.kind(a).cmp(&words.kind(b)),
                Column::Name => Ordering::Equal,
                Column::Rtt => rtt(a).cmp(&rtt(b)),
                Column::Down => b.traffic.rx_rate.cmp(&a.traffic.rx_rate),
                Column::Up => b.traffic.tx_rate.cmp(&a.traffic.tx_rate),
                Column::Age => a.state_age.cmp(&b.state_age),
            }
        });
        if self.reversed {
            rows.reverse();
        }
    }
}

fn rtt(peer: &PeerSnapshot) -> Duration {
    peer.rtt.unwrap_or(Duration::MAX)
}
