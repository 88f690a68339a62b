//! One entry of the membership log.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use peerway::PeerId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::signature::{Signature, id_bytes};

/// Length of the longest op, in bytes: what is signed and the signature.
pub const MAX_OP: usize = 512;
/// Bytes of a group's name.
pub const MAX_NAME: usize = 64;
/// Heads that an op names as what its author knew.
pub(super) const MAX_PARENTS: usize = 4;
/// How often one invite can let somebody in.
pub const MAX_USES: u32 = 10_000;

const PURPOSE: &str = "peerway group op";
const REDEEM: &str = "peerway group invite";
const SHOW: &str = "peerway group invite shown";

/// By which a group is known everywhere: the hash of the op that founded it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub(super) [u8; 32]);

impl GroupId {
    /// The first 8 characters of the text form, for people to tell groups apart.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The group of these 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupId({})", self.short())
    }
}

impl FromStr for GroupId {
    type Err = ParseGroupIdError;

    fn from_str(text: &str) -> Result<Self, ParseGroupIdError> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(ParseGroupIdError)
    }
}

/// A text is no [`GroupId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a group's id has 52 letters and digits")]
#[non_exhaustive]
pub struct ParseGroupIdError;

/// By which an op is known: the hash of what its author signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId(pub(crate) [u8; 32]);

impl OpId {
    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The op of these 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpId({})", &BASE32_NOPAD.encode(&self.0)[..8])
    }
}

/// What a member may do, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Reads.
    Reader,
    /// Posts too.
    Member,
    /// Invites, adds, removes, names.
    Admin,
    /// Made the group. Nobody can remove it or take its role.
    Founder,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Founder => "founder",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a new epoch's key is known by to who does not have it: its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment(pub(super) [u8; 32]);

/// What an op does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Body {
    /// Begins the group; its author is the founder.
    Found {
        /// What the group is called.
        name: String,
        /// So that no two groups are the same.
        nonce: [u8; 16],
        /// The first epoch's key.
        key: Commitment,
    },
    /// Makes somebody a member.
    Add {
        /// Whom.
        #[serde(with = "id_bytes")]
        member: PeerId,
        /// As what.
        role: Role,
    },
    /// Makes somebody a member who showed an invite, with what that says. Any member may write it.
    Redeem {
        /// Whom.
        #[serde(with = "id_bytes")]
        member: PeerId,
        /// The invite's key.
        #[serde(with = "id_bytes")]
        invite: PeerId,
        /// The member's id signed by the invite's key.
        proof: Signature,
    },
    /// Ends a membership and begins an epoch whose key the member does not get.
    Remove {
        /// Whose.
        #[serde(with = "id_bytes")]
        member: PeerId,
        /// The new epoch's key.
        key: Commitment,
    },
    /// Ends the author's own membership.
    Leave,
    /// Changes what a member may do.
    SetRole {
        /// Whose.
        #[serde(with = "id_bytes")]
        member: PeerId,
        /// What it is from then on.
        role: Role,
    },
    /// Gives the group another name.
    Rename {
        /// It.
        name: String,
    },
    /// Lets in whoever has the seed of this key.
    Invite {
        /// The invite's key.
        #[serde(with = "id_bytes")]
        invite: PeerId,
        /// As what.
        role: Role,
        /// So many.
        uses: u32,
        /// Until then, in milliseconds since the Unix epoch.
        expires_ms: u64,
    },
    /// Takes an invite back.
    Revoke {
        /// The invite's key.
        #[serde(with = "id_bytes")]
        invite: PeerId,
    },
    /// Begins an epoch, as after a member has left.
    Rotate {
        /// The new epoch's key.
        key: Commitment,
    },
}

/// An op as its author means it, not signed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    /// None in the op that founds the group.
    pub(super) group: Option<GroupId>,
    #[serde(with = "id_bytes")]
    pub(super) author: PeerId,
    /// One more than the largest of the parents'.
    pub(super) lamport: u64,
    pub(super) at_ms: u64,
    pub(super) parents: Vec<OpId>,
    pub(super) body: Body,
}

/// A signed entry of the membership log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    pub(super) content: Content,
    signature: Signature,
}

impl Op {
    pub(super) fn sign(content: Content, sign: impl Fn(&str, &[u8]) -> [u8; 64]) -> Self {
        let signature = sign(PURPOSE, &bytes(&content)).into();
        Self { content, signature }
    }

    /// By which it is known.
    #[must_use]
    pub fn id(&self) -> OpId {
        OpId(*blake3::hash(&bytes(&self.content)).as_bytes())
    }

    /// Who wrote it.
    #[must_use]
    pub fn author(&self) -> PeerId {
        self.content.author
    }

    /// Its place among those that do not know of each other: every op has a larger one than all that its author knew.
    #[must_use]
    pub fn lamport(&self) -> u64 {
        self.content.lamport
    }

    /// What it does.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.content.body
    }

    /// Whether it is as long as an op may be, says what one may say, and was signed by its author and, if somebody was invited, by
    /// the invite.
    pub(super) fn is_sound(&self) -> bool {
        let signed = bytes(&self.content);
        let Content {
            group,
            author,
            lamport,
            parents,
            body,
            ..
        } = &self.content;
        let is_first = matches!(body, Body::Found { .. });
        let is_placed = parents.is_empty() == is_first
            && group.is_none() == is_first
            && (*lamport == 1) == is_first
            && parents.len() <= MAX_PARENTS;
        signed.len() + 64 <= MAX_OP
            && is_placed
            && is_meaningful(body, *group)
            && author.has_signed(PURPOSE, &signed, &self.signature.into())
    }
}

fn is_meaningful(body: &Body, group: Option<GroupId>) -> bool {
    match body {
        Body::Found { name, .. } | Body::Rename { name } => is_name(name),
        Body::Add { role, .. } | Body::SetRole { role, .. } => *role < Role::Founder,
        Body::Invite { role, uses, .. } => *role < Role::Founder && (1..=MAX_USES).contains(uses),
        Body::Redeem {
            member,
            invite,
            proof,
        } => group.is_some_and(|group| is_proof(group, *invite, *member, proof)),
        Body::Remove { .. } | Body::Leave | Body::Revoke { .. } | Body::Rotate { .. } => true,
    }
}

/// Whether a group may be called so: 1 to 64 bytes without control characters.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// What the invite's key signs for the member that it lets in.
pub(super) fn prove(
    group: GroupId,
    member: PeerId,
    sign: impl Fn(&str, &[u8]) -> [u8; 64],
) -> Signature {
    sign(REDEEM, &to_prove(group, member)).into()
}

pub(super) fn is_proof(group: GroupId, invite: PeerId, member: PeerId, proof: &Signature) -> bool {
    invite.has_signed(REDEEM, &to_prove(group, member), &(*proof).into())
}

/// What the invite's key signs to show that whoever is there at the moment has it.
pub(super) fn show(
    group: GroupId,
    to: PeerId,
    challenge: &[u8; 32],
    sign: impl Fn(&str, &[u8]) -> [u8; 64],
) -> Signature {
    sign(SHOW, &to_show(group, to, challenge)).into()
}

/// Whether `shown` answers the challenge of this member.
pub(crate) fn is_shown(
    group: GroupId,
    invite: PeerId,
    (to, challenge): (PeerId, &[u8; 32]),
    shown: &Signature,
) -> bool {
    invite.has_signed(SHOW, &to_show(group, to, challenge), &(*shown).into())
}

fn to_show(group: GroupId, to: PeerId, challenge: &[u8; 32]) -> Vec<u8> {
    [&group.0[..], to.as_bytes(), challenge].concat()
}

fn to_prove(group: GroupId, member: PeerId) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&group.0);
    bytes[32..].copy_from_slice(member.as_bytes());
    bytes
}

/// Postcard writes into memory and refuses none of these types; an empty message would be signed by nobody.
fn bytes(content: &Content) -> Vec<u8> {
    postcard::to_allocvec(content).unwrap_or_default()
}
