//! What was missed: two compare what they have, and each sends what the other lacks.

use std::{collections::BTreeSet, time::Duration};

use peerway::PeerId;

use super::{
    super::{
        kept::floor_ms,
        message::{Bye, Holdings, Item, MAX_BATCH, MAX_IDS, Message},
        post::PostId,
        reconcile::{Asking, Set, answer},
    },
    Machine, Now, Output,
};

/// One neighbour is asked no sooner after it was asked before.
const PAUSE: Duration = Duration::from_secs(20);
/// The same for ops, without which nothing else is understood.
const OPS_PAUSE: Duration = Duration::from_secs(5);
/// How long it may take to send what it was asked for.
const PATIENCE: Duration = Duration::from_secs(60);

impl Machine {
    /// Somebody said something.
    pub fn heard(&mut self, peer: PeerId, message: Message, now: Now) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        if !link.messages.take(now.at) {
            return self.ban(peer, now);
        }
        let admitted = link.admitted;
        match message {
            Message::Hello { clock_ms, holds } => self.heard_hello(peer, clock_ms, holds, now),
            Message::Reconcile {
                asks: false,
                frame,
                since,
                ..
            } => self.heard_answer(peer, &frame, since, now),
            Message::Items(items) => self.heard_items(peer, items, now),
            Message::Bye(why) => self.heard_bye(peer, why, now),
            // The rest is for members.
            _ if !admitted => {}
            Message::New(item) => self.heard_new(peer, *item, now),
            Message::Have(names) => self.heard_names(peer, &names, now),
            Message::Graft(names) => self.heard_graft(peer, &names),
            Message::Prune => self.heard_prune(peer),
            Message::Reconcile {
                set, since, frame, ..
            } => self.heard_question(peer, (set, since), &frame, now),
            Message::Want { set, ids } => {
                // Each once, whatever it says.
                let ids: BTreeSet<_> = ids.into_iter().take(MAX_IDS).collect();
                self.serve(peer, set, &Vec::from_iter(ids));
            }
            Message::WantKeys(epochs) => self.give_keys(peer, &epochs),
            Message::Keys(keys) => self.take_keys(keys, Some(peer)),
        }
    }

    fn heard_hello(&mut self, peer: PeerId, clock_ms: u64, theirs: Holdings, now: Now) {
        let ours = self.holds(now);
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let far = i64::MAX as u64;
        link.offset_ms = Some(clock_ms.min(far) as i64 - now.unix_ms.min(far) as i64);
        if !link.admitted {
            // Those of a member tell how it became one.
            if ours.ops != theirs.ops {
                self.ask(peer, Set::Ops, now);
            } else {
                self.hang_up(peer, Bye::NoMember);
            }
            return;
        }
        if self.me > peer {
            // The other asks, and sends what is lacking here.
            return;
        }
        let differs = [
            (Set::Ops, ours.ops != theirs.ops),
            (Set::Cards, ours.cards != theirs.cards),
            (Set::Posts, ours.posts != theirs.posts),
        ];
        for (set, _) in differs.into_iter().filter(|(_, differs)| *differs) {
            self.ask(peer, set, now);
        }
    }

    /// Asks a neighbour for what is lacking, once it has sent what it was asked for before.
    pub(super) fn ask(&mut self, peer: PeerId, set: Set, now: Now) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let pause = if set == Set::Ops { OPS_PAUSE } else { PAUSE };
        if link.asked.get(&set).is_some_and(|at| now.at < *at + pause) {
            return;
        }
        link.asked.insert(set, now.at);
        link.to_ask.insert(set);
        self.ask_next(peer, now);
    }

    fn ask_next(&mut self, peer: PeerId, now: Now) {
        let floor = floor_ms(now.unix_ms);
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        if link.asking.is_some() || link.owed > 0 {
            return;
        }
        let Some(set) = link.to_ask.pop_first() else {
            return;
        };
        let items = self.items(set, floor);
        let Ok((asking, frame)) = Asking::begin(items) else {
            return;
        };
        if let Some(link) = self.links.get_mut(&peer) {
            link.asking = Some((set, asking));
            link.asked_at = Some(now.at);
        }
        let (since, asks) = (floor, true);
        self.send(
            peer,
            Message::Reconcile {
                set,
                since,
                asks,
                frame,
            },
        );
    }

    fn items(&self, set: Set, since_ms: u64) -> Vec<(u64, [u8; 32])> {
        match set {
            Set::Ops => self
                .log
                .ops()
                .map(|(id, op)| (op.lamport(), id.0))
                .collect(),
            Set::Cards => self
                .cards
                .values()
                .map(|card| (card.at_ms(), card.hash()))
                .collect(),
            Set::Posts => self.kept.since(since_ms),
        }
    }

    fn heard_question(&mut self, peer: PeerId, (set, since): (Set, u64), frame: &[u8], now: Now) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        if !link.questions.take(now.at) {
            return self.ban(peer, now);
        }
        let since = since.max(floor_ms(now.unix_ms));
        match answer(self.items(set, since), frame) {
            Ok(frame) => {
                let asks = false;
                self.send(
                    peer,
                    Message::Reconcile {
                        set,
                        since,
                        asks,
                        frame,
                    },
                );
            }
            Err(_) => self.ban(peer, now),
        }
    }

    fn heard_answer(&mut self, peer: PeerId, frame: &[u8], since: u64, now: Now) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let admitted = link.admitted;
        let Some((set, asking)) = &mut link.asking else {
            return;
        };
        let set = *set;
        let Ok(found) = asking.go_on(frame) else {
            return self.ban(peer, now);
        };
        link.owed += found.need.len();
        if found.next.is_none() {
            link.asking = None;
        }
        for ids in found.need.chunks(MAX_IDS) {
            let ids = ids.to_vec();
            self.send(peer, Message::Want { set, ids });
        }
        if let Some(frame) = found.next {
            let (since, asks) = (since.max(floor_ms(now.unix_ms)), true);
            self.send(
                peer,
                Message::Reconcile {
                    set,
                    since,
                    asks,
                    frame,
                },
            );
        }
        if admitted {
            self.serve(peer, set, &found.have);
        }
        self.ask_next(peer, now);
    }

    /// Sends what somebody lacks.
    fn serve(&mut self, peer: PeerId, set: Set, ids: &[[u8; 32]]) {
        let items: Vec<Item> = match set {
            Set::Posts => {
                let ids = ids.iter().map(|id| PostId(*id));
                let ids: Vec<_> = ids.collect();
                if !ids.is_empty() {
                    self.out.push_back(Output::Serve(peer, ids));
                }
                return;
            }
            Set::Ops => {
                let known = ids.iter().filter_map(|id| self.log.get(super::OpId(*id)));
                let mut ops: Vec<_> = known.cloned().collect();
                // Each after what it builds on.
                ops.sort_by_key(super::Op::lamport);
                ops.into_iter().map(Item::Op).collect()
            }
            Set::Cards => {
                let cards = self
                    .cards
                    .values()
                    .filter(|card| ids.contains(&card.hash()));
                cards.cloned().map(Item::Card).collect()
            }
        };
        for batch in batches(items) {
            self.send(peer, Message::Items(batch));
        }
    }

    /// Somebody has sent so many of the things that it was asked for.
    pub(super) fn got(&mut self, peer: PeerId, count: usize, now: Now) {
        let is_member = self.log.state().role(peer).is_some();
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        link.owed = link.owed.saturating_sub(count);
        if is_member && !link.admitted {
            link.admitted = true;
            self.greet(peer, now);
        }
        self.ask_next(peer, now);
    }

    /// Who has not sent what it was asked for need not any more.
    pub(super) fn give_up_asking(&mut self, now: Now) {
        for link in self.links.values_mut() {
            let is_late = link.asked_at.is_some_and(|at| now.at > at + PATIENCE);
            if is_late && (link.asking.is_some() || link.owed > 0) {
                link.asking = None;
                link.owed = 0;
            }
        }
    }
}

/// In messages of 64 KiB or so.
pub(crate) fn batches(items: Vec<Item>) -> Vec<Vec<Item>> {
    let (mut batches, mut bytes) = (Vec::new(), MAX_BATCH);
    for item in items {
        if bytes + item.len() > MAX_BATCH {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += item.len();
        if let Some(batch) = batches.last_mut() {
            batch.push(item);
        }
    }
    batches
}
