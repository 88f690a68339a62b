//! One STUN request, its repetitions and its answer.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::RngCore;

use super::{StunRequest, StunResponse};
use crate::io::Pair;

/// When a request is sent, in paces after the first time.
const TRIES: [u32; 3] = [0, 1, 3];
/// When it counts as unanswered.
const GIVE_UP: u32 = 5;

#[derive(Debug)]
pub(super) struct Question {
    to: Pair,
    tx: [u8; 12],
    change_port: bool,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Running { since: Instant, tries: usize },
    Answered(SocketAddr),
    Silent,
}

impl Question {
    pub(super) fn new(now: Instant, to: Pair, change_port: bool, rng: &mut impl RngCore) -> Self {
        let mut tx = [0; 12];
        rng.fill_bytes(&mut tx);
        Self {
            to,
            tx,
            change_port,
            progress: Progress::Running {
                since: now,
                tries: 0,
            },
        }
    }

    /// Takes the response if it is the one to this question, from the port that it was asked of.
    pub(super) fn handle_response(&mut self, response: &StunResponse) -> bool {
        let (from, to) = (response.from, self.to);
        let same_port = from.addr.port() == to.addr.port();
        let fits = response.tx == self.tx
            && from.sock == to.sock
            && from.addr.ip() == to.addr.ip()
            && same_port != self.change_port;
        if fits && self.is_running() {
            self.progress = Progress::Answered(response.mapped);
        }
        fits
    }

    /// Asks, repeats or gives up if that is due.
    pub(super) fn run(&mut self, now: Instant, pace: Duration, outbox: &mut VecDeque<StunRequest>) {
        let Progress::Running { since, tries } = self.progress else {
            return;
        };
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= pace * GIVE_UP {
            self.progress = Progress::Silent;
            return;
        }
        let due = TRIES.iter().take_while(|at| pace * **at <= elapsed).count();
        if due > tries {
            outbox.push_back(StunRequest {
                to: self.to,
                tx: self.tx,
                change_port: self.change_port,
            });
            self.progress = Progress::Running { since, tries: due };
        }
    }

    /// When [`Self::run`] has work.
    pub(super) fn deadline(&self, pace: Duration) -> Option<Instant> {
        match self.progress {
            Progress::Running { since, tries } => {
                let at = TRIES.get(tries).copied().unwrap_or(GIVE_UP);
                Some(since + pace * at)
            }
            Progress::Answered(_) | Progress::Silent => None,
        }
    }

    /// When it was asked, if only once until now.
    pub(super) fn asked_once(&self) -> Option<Instant> {
        match self.progress {
            Progress::Running { since, tries: 1 } => Some(since),
            Progress::Running { .. } | Progress::Answered(_) | Progress::Silent => None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.progress, Progress::Running { .. })
    }

    /// Our address as it was seen.
    pub(super) fn answer(&self) -> Option<SocketAddr> {
        match self.progress {
            Progress::Answered(mapped) => Some(mapped),
            Progress::Running { .. } | Progress::Silent => None,
        }
    }
}
