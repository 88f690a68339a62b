//! What a peer may be called.

use std::{borrow::Borrow, fmt, str::FromStr};

use peerway::PeerId;

use crate::printable::is_printable;

/// A name in the address book: seen as what it is, and never to be mistaken for a ticket or a whole id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(String);

impl Name {
    /// Fits a column of the dashboard.
    pub(crate) const MAX_CHARS: usize = 32;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As a shell takes it.
    pub(crate) fn quoted(&self) -> String {
        let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
        if self.0.chars().all(is_plain) {
            self.0.clone()
        } else {
            format!("'{}'", self.0.replace('\'', "'\\''"))
        }
    }

    /// What a peer is called that nobody named.
    pub(crate) fn short(id: PeerId) -> Self {
        Self(id.short())
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let chars = text.chars().count();
        if text.is_empty() || chars > Self::MAX_CHARS {
            return Err(NameError::Length { chars });
        }
        if let Some(letter) = text.chars().find(|letter| !is_allowed(*letter)) {
            return Err(NameError::Letter { letter });
        }
        if text.starts_with('-') || text.starts_with(' ') || text.ends_with(' ') {
            return Err(NameError::Edge);
        }
        if is_like_a_ticket(text) {
            return Err(NameError::Ticket);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A slash separates a peer from what it exposes, a comma one peer from the next.
fn is_allowed(letter: char) -> bool {
    is_printable(letter) && !matches!(letter, '/' | ',')
}

/// Whether text begins as tickets do.
pub(crate) fn is_like_a_ticket(text: &str) -> bool {
    text.get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("peerway"))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a peer cannot be called so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("a name has 1 to {} characters, this has {chars}", Name::MAX_CHARS)]
    Length { chars: usize },
    #[error("{letter:?} cannot be in a name")]
    Letter { letter: char },
    #[error("a name neither begins with a space or a dash nor ends with a space")]
    Edge,
    #[error("a name that begins with \"peerway\" looks like a ticket")]
    Ticket,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_any_language_and_may_have_spaces() {
        for name in [
            "nas",
            "Anna's laptop",
            "домашний-сервер",
            "家",
            "a",
            &"x".repeat(32),
        ] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_shell_takes_a_name_as_it_is_quoted() {
        for (name, quoted) in [
            ("nas-2.home", "nas-2.home"),
            ("Архив", "Архив"),
            ("Anna's laptop", r"'Anna'\''s laptop'"),
            ("$(reboot)", "'$(reboot)'"),
        ] {
            assert_eq!(name.parse::<Name>().unwrap().quoted(), quoted);
        }
    }

    #[test]
    fn what_misleads_or_has_another_meaning_is_no_name() {
        for (text, error) in [
            ("", NameError::Length { chars: 0 }),
            (&"x".repeat(33), NameError::Length { chars: 33 }),
            ("a/b", NameError::Letter { letter: '/' }),
            ("a\u{202e}b", NameError::Letter { letter: '\u{202e}' }),
            ("a\u{1b}[0m", NameError::Letter { letter: '\u{1b}' }),
            (" a", NameError::Edge),
            ("--json", NameError::Edge),
            ("PEERWAY1AAAA", NameError::Ticket),
        ] {
            assert_eq!(text.parse::<Name>(), Err(error), "{text:?}");
        }
    }
}
