//! The book as TOML, read with the line of what is wrong in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use peerway::{PeerId, Ticket};
use toml_edit::{Document, Item, TableLike};

use super::{Admin, Book, Entry, Name, NameError, Trust, is_like_a_ticket};
use crate::toml::{line_of, span_of};

pub(super) const STRANGERS: &str = "strangers";
pub(super) const PEERS: &str = "peers";
pub(super) const PEER: &str = "peer";
pub(super) const TRUST: &str = "trust";
pub(super) const ADMIN: &str = "admin";
pub(super) const GROUP: &str = "group";
pub(super) const NOTE: &str = "note";
pub(super) const GROUPS: &str = "groups";
pub(super) const STATUS: &str = "status";

/// What cannot be understood, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {wrong}")]
pub(crate) struct Mistake {
    pub(super) line: usize,
    pub(super) wrong: Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("this is not TOML: {0}")]
    Syntax(String),
    #[error("there is no key {key:?} here; there are {known}")]
    UnknownKey { key: String, known: &'static str },
    #[error("{key} is {expected}")]
    Kind {
        key: &'static str,
        expected: &'static str,
    },
    #[error("{key} is \"allow\", \"ask\" or \"block\", not {found:?}")]
    Trust { key: &'static str, found: String },
    #[error("admin is \"read\" or \"full\", not {0:?}")]
    Admin(String),
    #[error("a peer cannot be called {name:?}: {why}")]
    Name { name: String, why: NameError },
    #[error("a group cannot be called {name:?}: {why}")]
    Group { name: String, why: NameError },
    #[error("{0} has no peer = \"its ticket or id\"")]
    NoPeer(Name),
    #[error("{0}")]
    Peer(String),
    #[error("{name} and {other} are the same peer: one name is enough")]
    Twice { name: Name, other: Name },
}

/// The book that a text describes.
pub(super) fn parse(text: &str) -> Result<Book, Mistake> {
    let document = Document::parse(text).map_err(|error| {
        let why = error.message().replace('\n', ", ");
        mistake(text, error.span(), Wrong::Syntax(why))
    })?;
    Reader { text }.book(document.as_table())
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn book(&self, root: &dyn TableLike) -> Result<Book, Mistake> {
        let mut book = Book::default();
        for (key, item) in root.iter() {
            match key {
                STRANGERS => book.strangers = self.trust(STRANGERS, item)?,
                PEERS => book.entries = self.peers(item)?,
                GROUPS => book.sharing = self.sharing(item)?,
                _ => {
                    return Err(self.unknown(
                        root,
                        key,
                        "strangers, [groups.NAME] and [peers.NAME]",
                    ));
                }
            }
        }
        Ok(book)
    }

    fn peers(&self, item: &Item) -> Result<BTreeMap<Name, Entry>, Mistake> {
        let table = self.table(PEERS, item, "made of tables, [peers.NAME]")?;
        let mut peers = BTreeMap::<Name, Entry>::new();
        for (key, item) in table.iter() {
            let place = || span_of(table, key).or_else(|| item.span());
            let name = key.parse::<Name>().map_err(|why| {
                let name = key.to_owned();
                mistake(self.text, place(), Wrong::Name { name, why })
            })?;
            let entry = self.entry(&name, item)?;
            let id = entry.ticket.id();
            if let Some((other, _)) = peers.iter().find(|(_, other)| other.ticket.id() == id) {
                let other = other.clone();
                return Err(mistake(self.text, place(), Wrong::Twice { name, other }));
            }
            peers.insert(name, entry);
        }
        Ok(peers)
    }

    fn entry(&self, name: &Name, item: &Item) -> Result<Entry, Mistake> {
        let table = self.table(PEERS, item, "made of tables, [peers.NAME]")?;
        let (mut ticket, mut trust, mut note) = (None, Trust::default(), String::new());
        let (mut admin, mut groups) = (None, BTreeSet::new());
        for (key, item) in table.iter() {
            match key {
                PEER => ticket = Some(self.peer(item)?),
                TRUST => trust = self.trust(TRUST, item)?,
                ADMIN => admin = Some(self.admin(item)?),
                GROUP => groups = self.groups(item)?,
                NOTE => note = self.string(NOTE, item)?.to_owned(),
                _ => return Err(self.unknown(table, key, "peer, trust, admin, group and note")),
            }
        }
        let missing = || mistake(self.text, item.span(), Wrong::NoPeer(name.clone()));
        Ok(Entry {
            ticket: ticket.ok_or_else(missing)?,
            trust,
            admin,
            groups,
            note,
        })
    }

    fn peer(&self, item: &Item) -> Result<Ticket, Mistake> {
        let text = self.string(PEER, item)?;
        let read = if is_like_a_ticket(text) {
            text.parse::<Ticket>().map_err(|error| error.to_string())
        } else {
            let id = text.parse::<PeerId>();
            id.map(Ticket::from)
                .map_err(|error| format!("peer is a ticket (PEERWAY1…) or an id: {error}"))
        };
        read.map_err(|why| mistake(self.text, item.span(), Wrong::Peer(why)))
    }

    /// The groups that share.
    fn sharing(&self, item: &Item) -> Result<BTreeSet<Name>, Mistake> {
        let expected = "made of tables, [groups.NAME]";
        let table = self.table(GROUPS, item, expected)?;
        let mut sharing = BTreeSet::new();
        for (name, item) in table.iter() {
            let name = self.group(name, span_of(table, name).or_else(|| item.span()))?;
            let group = self.table(GROUPS, item, expected)?;
            for (key, item) in group.iter() {
                if key != STATUS {
                    return Err(self.unknown(group, key, STATUS));
                }
                let (key, expected) = (STATUS, "true or false");
                let kind = || mistake(self.text, item.span(), Wrong::Kind { key, expected });
                if item.as_bool().ok_or_else(kind)? {
                    sharing.insert(name.clone());
                }
            }
        }
        Ok(sharing)
    }

    fn group(&self, name: &str, span: Option<Range<usize>>) -> Result<Name, Mistake> {
        name.parse::<Name>().map_err(|why| {
            let name = name.to_owned();
            mistake(self.text, span, Wrong::Group { name, why })
        })
    }

    fn trust(&self, key: &'static str, item: &Item) -> Result<Trust, Mistake> {
        let text = self.string(key, item)?;
        let mut all = Trust::ALL.into_iter();
        let trust = all.find(|trust| trust.word() == text);
        trust.ok_or_else(|| {
            let found = text.to_owned();
            mistake(self.text, item.span(), Wrong::Trust { key, found })
        })
    }

    fn admin(&self, item: &Item) -> Result<Admin, Mistake> {
        let text = self.string(ADMIN, item)?;
        let mut all = Admin::ALL.into_iter();
        let admin = all.find(|admin| admin.word() == text);
        admin.ok_or_else(|| mistake(self.text, item.span(), Wrong::Admin(text.to_owned())))
    }

    /// One, or a list of them.
    fn groups(&self, item: &Item) -> Result<BTreeSet<Name>, Mistake> {
        let named = |text: &str| self.group(text, item.span());
        if let Some(one) = item.as_str() {
            return Ok([named(one)?].into());
        }
        let expected = "a name in quotes, or a list of them in brackets";
        let (key, span) = (GROUP, item.span());
        let kind = || mistake(self.text, span.clone(), Wrong::Kind { key, expected });
        let list = item.as_array().ok_or_else(kind)?;
        list.iter()
            .map(|value| named(value.as_str().ok_or_else(kind)?))
            .collect()
    }

    fn string<'i>(&self, key: &'static str, item: &'i Item) -> Result<&'i str, Mistake> {
        let expected = "text in quotes";
        item.as_str()
            .ok_or_else(|| mistake(self.text, item.span(), Wrong::Kind { key, expected }))
    }

    fn table<'i>(
        &self,
        key: &'static str,
        item: &'i Item,
        expected: &'static str,
    ) -> Result<&'i dyn TableLike, Mistake> {
        item.as_table_like()
            .ok_or_else(|| mistake(self.text, item.span(), Wrong::Kind { key, expected }))
    }

    fn unknown(&self, table: &dyn TableLike, key: &str, known: &'static str) -> Mistake {
        let wrong = Wrong::UnknownKey {
            key: key.to_owned(),
            known,
        };
        mistake(self.text, span_of(table, key), wrong)
    }
}

fn mistake(text: &str, span: Option<Range<usize>>, wrong: Wrong) -> Mistake {
    let line = line_of(text, span);
    Mistake { line, wrong }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tests::id, *};

    #[test]
    fn tables_inline_tables_and_dotted_keys_say_the_same() {
        let id = id(1);
        let table = format!("[peers.nas]\npeer = \"{id}\"\nnote = \"cellar\"\n");
        let inline = format!("[peers]\nnas = {{ peer = \"{id}\", note = \"cellar\" }}\n");
        let dotted = format!("peers.nas.peer = \"{id}\"\npeers.nas.note = \"cellar\"\n");
        let book = parse(&table).unwrap();
        let entry = book.get("nas").unwrap();
        assert_eq!((entry.trust, &entry.note[..]), (Trust::Allow, "cellar"));
        assert_eq!(parse(&inline).as_ref(), Ok(&book));
        assert_eq!(parse(&dotted).as_ref(), Ok(&book));
        assert_eq!(parse(""), Ok(Book::default()));
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let (one, other) = (id(1), id(2));
        let nas = format!("# mine\n[peers.nas]\npeer = \"{one}\"\n");
        let cases = [
            (
                "strangers = \"maybe\"\n".to_owned(),
                1,
                "strangers is \"allow\", \"ask\" or \"block\", not \"maybe\"",
            ),
            ("\nstrangers = yes\n".to_owned(), 2, "not TOML"),
            ("\nstrangers = true\n".to_owned(), 2, "text in quotes"),
            ("a = 1\n".to_owned(), 1, "no key \"a\""),
            (format!("{nas}trsut = \"block\"\n"), 4, "no key \"trsut\""),
            (format!("{nas}trust = \"no\"\n"), 4, "not \"no\""),
            (format!("{nas}admin = \"root\"\n"), 4, "not \"root\""),
            (format!("{nas}group = 3\n"), 4, "in brackets"),
            (format!("{nas}group = [\"a\", 3]\n"), 4, "in brackets"),
            (
                format!("{nas}group = \"a/b\"\n"),
                4,
                "a group cannot be called",
            ),
            (format!("{nas}peer = \"{other}\"\n"), 4, "duplicate key"),
            (
                format!("{nas}\n[peers.b]\nnote = \"x\"\n"),
                5,
                "b has no peer",
            ),
            (format!("{nas}[peers.b]\npeer = \"abc\"\n"), 5, "this has 3"),
            (
                format!("{nas}[peers.b]\npeer = \"PEERWAY1A\"\n"),
                5,
                "ticket",
            ),
            (
                format!("{nas}[peers.b]\npeer = \"{one}\"\n"),
                4,
                "same peer",
            ),
            (format!("{nas}[peers.\"a/b\"]\n"), 4, "'/' cannot be in"),
            (format!("{nas}[peers.\"\\u202e\"]\n"), 4, "'\\u{202e}'"),
            ("[groups.home]\nstatus = 1\n".to_owned(), 2, "true or false"),
            (
                "[groups.home]\nshare = true\n".to_owned(),
                2,
                "there are status",
            ),
            ("groups = [\"home\"]\n".to_owned(), 1, "[groups.NAME]"),
            ("peers = 3\n".to_owned(), 1, "made of tables"),
            ("[peers]\nnas = 3\n".to_owned(), 2, "made of tables"),
        ];
        for (text, line, told) in cases {
            let mistake = parse(&text).unwrap_err();
            let said = mistake.to_string();
            assert!(said.contains(told), "{text}: {said}");
            assert_eq!(mistake.line, line, "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_in_the_file_it_is_a_book_or_a_mistake_in_one_of_its_lines(
            text in "(?s)(\\[peers\\.[a-b\"\u{202e}]{1,3}\\]|peer|trust|=|\"|\\{|\\}|'|\n|\\PC|.){0,40}"
        ) {
            if let Err(mistake) = parse(&text) {
                prop_assert!((1..=text.split('\n').count()).contains(&mistake.line));
            }
        }
    }
}
