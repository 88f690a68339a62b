//! Which flows there are, and which of them gives way when there are too many.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// A flow without datagrams ends after this long; RFC 4787 section 4.3 asks NATs for two minutes at least.
pub(super) const IDLE: Duration = Duration::from_secs(180);

/// The most flows that one owner may have, and all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) of_owner: usize,
    pub(super) in_all: usize,
}

/// Flows of several owners, by keys.
#[derive(Debug)]
pub(super) struct Table<O, K, V> {
    limits: Limits,
    owners: BTreeMap<O, BTreeMap<K, Entry<V>>>,
    count: usize,
}

#[derive(Debug)]
struct Entry<V> {
    used: Instant,
    value: V,
}

impl<O: Ord + Copy, K: Ord + Copy, V> Table<O, K, V> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            owners: BTreeMap::new(),
            count: 0,
        }
    }

    /// The flow, which is in use at this moment.
    pub(super) fn touch(&mut self, owner: O, key: K, now: Instant) -> Option<&mut V> {
        let entry = self.owners.get_mut(&owner)?.get_mut(&key)?;
        entry.used = now;
        Some(&mut entry.value)
    }

    /// The flow, without using it.
    pub(super) fn peek(&self, owner: O, key: K) -> Option<&V> {
        let entry = self.owners.get(&owner)?.get(&key)?;
        Some(&entry.value)
    }

    /// Adds a flow. Gives what had to give way to it: the one unused for longest of this owner or, if it is all of them that have
    /// too many, of who has most.
    pub(super) fn insert(&mut self, owner: O, key: K, value: V, now: Instant) -> Option<V> {
        let own = self.owners.get(&owner).map_or(0, BTreeMap::len);
        let from = if own >= self.limits.of_owner {
            Some(owner)
        } else if self.count >= self.limits.in_all {
            let most = self.owners.iter().max_by_key(|(_, flows)| flows.len());
            most.map(|(owner, _)| *owner)
        } else {
            None
        };
        let displaced = from.and_then(|from| {
            let flows = self.owners.get(&from)?.iter();
            let (oldest, _) = flows.min_by_key(|(_, entry)| entry.used)?;
            self.remove(from, *oldest)
        });
        let entry = Entry { used: now, value };
        let former = self.owners.entry(owner).or_default().insert(key, entry);
        self.count += usize::from(former.is_none());
        displaced
    }

    pub(super) fn remove(&mut self, owner: O, key: K) -> Option<V> {
        let flows = self.owners.get_mut(&owner)?;
        let removed = flows.remove(&key)?;
        self.count -= 1;
        if flows.is_empty() {
            self.owners.remove(&owner);
        }
        Some(removed.value)
    }

    /// Ends what was idle for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        self.owners.retain(|_, flows| {
            let before = flows.len();
            flows.retain(|_, entry| now.saturating_duration_since(entry.used) < IDLE);
            self.count -= before - flows.len();
            !flows.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        of_owner: 4,
        in_all: 6,
    };

    #[tokio::test(start_paused = true)]
    async fn the_flow_unused_for_longest_of_who_has_most_gives_way() {
        let (mut table, mut now) = (Table::new(LIMITS), Instant::now());
        let mut later = || {
            now += Duration::from_secs(1);
            now
        };
        for key in 0..4 {
            assert_eq!(table.insert('a', key, key, later()), None);
        }
        table.touch('a', 0, later());
        assert_eq!(table.insert('a', 4, 4, later()), Some(1), "its own share");
        assert_eq!(table.insert('b', 0, 10, later()), None);
        assert_eq!(table.insert('b', 1, 11, later()), None);
        assert_eq!(
            table.insert('c', 0, 20, later()),
            Some(2),
            "of who has most"
        );
        assert_eq!((table.count, table.remove('c', 0)), (6, Some(20)));
        assert_eq!(table.remove('c', 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flow_lives_while_it_is_used_and_for_more_than_two_minutes_after() {
        let (mut table, begin) = (Table::new(LIMITS), Instant::now());
        table.insert('a', 1, 1, begin);
        table.insert('a', 2, 2, begin);
        let used = begin + Duration::from_secs(100);
        table.touch('a', 2, used);
        table.expire(begin + Duration::from_secs(121));
        assert_eq!(table.count, 2);
        table.expire(begin + IDLE);
        assert_eq!((table.count, table.touch('a', 1, used)), (1, None));
        table.expire(used + IDLE);
        assert_eq!((table.count, table.owners.len()), (0, 0));
    }
}
