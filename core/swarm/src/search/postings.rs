//! In which documents a word is: [`Postings`]. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::query::{Query, is_prefix};

/// Words, and the numbers of the documents that have them.
#[derive(Debug, Default)]
pub(super) struct Postings(BTreeMap<String, BTreeSet<u64>>);

impl Postings {
    pub(super) fn insert(&mut self, number: u64, words: &[String]) {
        for word in words {
            self.0.entry(word.clone()).or_default().insert(number);
        }
    }

    pub(super) fn remove(&mut self, number: u64, words: &[String]) {
        for word in words {
            if let Some(found_in) = self.0.get_mut(word) {
                found_in.remove(&number);
                if found_in.is_empty() {
                    self.0.remove(word);
                }
            }
        }
    }

    /// Documents with all words of a query.
    pub(super) fn with_all(&self, query: &Query) -> BTreeSet<u64> {
        let mut numbers: Option<BTreeSet<u64>> = None;
        for word in query.needed() {
            let with_word = self.with(word).flatten().copied().collect();
            numbers = Some(match numbers {
                Some(numbers) => &numbers & &with_word,
                None => with_word,
            });
        }
        numbers.unwrap_or_default()
    }

    /// Documents with that word of a query that fewest have, so many at most, those that came first.
    pub(super) fn with_rarest(&self, query: &Query, most: usize) -> BTreeSet<u64> {
        let count = |word: &&str| self.with(word).map(BTreeSet::len).sum::<usize>();
        let rarest = query.needed().min_by_key(count);
        let mut numbers = BTreeSet::new();
        for found_in in rarest.into_iter().flat_map(|word| self.with(word)) {
            for number in found_in {
                numbers.insert(*number);
                if numbers.len() > most {
                    numbers.pop_last();
                    if numbers.last().is_some_and(|last| last < number) {
                        break;
                    }
                }
            }
        }
        numbers
    }

    /// The documents of each word that one of a query finds.
    fn with(&self, word: &str) -> impl Iterator<Item = &BTreeSet<u64>> {
        let (word, begins) = (word.to_owned(), is_prefix(word));
        let from = (Bound::Included(word.as_str()), Bound::Unbounded);
        let words = self.0.range::<str, _>(from);
        words
            .take_while(move |(it, _)| **it == word || (begins && it.starts_with(&word)))
            .map(|(_, numbers)| numbers)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
