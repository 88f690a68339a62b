//! What many answered, as one list: [`Rows`]. Pure.
//!
//! Content is named by its hash, so what several have is one row. A row is worth the more the higher those who have it rank it, and the
//! more have it: Σ 1/(60 + rank) × log₂(1 + publishers), twice as much if one of them is known. Whoever publishes rows that were shown already counts half as much
//! for each of them, so that ten that fill their answers with the same ten things have a few rows and not all.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use peerway::PeerId;

use super::wire::{Content, Hit, MAX_HITS};
use crate::share::{Hash, Kind};

/// Bytes of hits that are kept of a search.
pub const MAX_BYTES: usize = 256 << 10;
/// Answers that are taken in a search.
pub const MAX_ANSWERS: usize = 2_000;
/// Publishers that a row names.
pub const MAX_PUBLISHERS: usize = 4;
/// Names that a row has.
const MAX_NAMES: usize = 4;
/// How little the difference between neighbouring ranks is (reciprocal rank fusion, Cormack and others 2009).
const RANK: f64 = 60.0;

/// Content that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Of its content; of a folder, of the list of what is in it.
    pub hash: Hash,
    /// Bytes; of a folder, of the list.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// What it is called, as most do first. Whoever shows them makes them printable.
    pub names: Vec<String>,
    /// Whether whoever has a link may have it, as all say who have it.
    pub public: bool,
    /// Some of those who have it, known ones first.
    pub publishers: Vec<PeerId>,
    /// How many have it.
    pub count: usize,
    /// Whether two that have it call it the same.
    pub confirmed: bool,
    /// Whether directories alone say so, and none of those who have it has so far: they may be off.
    pub by_directory: bool,
    /// Those of `publishers` who were asked themselves and were not reached, or said nothing.
    pub offline: Vec<PeerId>,
}

/// What is not shown, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Hits that are not what was searched for.
    pub other: u64,
    /// Hits for which there was no room, those of whoever sent most first.
    pub crowded: u64,
    /// Answers beyond those that are taken.
    pub answers: u64,
}

/// What was found so far, and is shown row by row.
#[derive(Debug, Default)]
pub struct Rows {
    publishers: BTreeMap<PeerId, Publisher>,
    /// Who has it, and at which rank.
    found: BTreeMap<Content, BTreeMap<PeerId, usize>>,
    shown: BTreeSet<Content>,
    /// Who answered and has nothing: each of those who are asked at most.
    without: BTreeSet<PeerId>,
    /// Who was asked and is not there.
    away: BTreeSet<PeerId>,
    bytes: usize,
    dropped: Dropped,
}

#[derive(Debug)]
struct Publisher {
    is_known: bool,
    /// Whether it has answered itself, and not others alone for it.
    has_answered: bool,
    hits: Vec<Hit>,
    bytes: usize,
    /// Rows of its that were shown.
    shown: i32,
}

impl Publisher {
    fn new(is_known: bool) -> Self {
        Self {
            is_known,
            has_answered: false,
            hits: Vec::new(),
            bytes: 0,
            shown: 0,
        }
    }
}

impl Rows {
    /// Takes the answer of a peer, best hits first, in the place of all that directories said of it. A peer answers once.
    pub(super) fn take(&mut self, peer: PeerId, is_known: bool, hits: Vec<Hit>) {
        let known = self.publishers.get(&peer);
        let has_answered = known.is_some_and(|it| it.has_answered) || self.without.contains(&peer);
        if has_answered || !hits.is_empty() && !self.has_room(peer) {
            self.dropped.answers += 1;
            return;
        }
        if hits.is_empty() {
            // It takes nobody's place, and what directories say of it counts no more.
            self.forget(peer);
            self.without.insert(peer);
            return;
        }
        self.forget(peer);
        let publisher = Publisher {
            has_answered: true,
            ..Publisher::new(is_known)
        };
        self.publishers.insert(peer, publisher);
        for hit in hits.into_iter().take(MAX_HITS) {
            self.add(peer, is_known, hit);
        }
        while self.bytes > MAX_BYTES && self.drop_one() {}
    }

    /// Takes what a directory says that a peer has. Who has answered itself has said it better.
    pub(super) fn list(&mut self, peer: PeerId, is_known: bool, hit: Hit) {
        let known = self.publishers.get(&peer);
        let has_more = known.is_none_or(|it| !it.has_answered && it.hits.len() < MAX_HITS);
        if !has_more || self.without.contains(&peer) {
            return;
        }
        if !self.has_room(peer) {
            self.dropped.answers += 1;
            return;
        }
        self.add(peer, is_known, hit);
        while self.bytes > MAX_BYTES && self.drop_one() {}
    }

    /// A peer was asked and is not there.
    pub(super) fn is_away(&mut self, peer: PeerId) {
        self.away.insert(peer);
    }

    fn has_room(&self, peer: PeerId) -> bool {
        self.publishers.contains_key(&peer) || self.publishers.len() < MAX_ANSWERS
    }

    fn add(&mut self, peer: PeerId, is_known: bool, hit: Hit) {
        let publisher = self.publishers.entry(peer);
        let publisher = publisher.or_insert_with(|| Publisher::new(is_known));
        let key = hit.content();
        let with = self.found.entry(key).or_default();
        if with.contains_key(&peer) {
            return;
        }
        with.insert(peer, publisher.hits.len());
        publisher.shown += i32::from(self.shown.contains(&key));
        publisher.bytes += hit.bytes();
        self.bytes += hit.bytes();
        publisher.hits.push(hit);
    }

    pub(super) fn drop_other(&mut self, count: usize) {
        self.dropped.other += count as u64;
    }

    /// Drops all that a peer is said to have.
    fn forget(&mut self, peer: PeerId) {
        let Some(publisher) = self.publishers.remove(&peer) else {
            return;
        };
        self.bytes -= publisher.bytes;
        for hit in publisher.hits {
            self.no_more(peer, hit.content());
        }
    }

    /// A peer is not said to have it any more.
    fn no_more(&mut self, peer: PeerId, content: Content) {
        if let Some(with) = self.found.get_mut(&content) {
            with.remove(&peer);
            if with.is_empty() {
                self.found.remove(&content);
            }
        }
    }

    /// Drops the last hit of whoever sent most; false if there is none.
    fn drop_one(&mut self) -> bool {
        let most = self.publishers.iter_mut().max_by_key(|(_, it)| it.bytes);
        let Some((peer, publisher)) = most else {
            return false;
        };
        let Some(hit) = publisher.hits.pop() else {
            return false;
        };
        publisher.bytes -= hit.bytes();
        self.bytes -= hit.bytes();
        self.dropped.crowded += 1;
        let peer = *peer;
        self.no_more(peer, hit.content());
        true
    }

    /// The best of what was not shown yet.
    pub(super) fn pop(&mut self) -> Option<Row> {
        let left = self
            .found
            .iter()
            .filter(|(key, _)| !self.shown.contains(key));
        let best = left.max_by(|a, b| self.compare(a, b))?;
        let (key, with) = (*best.0, best.1.clone());
        let row = self.row(key, &with);
        self.shown.insert(key);
        for peer in with.keys() {
            if let Some(publisher) = self.publishers.get_mut(peer) {
                publisher.shown += 1;
            }
        }
        Some(row)
    }

    /// Rows that were not shown yet.
    pub(super) fn left(&self) -> usize {
        let is_left = |key: &&Content| !self.shown.contains(key);
        self.found.keys().filter(is_left).count()
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn compare(
        &self,
        a: &(&Content, &BTreeMap<PeerId, usize>),
        b: &(&Content, &BTreeMap<PeerId, usize>),
    ) -> Ordering {
        let worth = self.worth(a.1).total_cmp(&self.worth(b.1));
        // Who has an answer to everything has less to say about each.
        let fewest = |with: &BTreeMap<PeerId, usize>| {
            let publishers = with.keys().filter_map(|peer| self.publishers.get(peer));
            publishers.map(|it| it.hits.len()).min()
        };
        worth
            .then_with(|| fewest(b.1).cmp(&fewest(a.1)))
            .then_with(|| b.0.hash.cmp(&a.0.hash))
    }

    fn worth(&self, with: &BTreeMap<PeerId, usize>) -> f64 {
        let (mut ranks, mut publishers, mut is_known) = (0.0, 0.0, false);
        for (peer, rank) in with {
            let Some(publisher) = self.publishers.get(peer) else {
                continue;
            };
            let weight = 0.5f64.powi(publisher.shown);
            ranks += weight / (RANK + 1.0 + *rank as f64);
            publishers += weight;
            is_known |= publisher.is_known;
        }
        let worth = ranks * (1.0 + publishers).log2();
        if is_known { 2.0 * worth } else { worth }
    }

    fn row(&self, content: Content, with: &BTreeMap<PeerId, usize>) -> Row {
        let Content { hash, size, kind } = content;
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut public, mut by_directory) = (true, true);
        let mut publishers = Vec::new();
        for (peer, rank) in with {
            let publisher = self.publishers.get(peer);
            let hit = publisher.and_then(|it| Some((it, it.hits.get(*rank)?)));
            let Some((publisher, hit)) = hit else {
                continue;
            };
            *names.entry(&hit.name).or_default() += 1;
            public &= hit.public;
            by_directory &= !publisher.has_answered;
            publishers.push((!publisher.is_known, *peer));
        }
        publishers.sort();
        let count = publishers.len();
        let publishers = publishers.into_iter().take(MAX_PUBLISHERS).map(|it| it.1);
        let publishers: Vec<_> = publishers.collect();
        let offline = publishers.iter().filter(|it| self.away.contains(it));
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|(_, count)| usize::MAX - count);
        let confirmed = names.first().is_some_and(|(_, count)| *count > 1);
        let names = names
            .into_iter()
            .take(MAX_NAMES)
            .map(|(name, _)| name.to_owned());
        Row {
            hash,
            size,
            kind,
            names: names.collect(),
            public,
            count,
            offline: offline.copied().collect(),
            publishers,
            confirmed,
            by_directory,
        }
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;
    use proptest::prelude::*;

    use super::*;

    fn id(seed: u16) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&seed.to_be_bytes());
        SecretKey::from_seed(&bytes).id()
    }

    fn hit(name: &str) -> Hit {
        Hit::new((Hash::of(name.as_bytes()), 7), Kind::File, name, true)
    }

    fn called(content: &str, name: &str) -> Hit {
        Hit::new((Hash::of(content.as_bytes()), 7), Kind::File, name, true)
    }

    fn all(rows: &mut Rows) -> Vec<Row> {
        std::iter::from_fn(|| rows.pop()).collect()
    }

    fn names(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| &row.names[0][..]).collect()
    }

    #[test]
    fn the_same_content_is_one_row_with_all_its_names() {
        let mut rows = Rows::default();
        for (seed, name) in [(1, "b film"), (2, "film"), (3, "film"), (4, "a film")] {
            rows.take(id(seed), false, vec![called("x", name)]);
        }
        let row = rows.pop().unwrap();
        assert_eq!(row.names, ["film", "a film", "b film"]);
        assert_eq!(
            (row.count, row.publishers.len(), row.confirmed),
            (4, 4, true)
        );
        assert_eq!(rows.pop(), None);
    }

    #[test]
    fn what_one_alone_has_or_what_all_call_otherwise_is_unconfirmed() {
        let mut rows = Rows::default();
        rows.take(id(1), false, vec![hit("alone"), called("x", "one")]);
        rows.take(id(2), false, vec![called("x", "two")]);
        assert!(all(&mut rows).iter().all(|row| !row.confirmed));
    }

    #[test]
    fn who_tells_another_size_spoils_nobodys_row() {
        let mut rows = Rows::default();
        let other = Hit {
            size: 8,
            ..hit("film")
        };
        rows.take(id(1), false, vec![hit("film")]);
        rows.take(id(2), false, vec![other]);
        assert_eq!(
            all(&mut rows)
                .iter()
                .map(|row| row.count)
                .collect::<Vec<_>>(),
            [1, 1]
        );
    }

    #[test]
    fn what_more_have_comes_first_and_what_a_known_one_has_before_the_same_of_strangers() {
        let mut rows = Rows::default();
        rows.take(id(1), false, vec![hit("a"), hit("many")]);
        rows.take(id(2), false, vec![hit("b"), hit("many")]);
        rows.take(id(3), true, vec![hit("known"), hit("c")]);
        let rows = all(&mut rows);
        assert_eq!(names(&rows)[..2], ["many", "known"]);
        assert_eq!(rows[1].publishers, [id(3)]);
    }

    #[test]
    fn ten_that_fill_their_answers_with_the_same_do_not_bury_what_one_has() {
        let mut rows = Rows::default();
        let spam: Vec<_> = (0..10).map(|at| hit(&format!("film spam {at}"))).collect();
        for seed in 0..30 {
            rows.take(id(seed), false, spam.clone());
        }
        rows.take(id(100), false, vec![hit("film")]);
        let shown = all(&mut rows);
        let place = names(&shown)
            .iter()
            .position(|name| *name == "film")
            .unwrap();
        assert!(place < 7, "{place}");
    }

    #[test]
    fn what_directories_alone_say_is_marked_and_who_answers_itself_says_it_better() {
        let mut rows = Rows::default();
        for (seed, name) in [(1, "away"), (2, "here")] {
            rows.list(id(seed), false, hit(name));
        }
        rows.is_away(id(1));
        rows.take(id(2), false, vec![hit("here")]);
        rows.list(id(2), false, hit("forged later"));
        let rows = all(&mut rows);
        let of = |name: &str| rows.iter().find(|row| row.names == [name]);
        let away = of("away").unwrap();
        assert!(away.by_directory && away.offline == [id(1)]);
        let here = of("here").unwrap();
        assert!(!here.by_directory && here.offline.is_empty());
        assert_eq!(of("forged later"), None);
    }

    #[test]
    fn what_a_peer_itself_does_not_say_is_not_told_of_it_whatever_a_directory_listed() {
        let mut rows = Rows::default();
        for seed in [1, 2] {
            rows.list(id(seed), false, hit("listed"));
        }
        rows.list(id(1), false, called("both", "older name"));
        rows.take(id(1), false, vec![called("both", "name"), hit("own")]);
        rows.take(id(2), false, Vec::new());
        rows.list(id(2), false, hit("listed"));
        let shown = all(&mut rows);
        assert_eq!(names(&shown), ["name", "own"]);
        assert!(!shown.iter().any(|row| row.by_directory));
        let bytes = hit("name").bytes() + hit("own").bytes();
        assert_eq!(rows.bytes, bytes, "what was listed takes no room");
    }

    #[test]
    fn who_sends_most_gives_way_first_when_there_is_no_more_room() {
        let mut rows = Rows::default();
        let long = |seed: u16, at| hit(&format!("{seed} {at} {}", "x".repeat(200)));
        for seed in 0..300 {
            rows.take(id(seed), false, (0..10).map(|at| long(seed, at)).collect());
            if seed % 10 == 0 {
                rows.take(id(1_000 + seed), false, vec![hit(&format!("rare {seed}"))]);
            }
        }
        assert!(rows.bytes <= MAX_BYTES && rows.dropped().crowded > 1_000);
        let kept: usize = rows.publishers.values().map(|it| it.bytes).sum();
        assert_eq!(kept, rows.bytes);
        let shown = all(&mut rows);
        let rare = shown.iter().filter(|row| row.names[0].starts_with("rare"));
        assert_eq!(rare.count(), 30);
    }

    #[test]
    fn answers_beyond_the_limit_and_second_ones_are_dropped_and_counted() {
        let mut rows = Rows::default();
        for seed in 0..MAX_ANSWERS as u16 + 2 {
            rows.take(id(seed), false, vec![hit("a")]);
        }
        rows.take(id(0), false, vec![hit("b")]);
        assert_eq!(rows.dropped().answers, 3);
        assert_eq!(names(&all(&mut rows)), ["a"]);
    }

    #[test]
    fn who_has_nothing_takes_no_place_of_those_who_have() {
        let mut rows = Rows::default();
        for seed in 1..=MAX_ANSWERS as u16 {
            rows.take(id(seed), false, Vec::new());
        }
        rows.take(id(0), false, vec![hit("a")]);
        rows.take(id(1), false, vec![hit("b")]);
        assert_eq!(rows.dropped().answers, 1, "a second one");
        assert_eq!(names(&all(&mut rows)), ["a"]);
    }

    proptest! {
        #[test]
        fn every_row_is_shown_once_whatever_comes_between(answers in prop::collection::vec((0..9u16, prop::collection::vec(0..12u8, 0..14), any::<bool>()), 0..20)) {
            let mut rows = Rows::default();
            let (mut told, mut shown) = (BTreeSet::new(), Vec::new());
            for (seed, hits, pops) in answers {
                let has_nothing = rows.without.contains(&id(seed));
                if !rows.publishers.contains_key(&id(seed)) && !has_nothing {
                    told.extend(hits.iter().take(MAX_HITS).copied());
                }
                let hits = hits.iter().map(|it| hit(&it.to_string())).collect();
                rows.take(id(seed), seed == 0, hits);
                if pops {
                    shown.extend(rows.pop());
                }
            }
            let left = rows.left();
            let rest = all(&mut rows);
            prop_assert_eq!(rest.len(), left);
            shown.extend(rest);
            let hashes: BTreeSet<_> = shown.iter().map(|row| row.hash).collect();
            prop_assert_eq!((hashes.len(), shown.len()), (told.len(), told.len()));
        }
    }
}
