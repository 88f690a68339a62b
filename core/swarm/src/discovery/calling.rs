//! Calling a peer that has no relay: the task around [`Caller`].

use std::net::SocketAddr;

use futures_util::{
    StreamExt,
    future::{join, join_all},
    stream::FuturesUnordered,
};
use peerway::{DiscoverySecret, NodeSnapshot, Observed, PeerId, Search};
use tokio::sync::watch;

use super::{Finder, NotFound};
use crate::{
    call::{
        Call, Slots,
        caller::{Caller, Deed, InVain, PATIENCE},
        ports_vary,
    },
    clock::{now, until},
    directory::{Directory, DirectoryError},
    record::Period,
    unix_seconds,
};

/// Where a call goes.
struct Route {
    peer: PeerId,
    slots: Slots,
    keys: Vec<[u8; 32]>,
}

impl Finder {
    /// Calls the peer once it is known where it is to be called, until its search is over. Why it is in vain.
    pub(super) async fn call(
        &self,
        search: &Search,
        mut told: watch::Receiver<Vec<SocketAddr>>,
    ) -> NotFound {
        let target = search.target();
        let peer = target.id();
        let secret = target.discovery().unwrap_or(DiscoverySecret::PUBLIC);
        let period = Period::at(peer, unix_seconds());
        let slots = Slots::of_caller(&self.key, peer, secret, period);
        let keys = slots.keys();
        let route = Route { peer, slots, keys };
        // Who may well have to be called has its slots read meanwhile.
        let mut also_told = told.clone();
        let lying = async {
            if !target.relays().is_empty() {
                placed(&mut also_told).await;
            }
            read(&self.directory, &route.keys).await
        };
        let (lying, at) = join(lying, placed(&mut told)).await;
        search.await_call(Vec::new(), PATIENCE).await;
        tracing::info!(peer = %peer.short(), "called by way of the Mainline DHT");
        let mut caller = Caller::new(now(), at, random());
        caller.on_slots(now(), lying);
        let mut snapshots = self.snapshots.clone();
        let mut writing = FuturesUnordered::new();
        loop {
            caller.set_own(now(), own(&snapshots.borrow_and_update()));
            for deed in caller.handle_timeout(now(), unix_seconds()) {
                match deed {
                    Deed::Open(addrs) => search.await_call(addrs, PATIENCE).await,
                    Deed::Write { slot, seq, own } => {
                        writing.push(self.write(&route, slot, seq, own));
                    }
                    Deed::GiveUp(why) => return self.reason(why),
                }
            }
            let due = caller.poll_timeout();
            tokio::select! {
                Ok(()) = snapshots.changed() => {}
                Ok(()) = told.changed() => caller.set_peer(now(), told.borrow_and_update().clone()),
                Some(stored) = writing.next() => caller.on_written(now(), stored),
                () = until(due) => {}
            }
        }
    }

    /// Leaves a call. Whether it is stored.
    async fn write(&self, route: &Route, slot: usize, seq: u64, addrs: Vec<SocketAddr>) -> bool {
        let call = Call {
            written_at: unix_seconds(),
            caller: self.key.id(),
            addrs,
        };
        let Some(key) = route.keys.get(slot) else {
            return false;
        };
        let mut seed = [0; 32];
        if getrandom::fill(&mut seed).is_err() {
            return false;
        }
        let item = i64::try_from(seq).ok().and_then(|seq| {
            let value = call.seal(&self.key, route.peer, (key, seq), seed)?;
            route.slots.item(slot, seq, value)
        });
        let Some(item) = item else {
            return false;
        };
        let stored = self.directory.put(item).await;
        tracing::debug!(slot, ?stored, "a call by way of the Mainline DHT");
        stored.is_ok()
    }

    fn reason(&self, why: InVain) -> NotFound {
        let network = &self.snapshots.borrow().network;
        match why {
            InVain::Busy => NotFound::Busy,
            InVain::Unanswered => NotFound::Unanswered,
            InVain::Unplaced if ports_vary(network) => NotFound::PortsVary,
            InVain::Unplaced if network.observed == Observed::Silent => {
                DirectoryError::from(peerway_dht::DirectoryError::Silent).into()
            }
            InVain::Unplaced => NotFound::Unplaced,
        }
    }
}

/// Where the peer is to be called, once that is known.
async fn placed(told: &mut watch::Receiver<Vec<SocketAddr>>) -> Vec<SocketAddr> {
    let placed = told.wait_for(|addrs| !addrs.is_empty()).await;
    match placed.map(|addrs| addrs.clone()) {
        Ok(addrs) => addrs,
        Err(_) => std::future::pending().await,
    }
}

/// The numbers of what lies in the slots.
async fn read(directory: &Directory, keys: &[[u8; 32]]) -> Vec<Option<i64>> {
    let newest = async |key: &[u8; 32]| {
        let mut lookup = directory.get(*key).await;
        let mut newest = None;
        while let Some(Ok(item)) = lookup.next().await {
            if item.key == *key && item.is_signed() {
                newest = newest.max(Some(item.seq));
            }
        }
        newest
    };
    join_all(keys.iter().map(newest)).await
}

/// Where the peer's hello comes in, if our NAT is opened for it.
fn own(snapshot: &NodeSnapshot) -> Vec<SocketAddr> {
    let network = &snapshot.network;
    let mapped = network.port_mapping.map(|mapping| mapping.external);
    let seen = network.public_v4.filter(|_| !ports_vary(network));
    mapped.or(seen).into_iter().collect()
}

fn random() -> usize {
    let mut byte = [0];
    // Without randomness any slot is as good.
    let _ = getrandom::fill(&mut byte);
    byte[0].into()
}
