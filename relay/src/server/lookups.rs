//! What clients that no UDP leads out of have looked up and stored in the Mainline DHT by us.
//!
//! We learn blinded keys and sealed values, and can do no worse than to hide something. What it costs is bounded for each client, for
//! each network, and in all.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use peerway_proto::{Item, wire::relay::DhtOutcome};

use super::{Bucket, ClientId, Rate, network::Network, shares::Shares};

/// What one client may ask: one thing a second, and some at once.
const PER_SECOND: u64 = 1;
const BURST: Duration = Duration::from_secs(10);
/// Who waits for an answer, in all and of one network. The directory does 16 things at a time and most take a few seconds: whoever
/// came after so many would be answered later than it waits.
const ASKERS: usize = 64;
const ASKERS_PER_NETWORK: usize = 16;

/// Something to be done in the DHT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Find what lies under a key.
    Get { key: [u8; 32] },
    /// Store an item, for the asker of this number.
    Put { number: u64, item: Item },
}

/// Which work it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkId {
    Get([u8; 32]),
    Put(u64),
}

impl Work {
    #[must_use]
    pub fn id(&self) -> WorkId {
        match self {
            Self::Get { key } => WorkId::Get(*key),
            Self::Put { number, .. } => WorkId::Put(*number),
        }
    }
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) client: ClientId,
    pub(super) network: Network,
    /// By which number the client knows it.
    pub(super) ask: u32,
}

#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// Whether there is anybody to carry it out.
    pub(super) is_on: bool,
    gets: BTreeMap<[u8; 32], Vec<Asker>>,
    puts: BTreeMap<u64, Asker>,
    puts_so_far: u64,
    shares: Shares,
    to_do: VecDeque<Work>,
}

impl Lookups {
    /// Takes what a client asks, unless that is too much.
    pub(super) fn get(
        &mut self,
        now: Instant,
        asked: &mut Bucket,
        asker: Asker,
        key: [u8; 32],
    ) -> Result<(), DhtOutcome> {
        self.admit(now, asked, asker)?;
        let askers = self.gets.entry(key).or_default();
        askers.push(asker);
        if askers.len() == 1 {
            self.to_do.push_back(Work::Get { key });
        }
        Ok(())
    }

    /// The same for an item to be stored.
    pub(super) fn put(
        &mut self,
        now: Instant,
        asked: &mut Bucket,
        asker: Asker,
        item: Item,
    ) -> Result<(), DhtOutcome> {
        self.admit(now, asked, asker)?;
        self.puts_so_far += 1;
        let number = self.puts_so_far;
        self.puts.insert(number, asker);
        self.to_do.push_back(Work::Put { number, item });
        Ok(())
    }

    /// What is to be done next.
    pub(super) fn poll(&mut self) -> Option<Work> {
        self.to_do.pop_front()
    }

    /// Who waits for what lies under a key.
    pub(super) fn askers(&self, key: &[u8; 32]) -> Vec<Asker> {
        self.gets.get(key).cloned().unwrap_or_default()
    }

    /// Work is over. Who waited for it.
    pub(super) fn done(&mut self, work: WorkId) -> Vec<Asker> {
        let askers = match work {
            WorkId::Get(key) => self.gets.remove(&key).unwrap_or_default(),
            WorkId::Put(number) => self.puts.remove(&number).into_iter().collect(),
        };
        for asker in &askers {
            self.shares.remove(asker.network, 1);
        }
        askers
    }

    fn admit(&mut self, now: Instant, asked: &mut Bucket, asker: Asker) -> Result<(), DhtOutcome> {
        if !self.is_on {
            return Err(DhtOutcome::Refused);
        }
        let has_room = self.shares.total() < ASKERS
            && self.shares.of(asker.network) < ASKERS_PER_NETWORK
            && asked.take_within(BURST, Rate::per_second(PER_SECOND), now, 1);
        if !has_room {
            return Err(DhtOutcome::Busy);
        }
        self.shares.add(asker.network, 1);
        Ok(())
    }
}
