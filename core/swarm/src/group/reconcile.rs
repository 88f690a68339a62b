//! Who of two lacks what, by the crate negentropy (range-based set reconciliation).

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of a step. With less, sets that differ in much need many round trips; with more, what is new waits behind it.
const MAX_FRAME: u64 = 256 << 10;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Set {
    /// The membership log, by Lamport time.
    Ops,
    /// Where members are met, by the time of the card.
    Cards,
    /// What was posted, by the time of the post.
    Posts,
}

/// What came cannot be understood.
#[derive(Debug, Error)]
#[error("not a step of a reconciliation: {0}")]
pub(super) struct ReconcileError(#[from] negentropy::Error);

type Items = Vec<(u64, [u8; 32])>;

fn storage(items: Items) -> Result<NegentropyStorageVector, ReconcileError> {
    let mut storage = NegentropyStorageVector::with_capacity(items.len());
    for (at, id) in items {
        storage.insert(at, Id::from_byte_array(id))?;
    }
    storage.seal()?;
    Ok(storage)
}

/// The side that asks.
pub(super) struct Asking(Negentropy<'static, NegentropyStorageVector>);

/// What a step has shown.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What the other lacks.
    pub(super) have: Vec<[u8; 32]>,
    /// What is lacking here.
    pub(super) need: Vec<[u8; 32]>,
    /// What to say next; nothing if that was all.
    pub(super) next: Option<Vec<u8>>,
}

impl Asking {
    /// Begins with what is here, and what to say first.
    pub(super) fn begin(items: Items) -> Result<(Self, Vec<u8>), ReconcileError> {
        let mut negentropy = Negentropy::owned(storage(items)?, MAX_FRAME)?;
        let first = negentropy.initiate()?;
        Ok((Self(negentropy), first))
    }

    pub(super) fn go_on(&mut self, answer: &[u8]) -> Result<Found, ReconcileError> {
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let next = self.0.reconcile_with_ids(answer, &mut have, &mut need)?;
        let bytes = |ids: Vec<Id>| ids.into_iter().map(|id| id.to_bytes()).collect();
        Ok(Found {
            have: bytes(have),
            need: bytes(need),
            next,
        })
    }
}

/// The answer of the other side.
pub(super) fn answer(items: Items, question: &[u8]) -> Result<Vec<u8>, ReconcileError> {
    Ok(Negentropy::owned(storage(items)?, MAX_FRAME)?.reconcile(question)?)
}
