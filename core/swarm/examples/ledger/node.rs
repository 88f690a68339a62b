//! One node: what it announces, fetches and hands on. Pure: what neighbours say and the time go in, what is to be said comes out.
//!
//! Transactions are announced by name and fetched once. Blocks are pushed as a header and short ids, because their transactions are
//! there before them (BIP 152); whoever lacks some asks for those.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    chain::{Block, BlockId, Chain, Compact, MAX_BLOCK, MAX_TRANSACTIONS, Name, Transaction},
    message::{MAX_NAMES, Message},
};

/// Names are told together, after so long on average: longer means fewer that cross.
const ANNOUNCE: Duration = Duration::from_millis(250);
/// What came within this time is named to a new neighbour: others have told theirs before.
const RECENT: Duration = Duration::from_secs(10);
/// Until another one is asked: more than two ways and what waits before them.
const PATIENCE: Duration = Duration::from_millis(500);
/// Who was silent so often is asked only where nobody else names the same.
const MAX_SILENT: u32 = 2;
/// Transactions that are known.
const MAX_POOL: usize = 50_000;
/// Transactions that were named and have not come, and those of whom they may be asked.
const MAX_WANTED: usize = 10_000;
const MAX_NAMERS: usize = 4;
/// Blocks that are being fetched, and how often each is asked for.
const MAX_FETCHES: usize = 16;
const MAX_TRIES: u32 = 16;

/// A neighbour.
pub(crate) type Peer = usize;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Output {
    Send(Peer, Message),
    /// A transaction is here.
    Heard(Name),
    /// The longest chain ends with this block.
    Tip(BlockId),
}

#[derive(Debug, Default)]
struct Link {
    to_announce: BTreeSet<Name>,
    silent: u32,
}

/// A transaction that was named.
#[derive(Debug)]
struct Wanted {
    asked: Option<Peer>,
    /// Who else named it.
    by: VecDeque<Peer>,
    /// When the next one is asked.
    at: Duration,
}

/// A block that is not whole yet.
#[derive(Debug)]
struct Fetch {
    compact: Option<Arc<Compact>>,
    found: Vec<Option<Arc<Transaction>>>,
    asked: Peer,
    /// Who showed it.
    by: Vec<Peer>,
    at: Duration,
    tries: u32,
}

impl Fetch {
    fn lacking(&self) -> Vec<u16> {
        let lacking = self.found.iter().enumerate();
        let lacking = lacking.filter(|(_, it)| it.is_none());
        lacking
            .filter_map(|(at, _)| u16::try_from(at).ok())
            .collect()
    }
}

/// A node of the ledger.
#[derive(Debug)]
pub(crate) struct Node {
    chain: Chain,
    pool: BTreeMap<Name, Arc<Transaction>>,
    /// What came last, and when.
    recent: VecDeque<(Duration, Name)>,
    links: BTreeMap<Peer, Link>,
    wanted: BTreeMap<Name, Wanted>,
    fetches: BTreeMap<BlockId, Fetch>,
    announce_at: Option<Duration>,
    rng: StdRng,
    out: VecDeque<Output>,
}

impl Node {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chain: Chain::default(),
            pool: BTreeMap::new(),
            recent: VecDeque::new(),
            links: BTreeMap::new(),
            wanted: BTreeMap::new(),
            fetches: BTreeMap::new(),
            announce_at: None,
            rng: StdRng::seed_from_u64(seed),
            out: VecDeque::new(),
        }
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What is to be done next.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`timeout`](Self::timeout) is to be called; none while nothing waits.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let wanted = self.wanted.values().map(|it| it.at);
        let fetches = self.fetches.values().map(|it| it.at);
        wanted.chain(fetches).chain(self.announce_at).min()
    }

    pub(crate) fn connected(&mut self, peer: Peer, now: Duration) {
        let recent = self.recent.iter().filter(|(at, _)| now < *at + RECENT);
        let link = Link {
            to_announce: recent.map(|(_, name)| *name).collect(),
            silent: 0,
        };
        if !link.to_announce.is_empty() {
            self.plan_to_announce(now);
        }
        self.links.insert(peer, link);
        let tip = self.chain.tip();
        self.send(peer, Message::Tip(tip, self.chain.height(tip)));
    }

    pub(crate) fn disconnected(&mut self, peer: Peer) {
        self.links.remove(&peer);
    }

    /// Writes something.
    pub(crate) fn submit(&mut self, transaction: Arc<Transaction>, now: Duration) {
        self.took(transaction, &[], now);
    }

    /// Makes a block of all that is known and not written.
    pub(crate) fn mine(&mut self, now: Duration) {
        let mut room = MAX_BLOCK;
        let unwritten = self.pool.iter();
        let unwritten = unwritten.filter(|(name, _)| !self.chain.has_written(**name));
        let fitting = unwritten.map(|(_, it)| it).take_while(|it| {
            let fits = it.body.len() <= room;
            room = room.saturating_sub(it.body.len());
            fits
        });
        let transactions = fitting.take(MAX_TRANSACTIONS).cloned().collect();
        let block = Block::mine(self.chain.tip(), transactions);
        self.accept(block, &[], now);
    }

    pub(crate) fn heard(&mut self, peer: Peer, message: Message, now: Duration) {
        if !self.links.contains_key(&peer) {
            return;
        }
        match message {
            Message::Tip(tip, height) => {
                if height > self.chain.height(self.chain.tip()) {
                    self.fetch(tip, peer, now);
                }
            }
            Message::Have(names) => self.heard_have(peer, names, now),
            Message::Want(names) => {
                let known = names.iter().take(MAX_NAMES);
                let known = known.filter_map(|name| self.pool.get(name));
                let bodies: Vec<_> = known.map(|it| Arc::clone(&it.body)).collect();
                self.send(peer, Message::Bodies(bodies));
            }
            Message::Bodies(bodies) => self.heard_bodies(peer, bodies, now),
            Message::Block(compact) => self.heard_block(peer, compact, now),
            Message::WantBlock(id) => {
                if let Some(block) = self.chain.block(id) {
                    let compact = Arc::clone(&block.compact);
                    self.send(peer, Message::Block(compact));
                }
            }
            Message::WantOf(id, places) => {
                if let Some(block) = self.chain.block(id) {
                    let all = places.iter().take(MAX_TRANSACTIONS);
                    let all = all.filter_map(|at| block.transactions.get(usize::from(*at)));
                    let bodies = all.map(|it| Arc::clone(&it.body)).collect();
                    self.send(peer, Message::BodiesOf(id, bodies));
                }
            }
            Message::BodiesOf(id, bodies) => self.heard_bodies_of(peer, id, bodies, now),
        }
    }

    /// The time has come.
    pub(crate) fn timeout(&mut self, now: Duration) {
        if self.announce_at.is_some_and(|at| at <= now) {
            self.announce();
        }
        self.ask_others(now);
        let late = self.fetches.iter().filter(|(_, it)| it.at <= now);
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.ask_another(id, now);
        }
    }

    fn announce(&mut self) {
        self.announce_at = None;
        for (peer, link) in &mut self.links {
            let names: Vec<_> = std::mem::take(&mut link.to_announce).into_iter().collect();
            for some in names.chunks(MAX_NAMES) {
                let have = Message::Have(some.to_vec());
                self.out.push_back(Output::Send(*peer, have));
            }
        }
    }

    fn heard_have(&mut self, peer: Peer, names: Vec<Name>, now: Duration) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let is_trusted = link.silent < MAX_SILENT;
        let mut asked = Vec::new();
        for name in names.into_iter().take(MAX_NAMES) {
            link.to_announce.remove(&name);
            if self.pool.contains_key(&name) {
                continue;
            }
            if let Some(wanted) = self.wanted.get_mut(&name) {
                if wanted.asked.is_none() && is_trusted {
                    wanted.asked = Some(peer);
                    wanted.at = now + PATIENCE;
                    asked.push(name);
                } else if wanted.by.len() < MAX_NAMERS {
                    wanted.by.push_back(peer);
                }
            } else if self.wanted.len() < MAX_WANTED {
                let mut wanted = Wanted {
                    asked: None,
                    by: VecDeque::new(),
                    at: now + PATIENCE,
                };
                if is_trusted {
                    wanted.asked = Some(peer);
                    asked.push(name);
                } else {
                    wanted.by.push_back(peer);
                }
                self.wanted.insert(name, wanted);
            }
        }
        if !asked.is_empty() {
            self.send(peer, Message::Want(asked));
        }
    }

    /// Asks the next one for each transaction that did not come.
    fn ask_others(&mut self, now: Duration) {
        let late = self.wanted.iter().filter(|(_, it)| it.at <= now);
        let late: Vec<_> = late.map(|(name, _)| *name).collect();
        let (mut silent, mut asked) = (BTreeSet::new(), BTreeMap::<_, Vec<_>>::new());
        for name in late {
            let Some(wanted) = self.wanted.get_mut(&name) else {
                continue;
            };
            silent.extend(wanted.asked);
            wanted.asked = wanted.by.pop_front();
            wanted.at = now + PATIENCE;
            match wanted.asked {
                Some(peer) => asked.entry(peer).or_default().push(name),
                // Whoever names it next is asked.
                None => {
                    self.wanted.remove(&name);
                }
            }
        }
        for peer in silent {
            if let Some(link) = self.links.get_mut(&peer) {
                link.silent += 1;
            }
        }
        for (peer, names) in asked {
            self.send(peer, Message::Want(names));
        }
    }

    fn heard_bodies(&mut self, peer: Peer, bodies: Vec<Arc<[u8]>>, now: Duration) {
        for transaction in bodies.into_iter().filter_map(Transaction::new) {
            // Nobody is sent what it did not want.
            if let Some(wanted) = self.wanted.remove(&transaction.name()) {
                if let Some(link) = self.links.get_mut(&peer) {
                    link.silent = 0;
                }
                let mut by = Vec::from(wanted.by);
                by.extend(wanted.asked);
                by.push(peer);
                self.took(transaction, &by, now);
            }
        }
    }

    /// A transaction is here, and also with these neighbours.
    fn took(&mut self, transaction: Arc<Transaction>, also: &[Peer], now: Duration) {
        let name = transaction.name();
        if self.pool.len() >= MAX_POOL || self.pool.contains_key(&name) {
            return;
        }
        self.pool.insert(name, transaction);
        self.recent.push_back((now, name));
        if self.recent.len() > MAX_NAMES {
            self.recent.pop_front();
        }
        self.out.push_back(Output::Heard(name));
        for (peer, link) in &mut self.links {
            if !also.contains(peer) {
                link.to_announce.insert(name);
            }
        }
        self.plan_to_announce(now);
    }

    fn plan_to_announce(&mut self, now: Duration) {
        if self.announce_at.is_none() {
            let wait = ANNOUNCE.mul_f64(2.0 * self.rng.random::<f64>());
            self.announce_at = Some(now + wait);
        }
    }

    /// A neighbour has a block that is lacking here.
    fn fetch(&mut self, id: BlockId, peer: Peer, now: Duration) {
        let is_known = self.chain.has(id) || self.fetches.contains_key(&id);
        if is_known || self.fetches.len() >= MAX_FETCHES {
            return;
        }
        let fetch = Fetch {
            compact: None,
            found: Vec::new(),
            asked: peer,
            by: Vec::new(),
            at: now + PATIENCE,
            tries: 1,
        };
        self.fetches.insert(id, fetch);
        self.send(peer, Message::WantBlock(id));
    }

    fn heard_block(&mut self, peer: Peer, compact: Arc<Compact>, now: Duration) {
        let id = compact.header.id();
        let is_sound =
            compact.header.is_worked_for() && compact.short_ids.len() <= MAX_TRANSACTIONS;
        if !is_sound || self.chain.has(id) {
            return;
        }
        let mut tries = 0;
        if let Some(fetch) = self.fetches.get_mut(&id) {
            if fetch.compact.is_some() {
                fetch.by.push(peer);
                return;
            }
            tries = fetch.tries;
        } else if self.fetches.len() >= MAX_FETCHES {
            return;
        }
        let known = self.pool.values();
        let known: BTreeMap<_, _> = known.map(|it| (it.short_id(id), it)).collect();
        let found = compact.short_ids.iter();
        let found = found.map(|it| known.get(it).map(|it| Arc::clone(it)));
        let fetch = Fetch {
            found: found.collect(),
            compact: Some(compact),
            asked: peer,
            by: vec![peer],
            at: now + PATIENCE,
            tries,
        };
        self.fetches.insert(id, fetch);
        self.complete(id, now);
    }

    fn heard_bodies_of(&mut self, peer: Peer, id: BlockId, bodies: Vec<Arc<[u8]>>, now: Duration) {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return;
        };
        let Some(compact) = &fetch.compact else {
            return;
        };
        if fetch.asked != peer {
            return;
        }
        let transactions = bodies.into_iter().filter_map(Transaction::new);
        let known: BTreeMap<_, _> = transactions.map(|it| (it.short_id(id), it)).collect();
        for (place, short_id) in fetch.found.iter_mut().zip(&compact.short_ids) {
            if place.is_none() {
                *place = known.get(short_id).cloned();
            }
        }
        for transaction in known.into_values() {
            let name = transaction.name();
            self.wanted.remove(&name);
            if self.pool.len() < MAX_POOL {
                self.pool.insert(name, transaction);
            }
        }
        self.complete(id, now);
    }

    /// Takes a block that is whole, or asks for what is lacking.
    fn complete(&mut self, id: BlockId, now: Duration) {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return;
        };
        let Some(compact) = fetch.compact.clone() else {
            return;
        };
        let lacking = fetch.lacking();
        if !lacking.is_empty() {
            fetch.tries += 1;
            let asked = fetch.asked;
            return self.send(asked, Message::WantOf(id, lacking));
        }
        let found = fetch.found.iter().flatten().cloned().collect();
        if let Some(block) = Block::whole(compact, found) {
            let by = self.fetches.remove(&id).map(|fetch| fetch.by);
            self.accept(block, &by.unwrap_or_default(), now);
        } else if fetch.tries >= MAX_TRIES {
            self.fetches.remove(&id);
        } else {
            // Two transactions bear one short id: all of them are asked for.
            fetch.found.fill(None);
            fetch.tries = MAX_TRIES;
            let (asked, lacking) = (fetch.asked, fetch.lacking());
            self.send(asked, Message::WantOf(id, lacking));
        }
    }

    /// Who was asked for a block, or for what one lacks, is silent.
    fn ask_another(&mut self, id: BlockId, now: Duration) {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return;
        };
        let shown = fetch.by.iter().copied().filter(|it| *it != fetch.asked);
        let mut others: Vec<_> = shown.filter(|it| self.links.contains_key(it)).collect();
        if others.is_empty() {
            others = self.links.keys().copied().collect();
        }
        fetch.tries += 1;
        if fetch.tries > MAX_TRIES || others.is_empty() {
            self.fetches.remove(&id);
            return;
        }
        let peer = others[self.rng.random_range(0..others.len())];
        fetch.asked = peer;
        fetch.at = now + PATIENCE;
        let message = match &fetch.compact {
            None => Message::WantBlock(id),
            Some(_) => Message::WantOf(id, fetch.lacking()),
        };
        self.send(peer, message);
    }

    /// A block is whole, and also with these neighbours.
    fn accept(&mut self, block: Arc<Block>, also: &[Peer], now: Duration) {
        let before = self.chain.tip();
        if let Some(lacking) = self.chain.insert(block)
            && let Some(peer) = also.first()
        {
            return self.fetch(lacking, *peer, now);
        }
        let tip = self.chain.tip();
        if tip == before {
            return;
        }
        self.out.push_back(Output::Tip(tip));
        let Some(block) = self.chain.block(tip) else {
            return;
        };
        let compact = Arc::clone(&block.compact);
        let others = self.links.keys().copied().filter(|it| !also.contains(it));
        for peer in others.collect::<Vec<_>>() {
            self.send(peer, Message::Block(Arc::clone(&compact)));
        }
    }

    fn send(&mut self, peer: Peer, message: Message) {
        self.out.push_back(Output::Send(peer, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn transaction(text: &str) -> Arc<Transaction> {
        Transaction::new(text.as_bytes().into()).unwrap()
    }

    fn linked(peers: &[Peer]) -> Node {
        let mut node = Node::new(1);
        for peer in peers {
            node.connected(*peer, NOW);
        }
        said(&mut node);
        node
    }

    /// What it says to whom.
    fn said(node: &mut Node) -> Vec<(Peer, String)> {
        let mut said = Vec::new();
        while let Some(output) = node.poll() {
            if let Output::Send(peer, message) = output {
                let text = format!("{message:?}");
                said.push((peer, text.split('(').next().unwrap().to_owned()));
            }
        }
        said
    }

    fn is(peer: Peer, message: &str) -> (Peer, String) {
        (peer, message.to_owned())
    }

    #[test]
    fn a_transaction_is_asked_of_one_and_of_the_next_if_that_is_silent() {
        let mut node = linked(&[1, 2]);
        let have = || Message::Have(vec![transaction("one").name()]);
        node.heard(1, have(), NOW);
        node.heard(2, have(), NOW);
        assert_eq!(said(&mut node), [is(1, "Want")]);
        assert_eq!(node.deadline(), Some(PATIENCE));
        node.timeout(PATIENCE);
        assert_eq!(said(&mut node), [is(2, "Want")]);
        let body = Arc::clone(&transaction("one").body);
        node.heard(2, Message::Bodies(vec![body]), PATIENCE);
        let due = node.deadline().unwrap();
        node.timeout(due);
        // Who gave it is not told that it is here.
        assert_eq!(said(&mut node), [is(1, "Have")]);
    }

    #[test]
    fn who_was_silent_twice_is_asked_only_where_nobody_else_names_it() {
        let mut node = linked(&[1, 2]);
        let mut now = NOW;
        for text in ["one", "two"] {
            node.heard(1, Message::Have(vec![transaction(text).name()]), now);
            assert_eq!(said(&mut node), [is(1, "Want")]);
            now += PATIENCE;
            node.timeout(now);
        }
        let have = || Message::Have(vec![transaction("three").name()]);
        node.heard(1, have(), now);
        assert_eq!(said(&mut node), []);
        node.heard(2, have(), now);
        assert_eq!(said(&mut node), [is(2, "Want")]);
        let alone = Message::Have(vec![transaction("four").name()]);
        node.heard(1, alone, now);
        node.heard(2, Message::Bodies(Vec::new()), now);
        node.timeout(now + PATIENCE);
        let asked = said(&mut node);
        assert!(asked.contains(&is(1, "Want")), "{asked:?}");
    }

    #[test]
    fn what_nobody_wanted_is_not_taken() {
        let mut node = linked(&[1, 2]);
        let body = Arc::clone(&transaction("one").body);
        node.heard(1, Message::Bodies(vec![body]), NOW);
        assert!(node.poll().is_none() && node.deadline().is_none());
    }

    #[test]
    fn a_block_is_handed_on_once_it_is_whole_and_only_if_somebody_worked_for_it() {
        let mut node = linked(&[1, 2]);
        let block = Block::mine(BlockId::GENESIS, vec![transaction("one")]);
        let mut idle = Compact {
            header: block.compact.header.clone(),
            short_ids: block.compact.short_ids.clone(),
        };
        idle.header.parent = block.id;
        assert!(!idle.header.is_worked_for());
        node.heard(1, Message::Block(Arc::new(idle)), NOW);
        assert_eq!(said(&mut node), []);
        node.heard(1, Message::Block(Arc::clone(&block.compact)), NOW);
        assert_eq!(said(&mut node), [is(1, "WantOf")]);
        let bodies = vec![Arc::clone(&transaction("one").body)];
        // Only from whom it was asked.
        node.heard(2, Message::BodiesOf(block.id, bodies.clone()), NOW);
        assert_eq!(node.chain().tip(), BlockId::GENESIS);
        node.heard(1, Message::BodiesOf(block.id, bodies), NOW);
        assert_eq!(node.chain().tip(), block.id);
        assert_eq!(said(&mut node), [is(2, "Block")]);
    }
}
