//! The node that runs here with the folder's identity, to commands that are about it.

use std::{path::PathBuf, time::Duration};

use peerway::keyfile;
use tokio::time::timeout;

use super::{args::Globals, failure::Failure, out, state::StateDir};
use crate::control::{Client, ControlError, Place};

/// How long a node may take to hear that the address book has changed. It looks by itself too.
const REREAD_PATIENCE: Duration = Duration::from_secs(1);

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

/// The node of the folder's identity, for a command that it may act for; none if it does not run, or was started with other options
/// than the command was, as is said then.
pub(super) async fn willing(globals: &Globals) -> Result<Option<Client>, Failure> {
    let Some(node) = running(globals).await? else {
        return Ok(None);
    };
    if let Some(option) = lacking(globals, &node).await? {
        out::hint(format!(
            "the node that runs here was started without this {option}, so this command runs one of its own"
        ));
        return Ok(None);
    }
    Ok(Some(node))
}

/// Which option the command was given that the node was started without; none if it will do.
pub(super) async fn lacking(
    globals: &Globals,
    node: &Client,
) -> Result<Option<&'static str>, Failure> {
    let options = node.version().await?.options;
    let wanted = globals.start_options();
    Ok(options.and_then(|options| options.lacks(&wanted)))
}

/// The same options, with those of the node that runs here that tell less of this computer.
pub(super) async fn heeding(globals: &Globals) -> Result<Globals, Failure> {
    let mut globals = globals.clone();
    if let Some(node) = running(&globals).await?
        && let Some(options) = node.version().await?.options
    {
        globals.relay_only |= options.relay_only;
        globals.no_lan |= options.no_lan;
        globals.no_port_guessing |= options.no_port_guessing;
        globals.no_tcp |= options.no_tcp;
    }
    Ok(globals)
}

/// Where the node of the folder's identity answers.
pub(super) fn socket(globals: &Globals) -> Result<Option<PathBuf>, Failure> {
    let place = StateDir::open(globals)?.control()?;
    Ok(place.map(|place| place.socket().to_owned()))
}

/// Only if the node of this computer can ask those of peers.
pub(super) async fn knowing(node: &Client) -> Result<(), Failure> {
    let version = node.version().await?;
    if version.rights.is_none() {
        let server = version.version;
        return Err(ControlError::Older { server }.into());
    }
    Ok(())
}

/// The address book was changed here: the node that runs, if any, has that in force at once.
pub(super) async fn reread_book(globals: &Globals) -> Result<(), Failure> {
    told(globals, async |node| Ok(node.reread_book().await?)).await
}

/// So it has what is kept, which was changed too.
pub(super) async fn reread_services(globals: &Globals) -> Result<(), Failure> {
    told(globals, async |node| {
        node.reread_services().await?;
        Ok(())
    })
    .await
}

async fn told(
    globals: &Globals,
    tell: impl AsyncFnOnce(Client) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let told = async {
        if let Some(node) = running(globals).await? {
            tell(node).await?;
        }
        Ok::<(), Failure>(())
    };
    if let Ok(Err(error)) = timeout(REREAD_PATIENCE, told).await {
        tracing::debug!(%error, "the node is not told of a change");
    }
    Ok(())
}

impl StateDir {
    /// Where its node answers; none before there is an identity.
    fn control(&self) -> Result<Option<Place>, Failure> {
        let key = keyfile::load(&self.path().join("key"))?;
        Ok(key.map(|key| Place::of(key.id(), self.path())))
    }
}
