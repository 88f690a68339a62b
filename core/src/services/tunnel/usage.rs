//! Who uses an exposed server now, and what went through until now.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::PeerId;

/// What a server is used for, TCP and UDP together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Who has connections or flows open to it, with how many each.
    pub open: BTreeMap<PeerId, usize>,
    /// Bytes that came from peers, of all that ever used it.
    pub from_peers: u64,
    /// Bytes that went to them.
    pub to_peers: u64,
}

/// Counts the use of one server.
#[derive(Debug, Default)]
pub(super) struct Meter {
    open: Mutex<BTreeMap<PeerId, usize>>,
    from_peers: AtomicU64,
    to_peers: AtomicU64,
}

impl Meter {
    pub(super) fn read(&self) -> Usage {
        Usage {
            open: self.open().clone(),
            from_peers: self.from_peers.load(Ordering::Relaxed),
            to_peers: self.to_peers.load(Ordering::Relaxed),
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<PeerId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection or flow of a peer, which is open until this is dropped.
#[derive(Debug)]
pub(super) struct Using {
    meter: Arc<Meter>,
    peer: PeerId,
}

impl Using {
    pub(super) fn begin(meter: Arc<Meter>, peer: PeerId) -> Self {
        *meter.open().entry(peer).or_default() += 1;
        Self { meter, peer }
    }

    /// So much came from the peer.
    pub(super) fn took(&self, len: usize) {
        self.meter
            .from_peers
            .fetch_add(len as u64, Ordering::Relaxed);
    }

    /// So much went to it.
    pub(super) fn gave(&self, len: usize) {
        self.meter.to_peers.fetch_add(len as u64, Ordering::Relaxed);
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        let mut open = self.meter.open();
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}
