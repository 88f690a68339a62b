//! Connections that wait to be accepted. How many there may be is decided where they are admitted; those that end are taken out.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

use crate::Connection;

/// The end of the queue that [`crate::Endpoint::accept`] takes from.
#[derive(Debug, Default)]
pub(crate) struct Backlog(Arc<Inner>);

/// The driver's end: without it no connection comes any more.
#[derive(Debug)]
pub(crate) struct BacklogSender(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<VecDeque<Connection>>,
    changed: Notify,
    closed: AtomicBool,
}

impl Backlog {
    pub(crate) fn sender(&self) -> BacklogSender {
        BacklogSender(self.0.clone())
    }

    /// The connection that has waited for longest; none after the driver's end. To stop waiting for it loses none.
    pub(crate) async fn next(&self) -> Option<Connection> {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if let Some(connection) = self.0.waiting().pop_front() {
                return Some(connection);
            }
            if self.0.closed.load(Ordering::Acquire) {
                return None;
            }
            changed.await;
        }
    }
}

impl BacklogSender {
    pub(crate) fn push(&self, connection: Connection) {
        self.0.waiting().push_back(connection);
        self.0.changed.notify_one();
    }

    /// Takes out a connection that ended before anybody accepted it.
    pub(crate) fn remove(&self, stable_id: usize) {
        let mut waiting = self.0.waiting();
        waiting.retain(|connection| connection.quic.stable_id() != stable_id);
    }
}

impl Drop for BacklogSender {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.waiting().clear();
        self.0.changed.notify_waiters();
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        // Nothing that could panic happens while it is locked.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
