//! A node without a relay reads the calls that are left for it: [`Switchboard`].

use futures_util::future::join_all;
use peerway::{DiscoverySecret, Endpoint, NodeSnapshot, SecretKey};

use super::{Call, Slots, listener::Listener};
use crate::{
    clock::{now, until},
    directory::Directory,
    record::Period,
    unix_seconds,
};

/// Reads what others leave in the DHT who want this node to say hello to them, as long as it has no relay of its own: every five seconds in
/// its first five minutes and after a call, once a minute else.
#[derive(Debug)]
pub struct Switchboard {
    key: SecretKey,
    secrets: Vec<DiscoverySecret>,
    directory: Directory,
}

impl Switchboard {
    /// The key is the endpoint's: what it opens are calls. Who has one of the secrets may call.
    #[must_use]
    pub fn new(key: SecretKey, secrets: Vec<DiscoverySecret>, directory: Directory) -> Self {
        Self {
            key,
            secrets,
            directory,
        }
    }

    /// Answers as long as the endpoint runs, or until the future is dropped.
    pub async fn run(&self, endpoint: &Endpoint) {
        let mut snapshots = endpoint.snapshots();
        let mut listener = Listener::new(now());
        loop {
            let is_needed = needs_calls(&snapshots.borrow_and_update());
            listener.set_needed(now(), is_needed);
            if listener.handle_timeout(now()) {
                for call in self.read().await {
                    if listener.on_call(now(), &call) {
                        tracing::info!(peer = %call.caller.short(), "calls by way of the Mainline DHT");
                        endpoint.call_back(call.caller, call.addrs).await;
                    }
                }
                listener.on_read();
            }
            let due = listener.poll_timeout();
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                },
                () = until(due) => {}
            }
        }
    }

    /// All calls that lie there.
    async fn read(&self) -> Vec<Call> {
        let peer = self.key.id();
        let periods = Period::to_publish(peer, unix_seconds());
        let days = self.secrets.iter().flat_map(|secret| {
            let slots = |period| Slots::new(peer, *secret, period);
            periods.iter().copied().map(slots)
        });
        let keys: Vec<[u8; 32]> = days.flat_map(|slots| slots.keys()).collect();
        let found = join_all(keys.iter().map(|key| self.read_slot(key))).await;
        found.into_iter().flatten().collect()
    }

    async fn read_slot(&self, slot: &[u8; 32]) -> Vec<Call> {
        let mut lookup = self.directory.get(*slot).await;
        let mut calls: Vec<Call> = Vec::new();
        while let Some(Ok(item)) = lookup.next().await {
            match Call::open(&self.key, slot, &item, unix_seconds()) {
                Ok(call) => {
                    if !calls.contains(&call) {
                        calls.push(call);
                    }
                }
                Err(reason) => tracing::trace!(%reason, "no call"),
            }
        }
        calls
    }
}

/// Whether a node has no relay at which it could be called.
pub(crate) fn needs_calls(snapshot: &NodeSnapshot) -> bool {
    snapshot.ticket.relays().is_empty()
}
