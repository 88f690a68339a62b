//! Lets in who shows an invite.

use peerway::PeerId;
use thiserror::Error;

use super::{
    super::{
        log::OpError,
        op::{Body, Op},
        signature::Signature,
    },
    Card, Machine, Now,
};

/// Members that a newcomer is told where to meet.
const MAX_CARDS: usize = 64;

/// Why an invite lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// Not known, used up or taken back.
    #[error(
        "the invite is used up or was taken back, or its maker has not met this member since it was made"
    )]
    NoInvite,
    /// Too old.
    #[error("the invite is too old: ask for another")]
    Late,
    /// Who was removed needs a new one.
    #[error("an admin removed you from this group: an invite from before lets you in no more")]
    Removed,
    /// The log refuses it.
    #[error(transparent)]
    Log(#[from] OpError),
}

impl Machine {
    /// Lets in `member` by the invite of this key, unless it belongs to the group already. What it needs to know comes back: the log,
    /// and where members are met.
    ///
    /// # Errors
    /// See [`RedeemError`].
    pub fn redeem(
        &mut self,
        invite: PeerId,
        member: PeerId,
        proof: Signature,
        now: Now,
    ) -> Result<(Vec<Op>, Vec<Card>), RedeemError> {
        let state = self.log.state();
        if state.role(member).is_none() {
            let known = state.invites.get(&invite).ok_or(RedeemError::NoInvite)?;
            if self.group_ms(now) > known.expires_ms {
                return Err(RedeemError::Late);
            }
            let body = Body::Redeem {
                member,
                invite,
                proof,
            };
            self.write(body, now)?;
            if self.log.state().role(member).is_none() {
                return Err(RedeemError::Removed);
            }
        }
        let ops = self.log.ops().map(|(_, op)| op.clone()).collect();
        let cards = self.cards.values().take(MAX_CARDS).cloned().collect();
        Ok((ops, cards))
    }
}
