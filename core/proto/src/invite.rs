//! What a relay's operator lets somebody in with: [`InviteToken`].

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;

use crate::identity::decode_base32;

/// A secret that a relay's operator gives to those whom they want to serve. Whoever has it can register.
///
/// Its text form is lower-case base32; where it is only shown, as by [`fmt::Debug`], nothing of it is.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteToken([u8; Self::LEN]);

impl InviteToken {
    /// Bytes of a token.
    pub const LEN: usize = 16;

    /// The token of these bytes, which have to be random.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes, which are secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Its text form, which is secret.
    #[must_use]
    pub fn reveal(&self) -> String {
        BASE32_NOPAD.encode(&self.0).to_ascii_lowercase()
    }
}

impl fmt::Debug for InviteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteToken(..)")
    }
}

impl FromStr for InviteToken {
    type Err = ParseInviteError;

    fn from_str(text: &str) -> Result<Self, ParseInviteError> {
        let bytes = decode_base32(text).map_err(|_| ParseInviteError)?;
        bytes.try_into().map(Self).map_err(|_| ParseInviteError)
    }
}

/// A text is no [`InviteToken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the invitation after ?invite= is damaged: 26 letters and digits are expected")]
#[non_exhaustive]
pub struct ParseInviteError;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RelayUrl, SecretKey, Ticket};

    #[test]
    fn an_invitation_is_read_from_a_url_and_never_written_into_one_or_a_ticket() {
        let token = InviteToken::from_bytes([7; 16]);
        let id = SecretKey::from_seed(&[1; 32]).id();
        let plain: RelayUrl = format!("relay://{id}@relay.example:443").parse().unwrap();
        let text = format!("{plain}?invite={}", token.reveal());
        let invited: RelayUrl = text.parse().unwrap();
        assert_eq!(invited.invite(), Some(&token));
        assert_eq!(invited, plain);
        assert_eq!(invited, plain.clone().with_invite(token.clone()));
        assert_eq!(plain.invite(), None);
        let ticket = Ticket::new(id, vec![invited.clone()], Vec::new());
        assert_eq!(ticket.relays()[0].invite(), None);
        for shown in [
            format!("{invited}"),
            format!("{invited:?}"),
            format!("{token:?}"),
        ] {
            assert!(!shown.contains(&token.reveal()), "{shown}");
        }
    }

    #[test]
    fn a_damaged_invitation_is_named() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        for wrong in ["", "abc", "a1", &"a".repeat(27)] {
            let url = format!("relay://{id}@relay.example?invite={wrong}");
            let said = url.parse::<RelayUrl>().unwrap_err().to_string();
            assert!(said.contains("?invite= is damaged"), "{said}");
        }
    }
}
