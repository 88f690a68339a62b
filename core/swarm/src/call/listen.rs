//! A node without a relay reads the calls that are left for it: [`Switchboard`].

use std::fmt;

use futures_util::future::join_all;
use peerway::{DiscoverySecret, Endpoint, NodeSnapshot, PeerId, SecretKey};

use super::{Call, SLOTS, Slots, caller::is_taken, listener::Listener};
use crate::{
    clock::{now, until},
    directory::Directory,
    record::Period,
    unix_seconds,
};

/// Slots of known callers that are read at a time, when those for all are taken.
const KNOWN_AT_ONCE: usize = 16;

/// Reads what others leave in the DHT who want this node to say hello to them, as long as it has no relay of its own: every five seconds in
/// its first five minutes and after a call, once a minute else.
pub struct Switchboard {
    key: SecretKey,
    secrets: Vec<DiscoverySecret>,
    directory: Directory,
    known: Box<dyn Fn() -> Vec<PeerId> + Send + Sync>,
}

impl fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Switchboard").field(&self.key.id()).finish()
    }
}

impl Switchboard {
    /// The key is the endpoint's: what it opens are calls. Who has one of the secrets may call.
    #[must_use]
    pub fn new(key: SecretKey, secrets: Vec<DiscoverySecret>, directory: Directory) -> Self {
        Self {
            key,
            secrets,
            directory,
            known: Box::new(Vec::new),
        }
    }

    /// Has these callers get through where others have taken all slots; they are asked for whenever that is so.
    #[must_use]
    pub fn knowing(self, known: impl Fn() -> Vec<PeerId> + Send + Sync + 'static) -> Self {
        Self {
            known: Box::new(known),
            ..self
        }
    }

    /// Answers as long as the endpoint runs, or until the future is dropped.
    pub async fn run(&self, endpoint: &Endpoint) {
        let mut snapshots = endpoint.snapshots();
        let mut listener = Listener::new(now());
        let mut turn = 0;
        loop {
            let is_needed = needs_calls(&snapshots.borrow_and_update());
            listener.set_needed(now(), is_needed);
            if listener.handle_timeout(now()) {
                for call in self.read(&mut turn).await {
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

    /// All calls that lie there; where the slots are taken, those of known callers too, of some after the other in `turn`.
    async fn read(&self, turn: &mut usize) -> Vec<Call> {
        let peer = self.key.id();
        let periods = Period::to_publish(peer, unix_seconds());
        let days = self.secrets.iter().flat_map(|secret| {
            let slots = |period| Slots::new(peer, *secret, period);
            periods.iter().copied().map(slots)
        });
        let days: Vec<_> = days.collect();
        let read = join_all(days.iter().map(|slots| self.read_slots(slots))).await;
        let is_crowded = read.iter().any(|(_, taken)| *taken >= SLOTS);
        let mut calls: Vec<Call> = read.into_iter().flat_map(|(calls, _)| calls).collect();
        let known = if is_crowded {
            (self.known)()
        } else {
            Vec::new()
        };
        let some = in_turn(&known, turn);
        if !some.is_empty() {
            for period in periods {
                let slots = Slots::of_known(&self.key, some.iter().copied(), period);
                calls.extend(self.read_slots(&slots).await.0);
            }
        }
        calls
    }

    /// The calls in these slots, and how many of those are taken.
    async fn read_slots(&self, slots: &Slots) -> (Vec<Call>, usize) {
        let keys = slots.keys();
        let read = join_all(keys.iter().map(|key| self.read_slot(key))).await;
        let now = unix_seconds();
        let taken = read.iter().filter(|(_, newest)| is_taken(*newest, now));
        let taken = taken.count();
        (
            read.into_iter().flat_map(|(calls, _)| calls).collect(),
            taken,
        )
    }

    /// The calls in a slot, and the highest number there.
    async fn read_slot(&self, slot: &[u8; 32]) -> (Vec<Call>, Option<i64>) {
        let mut lookup = self.directory.get(*slot).await;
        let (mut calls, mut newest): (Vec<Call>, _) = (Vec::new(), None);
        while let Some(Ok(item)) = lookup.next().await {
            if item.key == *slot && item.is_signed() {
                newest = newest.max(Some(item.seq));
            }
            match Call::open(&self.key, slot, &item, unix_seconds()) {
                Ok(call) => {
                    if !calls.contains(&call) {
                        calls.push(call);
                    }
                }
                Err(reason) => tracing::trace!(%reason, "no call"),
            }
        }
        (calls, newest)
    }
}

/// Some of these, another time the next.
fn in_turn(known: &[PeerId], turn: &mut usize) -> Vec<PeerId> {
    let begin = turn.checked_rem(known.len()).unwrap_or(0);
    *turn = begin + KNOWN_AT_ONCE;
    let some = known.iter().copied().cycle().skip(begin);
    some.take(known.len().min(KNOWN_AT_ONCE)).collect()
}

/// Whether a node has no relay at which it could be called.
pub(crate) fn needs_calls(snapshot: &NodeSnapshot) -> bool {
    snapshot.ticket.relays().is_empty()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::Ipv4Addr};

    use mainline::Testnet;

    use super::*;
    use crate::directory::Entrance;

    #[test]
    fn known_callers_take_turns_of_sixteen_so_that_thirty_one_have_all_had_theirs_after_two() {
        let known: Vec<_> = (0..31)
            .map(|seed| SecretKey::from_seed(&[seed; 32]).id())
            .collect();
        let (mut turn, mut all) = (0, BTreeSet::new());
        for _ in 0..2 {
            let some = in_turn(&known, &mut turn);
            let distinct: BTreeSet<_> = some.iter().copied().collect();
            assert_eq!((some.len(), distinct.len()), (KNOWN_AT_ONCE, KNOWN_AT_ONCE));
            all.extend(distinct);
        }
        assert_eq!(all, known.iter().copied().collect());
        assert_eq!(in_turn(&known[..3], &mut turn).len(), 3);
        assert_eq!(in_turn(&[], &mut turn), []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_known_caller_gets_through_though_a_stranger_took_all_slots_for_the_day() {
        let mut testnet = Testnet::builder(10);
        let testnet = testnet.bind_address(Ipv4Addr::LOCALHOST).build().unwrap();
        let directory = Directory::new(Entrance::at(testnet.bootstrap.clone()));
        let [peer, friend] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]));
        let secret = DiscoverySecret::from_bytes([5; 16]);
        let now = unix_seconds();
        let period = Period::at(peer.id(), now);
        let slots = Slots::of_caller(&friend, peer.id(), secret, period);
        for slot in 0..SLOTS {
            let taken = slots.item(slot, i64::MAX, vec![0; 8]).unwrap();
            directory.put(taken).await.unwrap();
        }
        let call = Call {
            written_at: now,
            caller: friend.id(),
            addrs: vec!["192.0.2.7:4000".parse().unwrap()],
        };
        let key = slots.keys()[SLOTS];
        let value = call.seal(&friend, peer.id(), (&key, 1), [9; 32]).unwrap();
        let item = slots.item(SLOTS, 1, value).unwrap();
        directory.put(item).await.unwrap();
        let known = move || vec![friend.id()];
        let switchboard = Switchboard::new(peer, vec![secret], directory).knowing(known);
        let mut turn = 0;
        // A busy computer's nodes answer too late now and then.
        for _ in 0..10 {
            let read = switchboard.read(&mut turn).await;
            if !read.is_empty() {
                assert_eq!(read, [call]);
                return;
            }
        }
        panic!("the call was not found");
    }
}
