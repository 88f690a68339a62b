//! What a shell offers where a peer is to be named.

use std::{env, ffi::OsString, path::PathBuf};

use clap_complete::CompletionCandidate;

use super::{args::Globals, state::StateDir};
use crate::{book::Book, kept::KeptLines, printable::printable};

/// The names of the address book.
pub(super) fn names() -> Vec<CompletionCandidate> {
    of(&state().map(|state| state.names()).unwrap_or_default())
}

/// The servers that `up` exposes whenever it runs.
pub(super) fn exposed() -> Vec<CompletionCandidate> {
    let each = kept().expose.into_iter();
    let each = each.map(|line| CompletionCandidate::new(line.name).help(Some(line.target.into())));
    each.collect()
}

/// The services of peers that `up` forwards whenever it runs.
pub(super) fn forwarded() -> Vec<CompletionCandidate> {
    let each = kept().forward.into_iter();
    let each =
        each.map(|line| CompletionCandidate::new(line.service).help(Some(line.listen.into())));
    each.collect()
}

fn kept() -> KeptLines {
    let kept = state().and_then(|state| state.kept().read().ok());
    KeptLines::from(&kept.unwrap_or_default())
}

/// The folders that the line which is being typed, or the variables, lead to.
fn state() -> Option<StateDir> {
    let folder = |variable| {
        let value: Option<OsString> = env::var_os(variable);
        value.filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    let line: Vec<OsString> = env::args_os().collect();
    let globals = Globals {
        state_dir: named(&line, "--state-dir").or_else(|| folder("PEERWAY_STATE_DIR")),
        config_dir: named(&line, "--config-dir").or_else(|| folder("PEERWAY_CONFIG_DIR")),
        ..Globals::default()
    };
    StateDir::open(&globals).ok()
}

/// The folder that an option on the line names. Shells hand the words over as they are typed.
fn named(line: &[OsString], option: &str) -> Option<PathBuf> {
    let words = line.iter().map(|word| word.to_string_lossy());
    let after = line.iter().skip(1).map(|word| word.to_string_lossy());
    let folder = words
        .zip(after.map(Some).chain([None]))
        .find_map(|(word, next)| {
            let given = word.strip_prefix(option)?;
            match given.strip_prefix('=') {
                Some(folder) => Some(folder.to_owned()),
                None if given.is_empty() => next.map(|next| next.into_owned()),
                None => None,
            }
        })?;
    let plain = folder.replace(['\'', '"', '\\'], "");
    let home = plain.strip_prefix("~/").zip(env::var_os("HOME"));
    let folder = home.map(|(rest, home)| PathBuf::from(home).join(rest));
    Some(folder.unwrap_or_else(|| plain.into()))
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
    fn folders_on_the_line_that_is_typed_come_before_the_variables() {
        let line = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let named = |text: &str| named(&line(text), "--state-dir");
        let folder = Some(PathBuf::from("/srv/a"));
        assert_eq!(named("peerway -- peerway --state-dir /srv/a ping "), folder);
        assert_eq!(
            named("peerway -- peerway ping --state-dir=/srv/a na"),
            folder
        );
        assert_eq!(
            named("peerway -- peerway --state-dir='/srv/a' ping "),
            folder
        );
        assert_eq!(named("peerway -- peerway ping --state-dir"), None);
        assert_eq!(
            named("peerway -- peerway ping --state-directory /srv/a"),
            None
        );
        let home = named("peerway --state-dir ~/a ping").unwrap();
        assert!(
            home.is_absolute() || env::var_os("HOME").is_none(),
            "{home:?}"
        );
    }

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
