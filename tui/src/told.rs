//! What a node tells to those who listen, wherever it runs.

use futures_util::{Stream, stream};
use peerway::Event;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Something that happened, or that nobody knows what did.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Event(Event),
    /// So many events were lost on this listener, who was too slow.
    Missed(u64),
}

/// All that happens on a node until it ends.
pub fn told(events: Receiver<Event>) -> impl Stream<Item = Told> + Send + 'static {
    stream::unfold(events, |mut events| async {
        let told = match events.recv().await {
            Ok(event) => Told::Event(event),
            Err(RecvError::Lagged(count)) => Told::Missed(count),
            Err(RecvError::Closed) => return None,
        };
        Some((told, events))
    })
}
