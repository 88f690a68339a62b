//! What a shell offers where a peer, or what is kept here, is to be named.

use std::{collections::BTreeMap, env, ffi::OsString, path::PathBuf, time::Duration};

use clap_complete::CompletionCandidate;
#[cfg(unix)]
use peerway::Names;

use tokio::{runtime, time::timeout};

use super::{args::Globals, failure::Failure, pin, state::StateDir};
#[cfg(unix)]
use super::{attach, group, pairs};
use crate::{book::Book, kept::KeptLines, printable::printable};

/// How long somebody who types waits for the node that runs here.
const PATIENCE: Duration = Duration::from_millis(500);
/// Letters of an id that a group, a feed or a pin is meant by.
const SHORT: usize = 8;

/// The names of the address book.
pub(super) fn names() -> Vec<CompletionCandidate> {
    of(&state().map(|state| state.names()).unwrap_or_default())
}

/// The addresses at which the node that runs here looks for peers.
#[cfg(unix)]
pub(super) fn pairs() -> Vec<CompletionCandidate> {
    let book = state().map(|state| state.names()).unwrap_or_default();
    let peers = asked(async |globals| match attach::running(globals).await? {
        Some(node) => Ok(node.status().await?.peers),
        None => Ok(Vec::new()),
    });
    let each = peers.iter().flat_map(|peer| {
        let name = book.peer(&peer.id);
        let addrs = peer.pairs.iter().map(pairs::address);
        addrs.map(move |addr| CompletionCandidate::new(addr).help(Some(name.clone().into())))
    });
    each.collect()
}

/// The servers that `up` exposes whenever it runs.
pub(super) fn exposed() -> Vec<CompletionCandidate> {
    let each = kept().expose.into_iter();
    let each = each.map(|line| CompletionCandidate::new(line.name).help(Some(line.target.into())));
    each.collect()
}

/// The services of peers that `up` forwards whenever it runs.
pub(super) fn forwarded() -> Vec<CompletionCandidate> {
    let plain = kept().forward.into_iter().filter(|line| {
        let mut parts = line.service.split('/');
        parts.all(is_plain)
    });
    let each =
        plain.map(|line| CompletionCandidate::new(line.service).help(Some(line.listen.into())));
    each.collect()
}

/// The peers that `up` links with whenever it runs.
#[cfg(all(feature = "subnet", target_os = "linux"))]
pub(super) fn linked() -> Vec<CompletionCandidate> {
    let plain = kept().link.into_iter().filter(|line| is_plain(&line.peer));
    let each = plain.map(|line| CompletionCandidate::new(line.peer));
    each.collect()
}

/// The feeds that are written or followed here.
#[cfg(unix)]
pub(super) fn feeds() -> Vec<CompletionCandidate> {
    let feeds = state().and_then(|state| state.feeds().read().ok());
    let feeds = feeds.unwrap_or_default();
    let each = feeds.all().iter().map(|feed| {
        let whose = if feed.is_own() { "yours" } else { "followed" };
        called(&feed.name, &feed.id, whose)
    });
    each.collect()
}

/// The groups that were joined.
#[cfg(unix)]
pub(super) fn joined() -> Vec<CompletionCandidate> {
    let groups = asked(async |globals| group::known(globals).await);
    let each = groups.iter().map(|(id, name)| called(name, id, "joined"));
    each.collect()
}

#[cfg(not(unix))]
fn joined() -> Vec<CompletionCandidate> {
    Vec::new()
}

/// These and those of the address book.
pub(super) fn groups() -> Vec<CompletionCandidate> {
    let book = state().map(|state| state.names()).unwrap_or_default();
    let of_book = book.groups().into_iter();
    let of_book = of_book.filter(|(name, _)| is_plain(name.as_str()));
    let of_book = of_book.map(|(name, members)| {
        let members = format!("{} of the address book", members.len());
        CompletionCandidate::new(name.as_str()).help(Some(members.into()))
    });
    let mut all: BTreeMap<_, _> = joined().into_iter().map(by_value).collect();
    // Which are meant first.
    all.extend(of_book.map(by_value));
    all.into_values().collect()
}

fn by_value(candidate: CompletionCandidate) -> (OsString, CompletionCandidate) {
    (candidate.get_value().to_owned(), candidate)
}

/// What is kept of what was fetched.
pub(super) fn pins() -> Vec<CompletionCandidate> {
    let kept = asked(async |globals| Ok(Some(pin::kept(globals).await?)));
    let pins = kept.map(|kept| kept.pins).unwrap_or_default();
    let each = pins.iter().map(|pin| {
        let hash = pin.hash.to_string();
        let start: String = hash.chars().take(SHORT).collect();
        called(&pin.name, &hash, &start)
    });
    each.collect()
}

/// By its name, or its id where the name, which is of somebody else's choice, is not plain.
fn called(name: &str, id: &str, about: &str) -> CompletionCandidate {
    let value: String = match is_plain(name) {
        true => name.to_owned(),
        false => id.chars().take(SHORT).collect(),
    };
    CompletionCandidate::new(value).help(Some(about.to_owned().into()))
}

/// Whether a shell that takes a word as it is offered, as bash does, takes it for that word and nothing else.
fn is_plain(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(is_plain)
}

/// What the node that runs here says or, without one, the files; nothing if that takes too long.
fn asked<T: Default>(ask: impl AsyncFnOnce(&Globals) -> Result<T, Failure>) -> T {
    let (globals, is_there) = (
        globals(),
        state().is_some_and(|state| state.path().is_dir()),
    );
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let Some(runtime) = runtime.ok().filter(|_| is_there) else {
        return T::default();
    };
    let answer = runtime.block_on(async { timeout(PATIENCE, ask(&globals)).await });
    runtime.shutdown_background();
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

fn kept() -> KeptLines {
    let kept = state().and_then(|state| state.kept().read().ok());
    KeptLines::from(&kept.unwrap_or_default())
}

/// The folders that the line which is being typed, or the variables, lead to.
fn state() -> Option<StateDir> {
    StateDir::open(&globals()).ok()
}

fn globals() -> Globals {
    let folder = |variable| {
        let value: Option<OsString> = env::var_os(variable);
        value.filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    let line: Vec<OsString> = env::args_os().collect();
    Globals {
        state_dir: named(&line, "--state-dir").or_else(|| folder("PEERWAY_STATE_DIR")),
        config_dir: named(&line, "--config-dir").or_else(|| folder("PEERWAY_CONFIG_DIR")),
        ..Globals::default()
    }
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
        called(name.as_str(), &entry.ticket.id().to_string(), &about)
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
    fn what_others_call_a_group_or_themselves_is_offered_only_where_no_shell_makes_something_else_of_it()
     {
        let value = |name: &str| {
            let candidate = called(name, "abcdefghijkl", "joined");
            candidate.get_value().to_str().unwrap().to_owned()
        };
        assert_eq!(value("our-home.2"), "our-home.2");
        for name in [
            "",
            "a\nb",
            "\u{1b}[2J",
            "our home",
            "$(id)",
            "a;b",
            "`a`",
            "*",
            "~",
            "-a",
        ] {
            assert_eq!(value(name), "abcdefgh", "{name}");
        }
        let mut draft = Draft::of("").unwrap();
        let id = SecretKey::from_seed(&[1; 32]).id();
        draft
            .add(&"$(id)".parse().unwrap(), &id.into(), None)
            .unwrap();
        let offered = of(draft.book());
        assert_eq!(
            offered[0].get_value().to_str().unwrap(),
            &id.to_string()[..SHORT]
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
