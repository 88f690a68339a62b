//! Which posts are kept here: the newest, so long, so many and so large. Where there is no room, who has most of it loses its oldest.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE32_NOPAD;
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
/// Letters of an id that a post is meant by.
const LETTERS: usize = 8;

/// What is known of the posts that the store has. `Default` is of none.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    posts: BTreeMap<(u64, PostId), (PeerId, usize)>,
    known: BTreeMap<Short, u64>,
    /// Of each hour, so that what two have is compared without looking at every post.
    hours: BTreeMap<u64, Digest>,
    bytes: usize,
    authors: BTreeMap<PeerId, Share>,
}

/// What one author has of the room.
#[derive(Clone, Debug, Default)]
struct Share {
    posts: BTreeSet<(u64, PostId)>,
    bytes: usize,
    next_seq: u64,
    /// What was older was dropped, as there was no room.
    dropped_ms: u64,
}

impl Kept {
    /// Notes a post that is in the store.
    pub fn note(&mut self, post: &Post) {
        let (id, len) = (post.id(), post.len());
        let at = (post.sent_ms(), id);
        let share = self.authors.entry(post.author()).or_default();
        share.next_seq = share.next_seq.max(post.seq().saturating_add(1));
        if self.posts.insert(at, (post.author(), len)).is_none() {
            share.posts.insert(at);
            share.bytes += len;
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

    /// The post whose id begins with these letters, at least eight; none if none that is kept does.
    #[must_use]
    pub fn called(&self, letters: &str) -> Option<PostId> {
        let letters = letters.to_ascii_lowercase();
        if letters.len() < LETTERS {
            return None;
        }
        let padded = format!("{letters:a<52}").to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(padded.as_bytes()).ok()?;
        let (id, _) = self.beginning(bytes.get(..letters.len() * 5 / 8)?)?;
        id.to_string().starts_with(&letters).then_some(id)
    }

    /// The post whose id begins so, and its author; none if it is not kept, or several begin so.
    pub(super) fn beginning(&self, name: &[u8]) -> Option<(PostId, PeerId)> {
        let mut least = [0; 16];
        for (byte, named) in least.iter_mut().zip(name) {
            *byte = *named;
        }
        let mut from = self.known.range(Short(least)..);
        let (short, sent_ms) = from.next()?;
        let is_named = |short: &Short| short.0.iter().zip(name).all(|(a, b)| a == b);
        if !is_named(short) || from.next().is_some_and(|(next, _)| is_named(next)) {
            return None;
        }
        let mut id = [0; 32];
        for (byte, known) in id.iter_mut().zip(short.0) {
            *byte = known;
        }
        let mut at = self.posts.range((*sent_ms, PostId(id))..);
        let ((_, id), (author, _)) = at.next()?;
        let is_it = id.0.starts_with(&short.0) && id.0.starts_with(name);
        is_it.then_some((*id, *author))
    }

    /// How many others than `own` sent after this time.
    #[must_use]
    pub fn count_of_others_after(&self, sent_ms: u64, own: PeerId) -> usize {
        self.posts
            .range((sent_ms.saturating_add(1), PostId([0; 32]))..)
            .filter(|(_, (author, _))| *author != own)
            .count()
    }

    pub(super) fn next_seq(&self, author: PeerId) -> u64 {
        self.authors.get(&author).map_or(0, |it| it.next_seq)
    }

    /// Whether there is room for what this author posted then.
    pub(super) fn has_room(&self, author: PeerId, sent_ms: u64) -> bool {
        let share = self.authors.get(&author);
        share.is_none_or(|share| sent_ms >= share.dropped_ms)
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
        self.tidy_to(now_ms, (KEPT_POSTS, KEPT_BYTES))
    }

    fn tidy_to(&mut self, now_ms: u64, room: (usize, usize)) -> Vec<(u64, PostId)> {
        let mut gone = Vec::new();
        let floor = floor_ms(now_ms);
        while let Some((&at, _)) = self.posts.first_key_value()
            && at.0 < floor
        {
            self.drop_post(at);
            gone.push(at);
        }
        while let Some(at) = self.crowding(room) {
            self.drop_post(at);
            gone.push(at);
        }
        gone
    }

    /// The oldest of whoever has most, if there is no room for all.
    fn crowding(&mut self, (posts, bytes): (usize, usize)) -> Option<(u64, PostId)> {
        let shares = self.authors.values_mut();
        let largest = if self.bytes > bytes {
            shares.max_by_key(|share| share.bytes)
        } else if self.posts.len() > posts {
            shares.max_by_key(|share| share.posts.len())
        } else {
            None
        };
        let share = largest?;
        let oldest = *share.posts.first()?;
        share.dropped_ms = share.dropped_ms.max(oldest.0.saturating_add(1));
        Some(oldest)
    }

    /// Drops what may not have been written, of authors of whom `before` says before when they may have, and says what it was.
    pub(super) fn drop_later(
        &mut self,
        before: impl Fn(PeerId) -> Option<u64>,
    ) -> Vec<(u64, PostId)> {
        let mut gone = Vec::new();
        for (author, share) in &self.authors {
            if let Some(before) = before(*author) {
                let later = share.posts.range((before, PostId([0; 32]))..);
                gone.extend(later.copied());
            }
        }
        gone.iter().for_each(|post| self.drop_post(*post));
        gone
    }

    fn drop_post(&mut self, post: (u64, PostId)) {
        let Some((author, len)) = self.posts.remove(&post) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(len);
        if let Some(share) = self.authors.get_mut(&author) {
            share.posts.remove(&post);
            share.bytes = share.bytes.saturating_sub(len);
        }
        let (at, id) = post;
        self.known.remove(&Short::of(&id.0));
        if let Some(hour) = self.hours.get_mut(&(at / HOUR_MS)) {
            hour.remove(&id.0);
            if *hour == Digest::default() {
                self.hours.remove(&(at / HOUR_MS));
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.posts.len()
    }
}

/// From when on posts are kept.
pub(super) fn floor_ms(now_ms: u64) -> u64 {
    now_ms.saturating_sub(KEPT_MS) / HOUR_MS * HOUR_MS
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::{
        super::{
            op::{GroupId, OpId},
            post::{EpochKey, Place},
        },
        *,
    };

    const NOW_MS: u64 = 1_800_000_000_000;

    fn post(by: &SecretKey, at: u64) -> Post {
        let place = Place {
            group: GroupId([1; 32]),
            epoch: OpId([2; 32]),
            author: by.id(),
            seq: at,
            sent_ms: NOW_MS + at,
            salt: [3; 16],
            reply_to: None,
        };
        let key = EpochKey::from_bytes([4; 32]);
        Post::seal(place, &key, "hello", |purpose, message| {
            by.sign(purpose, message)
        })
        .unwrap()
    }

    #[test]
    fn what_somebody_wrote_is_news_to_all_others_alone() {
        let (anna, ben) = (
            SecretKey::from_seed(&[1; 32]),
            SecretKey::from_seed(&[2; 32]),
        );
        let mut kept = Kept::default();
        for (by, at) in [(&anna, 1), (&ben, 2), (&ben, 3)] {
            kept.note(&post(by, at));
        }
        let news = |after, to: &SecretKey| kept.count_of_others_after(NOW_MS + after, to.id());
        assert_eq!((news(0, &anna), news(0, &ben)), (2, 1));
        assert_eq!((news(2, &anna), news(2, &ben)), (1, 0));
    }

    #[test]
    fn a_post_is_known_by_the_beginning_of_its_id() {
        let anna = SecretKey::from_seed(&[1; 32]);
        let mut kept = Kept::default();
        let posts: Vec<_> = (0..2_000).map(|at| post(&anna, at / 2)).collect();
        posts.iter().for_each(|post| kept.note(post));
        for post in &posts {
            let id = post.id();
            for len in [10, 16, 32] {
                assert_eq!(kept.beginning(&id.0[..len]), Some((id, anna.id())));
            }
            let mut other = id.0;
            other[20] ^= 1;
            assert_eq!(kept.beginning(&other), None, "another's end");
        }
        assert_eq!(kept.beginning(&[]), None, "all begin so");
        let id = posts[7].id();
        let text = id.to_string();
        for letters in [&text[..8], &text[..9], &text, &text.to_uppercase()] {
            assert_eq!(kept.called(letters), Some(id), "{letters}");
        }
        let other = if text.ends_with('a') { "q" } else { "a" };
        for letters in [
            "",
            &text[..7],
            &[&text[..51], other].concat(),
            "ä1!%&/()",
            &format!("{text}a"),
        ] {
            assert_eq!(kept.called(letters), None, "{letters}");
        }
    }

    #[test]
    fn who_writes_without_end_pushes_out_its_own_posts_and_nobody_elses() {
        let (quiet, loud) = (
            SecretKey::from_seed(&[1; 32]),
            SecretKey::from_seed(&[2; 32]),
        );
        let before: Vec<_> = (0..3).map(|at| post(&quiet, at)).collect();
        let flood: Vec<_> = (3..40).map(|at| post(&loud, at)).collect();
        let len = flood[0].len();
        for room in [(10, usize::MAX), (usize::MAX, 10 * len)] {
            let mut kept = Kept::default();
            before.iter().chain(&flood).for_each(|post| kept.note(post));
            let gone = kept.tidy_to(NOW_MS, room);
            assert_eq!(gone.len(), 30);
            let is_kept = |post: &Post| kept.sent_ms(post.id()).is_some();
            assert!(before.iter().chain(&flood[30..]).all(is_kept));
            assert!(!kept.has_room(loud.id(), flood[29].sent_ms()), "for good");
            assert!(kept.has_room(quiet.id(), NOW_MS));
        }
    }
}
