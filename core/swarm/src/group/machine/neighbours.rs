//! Whom to be linked to.
//!
//! Up to eight members are all linked to each other. In a larger group each has five neighbours, chosen at random from all members, and
//! lets ten others be linked to it at most. Once a minute one is exchanged for another member.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use peerway::PeerId;
use rand::Rng;

use super::{
    super::{
        message::{Bye, Item, Message, Short},
        reconcile::{Asking, Set},
    },
    Machine, Now, Output,
};
use crate::bucket::Bucket;

/// Members of a group who are all linked to each other.
const SMALL: usize = 8;
/// Neighbours that a member of a larger one looks for.
const NEIGHBOURS: usize = 5;
/// And has at most.
const MAX_NEIGHBOURS: usize = 10;
/// Dials at a time.
const MAX_DIALS: usize = 3;
/// After the first dial that failed, and after many.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
/// One neighbour is exchanged, or asked what it has, so often, and up to 20 s later.
const REWIRE: Duration = Duration::from_secs(50);
/// How long somebody has to show that it is a member.
const STRANGER_PATIENCE: Duration = Duration::from_secs(20);
/// Those who have not shown it yet.
const MAX_STRANGERS: usize = 4;
/// How long who sent what nobody honest sends is not heard.
const BAN: Duration = Duration::from_secs(3600);
/// Messages of a neighbour: a second, and at once.
const RATE: (f64, f64) = (500.0, 4_000.0);
/// Questions what is lacking: a second, and at once.
const QUESTIONS: (f64, f64) = (1.0, 20.0);

/// Somebody who is linked.
pub(super) struct Link {
    pub(super) since: Duration,
    /// Whether it is a member, as far as is known here.
    pub(super) admitted: bool,
    /// Whether it gets what is new at once, and not only its name.
    pub(super) eager: bool,
    pub(super) to_announce: Vec<Short>,
    /// Its clock, less ours.
    pub(super) offset_ms: Option<i64>,
    pub(super) asking: Option<(Set, Asking)>,
    /// What it is to be asked for after that.
    pub(super) to_ask: BTreeSet<Set>,
    /// Things that it was asked for and has not sent yet.
    pub(super) owed: usize,
    pub(super) asked_at: Option<Duration>,
    /// When it was asked for each.
    pub(super) asked: BTreeMap<Set, Duration>,
    pub(super) messages: Bucket,
    pub(super) questions: Bucket,
}

impl Link {
    fn new(admitted: bool, now: Duration) -> Self {
        Self {
            since: now,
            admitted,
            eager: true,
            to_announce: Vec::new(),
            offset_ms: None,
            asking: None,
            to_ask: BTreeSet::new(),
            owed: 0,
            asked_at: None,
            asked: BTreeMap::new(),
            messages: Bucket::new(RATE.0, RATE.1, now),
            questions: Bucket::new(QUESTIONS.0, QUESTIONS.1, now),
        }
    }
}

/// Who is being dialled, and who is not for now.
#[derive(Debug, Default)]
pub(super) struct Dials {
    begun: BTreeSet<PeerId>,
    /// Not before then, and how long the next pause is.
    paused: BTreeMap<PeerId, (Duration, Duration)>,
    banned: BTreeMap<PeerId, Duration>,
    /// Whom this node has nothing to do with.
    shunned: BTreeSet<PeerId>,
}

impl Machine {
    /// Somebody is linked, who was dialled by this node or dialled it.
    pub fn connected(&mut self, peer: PeerId, was_dialled: bool, now: Now) {
        self.dials.begun.remove(&peer);
        self.dials.paused.remove(&peer);
        let admitted = self.log.state().role(peer).is_some();
        let is_banned = self
            .dials
            .banned
            .get(&peer)
            .is_some_and(|until| *until > now.at);
        if self.dials.shunned.contains(&peer) {
            // It is told nothing.
            self.out.push_back(Output::HangUp(peer));
            return;
        }
        let strangers = self.links.values().filter(|link| !link.admitted).count();
        if peer == self.me || is_banned || (!admitted && strangers >= MAX_STRANGERS) {
            self.send(peer, Message::Bye(Bye::NoMember));
            self.out.push_back(Output::HangUp(peer));
            return;
        }
        if self.was_removed(peer) {
            return self.dismiss(peer);
        }
        self.links.insert(peer, Link::new(admitted, now.at));
        if !admitted {
            return;
        }
        self.greet(peer, now);
        let limit = if was_dialled {
            self.wanted()
        } else {
            self.wanted().max(MAX_NEIGHBOURS)
        };
        if self.linked().count() > limit {
            let others = self
                .links
                .iter()
                .filter(|(other, link)| **other != peer && link.admitted);
            let oldest = others.min_by_key(|(_, link)| link.since);
            if let Some(oldest) = oldest.map(|(oldest, _)| *oldest) {
                self.hang_up(oldest, Bye::Full);
            }
        }
    }

    /// Says what is had here, and asks for keys that are lacking.
    pub(super) fn greet(&mut self, peer: PeerId, now: Now) {
        let holds = self.holds(now);
        let clock_ms = now.unix_ms;
        self.send(peer, Message::Hello { clock_ms, holds });
        let epochs = self.log.state().epochs.keys();
        let lacking = epochs.filter(|epoch| !self.keys.contains_key(epoch));
        let lacking: Vec<_> = lacking.copied().take(super::MAX_KEYS).collect();
        if !lacking.is_empty() {
            self.send(peer, Message::WantKeys(lacking));
        }
        self.name_directories(peer, now);
    }

    /// A link has ended.
    pub fn disconnected(&mut self, peer: PeerId, now: Now) {
        if self.links.remove(&peer).is_some() {
            self.pause(peer, now);
            self.fill(now);
        }
    }

    /// A dial came to nothing.
    pub fn unreached(&mut self, peer: PeerId, now: Now) {
        self.dials.begun.remove(&peer);
        self.pause(peer, now);
        self.fill(now);
    }

    /// The own network has changed: whoever could not be reached may be now.
    pub fn moved(&mut self, now: Now) {
        self.dials.paused.clear();
        self.fill(now);
    }

    /// These members are neither dialled nor linked from now on, and no others are left out.
    pub fn shun(&mut self, peers: &BTreeSet<PeerId>, now: Now) {
        self.dials.shunned.clone_from(peers);
        let linked = self.links.keys().filter(|peer| peers.contains(peer));
        for peer in linked.copied().collect::<Vec<_>>() {
            // It is told nothing.
            self.out.push_back(Output::HangUp(peer));
            self.links.remove(&peer);
        }
        self.fill(now);
    }

    fn pause(&mut self, peer: PeerId, now: Now) {
        let (_, pause) = self
            .dials
            .paused
            .get(&peer)
            .copied()
            .unwrap_or((now.at, BACK_OFF.0));
        let jitter = self.rng.random_range(0.5..1.0);
        let next = (pause * 2).min(BACK_OFF.1);
        self.dials
            .paused
            .insert(peer, (now.at + pause.mul_f64(jitter), next));
    }

    /// Neighbours that there should be.
    fn wanted(&self) -> usize {
        let members = self.log.state().members.len();
        if members <= SMALL {
            members.saturating_sub(1)
        } else {
            NEIGHBOURS
        }
    }

    /// Looks for neighbours, if there are too few.
    pub(super) fn fill(&mut self, now: Now) {
        if self.log.state().role(self.me).is_none() {
            return;
        }
        while self.linked().count() + self.dials.begun.len() < self.wanted()
            && self.dials.begun.len() < MAX_DIALS
        {
            let Some(peer) = self.somebody(now.at) else {
                return;
            };
            self.dial(peer);
        }
    }

    fn dial(&mut self, peer: PeerId) {
        self.dials.begun.insert(peer);
        self.out.push_back(Output::Dial(peer));
    }

    /// Any member that may be dialled now.
    fn somebody(&mut self, now: Duration) -> Option<PeerId> {
        let may = |peer: &&PeerId| {
            let is_paused = self
                .dials
                .paused
                .get(*peer)
                .is_some_and(|(until, _)| *until > now);
            let is_banned = self
                .dials
                .banned
                .get(*peer)
                .is_some_and(|until| *until > now);
            **peer != self.me
                && !is_paused
                && !is_banned
                && !self.dials.shunned.contains(*peer)
                && !self.links.contains_key(*peer)
                && !self.dials.begun.contains(*peer)
        };
        let members = self.log.state().members.keys();
        let candidates: Vec<_> = members.filter(may).copied().collect();
        if candidates.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..candidates.len());
        candidates.get(at).copied()
    }

    pub(super) fn plan_rewiring(&mut self, now: Duration) {
        let more = self.rng.random_range(0..20_000);
        self.rewire_at = now + REWIRE + Duration::from_millis(more);
    }

    /// Meets another member, so that no part of the group stays apart and what was missed is found.
    pub(super) fn rewire(&mut self, now: Now) {
        if self.log.state().members.len() > SMALL {
            if self.dials.begun.is_empty()
                && let Some(peer) = self.somebody(now.at)
            {
                self.dial(peer);
            }
            return;
        }
        let linked: Vec<_> = self.linked().collect();
        if !linked.is_empty() {
            let peer = linked[self.rng.random_range(0..linked.len())];
            self.greet(peer, now);
        }
    }

    /// Who has not shown that it is a member, and who owes what it does not send.
    pub(super) fn look_at_links(&mut self, now: Now) {
        let late = |link: &Link| !link.admitted && now.at > link.since + STRANGER_PATIENCE;
        let strangers = self.links.iter().filter(|(_, link)| late(link));
        for peer in strangers.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.hang_up(peer, Bye::NoMember);
        }
        self.dials.banned.retain(|_, until| *until > now.at);
        let members = &self.log.state().members;
        self.dials
            .paused
            .retain(|peer, _| members.contains_key(peer));
        self.give_up_asking(now);
    }

    fn was_removed(&self, peer: PeerId) -> bool {
        let former = self.log.state().former.get(&peer);
        former.is_some_and(|former| former.removed)
    }

    /// Ends the link to who is no member any more; whoever was removed is shown that it was.
    pub(super) fn dismiss(&mut self, peer: PeerId) {
        if !self.was_removed(peer) {
            return self.hang_up(peer, Bye::NoMember);
        }
        let ops = self.log.dismissal(peer).into_iter();
        self.send(peer, Message::Items(ops.map(Item::Op).collect()));
        self.hang_up(peer, Bye::Removed);
    }

    pub(super) fn hang_up(&mut self, peer: PeerId, why: Bye) {
        self.send(peer, Message::Bye(why));
        self.out.push_back(Output::HangUp(peer));
        self.links.remove(&peer);
    }

    /// It sent what nobody honest sends.
    pub(super) fn ban(&mut self, peer: PeerId, now: Now) {
        self.dials.banned.insert(peer, now.at + BAN);
        self.hang_up(peer, Bye::Abuse);
        self.fill(now);
    }

    /// It ended the link and said why.
    pub(super) fn heard_bye(&mut self, peer: PeerId, why: Bye, now: Now) {
        self.out.push_back(Output::HangUp(peer));
        self.links.remove(&peer);
        if why == Bye::Removed {
            self.refused.insert(peer);
            self.dials
                .paused
                .insert(peer, (now.at + BACK_OFF.1, BACK_OFF.1));
        } else {
            self.refused.remove(&peer);
            self.pause(peer, now);
        }
        self.fill(now);
    }
}
