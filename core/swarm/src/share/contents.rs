//! Content as people and programs are shown it: what is shared, what is being fetched, and what was.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use peerway::{
    PeerId,
    services::files::{Progress, Valve},
};
use serde::{Deserialize, Serialize};

use super::{Got, Hash, Kind, Link, Notice, Shared, Sharing, Units, object::lock, tally::Tallies};

/// Things that were fetched and are told of as long as the node runs.
const MAX_FETCHED: usize = 256;
/// Things that are shared for as long as the node runs, and told of.
const MAX_OFFERED: usize = 1024;
/// Into so many parts of equal length content is divided where it is told which of it is here.
const CELLS: u32 = 60;

/// Some content, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContentView {
    /// Its name.
    pub hash: Hash,
    /// What it is called; its author's wish.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What becomes of it.
    pub state: ContentState,
    /// Why it is so, where that is more than the state says.
    pub reason: Option<String>,
    /// Whether whoever has the link may have it.
    pub public: bool,
    /// Where it is, or will be.
    pub path: PathBuf,
    /// Files in it; 0 while that is not known.
    pub files: u64,
    /// Those that are here.
    pub files_done: u64,
    /// Bytes of all of them; 0 while that is not known.
    pub bytes: u64,
    /// Those that are here.
    pub bytes_done: u64,
    /// Bytes that came from others since it is fetched, or since the node began.
    pub received: u64,
    /// Bytes that went to others since the node began.
    pub sent: u64,
    /// Of a file that is being fetched, which of it is here: percent of each of some parts of equal length.
    pub pieces: Vec<u8>,
    /// With whom it is exchanged, or was.
    pub peers: Vec<ContentPeer>,
}

/// What becomes of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContentState {
    /// It is being fetched.
    Fetching,
    /// It is being fetched, and nobody who is there has what is missing.
    Waiting,
    /// It is being fetched, and its owner has paused that, or nothing can be written.
    Paused,
    /// It was fetched, and is served as long as the node runs.
    Fetched,
    /// It is shared.
    Shared,
    /// It was shared, and its file is another now.
    Changed,
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

/// A peer with which content is exchanged, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContentPeer {
    /// Who.
    pub id: PeerId,
    /// Percent that it says to have; none where it did not say, and of what is in folders.
    pub has: Option<u8>,
    /// Bytes that came from it.
    pub received: u64,
    /// Bytes that went to it.
    pub sent: u64,
    /// Whether anything went to it, or it was connected to be asked, just now.
    pub active: bool,
    /// Which of those who wait for it this node is, from 1 on; none if it does not wait.
    #[serde(default)]
    pub place: Option<u32>,
}

impl ContentPeer {
    /// Whether it has some of it, as far as is known here.
    #[must_use]
    pub fn is_holder(&self) -> bool {
        self.has.is_some_and(|has| has > 0) || self.received > 0 || self.sent > 0
    }
}

/// What is remembered of content to be shown.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Of what the catalogue says, which changes with each number.
    changes: AtomicU64,
    kept: Mutex<Option<(u64, Arc<[Shared]>)>>,
    offered: Mutex<VecDeque<Shared>>,
    /// Folders that are shared anew whenever they change.
    watched: Mutex<BTreeSet<PathBuf>>,
    fetching: Mutex<Vec<Arc<Fetching>>>,
    fetched: Mutex<VecDeque<ContentView>>,
    tallies: Mutex<Tallies>,
}

/// Something that is being fetched.
#[derive(Debug)]
pub(super) struct Fetching {
    link: Link,
    path: PathBuf,
    progress: Progress,
    state: Mutex<(ContentState, Option<String>)>,
    held: Mutex<Option<Units>>,
    peers: Mutex<BTreeMap<PeerId, Source>>,
}

/// Somebody from whom it is fetched.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    has: Option<u8>,
    received: u64,
    is_connected: bool,
    place: u32,
}

/// Ends the showing of something as being fetched.
#[derive(Debug)]
pub(super) struct Shown {
    sharing: Sharing,
    fetching: Arc<Fetching>,
}

impl Contents {
    /// The catalogue is another one now.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Relaxed);
    }

    /// Something is shared as long as the node runs.
    pub(super) fn offer(&self, shared: &Shared) {
        let mut offered = lock(&self.offered);
        offered.retain(|it| it.hash != shared.hash);
        offered.truncate(MAX_OFFERED - 1);
        offered.push_front(shared.clone());
    }

    pub(super) fn notice(&self, notice: &Notice) {
        let state = match notice {
            Notice::Paused { reason, .. } => (ContentState::Paused, Some(reason.clone())),
            Notice::Resumed { .. } => (ContentState::Fetching, None),
            Notice::Waiting { .. } => (ContentState::Waiting, None),
            Notice::Lied { .. } => return,
        };
        let fetching = lock(&self.fetching);
        for it in fetching.iter().filter(|it| it.link.hash == notice.hash()) {
            *lock(&it.state) = state.clone();
        }
    }

    /// A peer was sent some of what these shares have.
    pub(super) fn sent(&self, roots: &[Hash], peer: PeerId, bytes: u64, now: Duration) {
        let mut tallies = lock(&self.tallies);
        for root in roots {
            tallies.sent(*root, peer, bytes, now);
        }
    }

    /// What the catalogue has; it is read again only when it has changed.
    async fn kept(&self, sharing: &Sharing) -> Arc<[Shared]> {
        let now = self.changes.load(Relaxed);
        if let Some((_, kept)) = lock(&self.kept).clone().filter(|(at, _)| *at == now) {
            return kept;
        }
        // What cannot be read is told of where it is asked for.
        let read = sharing.shares().await.unwrap_or_default();
        let kept: Arc<[Shared]> = read.into();
        *lock(&self.kept) = Some((now, kept.clone()));
        kept
    }
}

impl Sharing {
    /// A folder is shared anew whenever it changes, or not any more, as is told of it.
    pub(crate) fn watches(&self, folder: &Path, is_watched: bool) {
        let mut watched = lock(&self.shown().watched);
        match is_watched {
            true => watched.insert(folder.to_owned()),
            false => watched.remove(folder),
        };
    }

    /// Something is being fetched to `path`, or into the store where that is empty, until what is returned is dropped.
    pub(super) fn show(&self, link: &Link, path: PathBuf, progress: &Progress) -> Shown {
        let fetching = Arc::new(Fetching {
            link: link.clone(),
            path,
            progress: progress.clone(),
            state: Mutex::new((ContentState::Fetching, None)),
            held: Mutex::default(),
            peers: Mutex::default(),
        });
        lock(&self.shown().fetching).push(fetching.clone());
        Shown {
            sharing: self.clone(),
            fetching,
        }
    }
}

impl Fetching {
    /// A peer says to have so much of the file that is fetched.
    pub(super) fn has(&self, peer: PeerId, held: &Units) {
        if self.link.kind == Kind::File {
            lock(&self.peers).entry(peer).or_default().has = Some(percent(held));
        }
    }

    /// A peer says how many it serves before this node.
    pub(super) fn placed(&self, peer: PeerId, place: u32) {
        lock(&self.peers).entry(peer).or_default().place = place;
    }

    /// Some of it came from a peer.
    pub(super) fn came(&self, peer: PeerId, bytes: u64) {
        lock(&self.peers).entry(peer).or_default().received += bytes;
        let mut state = lock(&self.state);
        if state.0 == ContentState::Waiting {
            *state = (ContentState::Fetching, None);
        }
    }

    /// So much of the file is here.
    pub(super) fn holds(&self, held: Units) {
        if self.link.kind == Kind::File {
            *lock(&self.held) = Some(held);
        }
    }

    /// These are connected.
    pub(super) fn connected(&self, now: impl IntoIterator<Item = PeerId>) {
        let now: BTreeSet<_> = now.into_iter().collect();
        let mut peers = lock(&self.peers);
        for peer in &now {
            peers.entry(*peer).or_default();
        }
        for (peer, source) in peers.iter_mut() {
            source.is_connected = now.contains(peer);
        }
        // Of who came and went, what gave nothing is not remembered.
        peers.retain(|_, source| source.is_connected || source.received > 0);
    }

    /// What its owner wants of it.
    pub(super) fn valve(&self) -> &Valve {
        self.progress.valve()
    }

    fn view(&self) -> ContentView {
        let (state, reason) = if self.valve().is_paused() {
            let reason = "until it is resumed here";
            (ContentState::Paused, Some(reason.to_owned()))
        } else {
            lock(&self.state).clone()
        };
        let progress = &self.progress;
        let peers = lock(&self.peers);
        let bytes = match progress.bytes() {
            0 if self.link.kind == Kind::File => self.link.size,
            bytes => bytes,
        };
        ContentView {
            state,
            reason,
            path: self.path.clone(),
            files: progress.files(),
            files_done: progress.files_done(),
            bytes,
            bytes_done: progress.bytes_done().min(bytes),
            received: peers.values().map(|peer| peer.received).sum(),
            pieces: lock(&self.held).as_ref().map_or_else(Vec::new, pieces),
            peers: peers
                .iter()
                .map(|(id, source)| ContentPeer {
                    id: *id,
                    has: source.has,
                    received: source.received,
                    sent: 0,
                    active: source.is_connected,
                    place: Some(source.place).filter(|it| source.is_connected && *it > 0),
                })
                .collect(),
            ..ContentView::new(&self.link)
        }
    }
}

impl Shown {
    pub(super) fn fetching(&self) -> &Arc<Fetching> {
        &self.fetching
    }

    /// It is here.
    pub(super) fn got(&self, got: &Got) {
        let view = ContentView {
            state: ContentState::Fetched,
            path: got.path.clone(),
            files: got.files,
            files_done: got.files,
            bytes: got.bytes,
            bytes_done: got.bytes,
            pieces: Vec::new(),
            ..self.fetching.view()
        };
        let mut fetched = lock(&self.sharing.shown().fetched);
        fetched.retain(|it| it.hash != view.hash);
        fetched.truncate(MAX_FETCHED - 1);
        fetched.push_front(view);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut fetching = lock(&self.sharing.shown().fetching);
        fetching.retain(|it| !Arc::ptr_eq(it, &self.fetching));
    }
}

impl ContentView {
    /// By which it stands among others: what becomes of it, then its name.
    #[must_use]
    pub fn place(&self) -> (ContentState, &str, Hash) {
        (self.state, &self.name, self.hash)
    }

    fn new(link: &Link) -> Self {
        Self {
            hash: link.hash,
            name: link.name.clone(),
            kind: link.kind,
            state: ContentState::Fetching,
            reason: None,
            public: link.public,
            path: PathBuf::new(),
            files: 0,
            files_done: 0,
            bytes: 0,
            bytes_done: 0,
            received: 0,
            sent: 0,
            pieces: Vec::new(),
            peers: Vec::new(),
        }
    }

    fn shared(shared: &Shared) -> Self {
        let link = Link::new(shared.hash, shared.size, shared.kind, &shared.name);
        Self {
            state: ContentState::Shared,
            path: shared.path.clone(),
            files: shared.files,
            files_done: shared.files,
            bytes: shared.bytes,
            bytes_done: shared.bytes,
            ..Self::new(&link.public(shared.public))
        }
    }

    /// Adds to whom it went.
    fn with_sent(mut self, tallies: &Tallies, now: Duration) -> Self {
        let Some(tally) = tallies.of(self.hash) else {
            return self;
        };
        self.sent = tally.sent();
        for (id, sent, active) in tally.peers(now) {
            if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
                peer.sent = sent;
                peer.active |= active;
            } else {
                self.peers.push(ContentPeer {
                    id,
                    has: None,
                    received: 0,
                    sent,
                    active,
                    place: None,
                });
            }
        }
        self
    }
}

impl Sharing {
    /// All content that is shared, is being fetched, or was since the node began; what is being fetched first, then by name.
    pub async fn contents(&self) -> Vec<ContentView> {
        let contents = self.shown();
        let kept = contents.kept(self).await;
        let mut all: BTreeMap<Hash, ContentView> = BTreeMap::new();
        for fetched in lock(&contents.fetched).iter() {
            let mut fetched = fetched.clone();
            for peer in &mut fetched.peers {
                (peer.active, peer.place) = (false, None);
            }
            all.insert(fetched.hash, fetched);
        }
        for shared in lock(&contents.offered).iter().chain(kept.iter()) {
            let mut view = ContentView::shared(shared);
            if self.is_changed(shared.hash) {
                view.state = ContentState::Changed;
            }
            if lock(&contents.watched).contains(&shared.path) {
                let reason = if view.state == ContentState::Changed {
                    "it is shared anew once it rests"
                } else {
                    "anew whenever it changes"
                };
                view.reason = Some(reason.to_owned());
            }
            if let Some(before) = all.remove(&shared.hash) {
                (view.received, view.peers) = (before.received, before.peers);
            }
            all.insert(view.hash, view);
        }
        for fetching in lock(&contents.fetching).iter() {
            all.insert(fetching.link.hash, fetching.view());
        }
        let (tallies, now) = (lock(&contents.tallies), self.now());
        let mut all: Vec<_> = all
            .into_values()
            .map(|view| view.with_sent(&tallies, now))
            .collect();
        all.sort_by(|a, b| a.place().cmp(&b.place()));
        all
    }
}

/// Never all of it before all of it is there, nor nothing once there is something.
fn percent(held: &Units) -> u8 {
    share(held.count(), held.len())
}

fn share(count: u32, of: u32) -> u8 {
    if count >= of {
        return 100;
    }
    let percent = u64::from(count) * 100 / u64::from(of);
    let least = u8::from(count > 0);
    u8::try_from(percent).unwrap_or(99).clamp(least, 99)
}

fn pieces(held: &Units) -> Vec<u8> {
    let cells = held.len().min(CELLS);
    let edge = |cell: u32| {
        let at = u64::from(cell) * u64::from(held.len()) / u64::from(cells.max(1));
        u32::try_from(at).unwrap_or(u32::MAX)
    };
    (0..cells)
        .map(|cell| {
            let (from, to) = (edge(cell), edge(cell + 1));
            let here = (from..to).filter(|unit| held.has(*unit)).count();
            share(u32::try_from(here).unwrap_or(u32::MAX), to - from)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(len: u32, held: impl IntoIterator<Item = u32>) -> Units {
        let mut units = Units::none(len);
        for unit in held {
            units.insert(unit);
        }
        units
    }

    #[test]
    fn a_part_is_full_or_empty_only_if_it_is() {
        assert_eq!(percent(&units(1000, 0..999)), 99);
        assert_eq!(percent(&units(1000, 0..1)), 1);
        assert_eq!(percent(&units(1000, 0..1000)), 100);
        assert_eq!(percent(&units(1000, [])), 0);
    }

    #[test]
    fn pieces_are_as_many_as_there_are_units_and_never_more_than_a_line_shows() {
        assert_eq!(pieces(&units(3, [1])), [0, 100, 0]);
        let many = pieces(&units(601, 0..300));
        assert_eq!(many.len(), CELLS as usize);
        assert_eq!((many[0], many[59]), (100, 0));
        assert!(pieces(&units(0, [])).is_empty());
    }
}
