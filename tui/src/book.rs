//! The address book: what peers are called, where they were last, and who is let in.
//!
//! It is a TOML file that commands and people edit. [`text`] reads it and knows the line of a mistake, [`Draft`] changes it and
//! leaves comments where they are, [`BookFile`] is the file.

mod draft;
mod file;
mod name;
mod seen;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use peerway::{Access, Names, PeerId, Ticket};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    draft::{Added, Draft, EditError},
    file::{BookError, BookFile},
    name::{Name, NameError, is_like_a_ticket},
    seen::{Seen, SeenFile},
};

/// One letter in so many may be wrong for a name to be offered in its place.
const LETTERS_PER_SLIP: usize = 3;

/// The peers that have a name here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    entries: BTreeMap<Name, Entry>,
    strangers: Trust,
    /// Groups whose members are told how this node is linked.
    sharing: BTreeSet<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where the peer was last, or its id alone.
    pub(crate) ticket: Ticket,
    pub(crate) trust: Trust,
    /// What it may do with this node from afar.
    pub(crate) admin: Option<Admin>,
    /// Those that it belongs to.
    pub(crate) groups: BTreeSet<Name>,
    /// What somebody wrote about it, in any letters.
    pub(crate) note: String,
}

/// Whether a peer is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trust {
    #[default]
    Allow,
    /// It is not, and its call is told to the owner, who may accept it.
    Ask,
    /// It gets no answer, and is not dialled either.
    Block,
}

/// What a peer that is let in may do with this node over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Admin {
    /// See what its owner sees, but for its groups and what it shares.
    Read,
    /// And do what its owner can, but for ending it, its groups, its files, and asking others in its name.
    Full,
}

impl Admin {
    pub(crate) const ALL: [Self; 2] = [Self::Read, Self::Full];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Full => "full",
        }
    }
}

impl Trust {
    pub(crate) const ALL: [Self; 3] = [Self::Allow, Self::Ask, Self::Block];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Book {
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Name, &Entry)> {
        self.entries.iter()
    }

    /// What is thought of whoever is not in the book.
    pub(crate) fn strangers(&self) -> Trust {
        self.strangers
    }

    /// All groups that have members or are shared, with their members.
    pub(crate) fn groups(&self) -> BTreeMap<&Name, Vec<(&Name, &Entry)>> {
        let mut groups: BTreeMap<_, Vec<_>> =
            self.sharing.iter().map(|name| (name, Vec::new())).collect();
        for (name, entry) in self.entries() {
            for group in &entry.groups {
                groups.entry(group).or_default().push((name, entry));
            }
        }
        groups
    }

    /// Whether the members of a group are told how this node is linked.
    pub(crate) fn shares(&self, group: &Name) -> bool {
        self.sharing.contains(group)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The peer of this name or, if there is none, the only one whose name differs in nothing but the case of letters.
    pub(crate) fn called(&self, name: &str) -> Option<&Entry> {
        let mut alike = self
            .entries()
            .filter(|(known, _)| known.as_str().eq_ignore_ascii_case(name));
        self.get(name).or_else(|| {
            let (_, only) = alike.next()?;
            alike.next().is_none().then_some(only)
        })
    }

    /// The peer's name and what else is known of it.
    pub(crate) fn of(&self, id: PeerId) -> Option<(&Name, &Entry)> {
        self.entries().find(|(_, entry)| entry.ticket.id() == id)
    }

    /// The name of a peer that we want nothing to do with, if it is one.
    pub(crate) fn blocked(&self, id: PeerId) -> Option<&Name> {
        let (name, entry) = self.of(id)?;
        (entry.trust == Trust::Block).then_some(name)
    }

    /// All that are let in.
    pub(crate) fn allowed(&self) -> impl Iterator<Item = PeerId> {
        let allowed = |entry: &&Entry| entry.trust == Trust::Allow;
        let entries = self.entries.values().filter(allowed);
        entries.map(|entry| entry.ticket.id())
    }

    /// All of those that are blocked.
    pub(crate) fn all_blocked(&self) -> impl Iterator<Item = PeerId> {
        let blocked = |entry: &&Entry| entry.trust == Trust::Block;
        let entries = self.entries.values().filter(blocked);
        entries.map(|entry| entry.ticket.id())
    }

    /// The name that somebody may have meant who wrote this one.
    pub(crate) fn nearest(&self, name: &str) -> Option<&Name> {
        let slips = |known: &Name| strsim::damerau_levenshtein(known.as_str(), name);
        let allowed = name.chars().count().div_ceil(LETTERS_PER_SLIP);
        let known = self.entries.keys().map(|known| (slips(known), known));
        let alike = known.filter(|(slips, _)| *slips <= allowed);
        alike.min().map(|(_, known)| known)
    }

    /// Who may open connections to a node with this book.
    pub(crate) fn access(&self) -> Access {
        let ids = |is_let_in| {
            let so = self
                .entries
                .values()
                .filter(move |it| (it.trust == Trust::Allow) == is_let_in);
            so.map(|entry| entry.ticket.id()).collect::<Vec<_>>()
        };
        match (self.strangers, ids(false)) {
            (Trust::Ask | Trust::Block, _) => Access::Only(ids(true)),
            (Trust::Allow, others) if others.is_empty() => Access::Anyone,
            (Trust::Allow, others) => Access::Except(others),
        }
    }

    /// Whether a peer has one of these names, or belongs to a group of one.
    pub(crate) fn is_among(&self, id: PeerId, names: &[Name]) -> bool {
        self.of(id).is_some_and(|(name, entry)| {
            let is_meant = |named: &Name| name == named || entry.groups.contains(named);
            names.iter().any(is_meant)
        })
    }

    /// Whether a peer or a group is called so.
    pub(crate) fn has_name(&self, name: &Name) -> bool {
        let mut groups = self.entries.values().map(|entry| &entry.groups);
        self.entries.contains_key(name) || groups.any(|groups| groups.contains(name))
    }

    /// What is thought of a peer, whether it is in the book or not.
    pub(crate) fn trust(&self, id: PeerId) -> Trust {
        self.of(id).map_or(self.strangers, |(_, entry)| entry.trust)
    }

    /// What a peer may do with this node from afar; none for whoever is not let in.
    pub(crate) fn admin(&self, id: PeerId) -> Option<Admin> {
        let (_, entry) = self.of(id)?;
        entry.admin.filter(|_| entry.trust == Trust::Allow)
    }

    /// All names, for who shows peers.
    pub(crate) fn names(&self) -> BTreeMap<PeerId, String> {
        let named = self.entries();
        named
            .map(|(name, entry)| (entry.ticket.id(), name.to_string()))
            .collect()
    }
}

/// Whether a ticket is an id and nothing else.
pub(crate) fn is_bare(ticket: &Ticket) -> bool {
    ticket.relays().is_empty() && ticket.addrs().is_empty() && ticket.discovery().is_none()
}

impl Names for Book {
    fn peer(&self, id: &PeerId) -> String {
        self.of(*id)
            .map_or_else(|| id.short(), |(name, _)| name.to_string())
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    pub(super) fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn book(strangers: &str, peers: &[(&str, u8, &str)]) -> Book {
        let mut text = format!("strangers = \"{strangers}\"\n");
        for (name, seed, trust) in peers {
            text += &format!(
                "[peers.{name}]\npeer = \"{}\"\ntrust = \"{trust}\"\n",
                id(*seed)
            );
        }
        text::parse(&text).unwrap()
    }

    #[test]
    fn without_a_book_everybody_is_let_in_as_ever() {
        assert_eq!(Book::default().access(), Access::Anyone);
        assert_eq!(book("allow", &[("a", 1, "allow")]).access(), Access::Anyone);
    }

    #[test]
    fn who_is_blocked_is_kept_out_and_strangers_are_not() {
        let access = book("allow", &[("a", 1, "allow"), ("b", 2, "block")]).access();
        let let_in = [1, 2, 3].map(|seed| access.lets_in(id(seed)));
        assert_eq!(let_in, [true, false, true]);
    }

    #[test]
    fn where_strangers_are_blocked_only_who_is_allowed_is_let_in() {
        let access = book("block", &[("a", 1, "allow"), ("b", 2, "block")]).access();
        let let_in = [1, 2, 3].map(|seed| access.lets_in(id(seed)));
        assert_eq!(let_in, [true, false, false]);
    }

    #[test]
    fn who_is_to_ask_is_not_let_in_until_it_is_accepted() {
        let lets_in = |strangers, peers: &[(&str, u8, &str)]| {
            let access = book(strangers, peers).access();
            [1, 2, 3].map(|seed| access.lets_in(id(seed)))
        };
        let peers = [("a", 1, "allow"), ("b", 2, "ask")];
        assert_eq!(lets_in("ask", &peers), [true, false, false]);
        assert_eq!(lets_in("allow", &peers), [true, false, true]);
        let book = book("ask", &peers);
        let trusts = [1, 2, 3].map(|seed| book.trust(id(seed)));
        assert_eq!(trusts, [Trust::Allow, Trust::Ask, Trust::Ask]);
        assert_eq!(book.blocked(id(2)), None, "it may be dialled");
    }

    #[test]
    fn only_who_is_let_in_and_named_an_admin_is_one() {
        let peer = |name: &str, seed, trust: &str, admin: &str| {
            let id = id(seed);
            format!("[peers.{name}]\npeer = \"{id}\"\ntrust = \"{trust}\"\n{admin}\n")
        };
        let text = [
            peer("a", 1, "allow", "admin = \"read\""),
            peer("b", 2, "allow", "admin = \"full\""),
            peer("c", 3, "allow", ""),
            peer("d", 4, "block", "admin = \"full\""),
            peer("e", 5, "ask", "admin = \"full\""),
        ];
        let book = text::parse(&text.concat()).unwrap();
        let admins = [1, 2, 3, 4, 5, 6].map(|seed| book.admin(id(seed)));
        let (read, full) = (Some(Admin::Read), Some(Admin::Full));
        assert_eq!(admins, [read, full, None, None, None, None]);
    }

    #[test]
    fn a_peer_is_meant_by_its_name_and_by_its_groups() {
        let text = format!(
            "[peers.a]\npeer = \"{}\"\ngroup = [\"home\", \"work\"]\n[peers.b]\npeer = \"{}\"\ngroup = \"work\"\n",
            id(1),
            id(2)
        );
        let book = text::parse(&text).unwrap();
        let among = |names: &[&str]| {
            let names: Vec<Name> = names.iter().map(|name| name.parse().unwrap()).collect();
            [1, 2, 3].map(|seed| book.is_among(id(seed), &names))
        };
        assert_eq!(among(&["work"]), [true, true, false]);
        assert_eq!(among(&["home"]), [true, false, false]);
        assert_eq!(among(&["b", "nobody"]), [false, true, false]);
        let known = ["a", "home", "cellar"].map(|name| book.has_name(&name.parse().unwrap()));
        assert_eq!(known, [true, true, false]);
    }

    #[test]
    fn a_name_with_a_slip_of_the_pen_is_recognised() {
        let book = book("allow", &[("nas", 1, "allow"), ("laptop", 2, "allow")]);
        assert_eq!(book.nearest("nsa").unwrap().as_str(), "nas");
        assert_eq!(book.nearest("labtop").unwrap().as_str(), "laptop");
        assert_eq!(book.nearest("zebra"), None);
    }

    #[test]
    fn events_call_peers_by_their_names() {
        let book = book("allow", &[("nas", 1, "allow")]);
        assert_eq!(Names::peer(&book, &id(1)), "nas");
        assert_eq!(Names::peer(&book, &id(2)), id(2).short());
    }
}
