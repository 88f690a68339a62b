//! The code that one side shows and the other types.

use std::{fmt, io, str::FromStr};

use crate::{DiscoverySecret, SecretKey};

/// Letters of a code.
const LEN: usize = 9;
/// Of these, the first: they say where the two meet. The others are the password, 25 bits that can be tried once.
const PLACE_LEN: usize = 4;
/// Douglas Crockford's: without letters that are taken for digits, or for each other when they are spoken.
const LETTERS: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// Nine letters, spoken or shown: where two computers meet, and what proves that they mean each other.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; LEN]);

impl Code {
    /// A new one.
    ///
    /// # Errors
    /// The system's error if it has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        let mut random = [0; LEN];
        getrandom::fill(&mut random)?;
        Ok(Self(
            random.map(|byte| LETTERS.as_bytes()[usize::from(byte % 32)]),
        ))
    }

    /// The key of the node that waits for the other one. It proves nothing: whoever hears the first letters can have it.
    #[must_use]
    pub fn rendezvous(&self) -> SecretKey {
        SecretKey::from_seed(&self.place("peerway pair 1 rendezvous"))
    }

    /// What the record of the node that waits is found with, where no relay leads to it. Of the first letters too, so as little a secret
    /// as its key.
    #[must_use]
    pub fn discovery(&self) -> DiscoverySecret {
        let derived = self.place("peerway pair 1 discovery");
        let mut secret = [0; 16];
        secret.copy_from_slice(&derived[..16]);
        DiscoverySecret::from_bytes(secret)
    }

    /// What follows from the letters that say where the two meet.
    fn place(&self, purpose: &str) -> [u8; 32] {
        let (place, _) = self.0.split_at(PLACE_LEN);
        let mut seed = [0; 32];
        seed[..PLACE_LEN].copy_from_slice(place);
        SecretKey::from_seed(&seed).derive(purpose)
    }

    pub(super) fn password(&self) -> &[u8] {
        &self.0[PLACE_LEN..]
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, letter) in self.0.iter().enumerate() {
            if at == PLACE_LEN {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

/// Logs are no place for it.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

impl FromStr for Code {
    type Err = ParseCodeError;

    /// However it was heard: in capitals, with spaces or dashes anywhere, and with letters that look like the digits they stand for.
    fn from_str(text: &str) -> Result<Self, ParseCodeError> {
        let mut letters = Vec::with_capacity(LEN);
        for letter in text.chars().filter(|letter| !" -".contains(*letter)) {
            let letter = match letter.to_ascii_lowercase() {
                'o' => '0',
                'i' | 'l' => '1',
                other => other,
            };
            if !LETTERS.contains(letter) {
                return Err(ParseCodeError::Letter(letter));
            }
            letters.push(letter as u8);
        }
        let found = letters.len();
        let code = letters.try_into();
        code.map(Self).map_err(|_| ParseCodeError::Length { found })
    }
}

/// Why a text is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseCodeError {
    /// No code has this letter.
    #[error("a code has no {0:?}: it is nine letters and digits, as in 7k3m-q9x2f")]
    Letter(char),
    /// Letters are missing, or there are too many.
    #[error("a code has nine letters and digits, as in 7k3m-q9x2f, and this has {found}")]
    Length {
        /// So many.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_is_read_however_it_was_heard() {
        let code: Code = "7k3m-q0x1f".parse().unwrap();
        for heard in ["7K3M Q0X1F", "7k3mqox1f", "7-k3m qoxif", " 7k3m-qoxlf "] {
            assert_eq!(heard.parse::<Code>().unwrap(), code, "{heard}");
        }
        assert_eq!(code.to_string(), "7k3m-q0x1f");
        assert_eq!(code.to_string().parse::<Code>().unwrap(), code);
    }

    #[test]
    fn what_is_no_code_is_told_apart() {
        let parse = |text: &str| text.parse::<Code>().unwrap_err();
        assert_eq!(parse(""), ParseCodeError::Length { found: 0 });
        assert_eq!(parse("7k3m-q9x2"), ParseCodeError::Length { found: 8 });
        assert_eq!(parse("7k3m-q9x2ff"), ParseCodeError::Length { found: 10 });
        assert_eq!(parse("7k3m-q9x2ü"), ParseCodeError::Letter('ü'));
        assert_eq!(parse("7k3m-q9x2u"), ParseCodeError::Letter('u'));
    }

    #[test]
    fn the_meeting_place_is_the_first_letters_alone() {
        let place = |text: &str| {
            let code = text.parse::<Code>().unwrap();
            (code.rendezvous().id(), code.discovery())
        };
        assert_eq!(place("7k3m-q9x2f"), place("7k3m-00000"));
        assert_ne!(place("7k3m-q9x2f"), place("7k3n-q9x2f"));
    }

    #[test]
    fn codes_differ_and_are_not_logged() {
        let codes: BTreeSet<_> = (0..100)
            .map(|_| Code::generate().unwrap().to_string())
            .collect();
        assert_eq!(codes.len(), 100);
        let code: Code = "7k3m-q9x2f".parse().unwrap();
        assert!(!format!("{code:?}").contains("q9x2f"));
    }
}
