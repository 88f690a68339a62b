//! What waits to be written to one client.
//!
//! Signals of callers whom the client has not answered are *calls*. They leave at a bounded rate, one network after the
//! other, and after everything else: whoever calls in numbers delays themselves, and neither other callers nor the links
//! that stand.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    time::{Duration, Instant},
};

use peerway_proto::{PeerId, wire::relay::ToClient};

use super::{Bucket, Rate, network::Network, shares::Shares};

/// Frames that wait; those beyond are dropped, as signals are repeated by their senders.
const FRAMES: usize = 128;
/// Calls that wait; beyond, a network that has more of them gives up its newest.
const CALLS: usize = 1024;
/// How far ahead of their rate calls may be.
const CALLS_BURST: Duration = Duration::from_millis(250);

/// A call that waits.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) from: PeerId,
    pub(super) network: Network,
    pub(super) frame: ToClient,
    /// What it holds in memory.
    pub(super) bytes: usize,
}

/// What to write next.
#[derive(Debug)]
pub(super) enum Next {
    Frame(ToClient),
    Call(Call),
    /// Calls wait for their time.
    At(Instant),
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<ToClient>,
    calls: BTreeMap<Network, VecDeque<Call>>,
    shares: Shares,
    /// Whose call went last.
    last: Option<Network>,
    pace: Bucket,
}

impl Outbox {
    /// False if it was dropped.
    #[must_use]
    pub(super) fn push(&mut self, frame: ToClient) -> bool {
        let fits = self.frames.len() < FRAMES;
        if fits {
            self.frames.push_back(frame);
        }
        fits
    }

    /// Queues a call. Returns the one that found no room, be it this or another's.
    #[must_use]
    pub(super) fn push_call(&mut self, call: Call) -> Option<Call> {
        let mut displaced = None;
        if self.shares.total() >= CALLS {
            let Some(greediest) = self.shares.yielding_to(call.network) else {
                return Some(call);
            };
            displaced = self.pop(greediest, VecDeque::pop_back);
        }
        self.shares.add(call.network, 1);
        self.calls.entry(call.network).or_default().push_back(call);
        displaced
    }

    /// Takes out what is to be written next.
    pub(super) fn poll(&mut self, now: Instant, rate: Rate) -> Next {
        if let Some(frame) = self.frames.pop_front() {
            if self.frames.is_empty() {
                // Most outboxes are empty most of the time, and a relay has many.
                self.frames = VecDeque::new();
            }
            return Next::Frame(frame);
        }
        let Some(network) = self.next_network() else {
            return Next::Nothing;
        };
        if !self.pace.take_within(CALLS_BURST, rate, now, 1) {
            return Next::At(self.pace.ready_at(CALLS_BURST, now));
        }
        self.last = Some(network);
        self.pop(network, VecDeque::pop_front)
            .map_or(Next::Nothing, Next::Call)
    }

    /// Whose calls wait.
    pub(super) fn callers(&self) -> impl Iterator<Item = PeerId> {
        self.calls.values().flatten().map(|call| call.from)
    }

    /// Without the frames: they were for a connection that is gone.
    pub(super) fn only_calls(mut self) -> Self {
        self.frames = VecDeque::new();
        self
    }

    /// Gives up all calls that wait.
    pub(super) fn into_calls(self) -> impl Iterator<Item = Call> {
        self.calls.into_values().flatten()
    }

    fn next_network(&self) -> Option<Network> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = self.calls.range((after, Bound::Unbounded));
        let (network, _) = later.next().or_else(|| self.calls.first_key_value())?;
        Some(*network)
    }

    fn pop(
        &mut self,
        network: Network,
        take: impl FnOnce(&mut VecDeque<Call>) -> Option<Call>,
    ) -> Option<Call> {
        let queue = self.calls.get_mut(&network)?;
        let call = take(queue);
        if queue.is_empty() {
            self.calls.remove(&network);
        }
        self.shares.remove(network, 1);
        call
    }
}
