//! How far a transfer is: counters that it moves and others read, and whether it goes on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::Valve;

/// How far a transfer is. Clones show the same transfer; reading costs it nothing.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counters: Counters,
    valve: Valve,
}

#[derive(Debug, Default)]
struct Counters {
    files: AtomicU64,
    bytes: AtomicU64,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
    bytes_held: AtomicU64,
}

impl Progress {
    /// What pauses, resumes and cancels the transfer.
    #[must_use]
    pub fn valve(&self) -> &Valve {
        &self.0.valve
    }

    /// Files of the transfer; 0 before it is accepted.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.0.counters.files.load(Relaxed)
    }

    /// Bytes of the transfer; 0 before it is accepted, and of a stream whose end is not known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.counters.bytes.load(Relaxed)
    }

    /// Files that are through.
    #[must_use]
    pub fn files_done(&self) -> u64 {
        self.0.counters.files_done.load(Relaxed)
    }

    /// Bytes that are through, those of an earlier try among them.
    #[must_use]
    pub fn bytes_done(&self) -> u64 {
        self.0.counters.bytes_done.load(Relaxed)
    }

    /// Bytes that were there from an earlier try.
    #[must_use]
    pub fn bytes_held(&self) -> u64 {
        self.0.counters.bytes_held.load(Relaxed)
    }

    /// A transfer of so much begins.
    pub fn begin(&self, files: u64, bytes: u64) {
        self.0.counters.files.store(files, Relaxed);
        self.0.counters.bytes.store(bytes, Relaxed);
    }

    /// So much is there from an earlier try.
    pub fn held(&self, bytes: u64) {
        self.0.counters.bytes_held.fetch_add(bytes, Relaxed);
        self.0.counters.bytes_done.fetch_add(bytes, Relaxed);
    }

    /// So much came, or was sent.
    pub fn moved(&self, bytes: u64) {
        self.0.counters.bytes_done.fetch_add(bytes, Relaxed);
    }

    /// A file is through.
    pub fn file_done(&self) {
        self.0.counters.files_done.fetch_add(1, Relaxed);
    }

    /// A file that counted as there is not, as something is in its way.
    pub(super) fn missing(&self, bytes: u64) {
        self.0.counters.bytes_held.fetch_sub(bytes, Relaxed);
        self.0.counters.bytes_done.fetch_sub(bytes, Relaxed);
        self.0.counters.files_done.fetch_sub(1, Relaxed);
    }

    /// A file begins anew: what came of it counts no more.
    pub(super) fn anew(&self, before: u64, size: u64, came: u64) {
        self.0
            .counters
            .bytes
            .fetch_add(size.wrapping_sub(before), Relaxed);
        self.0.counters.bytes_done.fetch_sub(came, Relaxed);
    }
}
