//! Lets in who shows an invite.

use peerway::PeerId;
use thiserror::Error;

use super::{
    super::{
        log::OpError,
        op::{Body, Op, is_proof},
        signature::Signature,
    },
    Card, Machine, Now, OwnOp,
};

/// Members that a newcomer is told where to meet.
const MAX_CARDS: usize = 64;

/// Why an invite lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// Not known, or taken back.
    #[error("the invite was taken back, or its maker has not met this member since it was made")]
    NoInvite,
    /// As it says.
    #[error("the invite is used up: ask for another")]
    UsedUp,
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
    /// and where members are met. Who is a member already shows an invite that is good still, or that by which it was let in, as its
    /// answer may have been lost: nobody else is told anything.
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
        if let Some(own) = self.draft_admission(invite, member, proof, now)? {
            self.publish_op(own, now)?;
        }
        self.welcome(member)
    }

    /// What would be written for that, which nobody hears of until it is [published](Self::publish_op): whoever has to can keep it before
    /// the newcomer is [told](Self::welcome). None of who is a member already.
    ///
    /// # Errors
    /// See [`RedeemError`].
    pub fn draft_admission(
        &self,
        invite: PeerId,
        member: PeerId,
        proof: Signature,
        now: Now,
    ) -> Result<Option<OwnOp>, RedeemError> {
        let state = self.log.state();
        let known = state.invites.get(&invite);
        let is_late = known.is_some_and(|known| self.group_ms(now) > known.expires_ms);
        if state.role(member).is_some() {
            let is_good = known.is_some() && !is_late || self.was_let_in(member, invite);
            if !is_good || !is_proof(self.log.group(), invite, member, &proof) {
                return Err(RedeemError::NoInvite);
            }
            return Ok(None);
        }
        if known.is_none() {
            let is_spent = state.spent.contains_key(&invite);
            return Err(if is_spent {
                RedeemError::UsedUp
            } else {
                RedeemError::NoInvite
            });
        }
        if is_late {
            return Err(RedeemError::Late);
        }
        let body = Body::Redeem {
            member,
            invite,
            proof,
        };
        Ok(Some(self.draft_op(body, now)?))
    }

    /// What a member needs to know that was let in: the log, and where members are met.
    ///
    /// # Errors
    /// [`RedeemError::Removed`].
    pub fn welcome(&self, member: PeerId) -> Result<(Vec<Op>, Vec<Card>), RedeemError> {
        if self.log.state().role(member).is_none() {
            return Err(RedeemError::Removed);
        }
        let ops = self.log.ops().map(|(_, op)| op.clone()).collect();
        let cards = self.cards.values().take(MAX_CARDS).cloned().collect();
        Ok((ops, cards))
    }

    /// Whether the log says that it came by this invite.
    fn was_let_in(&self, who: PeerId, invite: PeerId) -> bool {
        self.log.ops().any(|(_, op)| {
            matches!(op.body(), Body::Redeem { member, invite: shown, .. } if *member == who && *shown == invite)
        })
    }
}
