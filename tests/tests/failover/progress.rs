//! Whether something goes on.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::PATIENCE;

/// How much has come, and how long nothing came.
#[derive(Default)]
pub(crate) struct Progress {
    count: AtomicU64,
    /// When something last came, and the longest pause since somebody asked.
    pause: Mutex<(Option<Instant>, Duration)>,
}

impl Progress {
    pub(crate) fn add(&self, count: u64) {
        let now = Instant::now();
        let mut pause = self.pause.lock().unwrap();
        let last = pause.0.replace(now).unwrap_or(now);
        pause.1 = pause.1.max(now - last);
        drop(pause);
        self.count.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until `more` has come.
    pub(crate) fn advance(&self, more: u64) {
        let wanted = self.count() + more;
        let end = Instant::now() + PATIENCE;
        while self.count() < wanted {
            assert!(Instant::now() < end, "nothing comes any more");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The longest pause since this was last asked.
    pub(crate) fn take_gap(&self) -> Duration {
        std::mem::take(&mut self.pause.lock().unwrap().1)
    }
}
