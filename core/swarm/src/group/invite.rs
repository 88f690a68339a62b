//! An invite as text: who has it may join.
//!
//! `peerway-group1`, then base32 of the group 32, the secret 16 and a checksum 3, then `+TICKET` for each of up to three members that it
//! is shown to. The secret is the seed of a key ([`Invitation::key`]); the log says what whoever has it may become. Who is shown it learns
//! nothing that another could use: the key signs for one new member alone.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use peerway::{PeerId, Ticket, services::invite::Invitation};
use thiserror::Error;

use super::op::{self, GroupId};
use super::signature::Signature;

const PREFIX: &str = "peerway-group1";
const SECRET: usize = 16;
const CHECK: usize = 3;
/// Members that an invite names.
pub const MAX_TICKETS: usize = 3;
/// Length of the longest text: three tickets with four relays each.
const MAX_TEXT: usize = 8 << 10;

/// What lets somebody join a group. `Display` shows its secret, `Debug` does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInvite {
    group: GroupId,
    invitation: Invitation,
    members: Vec<Ticket>,
}

impl GroupInvite {
    /// Of `group`, to be shown to one of these members; those beyond the third are left out.
    #[must_use]
    pub fn new(group: GroupId, invitation: Invitation, mut members: Vec<Ticket>) -> Self {
        members.truncate(MAX_TICKETS);
        Self {
            group,
            invitation,
            members,
        }
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The secret.
    #[must_use]
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Members to show it to.
    #[must_use]
    pub fn members(&self) -> &[Ticket] {
        &self.members
    }

    /// Shows to everybody that `member` has it.
    #[must_use]
    pub fn prove(&self, member: PeerId) -> Signature {
        let key = self.invitation.key();
        op::prove(self.group, member, |purpose, message| {
            key.sign(purpose, message)
        })
    }

    /// Shows to the member `to`, whose challenge it is, that it is shown by who has it.
    #[must_use]
    pub fn show(&self, to: PeerId, challenge: &[u8; 32]) -> Signature {
        let key = self.invitation.key();
        op::show(self.group, to, challenge, |purpose, message| {
            key.sign(purpose, message)
        })
    }
}

impl fmt::Display for GroupInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = BASE32_NOPAD.decode(self.invitation.reveal().to_ascii_uppercase().as_bytes());
        let mut body = self.group.0.to_vec();
        body.extend(secret.unwrap_or_default());
        body.extend(checksum(&body));
        f.write_str(PREFIX)?;
        f.write_str(&BASE32_NOPAD.encode(&body).to_ascii_lowercase())?;
        self.members
            .iter()
            .try_for_each(|member| write!(f, "+{member}"))
    }
}

fn checksum(body: &[u8]) -> [u8; CHECK] {
    let hash = blake3::derive_key("peerway group invite 1", body);
    std::array::from_fn(|at| hash[at])
}

impl FromStr for GroupInvite {
    type Err = ParseGroupInviteError;

    fn from_str(text: &str) -> Result<Self, ParseGroupInviteError> {
        let text = text.trim();
        let rest = text
            .get(..PREFIX.len())
            .filter(|head| head.eq_ignore_ascii_case(PREFIX));
        if rest.is_none() || text.len() > MAX_TEXT {
            return Err(ParseGroupInviteError::NoInvite);
        }
        let mut parts = text[PREFIX.len()..].split('+');
        let body = parts.next().unwrap_or_default().to_ascii_uppercase();
        let body = BASE32_NOPAD.decode(body.as_bytes());
        let body: Result<[u8; 32 + SECRET + CHECK], _> = body.unwrap_or_default().try_into();
        let body = body.map_err(|_| ParseGroupInviteError::Damaged)?;
        let (known, check) = body.split_at(32 + SECRET);
        if check != checksum(known) {
            return Err(ParseGroupInviteError::Damaged);
        }
        let (group, secret) = known.split_at(32);
        let group = group
            .try_into()
            .map_err(|_| ParseGroupInviteError::Damaged)?;
        let secret = BASE32_NOPAD.encode(secret).parse();
        let members: Result<Vec<Ticket>, _> = parts.take(MAX_TICKETS).map(str::parse).collect();
        let members = members.map_err(|_| ParseGroupInviteError::Damaged)?;
        if members.is_empty() {
            return Err(ParseGroupInviteError::Damaged);
        }
        Ok(Self {
            group: GroupId(group),
            invitation: secret.map_err(|_| ParseGroupInviteError::Damaged)?,
            members,
        })
    }
}

/// A text is no [`GroupInvite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseGroupInviteError {
    /// Another text.
    #[error("not an invite to a group: those begin with peerway-group1")]
    NoInvite,
    /// It was cut off, or a letter is wrong.
    #[error("the invite to the group is damaged: copy all of it")]
    Damaged,
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn invite() -> GroupInvite {
        let ticket = |seed| Ticket::from(SecretKey::from_seed(&[seed; 32]).id());
        let invitation = "caaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
        GroupInvite::new(GroupId([7; 32]), invitation, (1..6).map(ticket).collect())
    }

    #[test]
    fn an_invite_survives_its_text_form_and_names_three_members() {
        let text = invite().to_string();
        let read: GroupInvite = text.parse().unwrap();
        assert_eq!(read, invite());
        assert_eq!(read.members().len(), 3);
        assert_eq!(text.to_uppercase().parse(), Ok(read));
        assert!(!format!("{:?}", invite()).contains("caaaaa"));
    }

    #[test]
    fn a_damaged_text_is_said_to_be() {
        let text = invite().to_string();
        let read = |text: &str| text.parse::<GroupInvite>().map(|_| ());
        let damaged = Err(ParseGroupInviteError::Damaged);
        let mut other = text.clone().into_bytes();
        other[20] = if other[20] == b'a' { b'b' } else { b'a' };
        assert_eq!(read(&String::from_utf8(other).unwrap()), damaged);
        assert_eq!(read(&text[..text.len() - 1]), damaged);
        assert_eq!(
            read(text.split('+').next().unwrap()),
            damaged,
            "nobody to ask"
        );
        assert_eq!(read("PEERWAY1AAAA"), Err(ParseGroupInviteError::NoInvite));
        assert_eq!(read("peerway-gröup1"), Err(ParseGroupInviteError::NoInvite));
    }
}
