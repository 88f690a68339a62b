//! Which peers are shown: `path=relay nas` means relayed peers whose name or id contains `nas`.

use peerway::PeerSnapshot;

use super::words::{Address, Standing, Words};

/// Terms that must all hold; without terms every peer is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// Part of the name, the id, the path or the reason.
    Contains(String),
    Path(Standing),
}

impl Filter {
    /// Reads a filter; the error names the part that is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let term = |word: &str| match word.split_once('=') {
            None => Ok(Term::Contains(word.to_lowercase())),
            Some(("path", kind)) => Standing::ALL
                .into_iter()
                .find(|known| known.word() == kind)
                .map(Term::Path)
                .ok_or_else(|| format!("path={kind}: no such path; try relay or direct")),
            Some((field, _)) => Err(format!("{field}= is no field; there is path=")),
        };
        Ok(Self {
            text: text.trim().to_owned(),
            terms: text
                .split_whitespace()
                .map(term)
                .collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn shows(&self, peer: &PeerSnapshot, words: &Words<'_>) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Path(kind) => words.kind(peer) == *kind,
            Term::Contains(part) => {
                let searched = [
                    words.name(&peer.id).to_lowercase(),
                    peer.id.to_string(),
                    words.link(peer, Address::Ip).to_lowercase(),
                    words.short_reason(peer).to_owned(),
                ];
                searched.iter().any(|text| text.contains(part.as_str()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_or_path_is_named() {
        assert!(Filter::parse("path=relay nas").is_ok());
        assert!(Filter::parse("  ").unwrap().is_empty());
        let error = |text| Filter::parse(text).unwrap_err();
        assert!(error("path=reley").starts_with("path=reley"));
        assert!(error("rtt=4").starts_with("rtt="));
    }
}
