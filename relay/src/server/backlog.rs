//! Lane datagrams that wait until their rates let them go. Networks take turns, and within each the flows of its clients.
//!
//! Turns are of equal size in bytes (deficit round robin), so who sends more, or under more keys, gets no more of the line.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use peerway_proto::wire::lane::Channel;
use quinn_udp::EcnCodepoint;

use super::{ClientId, network::Network, shares::Shares};

/// What a network sends in one turn.
const TURN: usize = 16 << 10;
/// What waited for longer gives way to what came after it.
const MAX_AGE: Duration = Duration::from_millis(100);
/// What one flow may have waiting: a tenth of a second at 80 MB/s.
const PER_FLOW: usize = 8 << 20;
/// What may wait in all; beyond, the network with most loses its oldest.
const IN_ALL: usize = 64 << 20;

/// What one client sends on one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Flow {
    pub(super) channel: Channel,
    pub(super) from: ClientId,
}

/// Datagrams of one length but the last, which may be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagrams {
    /// How they are marked.
    pub ecn: Option<EcnCodepoint>,
    /// Length of each.
    pub stride: usize,
    /// All of them.
    pub bytes: Bytes,
}

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// These go.
    Send(Flow, Datagrams),
    /// None before this time.
    At(Instant),
    /// None wait.
    Nothing,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Backlog {
    flows: HashMap<Flow, Queue>,
    /// Flows that, as far as their own rates go, may send.
    turns: BTreeMap<Network, Turn>,
    order: VecDeque<Network>,
    /// The others, by when they may; of several at once, who was served longest ago comes first.
    resting: BTreeSet<(Instant, u64, Flow)>,
    held: Shares,
    /// How many were served so far.
    served: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Queue {
    network: Network,
    items: VecDeque<Item>,
    bytes: usize,
    /// When it was served last, as a count of all that were.
    served: u64,
    /// Until when it rests.
    rests: Option<Instant>,
}

#[derive(Debug)]
struct Item {
    since: Instant,
    datagrams: Datagrams,
}

#[derive(Debug, Default)]
struct Turn {
    flows: VecDeque<Flow>,
    /// Bytes that are left of it.
    left: usize,
}

impl Backlog {
    /// Whether a flow that may send has to wait behind others all the same: behind its own datagrams or, where the line is short,
    /// behind everybody's.
    pub(super) fn is_ahead_of(&self, flow: Flow, line_is_short: bool) -> bool {
        !self.flows.is_empty()
            && (self.flows.contains_key(&flow) || line_is_short && !self.order.is_empty())
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.resting.is_empty() && self.held.total() == 0
    }

    /// Bytes that were dropped since this was last asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Adds datagrams of a client in `network`. True if nothing of this flow waited before, so that something may be due earlier.
    pub(super) fn push(
        &mut self,
        now: Instant,
        flow: Flow,
        network: Network,
        datagrams: Datagrams,
    ) -> bool {
        let len = datagrams.bytes.len();
        let is_new = !self.flows.contains_key(&flow);
        let queue = self.flows.entry(flow).or_insert_with(|| Queue {
            network,
            items: VecDeque::new(),
            bytes: 0,
            served: self.served,
            rests: None,
        });
        queue.items.push_back(Item {
            since: now,
            datagrams,
        });
        queue.bytes += len;
        self.held.add(queue.network, len);
        if is_new {
            self.join(flow, network);
        }
        self.drop_late(now, flow);
        while self.flows.get(&flow).is_some_and(|it| it.bytes > PER_FLOW) {
            self.drop_oldest(flow);
        }
        while self.held.total() > IN_ALL
            && let Some(greediest) = self.held.greediest()
        {
            self.drop_oldest_of(greediest);
        }
        is_new
    }

    /// What is next, as the line is free from `line` on and each flow from `ready` on, which is none where the flow is over.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        line: Instant,
        ready: impl Fn(Flow) -> Option<Instant>,
    ) -> Next {
        loop {
            self.end_rests(now);
            let Some(&network) = self.order.front() else {
                let next = self.resting.first();
                return next.map_or(Next::Nothing, |&(at, ..)| Next::At(at));
            };
            if line > now {
                return Next::At(line);
            }
            let Some(flow) = self.turns.get(&network).and_then(|it| it.flows.front()) else {
                self.turns.remove(&network);
                self.order.pop_front();
                continue;
            };
            let flow = *flow;
            match ready(flow) {
                None => self.forget(flow),
                Some(at) if at > now => self.rest(flow, at),
                Some(_) => {
                    self.drop_late(now, flow);
                    if let Some(datagrams) = self.take(network, flow) {
                        return Next::Send(flow, datagrams);
                    }
                }
            }
        }
    }

    /// The flow takes part in its network's turns from now on.
    fn join(&mut self, flow: Flow, network: Network) {
        let turn = self.turns.entry(network).or_insert_with(|| {
            self.order.push_back(network);
            Turn::default()
        });
        turn.flows.push_back(flow);
    }

    /// Flows that may send again take part in turns.
    fn end_rests(&mut self, now: Instant) {
        while let Some(&(at, _, flow)) = self.resting.first()
            && at <= now
        {
            self.resting.pop_first();
            if let Some(queue) = self.flows.get_mut(&flow) {
                queue.rests = None;
                let network = queue.network;
                self.join(flow, network);
            }
        }
    }

    /// The flow takes no part in turns until `at`.
    fn rest(&mut self, flow: Flow, at: Instant) {
        self.leave(flow);
        if let Some(queue) = self.flows.get_mut(&flow) {
            queue.rests = Some(at);
            self.resting.insert((at, queue.served, flow));
        }
    }

    /// The flow takes no part in turns, nor does it rest.
    fn leave(&mut self, flow: Flow) {
        let Some(queue) = self.flows.get_mut(&flow) else {
            return;
        };
        if let Some(at) = queue.rests.take() {
            self.resting.remove(&(at, queue.served, flow));
        } else if let Some(turn) = self.turns.get_mut(&queue.network)
            && let Some(at) = turn.flows.iter().position(|other| *other == flow)
        {
            turn.flows.remove(at);
        }
    }

    /// Takes out what the flow sends in this turn of its network; none if the turn is over.
    fn take(&mut self, network: Network, flow: Flow) -> Option<Datagrams> {
        let turn = self.turns.get_mut(&network)?;
        let is_alone = self.order.len() == 1 && turn.flows.len() == 1;
        let queue = self.flows.get_mut(&flow)?;
        let item = queue.items.front_mut()?;
        let len = item
            .datagrams
            .part(if is_alone { usize::MAX } else { TURN });
        if turn.left < len {
            turn.left += TURN;
            self.order.rotate_left(1);
            return None;
        }
        turn.left -= len;
        turn.flows.rotate_left(1);
        let datagrams = item.datagrams.take(len);
        if item.datagrams.bytes.is_empty() {
            queue.items.pop_front();
        }
        queue.bytes -= len;
        self.served += 1;
        queue.served = self.served;
        self.held.remove(network, len);
        if queue.items.is_empty() {
            self.forget(flow);
        }
        Some(datagrams)
    }

    /// Drops what waited too long, if something newer waits.
    fn drop_late(&mut self, now: Instant, flow: Flow) {
        let is_late = |queue: &Queue| {
            let mut items = queue.items.iter();
            let first = items.next();
            items.next().is_some() && first.is_some_and(|it| it.since + MAX_AGE < now)
        };
        while self.flows.get(&flow).is_some_and(is_late) {
            self.drop_oldest(flow);
        }
    }

    fn drop_oldest_of(&mut self, network: Network) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the oldest does not depend on the order"
        )]
        let flows = self.flows.iter();
        let oldest = flows
            .filter(|(_, queue)| queue.network == network)
            .filter_map(|(flow, queue)| Some((queue.items.front()?.since, *flow)))
            .min();
        if let Some((_, flow)) = oldest {
            self.drop_oldest(flow);
        }
    }

    fn drop_oldest(&mut self, flow: Flow) {
        let Some(queue) = self.flows.get_mut(&flow) else {
            return;
        };
        let first = queue.items.pop_front();
        let left = first.map_or(0, |item| item.datagrams.bytes.len());
        queue.bytes -= left;
        self.held.remove(queue.network, left);
        self.dropped += left as u64;
        if queue.items.is_empty() {
            self.forget(flow);
        }
    }

    fn forget(&mut self, flow: Flow) {
        self.leave(flow);
        if let Some(queue) = self.flows.remove(&flow) {
            self.held.remove(queue.network, queue.bytes);
            self.dropped += queue.bytes as u64;
            super::shrink(&mut self.flows);
        }
    }
}

impl Datagrams {
    /// The bytes of as many as are at most `limit` together, but of one at least.
    fn part(&self, limit: usize) -> usize {
        let stride = self.stride.max(1);
        let whole = (limit / stride).max(1).saturating_mul(stride);
        whole.min(self.bytes.len())
    }

    /// The first `len` bytes of them.
    fn take(&mut self, len: usize) -> Self {
        Self {
            bytes: self.bytes.split_to(len),
            ..*self
        }
    }
}
