//! A node's snapshots as what each changes in the one before, told in parts: of thousands of peers few change in a second, and the
//! first of them are shown before the last have come.

use peerway::{NodeChanges, NodeSnapshot};
use serde::{Deserialize, Serialize};

/// Peers of a part: the first fill any screen, and are read in a few milliseconds.
const PART: usize = 256;

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

/// What one listener was told.
#[derive(Debug, Default)]
pub(super) struct Teller {
    told: Option<NodeSnapshot>,
    seq: u64,
}

impl Teller {
    /// What the listener is to hear now.
    pub(super) fn tell(&mut self, now: &NodeSnapshot) -> Vec<Change> {
        let changes = match &mut self.told {
            Some(told) => told.follow(now),
            None => {
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
#[derive(Debug, Default)]
pub(crate) struct Listener {
    held: Option<NodeSnapshot>,
    next: u64,
}

/// Something was not heard: all is to be asked for anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap;

impl Listener {
    /// The node after this part of a change, which is all of it unless the part says that more follow.
    pub(crate) fn hear(&mut self, change: Change) -> Result<&NodeSnapshot, Gap> {
        let Change { seq, node, .. } = change;
        if seq == 0 {
            self.held = Some(NodeSnapshot::empty(node.id.ok_or(Gap)?));
        } else if seq != self.next {
            return Err(Gap);
        }
        self.next = seq + 1;
        let held = self.held.as_mut().ok_or(Gap)?;
        held.apply(node);
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use peerway::{PeerSnapshot, PeerState, SecretKey};

    use super::*;

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
        let told = Teller::default().tell(&node);
        let parts: Vec<_> = told
            .iter()
            .map(|it| (it.seq, it.more, it.node.peers.len()))
            .collect();
        assert_eq!(parts, [(0, true, PART), (1, true, PART), (2, false, 1)]);
        assert!(told[0].node.ticket.is_some() && told[1].node.ticket.is_none());
        let mut listener = Listener::default();
        let heard = told
            .into_iter()
            .map(|it| listener.hear(it).unwrap().clone());
        assert_eq!(heard.last(), Some(node));
    }

    #[test]
    fn who_misses_a_part_says_so_and_holds_all_once_it_was_told_anew() {
        let mut node = node(3);
        let (mut teller, mut listener) = (Teller::default(), Listener::default());
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
        for change in Teller::default().tell(&node) {
            heard = listener.hear(change).ok().cloned();
        }
        assert_eq!(heard, Some(node));
        let later = Change {
            seq: 1,
            ..Change::whole(&self::node(0))
        };
        assert_eq!(Listener::default().hear(later).err(), Some(Gap));
    }
}
