//! What both overlays are: a table of other nodes, which says who is nearer to a key.

use std::{collections::BTreeSet, time::Duration};

use rand::rngs::StdRng;

/// A node's place, and a key's: uniform at random.
pub(crate) type Id = u64;

/// What one node says of others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// Nodes nearer to the key, as far as is known.
    pub(crate) closer: Vec<Id>,
    /// Neighbours on a ring, whatever the key: the one before, then those after.
    pub(crate) around: Vec<Id>,
}

/// What a node does to keep its table true.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upkeep {
    /// Asks one node for the own id.
    Ask(Id),
    /// Searches for a key.
    Search(Id),
}

/// The table of one node. Pure: what happens goes in with the time.
pub(crate) trait Table: Sized {
    /// What it is called.
    const NAME: &'static str;
    /// Nodes that a search asks at once.
    const WIDTH: usize;
    /// The best of which so many must have answered before a search is over.
    const ASKED: usize;
    /// How often [`upkeep`](Self::upkeep) is called.
    const UPKEEP: Duration;
    /// The most hops that half of the searches may take among so many nodes.
    fn goal(nodes: f64) -> f64;

    /// How far a node is from a key: the nearest answers for it.
    fn distance(key: Id, node: Id) -> u64;
    /// In which order a search asks: the least first.
    fn rank(key: Id, node: Id) -> u64;

    /// That of a node which joins.
    fn new(me: Id, now: Duration) -> Self;
    /// That of a node which has been there for long, among these.
    fn settled(me: Id, all: &BTreeSet<Id>, rng: &mut StdRng) -> Self;
    /// What it says to who looks for a key.
    fn answer(&self, key: Id, now: Duration) -> Answer;
    /// A node asked, so it lives.
    fn asked_by(&mut self, peer: Id, now: Duration);
    /// A node answered.
    fn answered(&mut self, peer: Id, answer: &Answer, now: Duration);
    /// A node did not answer.
    fn lost(&mut self, peer: Id);
    /// A search of upkeep ended with this node.
    fn found(&mut self, key: Id, node: Id);
    /// What is to be done now.
    fn upkeep(&mut self, now: Duration, rng: &mut StdRng) -> Vec<Upkeep>;
    /// Nodes in it.
    fn len(&self) -> usize;
}
