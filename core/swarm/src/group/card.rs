//! Where a member is met, as it says itself.

use peerway::{PeerId, Ticket};
use serde::{Deserialize, Serialize};

use super::{
    log::Log,
    op::GroupId,
    signature::{Signature, id_bytes},
};

/// Length of the longest card's ticket, in letters.
const MAX_TICKET: usize = 1024;
const PURPOSE: &str = "peerway group card";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    group: GroupId,
    #[serde(with = "id_bytes")]
    author: PeerId,
    at_ms: u64,
    ticket: String,
}

/// A member's ticket, signed by it. The newest of each is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    content: Content,
    signature: Signature,
}

impl Card {
    pub(super) fn sign(
        group: GroupId,
        ticket: &Ticket,
        at_ms: u64,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> Self {
        let content = Content {
            group,
            author: ticket.id(),
            at_ms,
            ticket: ticket.to_string(),
        };
        let signature = sign(PURPOSE, &bytes(&content)).into();
        Self { content, signature }
    }

    /// Whose it is.
    #[must_use]
    pub fn author(&self) -> PeerId {
        self.content.author
    }

    /// When it was written, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        self.content.at_ms
    }

    /// The ticket; the id alone where it cannot be read.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        let ticket = self.content.ticket.parse::<Ticket>().ok();
        let ours = ticket.filter(|ticket| ticket.id() == self.content.author);
        ours.unwrap_or_else(|| Ticket::from(self.content.author))
    }

    /// Whether it is that of a member of this log's group.
    #[must_use]
    pub fn is_of(&self, log: &Log) -> bool {
        log.state().role(self.author()).is_some() && self.is_sound(log.group())
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        *blake3::hash(&bytes(&self.content)).as_bytes()
    }

    pub(super) fn is_sound(&self, group: GroupId) -> bool {
        let (content, author) = (&self.content, self.content.author);
        content.group == group
            && content.ticket.len() <= MAX_TICKET
            && author.has_signed(PURPOSE, &bytes(content), &self.signature.into())
    }
}

/// Postcard writes into memory and refuses none of these types.
fn bytes(content: &Content) -> Vec<u8> {
    postcard::to_allocvec(content).unwrap_or_default()
}
