//! A node that comes back says hello to whom it was linked with. What they have open to the one that it was would stand until they next
//! look whether it is there; so it ends at once, and is opened anew.

use std::{convert::Infallible, future::pending, time::Duration};

use futures_util::{StreamExt, stream};
use peerway::services::ping;

use super::{clock::now_ms, node::Node};

/// Who was linked longer ago looks by itself by now; when somebody was linked is noted every five minutes.
const LATELY: Duration = Duration::from_secs(600);
/// The latest of them, and dials at a time.
const MOST: usize = 32;
const AT_ONCE: usize = 8;

/// Meets them once. Ends with the future.
pub(super) async fn hold(node: &Node) -> Infallible {
    let since_ms = now_ms().saturating_sub(LATELY.as_millis() as u64);
    let lately = node.peers().seen().read().since(since_ms);
    if !lately.is_empty() {
        let book = node.book().book();
        let known = node.peers().known(&book);
        let is_let_in = |peer| book.blocked(peer).is_none();
        let peers = lately.into_iter().filter(|peer| is_let_in(*peer));
        let tickets = peers.filter_map(|peer| known.iter().find(|it| it.id() == peer));
        node.settled().await;
        let dials = tickets.take(MOST).cloned().map(|ticket| async move {
            // Whatever comes of it, they have met.
            if let Err(error) = node.endpoint.connect(ticket, ping::ALPN).await {
                tracing::debug!(%error, "whom it was linked with is not met again");
            }
        });
        stream::iter(dials)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }
    pending().await
}
