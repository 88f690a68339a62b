//! Transactions, blocks and the choice between forks. Proof of work of a few milliseconds: only so that there are forks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Bytes of a transaction.
pub(crate) const MAX_BODY: usize = 4_096;
/// Transactions of a block, and their bytes.
pub(crate) const MAX_TRANSACTIONS: usize = 20_000;
pub(crate) const MAX_BLOCK: usize = 1 << 20;
/// Zero bits that a block's hash begins with.
const DIFFICULTY: u32 = 8;
/// Blocks that wait for the one before.
const MAX_ORPHANS: usize = 64;

/// The first bytes of a transaction's hash, by which it is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) [u8; 16]);

/// A transaction's hash, of which a block's own keys a part: nobody finds two that are alike in the next block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ShortId(pub(crate) [u8; 8]);

/// A block's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockId([u8; 32]);

impl BlockId {
    /// The block before the first.
    pub(crate) const GENESIS: Self = Self([0; 32]);
}

/// What is written into the ledger: any bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    id: [u8; 32],
    pub(crate) body: Arc<[u8]>,
}

impl Transaction {
    /// None if it is empty or too long.
    pub(crate) fn new(body: Arc<[u8]>) -> Option<Arc<Self>> {
        let id = *blake3::hash(&body).as_bytes();
        (1..=MAX_BODY)
            .contains(&body.len())
            .then(|| Arc::new(Self { id, body }))
    }

    pub(crate) fn name(&self) -> Name {
        Name(std::array::from_fn(|at| self.id[at]))
    }

    pub(crate) fn short_id(&self, block: BlockId) -> ShortId {
        let hash = blake3::keyed_hash(&block.0, &self.id);
        ShortId(std::array::from_fn(|at| hash.as_bytes()[at]))
    }
}

/// What a block is known by, and what the work is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) parent: BlockId,
    /// Of all its transactions.
    root: [u8; 32],
    nonce: u64,
}

impl Header {
    /// Bytes of one as it travels.
    pub(crate) const BYTES: usize = 72;

    pub(crate) fn id(&self) -> BlockId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.parent.0).update(&self.root);
        BlockId(
            *hasher
                .update(&self.nonce.to_be_bytes())
                .finalize()
                .as_bytes(),
        )
    }

    /// Whether somebody worked for it: checked before anything is done for a block.
    pub(crate) fn is_worked_for(&self) -> bool {
        let hash = self.id().0;
        let first = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        first.leading_zeros() >= DIFFICULTY
    }

    fn work(parent: BlockId, root: [u8; 32]) -> Self {
        let mut header = Self {
            parent,
            root,
            nonce: 0,
        };
        while !header.is_worked_for() {
            header.nonce += 1;
        }
        header
    }
}

/// A block as it is told to who knows most of its transactions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compact {
    pub(crate) header: Header,
    pub(crate) short_ids: Vec<ShortId>,
}

/// A whole block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) id: BlockId,
    pub(crate) compact: Arc<Compact>,
    pub(crate) transactions: Vec<Arc<Transaction>>,
}

impl Block {
    /// Makes one of these.
    pub(crate) fn mine(parent: BlockId, transactions: Vec<Arc<Transaction>>) -> Arc<Self> {
        let header = Header::work(parent, root(&transactions));
        let id = header.id();
        let short_ids = transactions.iter().map(|it| it.short_id(id)).collect();
        let compact = Arc::new(Compact { header, short_ids });
        Arc::new(Self {
            id,
            compact,
            transactions,
        })
    }

    /// The one that was told so; none if these are not its transactions.
    pub(crate) fn whole(
        compact: Arc<Compact>,
        transactions: Vec<Arc<Transaction>>,
    ) -> Option<Arc<Self>> {
        let id = compact.header.id();
        (root(&transactions) == compact.header.root).then(|| {
            Arc::new(Self {
                id,
                compact,
                transactions,
            })
        })
    }
}

fn root(transactions: &[Arc<Transaction>]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for transaction in transactions {
        hasher.update(&transaction.id);
    }
    *hasher.finalize().as_bytes()
}

/// All blocks that are known, and the longest chain of them.
#[derive(Debug)]
pub(crate) struct Chain {
    blocks: BTreeMap<BlockId, (Arc<Block>, u64)>,
    /// They wait for the one before.
    orphans: Vec<Arc<Block>>,
    tip: BlockId,
    /// What is in the longest chain.
    written: BTreeSet<Name>,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            blocks: BTreeMap::new(),
            orphans: Vec::new(),
            tip: BlockId::GENESIS,
            written: BTreeSet::new(),
        }
    }
}

impl Chain {
    pub(crate) fn tip(&self) -> BlockId {
        self.tip
    }

    /// Blocks up to this one: the work of a chain, as each costs the same.
    pub(crate) fn height(&self, block: BlockId) -> u64 {
        self.blocks.get(&block).map_or(0, |(_, height)| *height)
    }

    pub(crate) fn block(&self, id: BlockId) -> Option<&Arc<Block>> {
        self.blocks.get(&id).map(|(block, _)| block)
    }

    pub(crate) fn has(&self, id: BlockId) -> bool {
        id == BlockId::GENESIS || self.blocks.contains_key(&id)
    }

    pub(crate) fn has_written(&self, name: Name) -> bool {
        self.written.contains(&name)
    }

    /// Takes a block, and those that waited for it. The block that is lacking before it, if one is.
    pub(crate) fn insert(&mut self, block: Arc<Block>) -> Option<BlockId> {
        let mut ready = vec![block];
        while let Some(block) = ready.pop() {
            let parent = block.compact.header.parent;
            if !self.has(parent) {
                if self.orphans.len() < MAX_ORPHANS && !self.orphans.contains(&block) {
                    self.orphans.push(block);
                }
                return Some(self.lacking(parent));
            }
            let (id, height) = (block.id, self.height(parent) + 1);
            self.blocks.insert(id, (block, height));
            if height > self.height(self.tip) {
                self.move_to(id);
            }
            let after = |it: &mut Arc<Block>| it.compact.header.parent == id;
            ready.extend(self.orphans.extract_if(.., after));
        }
        None
    }

    /// The first block that is lacking on the way back from here.
    fn lacking(&self, mut block: BlockId) -> BlockId {
        for _ in 0..MAX_ORPHANS {
            let orphan = self.orphans.iter().find(|it| it.id == block);
            let Some(orphan) = orphan else { break };
            block = orphan.compact.header.parent;
        }
        block
    }

    /// The longest chain is another: what only the former had written is to be written again.
    fn move_to(&mut self, tip: BlockId) {
        let (mut old, mut new) = (self.tip, tip);
        self.tip = tip;
        let mut added = Vec::new();
        while old != new {
            let is_old_higher = self.height(old) >= self.height(new);
            let at = if is_old_higher { &mut old } else { &mut new };
            let Some((block, _)) = self.blocks.get(at) else {
                break;
            };
            *at = block.compact.header.parent;
            let names = block.transactions.iter().map(|it| it.name());
            if is_old_higher {
                names.for_each(|name| {
                    self.written.remove(&name);
                });
            } else {
                added.extend(names);
            }
        }
        self.written.extend(added);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(text: &str) -> Arc<Transaction> {
        Transaction::new(text.as_bytes().into()).unwrap()
    }

    #[test]
    fn the_longest_chain_is_the_true_one_and_the_first_of_two_that_are_equal() {
        let mut chain = Chain::default();
        let one = Block::mine(BlockId::GENESIS, vec![transaction("one")]);
        let two = Block::mine(BlockId::GENESIS, vec![transaction("two")]);
        let three = Block::mine(two.id, vec![transaction("three")]);
        assert_eq!(chain.insert(Arc::clone(&one)), None);
        assert_eq!(chain.insert(Arc::clone(&two)), None);
        assert_eq!(chain.tip(), one.id);
        assert!(chain.has_written(transaction("one").name()));
        chain.insert(Arc::clone(&three));
        assert_eq!((chain.tip(), chain.height(chain.tip())), (three.id, 2));
        assert!(!chain.has_written(transaction("one").name()));
        assert!(chain.has_written(transaction("two").name()));
        assert!(chain.has_written(transaction("three").name()));
    }

    #[test]
    fn a_chain_that_comes_backwards_says_what_is_lacking() {
        let mut chain = Chain::default();
        let one = Block::mine(BlockId::GENESIS, vec![transaction("one")]);
        let two = Block::mine(one.id, vec![transaction("two")]);
        let three = Block::mine(two.id, vec![transaction("three")]);
        assert_eq!(chain.insert(Arc::clone(&three)), Some(two.id));
        assert_eq!(chain.insert(Arc::clone(&two)), Some(one.id));
        assert_eq!(chain.insert(Arc::clone(&three)), Some(one.id));
        assert_eq!(chain.insert(one), None);
        assert_eq!(chain.tip(), three.id);
    }

    #[test]
    fn other_transactions_make_no_block_of_what_was_told() {
        let block = Block::mine(BlockId::GENESIS, vec![transaction("one")]);
        let compact = Arc::clone(&block.compact);
        assert!(block.compact.header.is_worked_for());
        assert_eq!(
            Block::whole(Arc::clone(&compact), vec![transaction("two")]),
            None
        );
        assert_eq!(Block::whole(compact, vec![transaction("one")]), Some(block));
    }
}
