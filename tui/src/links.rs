//! Links that a node was asked to make, and keeps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use peerway::{ConnectError, Connection, Endpoint, PeerId, Ticket, services::ping};

/// The links of one node; clones share them.
#[derive(Clone, Debug)]
pub struct Links {
    endpoint: Endpoint,
    kept: Arc<Mutex<BTreeMap<PeerId, Connection>>>,
}

impl Links {
    /// None yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            kept: Arc::default(),
        }
    }

    /// The node whose links these are.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Dials a peer and keeps the link until it is dropped or the node ends.
    ///
    /// # Errors
    /// As [`Endpoint::connect`].
    pub async fn connect(&self, ticket: Ticket) -> Result<(), ConnectError> {
        let connection = self.endpoint.connect(ticket, ping::ALPN).await?;
        let mut kept = self.kept();
        kept.retain(|_, connection| connection.close_reason().is_none());
        kept.insert(connection.peer(), connection);
        Ok(())
    }

    /// Lets go of the link to a peer; false if none was asked for here.
    pub fn release(&self, peer: PeerId) -> bool {
        self.kept().remove(&peer).is_some()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<PeerId, Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
