//! A congestion controller that is told when the path under its connection changes.
//!
//! quinn sees one virtual address for ever, so it cannot know. A switch moves a shared [`Epoch`]; from then on each path has a
//! controller of its own, kept for when the path is taken up again, and what was sent on the path before neither
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

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// Which path a link is on, and how often it has switched. Clones share the value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epoch(Arc<AtomicU64>);

impl Epoch {
    /// Declares that from now on packets take the path `key`. A key met before takes up the window it had.
    pub(crate) fn switch_to(&self, key: u8) {
        let next = |epoch: u64| (((epoch >> 8) + 1) << 8) | u64::from(key);
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

fn path_key(epoch: u64) -> u8 {
    epoch.to_le_bytes()[0]
}

/// Builds controllers that follow one link's [`Epoch`]. All connections of the link share it.
pub(crate) struct PathAwareFactory {
    epoch: Epoch,
    inner: Arc<dyn ControllerFactory + Send + Sync>,
}

impl PathAwareFactory {
    /// Cubic on every path. (quinn's BBR loses half of its packets on a clean link.)
    pub(crate) fn cubic(epoch: Epoch) -> Self {
        Self {
            epoch,
            inner: Arc::new(CubicConfig::default()),
        }
    }
}

impl ControllerFactory for PathAwareFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(PathAware {
            current: self.inner.clone().build(now, current_mtu),
            others: BTreeMap::new(),
            seen: self.epoch.load(),
            switched: None,
            mtu: current_mtu,
            in_flight: 0,
            stale: 0,
            rtt: INITIAL_RTT,
            factory: self,
        })
    }
}

/// Until the first acknowledgement; only the expiry of the allowance for stale bytes depends on it.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// After so many round trips what was sent on the path before has arrived or is lost.
const STALE_RTTS: u32 = 3;

struct PathAware {
    factory: Arc<PathAwareFactory>,
    current: Box<dyn Controller>,
    others: BTreeMap<u8, Box<dyn Controller>>,
    seen: u64,
    switched: Option<Instant>,
    mtu: u16,
    in_flight: u64,
    /// Bytes in flight that were sent before the switch: allowed on top of the window, or they would block the new path.
    stale: u64,
    rtt: Duration,
}

impl PathAware {
    fn follow(&mut self, now: Instant) {
        let epoch = self.factory.epoch.load();
        if epoch == self.seen {
            return;
        }
        let next = match self.others.remove(&path_key(epoch)) {
            Some(mut known) => {
                known.on_mtu_update(self.mtu);
                known
            }
            None => self.factory.inner.clone().build(now, self.mtu),
        };
        let left = std::mem::replace(&mut self.current, next);
        if path_key(epoch) != path_key(self.seen) {
            self.others.insert(path_key(self.seen), left);
        }
        self.seen = epoch;
        self.switched = Some(now);
        self.stale = self.in_flight;
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
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.follow(now);
        self.in_flight += bytes;
        let expired = |at| now.saturating_duration_since(at) > STALE_RTTS * self.rtt;
        if self.stale > 0 && self.switched.is_some_and(expired) {
            self.stale = 0;
        }
        self.current.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.follow(now);
        if self.settle_stale(sent, bytes) {
            return;
        }
        self.rtt = rtt.get();
        self.current.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.follow(now);
        self.in_flight = in_flight;
        self.stale = self.stale.min(in_flight);
        self.current
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
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
        self.current
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.current.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.factory.epoch.load() == self.seen {
            return self.current.window() + self.stale;
        }
        // quinn asks before it sends, and only sending lets us follow: a window that is full of the old path's bytes
        // must not hold back the first packet of the new one.
        self.current.initial_window() + self.in_flight
    }

    fn metrics(&self) -> ControllerMetrics {
        self.current.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            factory: self.factory.clone(),
            current: self.current.clone_box(),
            others: self
                .others
                .iter()
                .map(|(key, controller)| (*key, controller.clone_box()))
                .collect(),
            seen: self.seen,
            switched: self.switched,
            mtu: self.mtu,
            in_flight: self.in_flight,
            stale: self.stale,
            rtt: self.rtt,
        })
    }

    fn initial_window(&self) -> u64 {
        self.current.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests;
