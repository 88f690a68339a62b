//! Who is asked in a search, and what is found, as it is told to people and programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use peerway::{PeerId, Ticket};
use peerway_swarm::{
    group::GroupId,
    groups::Groups,
    search::{Asker, Form, GroupDirectories, Hit, NoAnswer, Row, Summary},
    share::{GetError, Hash, Kind, Link, Sharing},
};
use serde::{Deserialize, Serialize};

use crate::{
    book::{Book, Trust},
    shares::Wanted,
};

/// Everybody who is asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Where each is, and whether the address book has it.
    pub(crate) peers: Vec<(Ticket, bool)>,
    /// Of the address book.
    pub(crate) book: usize,
    /// Of each group that was joined, those who are not in the address book.
    pub(crate) groups: Vec<AskedGroup>,
    /// Those of each that has some.
    pub(crate) directories: Vec<GroupDirectories>,
    names: BTreeMap<GroupId, String>,
    /// Where those are who are not asked themselves, as a directory says what they have.
    others: Vec<Ticket>,
}

/// Who of a group is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AskedGroup {
    pub(crate) name: String,
    /// Members that are asked themselves, but those of the address book.
    pub(crate) members: usize,
    pub(crate) form: FormWord,
    /// Directories that are asked for what members published there.
    pub(crate) directories: usize,
}

/// How a group is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FormWord {
    /// All members are asked.
    Members,
    /// And its directories.
    Both,
    /// Its directories alone.
    Directories,
}

impl FormWord {
    fn of(form: Form) -> Self {
        match (form.asks_members(), form.asks_directories()) {
            (true, true) => Self::Both,
            (false, true) => Self::Directories,
            (_, false) => Self::Members,
        }
    }
}

impl Asked {
    /// Peers of the address book that are let in, and members of groups that were joined, but for feeds, who are not blocked; or those
    /// alone who are in a group of this name, of the book or joined. None if there is no such group.
    pub(crate) fn of(book: &Book, groups: Option<&Groups>, only: Option<&str>) -> Option<Self> {
        let mut asked = Self::default();
        let mut is_there = only.is_none();
        for (_, entry) in book.entries() {
            let is_of = |only: &str| entry.groups.iter().any(|group| group.as_str() == only);
            let is_meant = only.is_none_or(is_of);
            is_there |= is_meant;
            if is_meant && entry.trust == Trust::Allow {
                asked.peers.push((entry.ticket.clone(), true));
            }
        }
        asked.book = asked.peers.len();
        for (id, name, members) in groups.map(Groups::others).unwrap_or_default() {
            let is_meant = only.is_none_or(|only| {
                only == name || (only.len() >= 8 && id.to_string().starts_with(only))
            });
            // Whoever follows a feed sees what is looked for only if that is wished.
            let is_left_out = only.is_none() && groups.is_some_and(|it| it.is_feed(id));
            if !is_meant || is_left_out {
                continue;
            }
            is_there = true;
            let before = asked.peers.len();
            let directories = directories(book, groups, id);
            let form = Form::of(members.len(), directories.len());
            asked.groups.push(AskedGroup {
                name: name.clone(),
                members: 0,
                form: FormWord::of(form),
                directories: directories.len(),
            });
            let is_blocked = |ticket: &Ticket| book.blocked(ticket.id()).is_some();
            let members = members.into_iter().filter(|it| !is_blocked(it));
            let members: Vec<_> = members.collect();
            if form.asks_directories() {
                let is_known = |peer| book.of(peer).is_some();
                let ids = members.iter().map(Ticket::id);
                let ids = ids.map(|peer| (peer, is_known(peer))).collect();
                asked
                    .directories
                    .push(GroupDirectories::new(id, directories, ids));
                asked.names.insert(id, name);
            }
            if !form.asks_members() {
                asked.others.extend(members);
                continue;
            }
            for ticket in members {
                let is_asked = asked.peers.iter().any(|(it, _)| it.id() == ticket.id());
                if !is_asked {
                    let (ticket, is_known) = best_known(book, ticket);
                    asked.book += usize::from(is_known);
                    asked.peers.push((ticket, is_known));
                }
            }
            if let Some(group) = asked.groups.last_mut() {
                group.members = asked.peers.len() - before;
            }
        }
        is_there.then_some(asked)
    }

    /// A link to what is wanted; of what is known by its hash alone from those whom a search would ask.
    pub(crate) async fn link(
        wanted: &Wanted,
        sharing: &Sharing,
        book: Arc<Book>,
        groups: Option<&Groups>,
    ) -> Result<Link, GetError> {
        match wanted {
            Wanted::Link(link) => Ok(link.clone()),
            Wanted::Hash(hash) => {
                let asked = Self::of(&book, groups, None).unwrap_or_default();
                sharing.locate(*hash, asked.in_order()).await
            }
        }
    }

    /// Where each is met.
    pub(crate) fn tickets(&self) -> BTreeMap<PeerId, Ticket> {
        let others = self.others.iter();
        let asked = self.peers.iter().map(|(ticket, _)| ticket);
        let tickets = others.chain(asked);
        tickets
            .map(|ticket| (ticket.id(), ticket.clone()))
            .collect()
    }

    /// The same, each once: first who is in the address book, then those of groups who are asked in a search, then the others.
    fn in_order(&self) -> Vec<Ticket> {
        let (book, groups): (Vec<_>, Vec<_>) = self.peers.iter().partition(|(_, known)| *known);
        let asked = book.into_iter().chain(groups).map(|(ticket, _)| ticket);
        let mut seen = BTreeSet::new();
        let each = asked.chain(&self.others);
        each.filter(|ticket| seen.insert(ticket.id()))
            .cloned()
            .collect()
    }

    /// What each group is called that has directories.
    pub(crate) fn names(&self) -> BTreeMap<GroupId, String> {
        self.names.clone()
    }
}

/// The directories of a group that are not blocked.
fn directories(book: &Book, groups: Option<&Groups>, id: GroupId) -> Vec<(Ticket, bool)> {
    let each = groups.into_iter().flat_map(|groups| {
        let each = groups.directories(id).into_iter();
        each.filter_map(|it| groups.ticket(id, it.peer).ok())
    });
    each.filter(|ticket| book.blocked(ticket.id()).is_none())
        .map(|ticket| best_known(book, ticket))
        .collect()
}

/// What the book knows of where a member is may be more; and whether it knows it.
fn best_known(book: &Book, ticket: Ticket) -> (Ticket, bool) {
    match book.of(ticket.id()) {
        Some((_, entry)) => (entry.ticket.clone(), true),
        None => (ticket, false),
    }
}

/// What a peer that asks is told of: whom the book lets in of everything, members of groups of what whoever has the link may have.
pub(crate) fn asker(book: &Book, groups: Option<&Groups>, peer: PeerId) -> Option<Asker> {
    match book.of(peer).map(|(_, entry)| entry.trust) {
        Some(Trust::Allow) => Some(Asker::known()),
        Some(Trust::Block) => None,
        Some(Trust::Ask) | None => groups?.common(peer).map(Asker::of_group),
    }
}

/// What is searched for, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchAsk {
    pub(crate) words: String,
    /// Only in this group.
    #[serde(default)]
    pub(crate) group: Option<String>,
    #[serde(default)]
    pub(crate) timeout_ms: Option<u64>,
}

/// What a peer is asked for of what it has.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrowseAsk {
    pub(crate) ticket: Ticket,
    #[serde(default)]
    pub(crate) from: u32,
}

/// Some of what a peer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BrowsePage {
    pub(crate) names: Vec<NameLine>,
    pub(crate) total: u32,
    /// Where the next page begins.
    pub(crate) next: Option<u32>,
}

/// One thing that a peer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameLine {
    pub(crate) hash: Hash,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Bytes; of a folder, of the list of what is in it.
    pub(crate) size: u64,
    pub(crate) public: bool,
    pub(crate) link: Link,
}

impl NameLine {
    pub(crate) fn of(hit: Hit, peer: &Ticket) -> Self {
        let link = Link::new(hit.hash, hit.size, hit.kind, hit.file_name());
        Self {
            link: link.public(hit.public).from_providers(vec![peer.clone()]),
            hash: hit.hash,
            name: hit.name,
            kind: hit.kind,
            size: hit.size,
            public: hit.public,
        }
    }
}

/// How a search goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum SearchStep {
    Asking {
        peers: usize,
        book: usize,
        groups: Vec<AskedGroup>,
    },
    Row(RowLine),
    Unanswered {
        peer: PeerId,
        reason: String,
        /// As a directory of which group it was asked.
        #[serde(default)]
        directory: Option<String>,
    },
    Done {
        asked: usize,
        answered: usize,
        #[serde(default)]
        directories: usize,
        #[serde(default)]
        directories_answered: usize,
        rows: usize,
        more: usize,
        unsent: u64,
        dropped: u64,
    },
}

/// Content that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowLine {
    pub(crate) hash: Hash,
    pub(crate) name: String,
    /// What others call it.
    pub(crate) other_names: Vec<String>,
    pub(crate) kind: Kind,
    /// Bytes; of a folder, of the list of what is in it.
    pub(crate) size: u64,
    pub(crate) public: bool,
    /// Some of those who have it.
    pub(crate) publishers: Vec<PeerId>,
    /// How many have it.
    pub(crate) count: usize,
    /// Whether two that have it call it the same.
    pub(crate) confirmed: bool,
    /// Whether directories alone say so, and none of those who have it.
    #[serde(default)]
    pub(crate) by_directory: bool,
    /// Those of `publishers` who were asked themselves and were not reached, or said nothing.
    #[serde(default)]
    pub(crate) offline: Vec<PeerId>,
    pub(crate) link: Link,
}

impl RowLine {
    pub(crate) fn of(row: Row, tickets: &BTreeMap<PeerId, Ticket>) -> Self {
        let mut names = row.names.into_iter();
        let name = names.next().unwrap_or_default();
        let file_name = name.rsplit('/').next().unwrap_or_default();
        let providers = row.publishers.iter().filter_map(|peer| tickets.get(peer));
        let link = Link::new(row.hash, row.size, row.kind, file_name)
            .public(row.public)
            .from_providers(providers.cloned().collect());
        Self {
            hash: row.hash,
            other_names: names.collect(),
            kind: row.kind,
            size: row.size,
            public: row.public,
            publishers: row.publishers,
            count: row.count,
            confirmed: row.confirmed,
            by_directory: row.by_directory,
            offline: row.offline,
            link,
            name,
        }
    }
}

impl SearchStep {
    /// A peer did not answer, or a directory of the group of that name.
    pub(crate) fn unanswered(peer: PeerId, why: &NoAnswer, directory: Option<String>) -> Self {
        Self::Unanswered {
            peer,
            reason: why.to_string(),
            directory,
        }
    }

    pub(crate) fn done(summary: Summary) -> Self {
        let dropped = summary.dropped;
        Self::Done {
            asked: summary.asked,
            answered: summary.answered,
            directories: summary.directories,
            directories_answered: summary.directories_answered,
            rows: summary.rows,
            more: summary.more,
            unsent: summary.unsent,
            dropped: dropped.other + dropped.crowded + dropped.answers,
        }
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    /// So many are asked at most that the last ones may not be.
    #[test]
    fn who_has_a_hash_is_asked_of_the_address_book_first_whatever_the_ids_are() {
        let mut tickets: Vec<Ticket> = (1..=4)
            .map(|seed| SecretKey::from_seed(&[seed; 32]).id().into())
            .collect();
        tickets.sort_by_key(|ticket| std::cmp::Reverse(ticket.id()));
        let [known, also_known, member, other] = &tickets[..] else {
            panic!("four");
        };
        let asked = Asked {
            peers: vec![
                (known.clone(), true),
                (member.clone(), false),
                (also_known.clone(), true),
            ],
            others: vec![other.clone(), known.clone()],
            ..Asked::default()
        };
        assert_eq!(asked.in_order(), tickets);
    }
}
