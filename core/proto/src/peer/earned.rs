//! What the peer has earned: how much is sent to where it says that it is.

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use crate::{budget::Credit, io::Pair};

/// Addresses at which the peer answered that are remembered.
const MAX_ANSWERED: usize = 16;
/// Probes to where a message of the handshake came from that need no share of the address: much shorter together than that one,
/// whoever it came from.
const MET_PROBES: u32 = 3;

#[derive(Default)]
pub(super) struct Earned {
    credit: Credit,
    /// Where the peer answered before, latest last: these addresses are no victims.
    answered: VecDeque<SocketAddr>,
    /// Where the newest message of the handshake came from that came directly, and how many probes it still pays for there.
    met: Option<(SocketAddr, u32)>,
}

impl Earned {
    /// An authentic message of so many bytes came in.
    pub(super) fn earn(&mut self, len: usize) {
        self.credit.earn(len);
    }

    pub(super) fn begin_round(&mut self, now: Instant) {
        self.credit.begin_round(now);
    }

    /// Pays for a probe, if there is enough.
    pub(super) fn pay(&mut self, attested: bool) -> bool {
        self.credit.pay(attested)
    }

    /// A message of the handshake came from there.
    pub(super) fn note_handshake(&mut self, from: SocketAddr) {
        self.met = Some((from, MET_PROBES));
    }

    /// Pays for a probe to where a message of the handshake came from.
    pub(super) fn pay_met(&mut self, addr: SocketAddr) -> bool {
        let left = self
            .met
            .as_mut()
            .filter(|(met, left)| *met == addr && *left > 0);
        left.is_some_and(|(_, left)| {
            *left -= 1;
            true
        })
    }

    pub(super) fn has_answered(&self, addr: SocketAddr) -> bool {
        self.answered.contains(&addr)
    }

    pub(super) fn note_answer(&mut self, from: Pair) {
        if from.sock.is_tcp() {
            return;
        }
        self.answered.retain(|known| *known != from.addr);
        if self.answered.len() >= MAX_ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back(from.addr);
    }
}
