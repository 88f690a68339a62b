//! When peers of the book were last seen. It is beside the book, which people edit, and written seldom.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use peerway::{NodeSnapshot, PeerId};

use super::Book;
use crate::files;

/// Peers; who was seen longest ago gives way.
const MAX_SEEN: usize = 4096;
/// What is newer than what is written by less than this is not written, in milliseconds.
const WORTH_WRITING_MS: u64 = 300_000;

/// Milliseconds since the Unix epoch, of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(BTreeMap<PeerId, u64>);

impl Seen {
    /// The peers of the book that this node has a connection with at the moment.
    pub(crate) fn of(snapshot: &NodeSnapshot, book: &Book) -> Self {
        let linked = snapshot.peers.iter().filter(|peer| peer.connections > 0);
        let named: BTreeSet<_> = book.entries().map(|(_, entry)| entry.ticket.id()).collect();
        let known = linked.filter(|peer| named.contains(&peer.id));
        Self(known.map(|peer| (peer.id, snapshot.at_ms)).collect())
    }

    pub(crate) fn one(peer: PeerId, at_ms: u64) -> Self {
        Self(BTreeMap::from([(peer, at_ms)]))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, peer: PeerId) -> Option<u64> {
        self.0.get(&peer).copied()
    }

    pub(crate) fn by_peer(self) -> BTreeMap<PeerId, u64> {
        self.0
    }

    /// Takes in what somebody else saw.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (peer, at_ms) in &other.0 {
            let known = self.0.entry(*peer).or_default();
            *known = (*known).max(*at_ms);
        }
        while self.0.len() > MAX_SEEN {
            let oldest = self.0.iter().min_by_key(|(_, at_ms)| **at_ms);
            let Some(oldest) = oldest.map(|(peer, _)| *peer) else {
                return;
            };
            self.0.remove(&oldest);
        }
    }

    /// Whether it says so much more than `written` that it is to be written.
    pub(crate) fn is_news(&self, written: &Self) -> bool {
        let is_new = |(peer, at_ms): (&PeerId, &u64)| {
            let known = written.get(*peer).unwrap_or_default();
            at_ms.saturating_sub(known) >= WORTH_WRITING_MS
        };
        self.0.iter().any(is_new)
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (peer, at_ms) = line.split_once(' ')?;
            Some((peer.parse().ok()?, at_ms.parse().ok()?))
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn text(&self) -> String {
        let lines = self.0.iter();
        lines
            .map(|(peer, at_ms)| format!("{peer} {at_ms}\n"))
            .collect()
    }
}

/// The file `seen` in the state folder: an id and a time a line.
#[derive(Clone, Debug)]
pub(crate) struct SeenFile {
    path: PathBuf,
}

impl SeenFile {
    pub(crate) fn in_folder(state: &Path) -> Self {
        Self {
            path: state.join("seen"),
        }
    }

    /// What cannot be read is as if it was not there.
    pub(crate) fn read(&self) -> Seen {
        Seen::parse(&fs::read_to_string(&self.path).unwrap_or_default())
    }

    /// Writes what is newer than what is there, which is returned.
    pub(crate) fn merge(&self, seen: &Seen) -> io::Result<Seen> {
        let _lock = files::lock(&self.path.with_extension("lock"))?;
        let before = self.read();
        let mut all = before.clone();
        all.merge(seen);
        if all != before {
            files::replace(&self.path, &all.text())?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;
    use tempfile::TempDir;

    use super::{super::tests::id, *};

    #[test]
    fn what_several_saw_is_kept_the_latest_of_each() {
        let folder = TempDir::new().unwrap();
        let file = SeenFile::in_folder(folder.path());
        assert_eq!(file.read(), Seen::default());
        file.merge(&Seen::one(id(1), 500)).unwrap();
        file.merge(&Seen::one(id(2), 400)).unwrap();
        file.merge(&Seen::one(id(1), 300)).unwrap();
        let seen = file.read();
        let at = [1, 2, 3].map(|seed| seen.get(id(seed)));
        assert_eq!(at, [Some(500), Some(400), None]);
        fs::write(&file.path, format!("nonsense\n{} 7\n{} x\n", id(3), id(4))).unwrap();
        assert_eq!(file.read(), Seen::one(id(3), 7));
    }

    #[test]
    fn a_peer_that_stays_is_written_every_five_minutes_and_not_each_time() {
        let mut written = Seen::default();
        let mut writes = 0;
        for at_ms in (1_000_000..2_000_000).step_by(1000) {
            let now = Seen::one(id(1), at_ms);
            if now.is_news(&written) {
                written.merge(&now);
                writes += 1;
            }
        }
        assert_eq!(writes, 4);
    }

    #[test]
    fn who_was_seen_longest_ago_gives_way() {
        let mut seen = Seen::default();
        for number in 0..=MAX_SEEN as u64 {
            let mut seed = [3; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            seen.merge(&Seen::one(SecretKey::from_seed(&seed).id(), number));
        }
        assert_eq!(seen.0.len(), MAX_SEEN);
        assert!(seen.0.values().all(|at_ms| *at_ms > 0));
    }
}
