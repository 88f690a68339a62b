//! Which posts are kept here: the newest, so long, so many and so large.

use std::collections::BTreeMap;

use peerway::PeerId;

use super::{
    message::{Digest, Short},
    post::{Post, PostId},
};

/// How long a post is kept.
pub const KEPT_MS: u64 = 30 * 24 * HOUR_MS;
/// How many are kept of a group.
pub const KEPT_POSTS: usize = 100_000;
/// How many bytes of them.
pub const KEPT_BYTES: usize = 256 << 20;
const HOUR_MS: u64 = 3_600_000;

/// What is known of the posts that the store has. `Default` is of none.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    posts: BTreeMap<(u64, PostId), usize>,
    known: BTreeMap<Short, u64>,
    /// Of each hour, so that what two have is compared without looking at every post.
    hours: BTreeMap<u64, Digest>,
    bytes: usize,
    /// How many each author has posted.
    seqs: BTreeMap<PeerId, u64>,
    /// What was older was dropped, as there was no room.
    dropped_ms: u64,
}

impl Kept {
    /// Notes a post that is in the store.
    pub fn note(&mut self, post: &Post) {
        let (id, len) = (post.id(), post.len());
        let next = self.seqs.entry(post.author()).or_default();
        *next = (*next).max(post.seq().saturating_add(1));
        if self.posts.insert((post.sent_ms(), id), len).is_none() {
            self.known.insert(Short::of(&id.0), post.sent_ms());
            self.hours
                .entry(post.sent_ms() / HOUR_MS)
                .or_default()
                .add(&id.0);
            self.bytes += len;
        }
    }

    pub(super) fn has(&self, post: Short) -> bool {
        self.known.contains_key(&post)
    }

    /// When a post was sent that is kept.
    #[must_use]
    pub fn sent_ms(&self, post: PostId) -> Option<u64> {
        self.known.get(&Short::of(&post.0)).copied()
    }

    /// How many were sent after this time.
    #[must_use]
    pub fn count_after(&self, sent_ms: u64) -> usize {
        self.posts
            .range((sent_ms.saturating_add(1), PostId([0; 32]))..)
            .count()
    }

    pub(super) fn next_seq(&self, author: PeerId) -> u64 {
        self.seqs.get(&author).copied().unwrap_or(0)
    }

    /// From when on posts are kept.
    pub(super) fn floor_ms(&self, now_ms: u64) -> u64 {
        let old = now_ms.saturating_sub(KEPT_MS) / HOUR_MS * HOUR_MS;
        old.max(self.dropped_ms)
    }

    pub(super) fn digest(&self, since_ms: u64) -> Digest {
        let mut digest = Digest::default();
        for hour in self.hours.range(since_ms / HOUR_MS..).map(|(_, hour)| hour) {
            digest.add_all(hour);
        }
        digest
    }

    pub(super) fn since(&self, since_ms: u64) -> Vec<(u64, [u8; 32])> {
        let from = (since_ms, PostId([0; 32]));
        self.posts
            .range(from..)
            .map(|((at, id), _)| (*at, id.0))
            .collect()
    }

    /// Those that are kept no more.
    pub(super) fn tidy(&mut self, now_ms: u64) -> Vec<(u64, PostId)> {
        let mut gone = Vec::new();
        let floor = self.floor_ms(now_ms);
        while let Some(oldest) = self.posts.first_entry() {
            let (at, id) = *oldest.key();
            let is_crowded = self.known.len() > KEPT_POSTS || self.bytes > KEPT_BYTES;
            if at >= floor && !is_crowded {
                break;
            }
            if is_crowded {
                self.dropped_ms = self.dropped_ms.max(at.saturating_add(1));
            }
            self.bytes = self.bytes.saturating_sub(oldest.remove());
            self.known.remove(&Short::of(&id.0));
            if let Some(hour) = self.hours.get_mut(&(at / HOUR_MS)) {
                hour.remove(&id.0);
                if *hour == Digest::default() {
                    self.hours.remove(&(at / HOUR_MS));
                }
            }
            gone.push((at, id));
        }
        gone
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.posts.len()
    }
}
