//! What members say to each other on their stream.

use serde::{Deserialize, Serialize};

use super::{
    card::Card,
    notice::Notice,
    op::{GroupId, Op, OpId},
    post::{EpochKey, Post},
    reconcile::Set,
    signature::Signature,
};

/// Length of the longest message, in bytes.
pub const MAX_MESSAGE: usize = 320 << 10;
/// Bytes of things in one message.
pub(super) const MAX_BATCH: usize = 64 << 10;
/// Names of things in one message.
pub(super) const MAX_IDS: usize = 2_000;

/// The first bytes of a thing's hash, by which it is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Short(pub(super) [u8; 16]);

impl Short {
    pub(super) fn of(hash: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|at| hash[at]))
    }
}

/// What spreads in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Item {
    /// Of the membership log.
    Op(Op),
    /// Where a member is met.
    Card(Card),
    /// What a member wrote.
    Post(Post),
    /// That a member is a directory.
    Directory(Notice),
}

impl Item {
    pub(super) fn short(&self) -> Short {
        match self {
            Self::Op(op) => Short::of(&op.id().0),
            Self::Card(card) => Short::of(&card.hash()),
            Self::Post(post) => Short::of(&post.id().0),
            Self::Directory(notice) => Short::of(&notice.hash()),
        }
    }

    /// About how long it is, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Op(_) => super::op::MAX_OP,
            Self::Card(_) => 512,
            Self::Post(post) => post.len(),
            Self::Directory(_) => 256,
        }
    }
}

/// How many of something there are, and the sum of their hashes: who has the same has the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    count: u64,
    sum: u128,
}

impl Digest {
    pub(super) fn add(&mut self, hash: &[u8; 32]) {
        self.count += 1;
        self.sum = self
            .sum
            .wrapping_add(u128::from_be_bytes(Short::of(hash).0));
    }

    pub(super) fn remove(&mut self, hash: &[u8; 32]) {
        self.count = self.count.saturating_sub(1);
        self.sum = self
            .sum
            .wrapping_sub(u128::from_be_bytes(Short::of(hash).0));
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// What one has, to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    pub(super) ops: Digest,
    pub(super) cards: Digest,
    pub(super) posts: Digest,
}

/// A message between two members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Message {
    /// What the speaker has, and what time it is there: at the beginning and once a minute.
    Hello {
        /// Milliseconds since the Unix epoch.
        clock_ms: u64,
        /// What it has.
        holds: Holdings,
    },
    /// Something new, to be handed on.
    New(Box<Item>),
    /// New things that are sent if they are asked for.
    Have(Vec<Short>),
    /// The announced things are wanted, and all that is new from now on.
    Graft(Vec<Short>),
    /// What is new comes from elsewhere: announcements will do.
    Prune,
    /// A step of finding out who lacks what.
    Reconcile {
        /// Of what.
        set: Set,
        /// From then on.
        since: u64,
        /// Whether the speaker began it.
        asks: bool,
        /// Negentropy's.
        frame: Vec<u8>,
    },
    /// These are lacking.
    Want {
        /// Of what.
        set: Set,
        /// By their hashes.
        ids: Vec<[u8; 32]>,
    },
    /// What the other lacks, as was found out.
    Items(Vec<Item>),
    /// The keys of these epochs are wanted.
    WantKeys(Vec<OpId>),
    /// Keys of epochs.
    Keys(Vec<(OpId, EpochKey)>),
    /// The link ends, and why.
    Bye(Bye),
}

impl Message {
    /// About how much memory it takes, in bytes.
    pub(crate) fn len(&self) -> usize {
        const LEAST: usize = 128;
        let more = match self {
            Self::Hello { .. } | Self::Prune | Self::Bye(_) => 0,
            Self::New(item) => item.len(),
            Self::Have(names) | Self::Graft(names) => names.len() * size_of::<Short>(),
            Self::Reconcile { frame, .. } => frame.len(),
            Self::Want { ids, .. } => ids.len() * 32,
            Self::Items(items) => items.iter().map(Item::len).sum(),
            Self::WantKeys(epochs) => epochs.len() * 32,
            Self::Keys(keys) => keys.len() * 64,
        };
        LEAST + more
    }
}

/// Why a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Bye {
    /// There are enough others.
    Full,
    /// The other is no member, as far as is known here.
    NoMember,
    /// An admin removed the other from the group.
    Removed,
    /// The other sent what nobody honest sends.
    Abuse,
    /// The speaker leaves the group.
    Leaving,
}

/// What a stream begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Opening {
    /// Two members of a group talk.
    Talk {
        /// Which group.
        group: GroupId,
    },
    /// Somebody was invited, who comes by a [`door`](super::door()) of the invite's.
    Join {
        /// To which group.
        group: GroupId,
        /// The id of the invite's key.
        invite: [u8; 32],
        /// Who is to be a member.
        member: [u8; 32],
        /// Signed by the invite's key.
        proof: Signature,
    },
}

/// What whoever was invited hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Joined {
    /// Part of the log, from the op on that founded the group.
    Ops(Vec<Op>),
    /// Where some members are met; that is all.
    Done(Vec<Card>),
    /// Why not, in words.
    Refused(String),
    /// What the invite's key is to sign before anything else is said: proofs of members are in the log, which many know.
    Challenge([u8; 32]),
}
