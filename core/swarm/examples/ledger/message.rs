//! What neighbours say to each other, and how many bytes that takes.

use std::sync::Arc;

use super::chain::{BlockId, Compact, Header, Name};

/// Names of transactions in one message.
pub(crate) const MAX_NAMES: usize = 2_000;
/// Of a frame, its kind and a length.
const FRAME: usize = 6;

#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// The longest chain that its sender knows, and how many blocks that has.
    Tip(BlockId, u64),
    /// These transactions can be had here.
    Have(Vec<Name>),
    /// Send these.
    Want(Vec<Name>),
    /// Transactions that were wanted, or that a block was lacking.
    Bodies(Vec<Arc<[u8]>>),
    /// A block, for who knows most of its transactions.
    Block(Arc<Compact>),
    /// Send this block.
    WantBlock(BlockId),
    /// Send these transactions of a block, by their places in it.
    WantOf(BlockId, Vec<u16>),
    /// These are they.
    BodiesOf(BlockId, Vec<Arc<[u8]>>),
}

impl Message {
    /// Bytes of it, as postcard would write it.
    pub(crate) fn len(&self) -> usize {
        let bodies = |all: &[Arc<[u8]>]| all.iter().map(|body| body.len() + 2).sum::<usize>();
        FRAME
            + match self {
                Self::Tip(..) => 36,
                Self::Have(names) | Self::Want(names) => 16 * names.len(),
                Self::Bodies(all) => bodies(all),
                Self::Block(compact) => Header::BYTES + 8 * compact.short_ids.len(),
                Self::WantBlock(_) => 32,
                Self::WantOf(_, places) => 32 + 2 * places.len(),
                Self::BodiesOf(_, all) => 32 + bodies(all),
            }
    }
}
