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
/// Different items of one look-up. Beyond that they are left out: a publisher leaves one, and another when it changes.
const FOUND: usize = 8;

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

/// A look-up, and what it has come to. Whoever asks while it lasts is told that too.
#[derive(Debug, Default)]
struct Get {
    askers: Vec<Asker>,
    found: Vec<Item>,
}

#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// Whether there is anybody to carry it out.
    pub(super) is_on: bool,
    gets: BTreeMap<[u8; 32], Get>,
    puts: BTreeMap<u64, Asker>,
    puts_so_far: u64,
    shares: Shares,
    to_do: VecDeque<Work>,
}

impl Lookups {
    /// Takes what a client asks, unless that is too much. What was found until now, by a look-up for another one.
    pub(super) fn get(
        &mut self,
        now: Instant,
        asked: &mut Bucket,
        asker: Asker,
        key: [u8; 32],
    ) -> Result<Vec<Item>, DhtOutcome> {
        self.admit(now, asked, asker)?;
        let get = self.gets.entry(key).or_default();
        get.askers.push(asker);
        if get.askers.len() == 1 {
            self.to_do.push_back(Work::Get { key });
        }
        Ok(get.found.clone())
    }

    /// The same for an item to be stored.
    pub(super) fn put(
        &mut self,
        now: Instant,
        asked: &mut Bucket,
        asker: Asker,
        item: Item,
    ) -> Result<Vec<Item>, DhtOutcome> {
        self.admit(now, asked, asker)?;
        self.puts_so_far += 1;
        let number = self.puts_so_far;
        self.puts.insert(number, asker);
        self.to_do.push_back(Work::Put { number, item });
        Ok(Vec::new())
    }

    /// What is to be done next.
    pub(super) fn poll(&mut self) -> Option<Work> {
        self.to_do.pop_front()
    }

    /// A node gave something for a key that is looked up. Who is to be told, unless another node gave the same.
    pub(super) fn found(&mut self, key: &[u8; 32], item: &Item) -> Vec<Asker> {
        match self.gets.get_mut(key) {
            Some(get) if get.found.len() < FOUND && !get.found.contains(item) => {
                get.found.push(item.clone());
                get.askers.clone()
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Work is over. Who waited for it.
    pub(super) fn done(&mut self, work: WorkId) -> Vec<Asker> {
        let askers = match work {
            WorkId::Get(key) => self.gets.remove(&key).unwrap_or_default().askers,
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
