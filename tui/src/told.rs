//! What a node tells to those who listen, wherever it runs.

use futures_util::{Stream, stream};
use peerway::Event;
use tokio::sync::broadcast::{
    Receiver,
    error::RecvError::{self, Closed, Lagged},
};

use crate::kept::{ServiceChange, Services};

/// Something that happened, or that nobody knows what did.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Event(Event),
    /// A service that the node keeps fares otherwise than before.
    Service(ServiceChange),
    /// So many events were lost on this listener, who was too slow.
    Missed(u64),
}

/// All that happens on a node until it ends.
pub fn told(events: Receiver<Event>) -> impl Stream<Item = Told> + Send + 'static {
    all_told(events, None)
}

/// The same, and what becomes of the services that it keeps.
pub(crate) fn all_told(
    events: Receiver<Event>,
    services: Option<&Services>,
) -> impl Stream<Item = Told> + Send + use<> {
    let changes = services.map(Services::changes);
    stream::unfold((events, changes), |(mut events, mut changes)| async {
        let told = tokio::select! {
            event = events.recv() => of(event, Told::Event)?,
            Some(told) = change(changes.as_mut()) => told,
        };
        Some((told, (events, changes)))
    })
}

/// None if there will be none.
async fn change(changes: Option<&mut Receiver<ServiceChange>>) -> Option<Told> {
    of(changes?.recv().await, Told::Service)
}

/// None at the end.
fn of<T>(received: Result<T, RecvError>, told: fn(T) -> Told) -> Option<Told> {
    match received {
        Ok(happened) => Some(told(happened)),
        Err(Lagged(count)) => Some(Told::Missed(count)),
        Err(Closed) => None,
    }
}
