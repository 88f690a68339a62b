//! Which cells of the peer table say something else than a second before: they are bold until the next sample.

use std::{collections::BTreeMap, time::Duration};

use peerway::{NodeSnapshot, PeerId, PeerSnapshot, PeerState};

use super::{
    columns::Column,
    format,
    words::{Measured, Standing},
};

/// The cells of the last sample. Several snapshots within a second are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    second: u64,
    peers: BTreeMap<PeerId, Cells>,
}

/// A set of columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cells(u32);

impl Changes {
    pub(super) fn record(&mut self, before: &NodeSnapshot, now: &NodeSnapshot) {
        let second = now.at_ms / 1000;
        if second != self.second {
            self.second = second;
            self.peers.clear();
        }
        for peer in &now.peers {
            // Of who is new everything would be.
            let Some(was) = before.peer(peer.id) else {
                continue;
            };
            let cells = Cells::between(was, peer);
            if cells != Cells::default() {
                self.peers.entry(peer.id).or_default().0 |= cells.0;
            }
        }
    }

    pub(super) fn has(&self, peer: PeerId, column: Column) -> bool {
        let cells = self.peers.get(&peer);
        cells.is_some_and(|cells| cells.0 & bit(column) != 0)
    }
}

impl Cells {
    /// Of what is shown; what only grows older or longer is no change.
    fn between(was: &PeerSnapshot, is: &PeerSnapshot) -> Self {
        let probes = |peer: &PeerSnapshot| (peer.probes_answered, peer.probes_sent);
        let link = |peer: &PeerSnapshot| (peer.state, peer.policy, peer.ending);
        let why = |peer: &PeerSnapshot| {
            let why = peer
                .why
                .as_ref()
                .filter(|_| peer.state != PeerState::Direct);
            why.map(|why| why.cause.label())
        };
        let loss = |peer: &PeerSnapshot| format!("{:.1}", peer.loss * 100.0);
        // Most are the same to the bit.
        let shows_other = |was: Option<Duration>, is: Option<Duration>| {
            was != is && was.map(format::rtt) != is.map(format::rtt)
        };
        let runs_other = |was: u64, is: u64| was != is && format::rate(was) != format::rate(is);
        let (before, now) = (was.traffic, is.traffic);
        let is_other = [
            (Column::State, Standing::of(was) != Standing::of(is)),
            (
                Column::Path,
                was.path != is.path || link(was) != link(is) || probes(was) != probes(is),
            ),
            (
                Column::Rtt,
                shows_other(Measured::rtt(was), Measured::rtt(is)),
            ),
            (Column::Loss, was.loss != is.loss && loss(was) != loss(is)),
            (Column::Down, runs_other(before.rx_rate, now.rx_rate)),
            (Column::Up, runs_other(before.tx_rate, now.tx_rate)),
            (Column::Why, why(was) != why(is)),
        ];
        let changed = is_other.into_iter().filter(|(_, is_other)| *is_other);
        Self(changed.fold(0, |cells, (column, _)| cells | bit(column)))
    }
}

fn bit(column: Column) -> u32 {
    let place = Column::ALL.iter().position(|it| *it == column);
    place.map_or(0, |place| 1 << place)
}
