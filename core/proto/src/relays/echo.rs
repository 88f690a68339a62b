//! Where a relay sees us in the family of addresses in which we are not registered with it.

use std::{net::SocketAddr, time::Instant};

use rand::RngCore;

use crate::timing::{ECHO_REFRESH, ECHO_REPEAT, ECHO_TRIES};

/// A relay's other address, and when it is asked there where it sees us.
#[derive(Debug)]
pub(super) struct Echo {
    addr: SocketAddr,
    tx: [u8; 12],
    next: Instant,
    /// Questions without an answer.
    tries: u32,
    is_known: bool,
}

impl Echo {
    pub(super) fn new(now: Instant, addr: SocketAddr) -> Self {
        Self {
            addr,
            tx: [0; 12],
            next: now,
            tries: 0,
            is_known: false,
        }
    }

    pub(super) fn begin_anew(&mut self, now: Instant) {
        (self.tries, self.next) = (0, now);
    }

    /// When it is asked next. What is known is kept known only while it is in use.
    pub(super) fn due(&self, in_use: bool) -> Option<Instant> {
        (!self.is_known || in_use).then_some(self.next)
    }

    /// Asks; returns whom, and by what the answer will be known.
    pub(super) fn ask(&mut self, now: Instant, rng: &mut impl RngCore) -> (SocketAddr, [u8; 12]) {
        rng.fill_bytes(&mut self.tx);
        self.tries += 1;
        let again = if self.tries < ECHO_TRIES {
            ECHO_REPEAT
        } else {
            ECHO_REFRESH
        };
        self.next = now + again;
        (self.addr, self.tx)
    }

    pub(super) fn is_asked(&self, addr: SocketAddr, tx: [u8; 12]) -> bool {
        self.tries > 0 && (self.addr, self.tx) == (addr, tx)
    }

    pub(super) fn on_answer(&mut self, now: Instant) {
        (self.tries, self.next, self.is_known) = (0, now + ECHO_REFRESH, true);
    }
}
