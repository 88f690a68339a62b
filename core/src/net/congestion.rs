//! The congestion controller of a connection, which is told when the path under it changes.
//!
//! quinn sees one virtual address for ever, so it cannot know. A switch moves a shared [`Epoch`]; from then on each path has a
//! [`Model`] of its own, kept for when the path is taken up again, and what was sent on the path before neither
//! grows nor shrinks the window of the present one.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::congestion::Model;

/// Which path a link is on, and how often it has switched. Clones share the value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epoch(Arc<AtomicU64>);

impl Epoch {
    /// Declares that from now on packets take the path `key`. A key met before takes up what is known of its path.
    pub(crate) fn switch_to(&self, key: u32) {
        let next = |epoch: u64| (((epoch >> 32) + 1) << 32) | u64::from(key);
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |epoch| {
                Some(next(epoch))
            })
            .ok();
    }

    fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

fn path_key(epoch: u64) -> u32 {
    epoch as u32
}

/// Builds controllers that follow one link's [`Epoch`]. All connections of the link share it.
pub(crate) struct PathAwareFactory {
    epoch: Epoch,
}

impl PathAwareFactory {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch }
    }
}

impl ControllerFactory for PathAwareFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let seed = ChaCha20Rng::from_os_rng().next_u64();
        Box::new(PathAware {
            current: Model::new(now, current_mtu, seed),
            others: BTreeMap::new(),
            seen: self.epoch.load(),
            epoch: self.epoch.clone(),
            switched: None,
            mtu: current_mtu,
            seed,
            in_flight: 0,
            stale: 0,
            rtt: INITIAL_RTT,
        })
    }
}

/// Until the first acknowledgement; only the expiry of the allowance for stale bytes depends on it.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// After so many round trips what was sent on the path before has arrived or is lost.
const STALE_RTTS: u32 = 3;
/// Paths that are kept for their return; of more, the one left first is forgotten.
const MAX_OTHERS: usize = 8;

#[derive(Clone)]
struct PathAware {
    epoch: Epoch,
    current: Model,
    /// The paths left, and when.
    others: BTreeMap<u32, (Instant, Model)>,
    seen: u64,
    switched: Option<Instant>,
    mtu: u16,
    seed: u64,
    in_flight: u64,
    /// Bytes in flight that were sent before the switch: allowed on top of the window, or they would block the new path.
    stale: u64,
    rtt: Duration,
}

impl PathAware {
    fn follow(&mut self, now: Instant) {
        let epoch = self.epoch.load();
        if epoch == self.seen {
            return;
        }
        let next = match self.others.remove(&path_key(epoch)) {
            Some((left_at, mut known)) => {
                known.set_mtu(self.mtu);
                known.resume(now, left_at);
                known
            }
            None => Model::new(now, self.mtu, self.seed),
        };
        let left = std::mem::replace(&mut self.current, next);
        if path_key(epoch) != path_key(self.seen) {
            self.keep(path_key(self.seen), left, now);
        }
        self.seen = epoch;
        self.switched = Some(now);
        self.stale = self.in_flight;
    }

    fn keep(&mut self, key: u32, left: Model, now: Instant) {
        if self.others.len() == MAX_OTHERS {
            let first = self.others.iter().min_by_key(|(_, (left_at, _))| *left_at);
            if let Some(key) = first.map(|(key, _)| *key) {
                self.others.remove(&key);
            }
        }
        self.others.insert(key, (now, left));
    }

    /// Whether bytes were sent before the switch; if so they are settled with that.
    fn settle_stale(&mut self, sent: Instant, bytes: u64) -> bool {
        let is_stale = self.switched.is_some_and(|switched| sent < switched);
        if is_stale {
            self.stale = self.stale.saturating_sub(bytes);
        }
        is_stale
    }
}

impl Controller for PathAware {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        self.follow(now);
        self.in_flight = self.in_flight.saturating_add(bytes);
        let expired = |at| now.saturating_duration_since(at) > STALE_RTTS * self.rtt;
        if self.stale > 0 && self.switched.is_some_and(expired) {
            self.stale = 0;
        }
        self.current.sent(now, bytes);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.follow(now);
        if self.settle_stale(sent, bytes) {
            return;
        }
        self.rtt = rtt.get();
        self.current.acked(now, sent, bytes);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        self.follow(now);
        self.in_flight = in_flight;
        self.stale = self.stale.min(in_flight);
        self.current
            .end_of_acks(now, in_flight - self.stale, app_limited);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.follow(now);
        self.in_flight = self.in_flight.saturating_sub(lost_bytes);
        if self.settle_stale(sent, lost_bytes) {
            return;
        }
        if lost_bytes == 0 {
            // quinn's way to say that a router marked a packet.
            self.current.marked();
            return;
        }
        self.current.lost(sent, lost_bytes);
        if is_persistent_congestion {
            self.current.collapsed(now);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.current.set_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.epoch.load() == self.seen {
            return self.current.window() + self.stale;
        }
        // quinn asks before it sends, and only sending lets us follow: a window that is full of the old path's bytes
        // must not hold back the first packet of the new one.
        self.initial_window() + self.in_flight
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.current.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        Model::initial_window(self.mtu)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests;
