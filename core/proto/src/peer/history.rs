//! What paths that died have taught: it decides what is taken for a path again.

use std::time::Instant;

use super::{
    lifetimes::Lifetimes,
    probation::{Death, Probations},
};
use crate::explain::Narrow;

#[derive(Default)]
pub(super) struct History {
    pub(super) probations: Probations,
    pub(super) lifetimes: Lifetimes,
    /// Whether the last direct path died.
    lost: bool,
    /// It died while small packets still got through.
    narrow: Option<Narrow>,
}

impl History {
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn narrow(&self) -> Option<Narrow> {
        self.narrow
    }

    /// There is a direct path.
    pub(super) fn found(&mut self) {
        self.lost = false;
        self.narrow = None;
    }

    /// The direct path died; and, unless it was a TCP connection, which is closed with that, its address is on probation.
    pub(super) fn died(&mut self, now: Instant, death: Death, narrow: Option<Narrow>) {
        self.lost = true;
        self.narrow = narrow;
        if !death.pair.sock.is_tcp() {
            self.probations.begin(now, death);
        }
    }

    /// We are elsewhere now: nothing of it holds. Returns whether a path had been too narrow.
    pub(super) fn forget(&mut self) -> bool {
        self.probations.forget();
        self.narrow.take().is_some()
    }

    /// The link is over. What is too narrow stays so.
    pub(super) fn end(&mut self) {
        *self = Self {
            narrow: self.narrow,
            ..Self::default()
        };
    }
}
