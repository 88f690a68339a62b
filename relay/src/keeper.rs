//! The running relay and what outlives it, for whoever operates it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use peerway_proto::RelayUrl;
use peerway_relay::Relay;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use crate::store::Store;

/// How often what changed is written down: what a crash may lose.
const PAUSE: Duration = Duration::from_secs(10);

/// See the [module](self). Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keeper {
    relay: Relay,
    store: Arc<Mutex<Store>>,
    drain: watch::Sender<Option<Drain>>,
}

impl Keeper {
    pub(crate) fn new(relay: Relay, store: Store) -> Self {
        Self {
            relay,
            store: Arc::new(Mutex::new(store)),
            drain: watch::Sender::new(None),
        }
    }

    pub(crate) fn relay(&self) -> &Relay {
        &self.relay
    }

    /// The relay is to stop.
    pub(crate) fn drain(&self, drain: Drain) {
        self.drain.send_replace(Some(drain));
    }

    /// When that is said.
    pub(crate) fn drains(&self) -> Drains {
        let mut said = self.drain.subscribe();
        said.mark_changed();
        Drains(said)
    }

    /// Writes down what changed. False if the disk does not take it; it is tried again later.
    pub(crate) async fn write(&self) -> bool {
        let this = self.clone();
        let write = move || {
            let mut store = this.store.lock().unwrap_or_else(PoisonError::into_inner);
            store.write(this.relay.take_records())
        };
        spawn_blocking(write).await.unwrap_or(false)
    }

    /// Writes down what changes, for ever.
    pub(crate) async fn keep(&self) {
        loop {
            sleep(PAUSE).await;
            self.write().await;
        }
    }
}

/// How the relay is to end.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    pub(crate) within: Duration,
    /// The relay that takes its place.
    pub(crate) to: Option<RelayUrl>,
}

/// The operator's words about the end of the relay.
#[derive(Debug)]
pub(crate) struct Drains(watch::Receiver<Option<Drain>>);

impl Drains {
    /// Returns when the relay is to stop, and how; the next time when that is said again.
    pub(crate) async fn next(&mut self) -> Drain {
        loop {
            if self.0.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(drain) = self.0.borrow_and_update().clone() {
                return drain;
            }
        }
    }
}

/// Milliseconds since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "invitations end by the clock on the wall"
)]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}
