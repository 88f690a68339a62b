//! What can be found at this node: [`Index`]. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    postings::Postings,
    query::Query,
    wire::{Hit, MAX_HITS, MAX_PAGE_HITS},
    words::words,
};
use crate::share::Hash;

/// Documents of an index.
pub const MAX_DOCUMENTS: usize = 10_000;

/// What somebody who asks is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen {
    /// Everything that can be found here.
    All,
    /// What is for whoever has the link.
    Public,
}

/// Names of content, in memory, by the words in them.
#[derive(Debug, Default)]
pub struct Index {
    documents: BTreeMap<u64, Document>,
    postings: Postings,
    /// Of whoever looks through all of it, in the order of names.
    by_name: BTreeSet<(String, Hash, u64)>,
    next: u64,
    left_out: u64,
}

#[derive(Debug)]
struct Document {
    hit: Hit,
    /// As part of what it was shared.
    share: Hash,
    words: Vec<String>,
}

/// Some of what is found, and how much there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) hits: Vec<Hit>,
    pub(super) total: u32,
}

impl Index {
    /// Adds what was shared as part of `share`. What is more than [`MAX_DOCUMENTS`] is left out; how many those are.
    pub(super) fn add(&mut self, share: Hash, hits: impl IntoIterator<Item = Hit>) -> u64 {
        let before = self.left_out;
        for hit in hits {
            if self.documents.len() >= MAX_DOCUMENTS {
                self.left_out += 1;
                continue;
            }
            let number = self.next;
            self.next += 1;
            let words = words(&hit.name);
            self.postings.insert(number, &words);
            self.by_name.insert((hit.name.clone(), hit.hash, number));
            self.documents
                .insert(number, Document { hit, share, words });
        }
        self.left_out - before
    }

    /// Nothing of this share is found any more; whether there was anything.
    pub(super) fn remove(&mut self, share: Hash) -> bool {
        let of_it = self.documents.iter().filter(|(_, it)| it.share == share);
        let numbers: Vec<_> = of_it.map(|(number, _)| *number).collect();
        for number in &numbers {
            let Some(document) = self.documents.remove(number) else {
                continue;
            };
            self.by_name
                .remove(&(document.hit.name, document.hit.hash, *number));
            self.postings.remove(*number, &document.words);
        }
        !numbers.is_empty()
    }

    /// Whether something of this share can be found.
    pub(super) fn has(&self, share: Hash) -> bool {
        self.documents.values().any(|it| it.share == share)
    }

    /// Documents in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether nothing can be found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Documents that were left out, as there were too many.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The best of what a query finds: names with more of its words as they are first, then those of fewest words.
    pub(super) fn find(&self, query: &Query, seen: Seen) -> Found {
        let numbers = self.postings.with_all(query);
        let documents = numbers.iter().filter_map(|it| self.documents.get(it));
        let mut found: Vec<_> = documents
            .filter(|it| is_seen(&it.hit, seen) && query.takes_words(&it.words))
            .filter(|it| query.takes_rest(&it.hit.name, it.hit.kind, it.hit.size))
            .collect();
        found.sort_by_key(|it| {
            let exact = usize::MAX - query.exact(&it.words);
            (exact, it.words.len(), &it.hit.name)
        });
        // One content may be shared under several names.
        let mut hashes = BTreeSet::new();
        found.retain(|it| hashes.insert(it.hit.hash));
        let hits = found.iter().take(MAX_HITS).map(|it| it.hit.clone());
        Found {
            hits: hits.collect(),
            total: found.len() as u32,
        }
    }

    /// What of it is for whoever has the link.
    pub(super) fn public(&self) -> impl Iterator<Item = &Hit> {
        let hits = self.documents.values().map(|it| &it.hit);
        hits.filter(|hit| hit.public)
    }

    /// What can be found here in the order of names, from the so-manieth on.
    pub(super) fn page(&self, from: u32, seen: Seen) -> Found {
        let named = self.by_name.iter();
        let documents = named.filter_map(|(_, _, number)| self.documents.get(number));
        let all: Vec<_> = documents.filter(|it| is_seen(&it.hit, seen)).collect();
        let page = all.iter().skip(from as usize).take(MAX_PAGE_HITS);
        Found {
            hits: page.map(|it| it.hit.clone()).collect(),
            total: all.len() as u32,
        }
    }
}

fn is_seen(hit: &Hit, seen: Seen) -> bool {
    seen == Seen::All || hit.public
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::share::Kind;

    fn hit(name: &str, public: bool) -> Hit {
        Hit::new((Hash::of(name.as_bytes()), 7), Kind::File, name, public)
    }

    fn names(found: &Found) -> Vec<&str> {
        found.hits.iter().map(|hit| &hit.name[..]).collect()
    }

    fn query(text: &str) -> Query {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_with_the_words_as_they_are_comes_first_and_then_the_shortest() {
        let mut index = Index::default();
        let share = Hash::of(b"share");
        let all = [
            "seaside film",
            "sea of films and more",
            "film at sea",
            "mountain film",
        ];
        assert_eq!(index.add(share, all.map(|name| hit(name, true))), 0);
        let found = index.find(&query("film sea"), Seen::Public);
        assert_eq!(
            names(&found),
            ["film at sea", "seaside film", "sea of films and more"]
        );
        assert_eq!(
            names(&index.find(&query("\"at sea\""), Seen::All)),
            ["film at sea"]
        );
    }

    #[test]
    fn nobody_is_told_of_what_is_not_for_them() {
        let mut index = Index::default();
        index.add(Hash::of(b"1"), [hit("a film", true), hit("b film", false)]);
        assert_eq!(names(&index.find(&query("film"), Seen::Public)), ["a film"]);
        assert_eq!(index.page(0, Seen::Public).total, 1);
        assert_eq!(names(&index.page(0, Seen::All)), ["a film", "b film"]);
        assert_eq!(names(&index.page(1, Seen::All)), ["b film"]);
        assert!(index.page(u32::MAX, Seen::All).hits.is_empty());
    }

    #[test]
    fn what_is_shared_no_more_is_not_found_and_leaves_nothing() {
        let mut index = Index::default();
        let [one, two] = [b"1", b"2"].map(|it| Hash::of(it));
        index.add(one, [hit("a film", true)]);
        // The same content once more.
        index.add(two, [hit("a film", true)]);
        assert_eq!(index.find(&query("film"), Seen::All).total, 1);
        assert!(index.remove(one) && !index.remove(one));
        assert_eq!(names(&index.find(&query("film"), Seen::All)), ["a film"]);
        assert!(index.remove(two) && !index.has(two));
        assert!(index.is_empty() && index.postings.is_empty() && index.by_name.is_empty());
    }

    #[test]
    fn what_is_more_than_an_index_holds_is_left_out_and_counted() {
        let mut index = Index::default();
        let many = (0..MAX_DOCUMENTS + 3).map(|at| hit(&format!("film {at}"), true));
        assert_eq!(index.add(Hash::of(b"1"), many), 3);
        assert_eq!((index.len(), index.left_out()), (MAX_DOCUMENTS, 3));
        let found = index.find(&query("film"), Seen::All);
        assert_eq!(
            (found.hits.len(), found.total),
            (MAX_HITS, MAX_DOCUMENTS as u32)
        );
        assert_eq!(index.page(0, Seen::All).hits.len(), MAX_PAGE_HITS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_index_finds_what_looking_at_each_name_finds(
            names in prop::collection::btree_set("[ab]{1,3}( [ab]{1,4}){0,3}", 0..30),
            text in "(-?[ab]{1,4} ){1,3}(\"[ab]{1,3} [ab]{1,3}\")?",
        ) {
            let Ok(query) = text.parse::<Query>() else { return Ok(()) };
            let mut index = Index::default();
            index.add(Hash::of(b"1"), names.iter().map(|name| hit(name, true)));
            let expected = names.iter().filter(|name| query.takes(name, Kind::File, 7)).count();
            let found = index.find(&query, Seen::All);
            prop_assert_eq!(found.total as usize, expected);
            prop_assert_eq!(found.hits.len(), expected.min(MAX_HITS));
            prop_assert!(found.hits.iter().all(|hit| query.takes(&hit.name, hit.kind, hit.size)));
        }
    }
}
