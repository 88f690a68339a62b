//! What somebody here wants of the link.

use std::time::Instant;

use super::choice::Choice;
use crate::{PathPolicy, local::Local, timing::LINGER};

/// Who waits for the peer.
#[derive(Default)]
pub(super) struct Demand {
    /// Whether anybody here wants the link.
    wanted: bool,
    /// Whether that was so until its last connection ended.
    released: bool,
    /// Whether we dialled it, and so do not hide our local addresses from it.
    dialled: bool,
    /// A dial waits for its connection.
    awaited: bool,
    /// Until when the link is kept, as the next connection may be about to come.
    linger: Option<Instant>,
    /// Which paths are wanted.
    policy: PathPolicy,
    /// Which pairs are.
    pub(super) choice: Choice,
}

impl Demand {
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether the link is only kept for a moment, as its last connection has ended.
    pub(super) fn is_released(&self) -> bool {
        self.released
    }

    pub(super) fn is_dialled(&self) -> bool {
        self.dialled
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.awaited
    }

    pub(super) fn policy(&self) -> PathPolicy {
        self.policy
    }

    /// Returns whether other paths are wanted than before.
    pub(super) fn set_policy(&mut self, policy: PathPolicy) -> bool {
        std::mem::replace(&mut self.policy, policy) != policy
    }

    /// Whether direct paths to the peer are out of the question here.
    pub(super) fn keeps_to_relays(&self, local: &Local) -> bool {
        local.relay_only || self.policy == PathPolicy::RelayOnly
    }

    /// Whether no relay may carry data.
    pub(super) fn shuns_relays(&self) -> bool {
        self.policy == PathPolicy::DirectOnly
    }

    /// When the link ends that nobody wants.
    pub(super) fn next(&self) -> Option<Instant> {
        self.linger
    }

    /// Somebody dials.
    pub(super) fn dial(&mut self) {
        (self.wanted, self.dialled, self.awaited) = (true, true, true);
        self.released = false;
        self.linger = None;
    }

    /// A connection stands.
    pub(super) fn on_connected(&mut self) {
        (self.wanted, self.awaited) = (true, false);
        self.released = false;
        self.linger = None;
    }

    /// Nobody wants the link any more.
    pub(super) fn release(&mut self) {
        self.released |= self.wanted;
        (self.wanted, self.awaited) = (false, false);
    }

    /// Those who wait for a connection were told that there will be none.
    pub(super) fn disappoint(&mut self) {
        self.awaited = false;
    }

    /// The link is over.
    pub(super) fn end(&mut self) {
        (self.awaited, self.released) = (false, false);
        self.linger = None;
        self.choice = Choice::default();
    }

    /// Something happened that makes it worth while to keep the link for a moment.
    pub(super) fn linger(&mut self, now: Instant) {
        self.linger = Some(now + LINGER);
    }

    /// The same, where nobody wants the link.
    pub(super) fn linger_if_unwanted(&mut self, now: Instant) {
        self.linger = (!self.wanted).then(|| now + LINGER);
    }
}
