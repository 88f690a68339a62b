//! Follows the node by what changes in it.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use hyper::{Method, StatusCode};
use peerway::NodeSnapshot;
use tokio::task::yield_now;

use super::{Client, Telling, refused};
use crate::control::{
    ControlError,
    changes::{Change, Gap, Listener},
};

/// A node as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) snapshot: Arc<NodeSnapshot>,
    /// Not all of its peers are there yet; they come at once.
    pub(crate) more: bool,
}

impl Client {
    /// The node as it is now, and each time that it has changed.
    pub async fn snapshots(&self) -> Result<Telling<Arc<NodeSnapshot>>, ControlError> {
        let seen = self.sights().await?;
        let whole = seen.filter_map(async |seen| match seen {
            Ok(Seen { more: true, .. }) => None,
            Ok(Seen { snapshot, .. }) => Some(Ok(snapshot)),
            Err(error) => Some(Err(error)),
        });
        Ok(Box::pin(whole))
    }

    /// The same, and before it the node with the first of its peers.
    pub(crate) async fn sights(&self) -> Result<Telling<Seen>, ControlError> {
        let changes = self.changes().await?;
        let begin = (self.clone(), changes, Listener::default());
        let seen = stream::unfold(begin, |(client, mut changes, mut listener)| async move {
            let seen = loop {
                let change = match changes.next().await? {
                    Ok(change) => change,
                    Err(error) => break Err(error),
                };
                let more = change.more;
                match listener.hear(change) {
                    // To be read it takes a while, in which others have their turn.
                    Ok(None) => yield_now().await,
                    Ok(Some(snapshot)) => break Ok(Seen { snapshot, more }),
                    Err(Gap) => match client.changes().await {
                        Ok(anew) => changes = anew,
                        Err(error) => break Err(error),
                    },
                }
            };
            Some((seen, (client, changes, listener)))
        });
        Ok(Box::pin(seen))
    }

    async fn changes(&self) -> Result<Telling<Change>, ControlError> {
        let ask = |path| self.send(Method::GET, path, String::new());
        let mut answer = ask("/changes/fields").await?;
        if answer.status() == StatusCode::NOT_FOUND {
            // It is of a version that tells whole peers,
            answer = ask("/changes").await?;
        }
        if answer.status() == StatusCode::NOT_FOUND {
            // or all of it each time.
            let snapshots = self.each::<NodeSnapshot>(self.listen("/watch").await?);
            return Ok(Box::pin(snapshots.map(|snapshot| {
                snapshot.map(|snapshot| Change::whole(&snapshot))
            })));
        }
        Ok(self.each(refused(answer).await?))
    }
}
