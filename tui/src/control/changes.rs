//! A node's snapshots as what each changes in the one before, told in parts: of thousands of peers few change in a second, and the
//! first of them are shown before the last have come.

use std::sync::Arc;

use peerway::{NodeChanges, NodeSnapshot};
use serde::{Deserialize, Serialize};

/// Peers of a part: the first fill a screen, and are read in a millisecond or two.
const PART: usize = 64;
/// Parts of one change that are waited for: more peers than any node has.
const MOST_PARTS: usize = 4096;

/// A part of what has changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Counts from 0, which begins anew: all of the node as it is.
    pub(crate) seq: u64,
    /// More of the same change follows at once.
    pub(crate) more: bool,
    pub(crate) node: NodeChanges,
}

impl Change {
    /// All of a node, by itself.
    pub(super) fn whole(snapshot: &NodeSnapshot) -> Self {
        Self {
            seq: 0,
            more: false,
            node: NodeChanges::whole(snapshot),
        }
    }
}

/// How what changes of a peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    /// By the whole peer.
    Peer,
    /// By what is other of it.
    Field,
}

/// What one listener was told.
#[derive(Debug)]
pub(super) struct Teller {
    grain: Grain,
    told: Option<NodeSnapshot>,
    seq: u64,
}

impl Teller {
    pub(super) fn new(grain: Grain) -> Self {
        Self {
            grain,
            told: None,
            seq: 0,
        }
    }

    /// What the listener is to hear now.
    pub(super) fn tell(&mut self, now: &NodeSnapshot) -> Vec<Change> {
        let changes = match (&mut self.told, self.grain) {
            (Some(told), Grain::Peer) => told.follow(now),
            (Some(told), Grain::Field) => told.follow_by_field(now),
            (None, _) => {
                self.told = Some(now.clone());
                NodeChanges::whole(now)
            }
        };
        let parts = changes.in_parts(PART);
        let last = parts.len() - 1;
        let numbered = parts.into_iter().enumerate().map(|(at, node)| {
            let seq = self.seq;
            self.seq += 1;
            Change {
                seq,
                more: at < last,
                node,
            }
        });
        numbered.collect()
    }
}

/// What a listener has heard of a node.
///
/// Two snapshots of it take turns: while others look at the one, the other catches up and becomes the next, so that thousands of
/// peers are not copied each time that one of them changes.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    /// The next one to be shown, as it was when it was shown last.
    next: Option<Arc<NodeSnapshot>>,
    /// What has come since then.
    lacks: Vec<NodeChanges>,
    /// The one that is shown, and what has come since.
    shown: Option<Arc<NodeSnapshot>>,
    news: Vec<NodeChanges>,
    next_seq: u64,
}

/// Something was not heard: all is to be asked for anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap;

impl Listener {
    /// The node after this part of a change, if it is the last one, or the first of all.
    pub(crate) fn hear(&mut self, change: Change) -> Result<Option<Arc<NodeSnapshot>>, Gap> {
        let Change {
            seq,
            more,
            mut node,
        } = change;
        fit(&mut node);
        if seq == 0 {
            *self = Self {
                next: Some(Arc::new(NodeSnapshot::empty(node.id.ok_or(Gap)?))),
                ..Self::default()
            };
        } else if seq != self.next_seq {
            return Err(Gap);
        }
        self.next_seq = seq + 1;
        self.catch_up();
        self.news.push(node);
        if more && seq != 0 {
            let is_endless = self.news.len() > MOST_PARTS;
            return if is_endless { Err(Gap) } else { Ok(None) };
        }
        let mut next = self.next.take().ok_or(Gap)?;
        let it = Arc::make_mut(&mut next);
        for change in self.lacks.drain(..).chain(self.news.iter().cloned()) {
            it.apply(change);
        }
        let before = self.shown.replace(Arc::clone(&next));
        (self.next, self.lacks) = match before {
            Some(before) => (Some(before), std::mem::take(&mut self.news)),
            None => (Some(Arc::clone(&next)), Vec::new()),
        };
        self.news.clear();
        Ok(Some(next))
    }

    /// As soon as nobody looks at the next one any more, so that what it lacks is not kept beside the news.
    fn catch_up(&mut self) {
        if let Some(next) = self.next.as_mut().and_then(Arc::get_mut) {
            self.lacks.drain(..).for_each(|change| next.apply(change));
            self.lacks.shrink_to_fit();
        }
    }
}

/// Lists that are read are made with room for four; of thousands of peers most have one address and one connection.
fn fit(node: &mut NodeChanges) {
    for peer in &mut node.peers {
        peer.pairs.shrink_to_fit();
        peer.flows.shrink_to_fit();
    }
    for peer in &mut node.changed {
        if let Some(pairs) = &mut peer.pairs {
            pairs.shrink_to_fit();
        }
        if let Some(flows) = &mut peer.flows {
            flows.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerway::{PeerSnapshot, PeerState, SecretKey};

    use super::*;

    const GRAIN: Grain = Grain::Field;

    fn node(peers: usize) -> NodeSnapshot {
        let id = |number: usize| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            SecretKey::from_seed(&seed).id()
        };
        let mut node = NodeSnapshot::empty(id(usize::MAX));
        let peers = (0..peers).map(|number| PeerSnapshot::new(id(number), PeerState::Direct));
        node.peers = peers.collect();
        node.peers.sort_by_key(|peer| peer.id);
        node
    }

    #[test]
    fn thousands_of_peers_come_in_parts_the_rest_of_the_node_with_the_first() {
        let node = node(2 * PART + 1);
        let told = Teller::new(GRAIN).tell(&node);
        let parts: Vec<_> = told
            .iter()
            .map(|it| (it.seq, it.more, it.node.peers.len()))
            .collect();
        assert_eq!(parts, [(0, true, PART), (1, true, PART), (2, false, 1)]);
        assert!(told[0].node.ticket.is_some() && told[1].node.ticket.is_none());
        let mut listener = Listener::default();
        let heard: Vec<_> = told
            .into_iter()
            .map(|it| listener.hear(it).unwrap())
            .collect();
        assert_eq!(heard[0].as_ref().unwrap().peers, node.peers[..PART]);
        assert_eq!(heard[1], None);
        assert_eq!(heard[2].as_deref(), Some(&node));
    }

    #[test]
    fn who_misses_a_part_says_so_and_holds_all_once_it_was_told_anew() {
        let mut node = node(3);
        let (mut teller, mut listener) = (Teller::new(GRAIN), Listener::default());
        for change in teller.tell(&node) {
            listener.hear(change).unwrap();
        }
        node.strangers += 1;
        let missed = teller.tell(&node);
        assert_eq!(missed.len(), 1);
        node.peers.remove(1);
        for change in teller.tell(&node) {
            assert!(change.node.peers.is_empty(), "{change:?}");
            assert_eq!(listener.hear(change).err(), Some(Gap));
        }
        let mut heard = None;
        for change in Teller::new(GRAIN).tell(&node) {
            heard = listener.hear(change).unwrap();
        }
        assert_eq!(heard.as_deref(), Some(&node));
        let later = Change {
            seq: 1,
            ..Change::whole(&self::node(0))
        };
        assert_eq!(Listener::default().hear(later).err(), Some(Gap));
    }

    #[test]
    fn what_somebody_still_looks_at_stays_as_it_was_and_the_next_is_right_all_the_same() {
        let mut node = node(2 * PART);
        let (mut teller, mut listener) = (Teller::new(GRAIN), Listener::default());
        let mut kept = Vec::new();
        for second in 0..12_u64 {
            node.grow_older(Duration::from_secs(second));
            for number in 0..=second as usize {
                node.peers[7 * number].rtt = Some(Duration::from_millis(second));
            }
            if second == 5 {
                node.peers.remove(3);
            }
            let told = teller.tell(&node).into_iter();
            let heard = told
                .filter_map(|it| listener.hear(it).unwrap())
                .last()
                .unwrap();
            assert_eq!(*heard, node);
            if second % 3 == 0 {
                kept.push((heard, node.clone()));
            }
        }
        for (heard, was) in kept {
            assert_eq!(*heard, was);
        }
    }

    #[test]
    fn of_peers_that_change_each_second_the_memory_is_used_again() {
        let mut node = node(PART);
        let (mut teller, mut listener) = (Teller::new(GRAIN), Listener::default());
        let mut shown: Option<Arc<NodeSnapshot>> = None;
        let mut places = Vec::new();
        for second in 0..8 {
            node.peers[0].rtt = Some(Duration::from_millis(second));
            for change in teller.tell(&node) {
                shown = listener.hear(change).unwrap();
            }
            places.push(Arc::as_ptr(shown.as_ref().unwrap()));
        }
        drop(shown);
        assert!(
            places[2..]
                .windows(3)
                .all(|it| it[0] == it[2] && it[0] != it[1])
        );
    }

    #[test]
    fn what_came_is_kept_for_the_other_snapshot_no_longer_than_somebody_looks_at_that() {
        for is_looked_at in [false, true] {
            let mut node = node(2 * PART);
            let (mut teller, mut listener) = (Teller::new(GRAIN), Listener::default());
            let mut seen = Vec::new();
            for second in 1..3 {
                node.peers[0].rtt = Some(Duration::from_millis(second));
                let told = teller.tell(&node).into_iter();
                seen.extend(told.filter_map(|it| listener.hear(it).unwrap()).last());
            }
            seen.retain(|_| is_looked_at);
            for peer in &mut node.peers {
                peer.rtt = Some(Duration::from_millis(9));
            }
            let mut told = teller.tell(&node).into_iter();
            assert_eq!(listener.hear(told.next().unwrap()), Ok(None));
            assert_eq!(listener.lacks.is_empty(), !is_looked_at);
            let last = told.filter_map(|it| listener.hear(it).unwrap()).last();
            assert_eq!(last.as_deref(), Some(&node));
        }
    }

    #[test]
    fn who_never_comes_to_an_end_of_a_change_is_asked_anew() {
        let node = node(1);
        let mut listener = Listener::default();
        listener.hear(Change::whole(&node)).unwrap();
        let part = |seq| Change {
            seq,
            more: true,
            ..Change::whole(&node)
        };
        let mut heard = (1..).map(|seq| listener.hear(part(seq)));
        assert_eq!(heard.position(|it| it == Err(Gap)), Some(MOST_PARTS));
    }
}
