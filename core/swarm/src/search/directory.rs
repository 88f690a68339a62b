//! What a directory holds of what members of groups published, and what is found there: [`Directory`]. Pure.
//!
//! Each publisher has room for so many documents and so many messages. When all room is taken, the publisher that has most in the group that has
//! most loses what it published first: who floods a directory loses its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use peerway::PeerId;

use super::{
    document::{Document, DocumentId, Published},
    postings::Postings,
    query::Query,
    rows::MAX_PUBLISHERS,
    wire::{Content, MAX_HITS, MAX_TOLD, MAX_TOLD_BYTES},
    words::words,
};
use crate::{bucket::Bucket, group::GroupId};

/// Documents of one publisher.
pub const MAX_PUBLISHED_OF_ONE: usize = 10_000;
/// What all documents of a directory take at most, in bytes.
const MAX_BYTES: usize = 256 << 20;
/// How long a document is kept that is not published anew.
const KEPT: Duration = Duration::from_secs(26 * 3_600);
/// Messages of a publisher: a second, and at once.
const RATE: (f64, f64) = (1.0, 5.0);
/// Documents that a query looks at: those with its rarest word.
const MAX_LOOKED_AT: usize = 20_000;
/// What a document takes beside its name and its words: itself, and its places in four maps.
const OVERHEAD: usize = 400;
/// And each of its words.
const WORD: usize = 24;

/// What members of groups published here.
#[derive(Debug)]
pub(super) struct Directory {
    groups: BTreeMap<GroupId, Shelf>,
    most_bytes: usize,
    next: u64,
    evicted: u64,
}

/// What members of one group published.
#[derive(Debug, Default)]
struct Shelf {
    publishers: BTreeMap<PeerId, Publisher>,
    documents: BTreeMap<u64, Entry>,
    postings: Postings,
    /// When each is dropped.
    ends: BTreeSet<(Duration, u64)>,
    /// Who has how much.
    sizes: BTreeSet<(usize, PeerId)>,
    bytes: usize,
}

#[derive(Debug)]
struct Publisher {
    documents: BTreeMap<DocumentId, u64>,
    bytes: usize,
    messages: Bucket,
}

#[derive(Debug)]
struct Entry {
    publisher: PeerId,
    document: Document,
    until: Duration,
    bytes: usize,
}

/// Some of what is found, and how much there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) documents: Vec<Published>,
    /// Contents.
    pub(super) total: u32,
}

/// Why nothing of a message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// It came too fast: the next may come after so long.
    Later(Duration),
    /// A document is not the publisher's, or of no day near today.
    Forged,
}

/// One that matches: how well, and which it is.
type Match = (usize, usize, u64);

impl Default for Directory {
    fn default() -> Self {
        Self::of(MAX_BYTES)
    }
}

impl Directory {
    /// One with room for so many bytes.
    pub(super) fn of(most_bytes: usize) -> Self {
        Self {
            groups: BTreeMap::new(),
            most_bytes,
            next: 0,
            evicted: 0,
        }
    }

    /// Takes what a member of a group published, of which each document is checked, and drops what it withdrew.
    pub(super) fn take(
        &mut self,
        (group, publisher): (GroupId, PeerId),
        documents: Vec<Document>,
        withdrawn: &[DocumentId],
        (now, today): (Duration, u32),
    ) -> Result<(), NotTaken> {
        self.tidy(now);
        let shelf = self.groups.entry(group).or_default();
        let known = shelf.publishers.entry(publisher);
        let known = known.or_insert_with(|| Publisher::new(now));
        if !known.messages.take(now) {
            return Err(NotTaken::Later(Duration::from_secs_f64(1.0 / RATE.0)));
        }
        if !documents
            .iter()
            .all(|it| it.is_sound(group, publisher, today))
        {
            return Err(NotTaken::Forged);
        }
        for id in withdrawn {
            self.withdraw(group, publisher, *id);
        }
        self.keep((group, publisher), documents, now);
        Ok(())
    }

    /// Keeps documents that were checked.
    pub(super) fn keep(
        &mut self,
        (group, publisher): (GroupId, PeerId),
        documents: Vec<Document>,
        now: Duration,
    ) {
        for document in documents {
            let id = DocumentId::of(&document.hit);
            self.withdraw(group, publisher, id);
            let number = self.next;
            self.next += 1;
            let shelf = self.groups.entry(group).or_default();
            let words = words(&document.hit.name);
            let of_words: usize = words.iter().map(|word| word.len() + WORD).sum();
            let bytes = OVERHEAD + document.hit.bytes() + of_words;
            let known = shelf.publishers.entry(publisher);
            let known = known.or_insert_with(|| Publisher::new(now));
            if known.documents.len() >= MAX_PUBLISHED_OF_ONE {
                self.evicted += 1;
                continue;
            }
            known.documents.insert(id, number);
            shelf.postings.insert(number, &words);
            shelf.ends.insert((now + KEPT, number));
            shelf.grow(publisher, bytes);
            let entry = Entry {
                publisher,
                document,
                until: now + KEPT,
                bytes,
            };
            shelf.documents.insert(number, entry);
        }
        while self.bytes() > self.most_bytes && self.evict() {}
    }

    /// Drops what others than these published in a group, as they do not belong to it any more.
    pub(super) fn retain(&mut self, group: GroupId, is_member: impl Fn(PeerId) -> bool) {
        let Some(shelf) = self.groups.get_mut(&group) else {
            return;
        };
        let publishers = shelf.publishers.keys().copied();
        let former: Vec<_> = publishers.filter(|peer| !is_member(*peer)).collect();
        for peer in former {
            let publisher = shelf.publishers.get(&peer);
            let numbers = publisher.into_iter().flat_map(|it| it.documents.values());
            let numbers: Vec<_> = numbers.copied().collect();
            for number in numbers {
                shelf.drop_one(number);
            }
            shelf.publishers.remove(&peer);
        }
    }

    /// Drops all of other groups than these.
    pub(super) fn retain_groups(&mut self, is_kept: impl Fn(GroupId) -> bool) {
        self.groups.retain(|group, _| is_kept(*group));
    }

    /// What all documents take, in bytes.
    fn bytes(&self) -> usize {
        self.groups.values().map(|it| it.bytes).sum()
    }

    /// Documents that are here.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.groups.values().map(|it| it.documents.len()).sum()
    }

    /// Those of one group.
    pub(super) fn len_of(&self, group: GroupId) -> usize {
        let shelf = self.groups.get(&group);
        shelf.map_or(0, |shelf| shelf.documents.len())
    }

    /// Documents for which there was no room.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// What a query finds of what was published in a group. Publishers take turns, those of whom least is found first: so who publishes
    /// something for every query takes no more room than others. What is left after that names others that have the same.
    pub(super) fn find(&mut self, group: GroupId, query: &Query, now: Duration) -> Listed {
        self.tidy(now);
        let Some(shelf) = self.groups.get(&group) else {
            return Listed {
                documents: Vec::new(),
                total: 0,
            };
        };
        let mut of_each: BTreeMap<PeerId, Vec<Match>> = BTreeMap::new();
        let mut contents = BTreeSet::new();
        for number in shelf.postings.with_rarest(query, MAX_LOOKED_AT) {
            let Some(Entry {
                publisher,
                document,
                ..
            }) = shelf.documents.get(&number)
            else {
                continue;
            };
            let (hit, name) = (&document.hit, words(&document.hit.name));
            if query.takes_words(&name) && query.takes_rest(&hit.name, hit.kind, hit.size) {
                contents.insert(hit.content());
                let exact = usize::MAX - query.exact(&name);
                let matches = of_each.entry(*publisher).or_default();
                matches.push((exact, name.len(), number));
            }
        }
        let mut of_each: Vec<_> = of_each.into_values().collect();
        of_each
            .iter_mut()
            .for_each(|matches| matches.sort_unstable());
        of_each.sort_by_key(|matches| (matches.len(), matches.first().copied()));
        Listed {
            documents: shelf.choose(&of_each),
            total: contents.len() as u32,
        }
    }

    fn withdraw(&mut self, group: GroupId, publisher: PeerId, id: DocumentId) {
        if let Some(shelf) = self.groups.get_mut(&group)
            && let Some(number) = shelf.number(publisher, id)
        {
            shelf.drop_one(number);
        }
    }

    /// Drops what nobody has published anew, and publishers of whom nothing is left.
    fn tidy(&mut self, now: Duration) {
        for shelf in self.groups.values_mut() {
            while let Some((until, number)) = shelf.ends.first().copied().filter(|it| it.0 <= now) {
                shelf.ends.remove(&(until, number));
                shelf.drop_one(number);
            }
            if shelf.publishers.len() > 2 * shelf.sizes.len() + 16 {
                let is_used =
                    |it: &Publisher| !it.documents.is_empty() || it.messages.is_in_use(now);
                shelf.publishers.retain(|_, it| is_used(it));
            }
        }
    }

    /// Drops the first document of whoever has most; false if there is none.
    fn evict(&mut self) -> bool {
        let Some(shelf) = self.groups.values_mut().max_by_key(|it| it.bytes) else {
            return false;
        };
        let most = shelf
            .sizes
            .last()
            .and_then(|it| shelf.publishers.get(&it.1));
        let first = most.and_then(|it| it.documents.values().min().copied());
        let Some(number) = first else { return false };
        shelf.drop_one(number);
        self.evicted += 1;
        true
    }
}

impl Publisher {
    fn new(now: Duration) -> Self {
        Self {
            documents: BTreeMap::new(),
            bytes: 0,
            messages: Bucket::new(RATE.0, RATE.1, now),
        }
    }
}

impl Shelf {
    fn number(&self, publisher: PeerId, id: DocumentId) -> Option<u64> {
        self.publishers.get(&publisher)?.documents.get(&id).copied()
    }

    fn grow(&mut self, publisher: PeerId, bytes: usize) {
        if let Some(known) = self.publishers.get_mut(&publisher) {
            self.sizes.remove(&(known.bytes, publisher));
            known.bytes += bytes;
            self.sizes.insert((known.bytes, publisher));
            self.bytes += bytes;
        }
    }

    fn drop_one(&mut self, number: u64) {
        let Some(entry) = self.documents.remove(&number) else {
            return;
        };
        let hit = &entry.document.hit;
        self.postings.remove(number, &words(&hit.name));
        self.ends.remove(&(entry.until, number));
        if let Some(known) = self.publishers.get_mut(&entry.publisher) {
            known.documents.remove(&DocumentId::of(hit));
            self.sizes.remove(&(known.bytes, entry.publisher));
            known.bytes -= entry.bytes;
            if known.bytes > 0 {
                self.sizes.insert((known.bytes, entry.publisher));
            }
        }
        self.bytes -= entry.bytes;
    }

    fn choose(&self, of_each: &[Vec<Match>]) -> Vec<Published> {
        let mut chosen = Chosen::default();
        // Each content once, then others that have it.
        for most in [1, MAX_PUBLISHERS] {
            for turn in 0..MAX_HITS {
                let at_turn = of_each.iter().filter_map(|matches| matches.get(turn));
                for (_, _, number) in at_turn {
                    if let Some(entry) = self.documents.get(number) {
                        chosen.add(entry, most);
                    }
                }
            }
        }
        chosen.documents
    }
}

#[derive(Default)]
struct Chosen {
    documents: Vec<Published>,
    /// For each content.
    named: BTreeMap<Content, BTreeSet<PeerId>>,
    bytes: usize,
}

impl Chosen {
    fn add(&mut self, entry: &Entry, most: usize) {
        let bytes = self.bytes + entry.document.len();
        if self.documents.len() >= MAX_TOLD || bytes > MAX_TOLD_BYTES {
            return;
        }
        let (content, publisher) = (entry.document.hit.content(), entry.publisher);
        let named = self.named.entry(content).or_default();
        // One that has it under two names is named once.
        if named.len() >= most || !named.insert(publisher) {
            return;
        }
        self.bytes = bytes;
        self.documents.push(Published {
            publisher,
            document: entry.document.clone(),
        });
    }
}

#[cfg(test)]
mod tests;
