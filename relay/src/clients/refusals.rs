//! How whoever comes when there is no time is turned away: before TLS, at the price of one packet.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use peerway_keys::tls;
use peerway_proto::wire::relay::Busy;
use quinn_proto::{ConnectionId, ServerConfig};

/// Attempts that are remembered for what else comes of them.
const REMEMBERED: usize = 1024;

/// Who was turned away lately. What a client says first fills two datagrams, each of which looks like an attempt; the other one is
/// answered like the first, and promised nothing of its own.
#[derive(Debug)]
pub(super) struct Refusals {
    tls: Arc<tls::ServerConfig>,
    told: Vec<Option<(ConnectionId, Busy)>>,
    hasher: RandomState,
}

impl Refusals {
    pub(super) fn new(tls: Arc<tls::ServerConfig>) -> Self {
        Self {
            tls,
            told: vec![None; REMEMBERED],
            hasher: RandomState::new(),
        }
    }

    /// What the attempt with this id was told before.
    pub(super) fn told(&self, id: &ConnectionId) -> Option<Busy> {
        let (known, busy) = self.told.get(self.place(id)).copied()??;
        (known == *id).then_some(busy)
    }

    /// Remembers what the attempt with this id is told.
    pub(super) fn note(&mut self, id: ConnectionId, busy: Busy) {
        let place = self.place(&id);
        if let Some(told) = self.told.get_mut(place) {
            *told = Some((id, busy));
        }
    }

    /// The server that tells whoever dials that it is busy.
    pub(super) fn server(&self, usual: &ServerConfig, busy: Busy) -> Arc<ServerConfig> {
        let mut server = usual.clone();
        server.crypto = Arc::new(self.tls.refusing(busy.to_string()));
        Arc::new(server)
    }

    fn place(&self, id: &ConnectionId) -> usize {
        self.hasher.hash_one(id) as usize % REMEMBERED
    }
}
