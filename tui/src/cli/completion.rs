//! What a shell offers where a peer is to be named.

use std::{env, ffi::OsString, path::PathBuf};

use clap_complete::CompletionCandidate;

use super::{args::Globals, state::StateDir};
use crate::{book::Book, printable::printable};

/// The names of the address book that the variables lead to; options on the line that is being typed are not known.
pub(super) fn names() -> Vec<CompletionCandidate> {
    let folder = |variable| {
        let value: Option<OsString> = env::var_os(variable);
        value.filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    let globals = Globals {
        state_dir: folder("PEERWAY_STATE_DIR"),
        config_dir: folder("PEERWAY_CONFIG_DIR"),
        ..Globals::default()
    };
    let book = StateDir::open(&globals).map(|state| state.names());
    of(&book.unwrap_or_default())
}

fn of(book: &Book) -> Vec<CompletionCandidate> {
    let each = book.entries().map(|(name, entry)| {
        let about = if entry.note.is_empty() {
            entry.ticket.id().short()
        } else {
            printable(&entry.note)
        };
        CompletionCandidate::new(name.as_str()).help(Some(about.into()))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;
    use crate::book::Draft;

    #[test]
    fn names_are_offered_with_their_notes() {
        let id = |seed| SecretKey::from_seed(&[seed; 32]).id();
        let mut draft = Draft::of("").unwrap();
        let note = Some("in the\ncellar");
        draft
            .add(&"nas".parse().unwrap(), &id(1).into(), note)
            .unwrap();
        draft
            .add(&"b".parse().unwrap(), &id(2).into(), None)
            .unwrap();
        let offered = of(draft.book());
        let offered: Vec<_> = offered
            .iter()
            .map(|it| {
                (
                    it.get_value().to_str().unwrap(),
                    it.get_help().unwrap().to_string(),
                )
            })
            .collect();
        assert_eq!(
            offered,
            [("b", id(2).short()), ("nas", "in the\\ncellar".to_owned())]
        );
    }
}
