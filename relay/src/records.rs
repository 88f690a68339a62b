//! What an operator asks of a running relay, and what outlives it.

use peerway_proto::{InviteToken, PeerId};

use crate::{
    Relay,
    hub::now,
    server::{Invite, InviteId, Records, Talker, TalkingPair, TooManyInvites, VolumeLimits},
};

/// Who uses the relay now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Whoever sends most first.
    pub talkers: Vec<Talker>,
    /// Whichever send most first.
    pub pairs: Vec<TalkingPair>,
}

impl Relay {
    /// Takes over what an earlier life of the relay wrote down; before [`Relay::run`].
    pub fn restore(&self, records: Records) {
        self.hub.lock().restore(now(), records);
    }

    /// What is to be written down since the last call, to be given to [`Relay::restore`] in the relay's next life.
    #[must_use]
    pub fn take_records(&self) -> Records {
        self.hub.settle(now());
        self.hub.lock().take_records()
    }

    /// Those who send most now, at most `len` clients and pairs.
    #[must_use]
    pub fn sample(&self, len: usize) -> Sample {
        let server = self.hub.lock();
        Sample {
            talkers: server.talkers(len),
            pairs: server.talking_pairs(len),
        }
    }

    /// What may be sent in a month.
    #[must_use]
    pub fn volumes(&self) -> VolumeLimits {
        self.hub.lock().volume_limits()
    }

    /// From now on as much may be sent in a month as these say.
    pub fn set_volumes(&self, limits: VolumeLimits) {
        self.hub.change(|server| server.set_volumes(limits));
    }

    /// Whoever registers with this token is let in from now on.
    ///
    /// # Errors
    /// There are too many invitations.
    pub fn invite(&self, token: &InviteToken, invite: Invite) -> Result<InviteId, TooManyInvites> {
        let id = InviteId::of(token);
        self.hub.lock().invite(id, invite).map(|()| id)
    }

    /// All invitations, also revoked ones that let somebody in, each with whom it let in.
    #[must_use]
    pub fn invites(&self) -> Vec<(InviteId, Option<Invite>, Vec<PeerId>)> {
        self.hub.lock().invites()
    }

    /// The invitation lets in nobody any more; those whom it let in go too if `members` are to.
    pub fn revoke(&self, id: InviteId, members: bool) {
        self.hub.change(|server| server.revoke(id, members));
    }

    /// Somebody who was invited is served no more. False if they were not.
    #[must_use]
    pub fn expel(&self, key: PeerId) -> bool {
        let mut was_in = false;
        self.hub.change(|server| was_in = server.expel(key));
        was_in
    }
}
