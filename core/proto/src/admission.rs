//! Which callers get a connection: shares per peer, network and site, from the first packet of a handshake to the end.
//!
//! A connection that nobody has accepted yet counts like any other, so the same shares bound the queue of those that wait. What
//! this node dialled itself does not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::shares::{Limits, Origin, Room, Shares};

/// Connections that stand.
const OPEN: usize = 4096;
/// Handshakes under way: each takes more memory than an idle connection.
const HANDSHAKES: usize = 1024;
/// Both together.
const CALLERS: Limits = Limits {
    in_all: OPEN + HANDSHAKES,
    of_site: 1024,
    of_network: 512,
    of_peer: 64,
};
/// Handshakes with those who did not show that they are where they say. Beyond, they are asked to show it (QUIC Retry, RFC 9000
/// section 8.1.2): a forged source must not use up the share of whom it names.
const UNPROVEN: Limits = Limits {
    in_all: 256,
    of_site: 64,
    of_network: 16,
    of_peer: 8,
};

/// Names a handshake, and the connection that it becomes; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(u64);

/// What to do with a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with this call; end the displaced one, which is counted no more.
    Admit {
        id: CallId,
        displaced: Option<CallId>,
    },
    /// Have them show that they are where they say.
    Retry,
    /// There is no room for them.
    Busy,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Admission {
    callers: Shares<CallId>,
    unproven: Shares<CallId>,
    /// Those of the callers whose handshake is under way.
    handshakes: BTreeSet<CallId>,
    /// When each connection was last seen to have been used, and how much by then.
    used: BTreeMap<CallId, (Instant, u64)>,
    last: u64,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            callers: Shares::new(CALLERS),
            unproven: Shares::new(UNPROVEN),
            handshakes: BTreeSet::new(),
            used: BTreeMap::new(),
            last: 0,
        }
    }
}

impl Admission {
    /// Somebody begins a handshake; `proven` says whether they showed that they are at that address.
    pub fn begin(&mut self, origin: Origin, proven: bool) -> Verdict {
        let is_over = self.callers.room(origin, |_| false) == Room::Over;
        if !proven {
            let has_room = self.unproven.room(origin, |_| false) == Room::Free;
            if is_over || !has_room {
                return Verdict::Retry;
            }
            let id = self.name();
            self.unproven.take(id, origin);
            return Verdict::Admit {
                id,
                displaced: None,
            };
        }
        if is_over || self.is_full_for(origin) {
            return Verdict::Busy;
        }
        let mut displaced = None;
        if self.handshakes.len() >= HANDSHAKES {
            let unfinished = |id| self.handshakes.contains(&id);
            match self.callers.instead(origin, unfinished) {
                // In the order of their numbers: the oldest is the first.
                Room::Instead(greediest) => displaced = greediest.first().copied(),
                Room::Free | Room::Full | Room::Over => return Verdict::Busy,
            }
        }
        if let Some(id) = displaced {
            self.end(id);
        }
        let id = self.name();
        self.callers.take(id, origin);
        self.handshakes.insert(id);
        Verdict::Admit { id, displaced }
    }

    /// A handshake is complete, which shows that the caller is where it says. `activity` tells how much a connection was used so
    /// far: of the greediest party's connections, the one gives way that was not used for longest.
    pub fn complete(
        &mut self,
        now: Instant,
        id: CallId,
        origin: Origin,
        activity: impl Fn(CallId) -> u64,
    ) -> Verdict {
        self.end(id);
        if self.callers.room(origin, |_| false) == Room::Over {
            return Verdict::Busy;
        }
        let mut displaced = None;
        if self.used.len() >= OPEN {
            match self
                .callers
                .instead(origin, |id| self.used.contains_key(&id))
            {
                Room::Instead(greediest) => {
                    displaced = self.longest_idle(now, &greediest, activity)
                }
                Room::Free | Room::Full | Room::Over => return Verdict::Busy,
            }
        }
        if let Some(id) = displaced {
            self.end(id);
        }
        self.callers.take(id, origin);
        self.used.insert(id, (now, 0));
        Verdict::Admit { id, displaced }
    }

    /// A handshake failed, or a connection is over. Nothing happens if it is not counted.
    pub fn end(&mut self, id: CallId) {
        self.callers.release(id);
        self.unproven.release(id);
        self.handshakes.remove(&id);
        self.used.remove(&id);
    }

    /// Whether all connections are taken by parties that hold no more than this one.
    fn is_full_for(&self, origin: Origin) -> bool {
        let is_open = |id| self.used.contains_key(&id);
        self.used.len() >= OPEN && self.callers.instead(origin, is_open) == Room::Full
    }

    fn longest_idle(
        &mut self,
        now: Instant,
        of: &[CallId],
        activity: impl Fn(CallId) -> u64,
    ) -> Option<CallId> {
        for id in of {
            let (uses, used) = (activity(*id), self.used.get_mut(id));
            if let Some((at, known)) = used.filter(|(_, known)| *known != uses) {
                (*at, *known) = (now, uses);
            }
        }
        let since = |id: &&CallId| self.used.get(id).map(|(at, _)| *at);
        of.iter().min_by_key(since).copied()
    }

    fn name(&mut self) -> CallId {
        self.last += 1;
        CallId(self.last)
    }
}

#[cfg(test)]
mod tests;
