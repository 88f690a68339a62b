//! The node that runs here with the folder's identity, to commands that are about it.

use peerway::keyfile;

use super::{args::Globals, failure::Failure, state::StateDir};
use crate::control::{Client, Place};

/// The node of the folder's identity; none if it does not run.
pub(super) async fn running(globals: &Globals) -> Result<Option<Client>, Failure> {
    match StateDir::open(globals)?.control()? {
        Some(place) => Ok(Client::find(place).await?),
        None => Ok(None),
    }
}

/// The node of the folder's identity, which a command cannot do without.
pub(super) async fn needed(globals: &Globals) -> Result<Client, Failure> {
    running(globals).await?.ok_or(Failure::NoNode)
}

impl StateDir {
    /// Where its node answers; none before there is an identity.
    fn control(&self) -> Result<Option<Place>, Failure> {
        let key = keyfile::load(&self.path().join("key"))?;
        Ok(key.map(|key| Place::of(key.id(), self.path())))
    }
}
