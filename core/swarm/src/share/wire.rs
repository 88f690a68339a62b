//! What nodes say to each other about content. Each stream is in both directions and begins with an [`Ask`] of whoever opened it.
//!
//! | ask | then the one who asks says | and the other |
//! |---|---|---|
//! | follow | nothing | what it has, then what it gains, who else fetches it, what it suggests to ask for, and its end |
//! | outline | nothing | the outline's bytes |
//! | lane | which units it wants | each of them, in that order |

use peerway::Ticket;
use serde::{Deserialize, Serialize};

use super::Hash;

/// Longest frame of who asks, in bytes.
pub(super) const MAX_ASK: usize = 1 << 12;
/// Longest of who answers: a bit for each unit of the largest content, or eight tickets.
pub(super) const MAX_ANSWER: usize = 1 << 16;
/// Holders that are told at once.
pub(super) const MAX_HOLDERS: usize = 8;
/// Units that are told at once.
pub(super) const MAX_GAINED: usize = 1 << 12;
/// Bytes of a ticket.
const MAX_TICKET: usize = 1 << 10;

/// What a stream is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Who wants to know what there is of some content, and where others reach it for what it has fetched; no bytes if nowhere.
    Follow { hash: Hash, ticket: Vec<u8> },
    /// The outline of some content.
    Outline { hash: Hash },
    /// Requests follow.
    Lane,
}

/// What is told of content that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    /// There is some of it.
    Object(Described),
    /// It is not here, or not for the one who asks.
    Nothing,
    /// Units that are there now.
    Gained(Vec<u32>),
    /// Who else fetches or has it.
    Holders(Vec<Vec<u8>>),
    /// How many others are served first; 0 once it is the asker's turn.
    Place(u32),
    /// It is not there any more.
    Withdrawn,
    /// Units that were sent to nobody yet, and of which no other is told.
    Suggest(Vec<u32>),
}

/// Content and how much of it there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Described {
    pub(super) size: u64,
    /// A bit for each unit that is there; none if all are.
    pub(super) held: Option<Vec<u8>>,
}

/// What is wanted on a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Want {
    Unit {
        hash: Hash,
        unit: u32,
    },
    /// Of the units that were asked for and not answered yet, not this one: it is answered as missing.
    Cancel {
        hash: Hash,
        unit: u32,
    },
}

/// What comes on a lane: an answer to each want of a unit, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// So many bytes follow.
    Unit { len: u32 },
    /// It is not there, or not for the one who asks.
    Missing,
}

/// The tickets that bytes are; what is none is left out.
pub(super) fn tickets(bytes: &[Vec<u8>]) -> Vec<Ticket> {
    let short = bytes.iter().filter(|bytes| bytes.len() <= MAX_TICKET);
    let tickets = short.filter_map(|bytes| Ticket::from_bytes(bytes).ok());
    tickets.take(MAX_HOLDERS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame;

    proptest! {
        #[test]
        fn nothing_that_comes_is_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = frame::decode::<Ask>(&bytes);
            if let Ok(Told::Holders(holders)) = frame::decode::<Told>(&bytes) {
                let _ = tickets(&holders);
            }
            let _ = (frame::decode::<Want>(&bytes), frame::decode::<Answer>(&bytes));
        }
    }
}
