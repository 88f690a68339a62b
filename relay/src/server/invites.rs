//! Whom the operator invited: tokens that let keys in, and the keys that they let in.
//!
//! Of a token only a digest is kept, so that no copy of it lets anybody in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use blake2::{Blake2s256, Digest};
use data_encoding::BASE32_NOPAD;
use peerway_proto::{InviteToken, PeerId};

/// Invitations at a time.
const INVITES: usize = 4096;
/// Keys that invitations let in.
const MEMBERS: usize = 65_536;

/// Names an invitation; made from its token, which it does not tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InviteId([u8; Self::LEN]);

impl InviteId {
    /// Bytes of an id.
    pub const LEN: usize = 16;
    /// Characters that are shown.
    const SHOWN: usize = 10;

    /// The id of the invitation with this token.
    #[must_use]
    pub fn of(token: &InviteToken) -> Self {
        let digest = Blake2s256::new()
            .chain_update(b"peerway relay invite 1")
            .chain_update(token.as_bytes())
            .finalize();
        let mut id = [0; Self::LEN];
        id.copy_from_slice(&digest[..Self::LEN]);
        Self(id)
    }

    /// The id of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = BASE32_NOPAD.encode(&self.0).to_ascii_lowercase();
        f.write_str(text.get(..Self::SHOWN).unwrap_or(&text))
    }
}

impl fmt::Debug for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InviteId({self})")
    }
}

/// An invitation. Times are milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invite {
    /// How many more keys it lets in; none for no limit.
    pub uses_left: Option<u32>,
    /// When it lets in no more; none for never.
    pub expires_ms: Option<u64>,
}

/// A token lets nobody in, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotInvited;

/// There are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {INVITES} invitations: revoke some that are not needed any more")]
#[non_exhaustive]
pub struct TooManyInvites;

#[derive(Debug, Default)]
pub(super) struct Invites {
    invites: BTreeMap<InviteId, Invite>,
    /// Whom they let in, and by which.
    members: BTreeMap<PeerId, InviteId>,
    changed_invites: BTreeSet<InviteId>,
    changed_members: BTreeSet<PeerId>,
}

impl Invites {
    pub(super) fn add(&mut self, id: InviteId, invite: Invite) -> Result<(), TooManyInvites> {
        if self.invites.len() >= INVITES {
            return Err(TooManyInvites);
        }
        self.invites.insert(id, invite);
        self.changed_invites.insert(id);
        Ok(())
    }

    pub(super) fn is_member(&self, key: PeerId) -> bool {
        self.members.contains_key(&key)
    }

    /// Lets `key` in by a token, for good.
    pub(super) fn redeem(
        &mut self,
        unix_ms: u64,
        key: PeerId,
        token: &InviteToken,
    ) -> Result<(), NotInvited> {
        let id = InviteId::of(token);
        let invite = self.invites.get_mut(&id).ok_or(NotInvited)?;
        let is_over = invite.expires_ms.is_some_and(|end| end <= unix_ms);
        if is_over || invite.uses_left == Some(0) || self.members.len() >= MEMBERS {
            return Err(NotInvited);
        }
        if let Some(left) = &mut invite.uses_left {
            *left -= 1;
        }
        self.members.insert(key, id);
        self.changed_invites.insert(id);
        self.changed_members.insert(key);
        Ok(())
    }

    /// All invitations, each with the keys that it let in.
    pub(super) fn list(&self) -> Vec<(InviteId, Option<Invite>, Vec<PeerId>)> {
        let mut list: BTreeMap<_, _> = (self.invites.iter())
            .map(|(id, invite)| (*id, (Some(*invite), Vec::new())))
            .collect();
        for (key, id) in &self.members {
            list.entry(*id).or_default().1.push(*key);
        }
        let flat = |(id, (invite, members))| (id, invite, members);
        list.into_iter().map(flat).collect()
    }

    /// The invitation lets in nobody any more; nor does it let in those whom it did, if `members` go too.
    pub(super) fn revoke(&mut self, id: InviteId, members: bool) {
        if self.invites.remove(&id).is_some() {
            self.changed_invites.insert(id);
        }
        if members {
            let changed = &mut self.changed_members;
            self.members.retain(|key, by| {
                let stays = *by != id;
                if !stays {
                    changed.insert(*key);
                }
                stays
            });
        }
    }

    /// The key is let in no more.
    pub(super) fn expel(&mut self, key: PeerId) -> bool {
        let was_in = self.members.remove(&key).is_some();
        if was_in {
            self.changed_members.insert(key);
        }
        was_in
    }

    pub(super) fn restore(
        &mut self,
        invites: impl IntoIterator<Item = (InviteId, Invite)>,
        members: impl IntoIterator<Item = (PeerId, InviteId)>,
    ) {
        self.invites.extend(invites);
        self.members.extend(members);
    }

    pub(super) fn take_changed_invites(&mut self) -> Vec<(InviteId, Option<Invite>)> {
        let changed = std::mem::take(&mut self.changed_invites);
        let now = |id| (id, self.invites.get(&id).copied());
        changed.into_iter().map(now).collect()
    }

    pub(super) fn take_changed_members(&mut self) -> Vec<(PeerId, Option<InviteId>)> {
        let changed = std::mem::take(&mut self.changed_members);
        let now = |key| (key, self.members.get(&key).copied());
        changed.into_iter().map(now).collect()
    }
}
