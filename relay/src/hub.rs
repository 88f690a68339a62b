//! What the tasks of a relay share: the pure server, and the count of our own faults.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::Notify, time::sleep_until};
use tracing::error;

use crate::server::{Limits, Now, Server};

#[derive(Debug)]
pub(crate) struct Hub {
    server: Mutex<Server>,
    panics: AtomicU64,
    overflows: AtomicU64,
    changed: Notify,
    lane: Notify,
    dht: Notify,
}

impl Hub {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            server: Mutex::new(Server::new(limits)),
            panics: AtomicU64::new(0),
            overflows: AtomicU64::new(0),
            changed: Notify::new(),
            lane: Notify::new(),
            dht: Notify::new(),
        }
    }

    /// Does `work`. If it panics, what it was about is lost and nothing else.
    pub(crate) fn contain<T>(&self, about: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(work));
        if done.is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
            error!(
                about,
                "handling it failed; this is a fault of the relay, please report it"
            );
        }
        done.ok()
    }

    /// How often handling something failed, which is a fault of ours.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// A QUIC datagram found no room to wait in.
    pub(crate) fn note_overflow(&self) {
        self.overflows.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that happened.
    pub(crate) fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    /// Changes the server from outside the clients' task, which then does what follows from it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Server)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    /// Has the server count what was sent.
    pub(crate) fn settle(&self, now: Now) {
        if self.lock().settle(now) {
            self.changed.notify_one();
        }
    }

    /// Returns when the server was changed from outside.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Something of the lane may be due earlier than was said.
    pub(crate) fn hasten_lane(&self) {
        self.lane.notify_one();
    }

    /// Returns when that is so.
    pub(crate) async fn lane_hastened(&self) {
        self.lane.notified().await;
    }

    /// There is something to be done in the DHT.
    pub(crate) fn hasten_dht(&self) {
        self.dht.notify_one();
    }

    /// Returns when that is so.
    pub(crate) async fn dht_hastened(&self) {
        self.dht.notified().await;
    }

    /// The server. Whoever panicked has not left it half changed: only its own methods run under the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for this time; for ever if there is none.
pub(crate) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shell reads the clocks for the server"
)]
pub(crate) fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        instant: Instant::now(),
        unix_ms: unix.as_millis() as u64,
    }
}
