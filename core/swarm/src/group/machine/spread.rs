//! What is new goes to all members along a tree, which grows by itself (PlumTree: Leitão, Pereira, Rodrigues 2007).
//!
//! A neighbour is eager or not. Eager ones get what is new at once, the others hear its name. Who gets something twice prunes the second way;
//! who hears a name and gets nothing within a while asks who named it, whose way is eager from then on.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use peerway::PeerId;

use super::{
    super::{
        kept::floor_ms,
        log::{Inserted, OpError},
        message::{Item, MAX_IDS, Message, Short},
        op::Op,
        reconcile::Set,
    },
    MAX_AHEAD_MS, Machine, Now, Output,
};

/// Names are told together, after so long.
const ANNOUNCE: Duration = Duration::from_millis(150);
/// How long something may take that was named: more than a relayed way and back.
const PATIENCE: Duration = Duration::from_millis(600);
/// The same when the first who named it did not send it.
const NEXT_PATIENCE: Duration = Duration::from_millis(300);
/// Things that were named and have not come.
const MAX_MISSING: usize = 4_096;
/// Members that one of them may be asked of.
const MAX_NAMERS: usize = 4;
/// Names that wait to be told to one neighbour.
const MAX_TO_ANNOUNCE: usize = 2 * MAX_IDS;
/// Things that can be asked for by name, and their bytes.
const MAX_RECENT: (usize, usize) = (2_048, 2 << 20);
/// What was found late is named to neighbours if it is no older.
const NEWS_MS: u64 = 2 * 3_600_000;

/// Something that was named.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) at: Duration,
    by: VecDeque<PeerId>,
}

/// What is new, for who asks.
#[derive(Debug, Default)]
pub(super) struct Recent {
    items: BTreeMap<Short, Item>,
    order: VecDeque<Short>,
    bytes: usize,
}

impl Recent {
    /// What was new is handed on no more.
    pub(super) fn remove(&mut self, name: Short) {
        if let Some(item) = self.items.remove(&name) {
            self.bytes = self.bytes.saturating_sub(item.len());
            self.order.retain(|it| *it != name);
        }
    }

    fn insert(&mut self, name: Short, item: Item) {
        self.bytes += item.len();
        self.items.insert(name, item);
        self.order.push_back(name);
        while self.items.len() > MAX_RECENT.0 || self.bytes > MAX_RECENT.1 {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(item) = self.items.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(item.len());
            }
        }
    }
}

/// From where something is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Here,
    /// It is new.
    Pushed(PeerId),
    /// It was missed, and found by comparing what two have.
    Found(PeerId),
}

impl Origin {
    pub(super) fn peer(self) -> Option<PeerId> {
        match self {
            Self::Here => None,
            Self::Pushed(peer) | Self::Found(peer) => Some(peer),
        }
    }
}

/// What is thought of something that came.
enum Verdict {
    New,
    Known,
    /// Not for us, or not now.
    Useless,
    /// Nobody honest sends it.
    Bad,
}

impl Machine {
    fn knows(&self, name: Short) -> bool {
        self.recent.items.contains_key(&name)
            || self.kept.has(name)
            || self.directories.names().any(|it| it == name)
    }

    /// Hands on what is new here.
    pub(super) fn spread(&mut self, item: Item, from: Origin, now: Now) {
        let name = item.short();
        if self.recent.items.contains_key(&name) {
            return;
        }
        self.missing.remove(&name);
        self.recent.insert(name, item.clone());
        let is_found = matches!(from, Origin::Found(_));
        if is_found && is_old(&item, now) {
            // It goes to who lacks it, and is no news to the others.
            return;
        }
        let mut eager = Vec::new();
        for (peer, link) in &mut self.links {
            if !link.admitted || Some(*peer) == from.peer() {
                continue;
            }
            if link.eager && !is_found {
                eager.push(*peer);
            } else if link.to_announce.len() < MAX_TO_ANNOUNCE {
                link.to_announce.push(name);
                self.announce_at.get_or_insert(now.at + ANNOUNCE);
            }
        }
        for peer in eager {
            self.out
                .push_back(Output::Send(peer, Message::New(Box::new(item.clone()))));
        }
    }

    pub(super) fn announce_soon(&mut self, now: Now) {
        self.announce_at.get_or_insert(now.at + ANNOUNCE);
    }

    /// Tells the names that wait.
    pub(super) fn announce(&mut self) {
        self.announce_at = None;
        for (peer, link) in &mut self.links {
            let names = std::mem::take(&mut link.to_announce);
            for some in names.chunks(MAX_IDS) {
                self.out
                    .push_back(Output::Send(*peer, Message::Have(some.to_vec())));
            }
        }
    }

    /// Somebody sent something that is to be handed on.
    pub(super) fn heard_new(&mut self, peer: PeerId, item: Item, now: Now) {
        match self.take(Origin::Pushed(peer), item, now) {
            Verdict::New | Verdict::Useless => {}
            Verdict::Known => {
                if let Some(link) = self.links.get_mut(&peer)
                    && link.eager
                {
                    link.eager = false;
                    self.send(peer, Message::Prune);
                }
            }
            Verdict::Bad => self.ban(peer, now),
        }
    }

    /// Somebody sent what it was asked for.
    pub(super) fn heard_items(&mut self, peer: PeerId, items: Vec<Item>, now: Now) {
        let (count, from) = (items.len(), Origin::Found(peer));
        let (mut ops, mut others) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Op(op) => ops.push(op),
                Item::Card(_) | Item::Post(_) | Item::Directory(_) => others.push(item),
            }
        }
        if self.take_ops(ops, from, now) {
            return self.ban(peer, now);
        }
        for item in others {
            let Some(link) = self.links.get(&peer) else {
                return;
            };
            if link.admitted && matches!(self.take(from, item, now), Verdict::Bad) {
                return self.ban(peer, now);
            }
        }
        self.got(peer, count, now);
    }

    /// Takes many ops and looks once at what all say then. Whether nobody honest sends one of them.
    fn take_ops(&mut self, ops: Vec<Op>, from: Origin, now: Now) -> bool {
        let mut is_bad = false;
        for (op, inserted) in self.log.insert_all(ops) {
            match self.judge(inserted, from, now) {
                Verdict::New => self.took_op(op, from, now),
                Verdict::Known | Verdict::Useless => {}
                Verdict::Bad => is_bad = true,
            }
        }
        is_bad
    }

    fn judge(&mut self, inserted: Result<Inserted, OpError>, from: Origin, now: Now) -> Verdict {
        match inserted {
            Ok(Inserted::New) => Verdict::New,
            Ok(Inserted::Known) => Verdict::Known,
            Err(OpError::Unfounded) => {
                self.ask_of(from, now);
                Verdict::Useless
            }
            Err(OpError::Full) => Verdict::Useless,
            Err(OpError::Unsound | OpError::NoRight) => Verdict::Bad,
        }
    }

    fn take(&mut self, from: Origin, item: Item, now: Now) -> Verdict {
        if self.knows(item.short()) {
            return Verdict::Known;
        }
        let latest = self.group_ms(now).max(now.unix_ms) + MAX_AHEAD_MS;
        match item {
            Item::Op(op) => {
                let inserted = self.log.insert(op.clone());
                let verdict = self.judge(inserted, from, now);
                if matches!(verdict, Verdict::New) {
                    self.took_op(op, from, now);
                }
                verdict
            }
            Item::Card(card) => {
                let known = self.cards.get(&card.author()).map_or(0, super::Card::at_ms);
                let is_member = self.log.state().role(card.author()).is_some();
                if card.at_ms() <= known {
                    return Verdict::Known;
                }
                if !is_member || card.at_ms() > latest {
                    return Verdict::Useless;
                }
                if !card.is_sound(self.log.group()) {
                    return Verdict::Bad;
                }
                self.took_card(card, from, now);
                Verdict::New
            }
            Item::Post(post) => {
                let (author, sent_ms) = (post.author(), post.sent_ms());
                let is_timely = (floor_ms(now.unix_ms)..=latest).contains(&sent_ms);
                if !is_timely || !self.kept.has_room(author, sent_ms) {
                    return Verdict::Useless;
                }
                let state = self.log.state();
                let is_founded = state.epochs.contains_key(&post.epoch());
                if !is_founded || !state.may_have_posted(post.author(), post.sent_ms()) {
                    self.ask_of(from, now);
                    return Verdict::Useless;
                }
                if !post.is_sound(self.log.group()) {
                    return Verdict::Bad;
                }
                if matches!(from, Origin::Pushed(_)) && !self.may_speak(post.author(), now.at) {
                    return Verdict::Useless;
                }
                self.took_post(post, from, now);
                Verdict::New
            }
            Item::Directory(notice) => {
                if !self.is_good(&notice, now) || notice.at_ms() > latest {
                    return Verdict::Useless;
                }
                if !notice.is_sound(self.log.group()) {
                    return Verdict::Bad;
                }
                if !self.may_speak(notice.author(), now.at) {
                    return Verdict::Useless;
                }
                self.took_notice(notice, from, now);
                Verdict::New
            }
        }
    }

    /// Something builds on what is not known here.
    fn ask_of(&mut self, from: Origin, now: Now) {
        if let Some(peer) = from.peer() {
            self.ask(peer, Set::Ops, now);
        }
    }

    /// Somebody named what it has.
    pub(super) fn heard_names(&mut self, peer: PeerId, names: &[Short], now: Now) {
        for name in names.iter().take(MAX_IDS) {
            if self.knows(*name) {
                continue;
            }
            if let Some(missing) = self.missing.get_mut(name) {
                if missing.by.len() < MAX_NAMERS && !missing.by.contains(&peer) {
                    missing.by.push_back(peer);
                }
            } else if self.missing.len() < MAX_MISSING {
                let at = now.at + PATIENCE;
                let by = VecDeque::from([peer]);
                self.missing.insert(*name, Missing { at, by });
            }
        }
    }

    /// Asks for what was named and has not come.
    pub(super) fn ask_for_missing(&mut self, now: Now) {
        let due = self
            .missing
            .iter()
            .filter(|(_, missing)| missing.at <= now.at);
        let due: Vec<_> = due.map(|(name, _)| *name).collect();
        let mut wanted: BTreeMap<PeerId, Vec<Short>> = BTreeMap::new();
        for name in due {
            let Some(missing) = self.missing.get_mut(&name) else {
                continue;
            };
            missing.at = now.at + NEXT_PATIENCE;
            match missing.by.pop_front() {
                Some(peer) if self.links.contains_key(&peer) => {
                    wanted.entry(peer).or_default().push(name);
                }
                Some(_) => {}
                None => {
                    self.missing.remove(&name);
                }
            }
        }
        for (peer, names) in wanted {
            if let Some(link) = self.links.get_mut(&peer) {
                link.eager = true;
            }
            self.send(peer, Message::Graft(names));
        }
    }

    /// Somebody wants what was named to it, and all that is new.
    pub(super) fn heard_graft(&mut self, peer: PeerId, names: &[Short]) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.eager = true;
        }
        for name in names.iter().take(MAX_IDS) {
            let item = self.recent.items.get(name).cloned();
            if let Some(item) = item.or_else(|| self.directories.item(*name)) {
                self.send(peer, Message::New(Box::new(item)));
            }
        }
    }

    pub(super) fn heard_prune(&mut self, peer: PeerId) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.eager = false;
        }
    }
}

fn is_old(item: &Item, now: Now) -> bool {
    match item {
        Item::Post(post) => post.sent_ms().saturating_add(NEWS_MS) < now.unix_ms,
        Item::Op(_) | Item::Card(_) | Item::Directory(_) => false,
    }
}
