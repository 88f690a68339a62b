//! Who has content of which its hash alone is known.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use peerway::{PeerId, Ticket, services::files::tree::MIN_UNIT};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    ALPN, GetError, Hash, Kind, Link, Outline, Sharing,
    collection::Root,
    outline::MAX_SIZE,
    session::{NoOutline, Session},
    wire::{Ask, Described, MAX_ANSWER, Told},
};
use crate::frame;

/// Peers that are asked, and how many at once.
const MAX_ASKED: usize = 512;
const AT_ONCE: usize = 32;
/// How long one may take to be reached, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long others may take after the first that has it, before one of them is to show it.
const MORE: Duration = Duration::from_millis(500);
/// How long whoever shows it may take before one that tells another size is to do so as well; one that tells the same size has to wait for
/// what that takes over a slow line too. How many do at once, each with an outline of 8 MiB at most.
const NEXT: Duration = Duration::from_secs(3);
const SHOWN_AT_ONCE: usize = 16;
/// Bytes a second over a slow line, of 1 Mbit/s.
const SLOW: u64 = 128 << 10;

/// A peer that has some of it, and of how much.
struct Holder {
    ticket: Ticket,
    session: Arc<Session>,
    size: u64,
    is_whole: bool,
    /// Whether it was asked to show it.
    is_asked: bool,
}

/// When the next is to show it, by the sizes that they tell: who tells too much keeps only those waiting who tell the same.
#[derive(Default)]
struct Turns {
    /// None before there is one.
    next_at: Option<Instant>,
    /// When another of the same size is, while one shows it.
    of_sizes: BTreeMap<u64, Instant>,
}

impl Sharing {
    /// A link to what has this hash, to be had from those of these peers that have some of it, who all hear what is looked for. One of them
    /// has to show that its size is right, and that it is the list of a folder if it seems to be one; while none does, the others are
    /// asked on. The hash says nothing of a name, nor whom it is meant for: it is called by its beginning, and is not public.
    ///
    /// # Errors
    /// [`GetError::Nowhere`] if none has it, or lets this node have it, and [`GetError::NobodyToAsk`] without peers.
    pub async fn locate(&self, hash: Hash, mut peers: Vec<Ticket>) -> Result<Link, GetError> {
        let own = self.endpoint().id();
        peers.retain(|it| it.id() != own && !self.is_liar(it.id()) && !self.shuns(it.id()));
        peers.truncate(MAX_ASKED);
        if peers.is_empty() {
            return Err(GetError::NobodyToAsk);
        }
        let (asked, mut reached) = (peers.len(), 0);
        let asking = peers.into_iter().map(|peer| self.ask_for(hash, peer));
        let mut answers = stream::iter(asking).buffer_unordered(AT_ONCE);
        let (mut holders, mut showing) = (Vec::new(), FuturesUnordered::new());
        let (mut turns, mut all_answered) = (Turns::default(), false);
        loop {
            let now = Instant::now();
            let has_none = all_answered && showing.is_empty();
            let is_due = |size| has_none || turns.at(size).is_some_and(|at| at <= now);
            if showing.len() < SHOWN_AT_ONCE
                && let Some(next) = next(&mut holders, is_due)
            {
                showing.push(self.show_by(hash, next.size, next.session.clone()));
                turns.shown(next.size, now);
            }
            if all_answered && showing.is_empty() {
                return Err(GetError::Nowhere { asked, reached });
            }
            let left = holders.iter().filter(|it| !it.is_asked);
            let next_at = left.filter_map(|it| turns.at(it.size)).min();
            let next_at = next_at.filter(|_| showing.len() < SHOWN_AT_ONCE);
            tokio::select! {
                answer = answers.next(), if !all_answered => {
                    all_answered = answer.is_none();
                    reached += usize::from(answer.as_ref().is_some_and(Option::is_some));
                    if let Some(Some(Some(holder))) = answer {
                        holders.push(holder);
                        turns.next_at.get_or_insert_with(|| Instant::now() + MORE);
                    }
                }
                Some((peer, size, kind)) = showing.next(), if !showing.is_empty() => {
                    if let Some(kind) = kind {
                        let link = Link::new(hash, size, kind, &hash.short());
                        return Ok(link.from_providers(with_it(holders, size)));
                    }
                    holders.retain(|it| it.ticket.id() != peer);
                    turns.failed(size, Instant::now());
                }
                () = sleep_until(next_at.unwrap_or(now)), if next_at.is_some() => {}
            }
        }
    }

    /// Whether a peer has some of it; none if it does not answer.
    async fn ask_for(&self, hash: Hash, ticket: Ticket) -> Option<Option<Holder>> {
        let asking = async {
            let connection = self.endpoint().connect(ticket.clone(), ALPN).await.ok()?;
            let session = self.session(connection);
            let described = described(&session, hash).await?;
            let holder = described.map(|described| Holder {
                ticket,
                session,
                size: described.size,
                is_whole: described.held.is_none(),
                is_asked: false,
            });
            Some(holder)
        };
        timeout(PATIENCE, asking).await.ok().flatten()
    }

    /// What it is, if this one shows that content of this hash and size is there. Whoever shows something else is a liar.
    async fn show_by(
        &self,
        hash: Hash,
        size: u64,
        session: Arc<Session>,
    ) -> (PeerId, u64, Option<Kind>) {
        let peer = session.peer();
        let showing = async {
            if Outline::of_small(hash, size).is_none() {
                return match session.outline(hash, size, None).await {
                    Ok(_) => Some(Kind::File),
                    Err(NoOutline::NotThere) => None,
                    Err(NoOutline::Wrong) => {
                        self.lied(hash, peer);
                        None
                    }
                };
            }
            let data = match size {
                0 => Vec::new(),
                _ => session.unit(hash, 0, size as usize, None).await.ok()?,
            };
            if Hash::of(&data) != hash {
                self.lied(hash, peer);
                return None;
            }
            Some(kind(&session, &data).await)
        };
        let shown = timeout(PATIENCE + 2 * time_of(size), showing).await;
        (peer, size, shown.ok().flatten())
    }
}

impl Turns {
    /// When the next that tells this size is to show it.
    fn at(&self, size: u64) -> Option<Instant> {
        let of_size = self.of_sizes.get(&size).copied();
        self.next_at.map(|at| of_size.map_or(at, |it| it.max(at)))
    }

    /// One of this size is to show it from now on.
    fn shown(&mut self, size: u64, now: Instant) {
        self.next_at = Some(now + NEXT);
        self.of_sizes.insert(size, now + NEXT + time_of(size));
    }

    /// It did not.
    fn failed(&mut self, size: u64, now: Instant) {
        self.next_at = Some(now);
        self.of_sizes.remove(&size);
    }
}

/// What a peer says that it has of some content; none if it says nothing.
async fn described(session: &Session, hash: Hash) -> Option<Option<Described>> {
    let ticket = Vec::new();
    let (mut send, mut recv) = session.open(&Ask::Follow { hash, ticket }).await.ok()?;
    let _ = send.finish();
    match frame::read::<Told>(&mut recv, MAX_ANSWER).await.ok()?? {
        Told::Object(described) => Some(Some(described)),
        Told::Nothing => Some(None),
        Told::Gained(_)
        | Told::Holders(_)
        | Told::Place(_)
        | Told::Withdrawn
        | Told::Suggest(_) => None,
    }
}

/// How long it takes over a slow line to show content of so many bytes.
fn time_of(size: u64) -> Duration {
    let bytes = match size <= MIN_UNIT {
        true => size,
        false => Outline::bytes_for(size.min(MAX_SIZE)) as u64,
    };
    Duration::from_millis(bytes * 1000 / SLOW)
}

/// The next that is to show it: of the size that most tell of those that are due, and one that has all of it if there is one.
fn next(holders: &mut [Holder], is_due: impl Fn(u64) -> bool) -> Option<&mut Holder> {
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    for holder in holders.iter() {
        *sizes.entry(holder.size).or_default() += 1;
    }
    let left = holders.iter_mut();
    let left = left.filter(|it| !it.is_asked && is_due(it.size));
    let next = left.max_by_key(|it| (sizes.get(&it.size).copied(), it.is_whole))?;
    next.is_asked = true;
    Some(next)
}

/// Those who have content of this size, who has all of it first.
fn with_it(mut holders: Vec<Holder>, size: u64) -> Vec<Ticket> {
    holders.retain(|it| it.size == size);
    holders.sort_by_key(|it| !it.is_whole);
    holders.into_iter().map(|it| it.ticket).collect()
}

/// A list of a folder names pages, of which whoever has it has the first; a file that looks like one does not.
async fn kind(session: &Session, data: &[u8]) -> Kind {
    let first = Root::read(data)
        .ok()
        .and_then(|it| it.pages.first().copied());
    let Some((page, size)) = first else {
        return Kind::File;
    };
    match described(session, page).await {
        Some(Some(described)) if described.size == size => Kind::Folder,
        _ => Kind::File,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_tells_too_large_a_size_keeps_nobody_waiting_who_tells_another() {
        let (mut turns, begin) = (Turns::default(), Instant::now());
        assert_eq!(turns.at(7), None, "before anybody has it");
        let at = |seconds| begin + Duration::from_secs(seconds);
        turns.next_at = Some(begin);
        for liar in 0..4 {
            let size = (1 << 40) - liar;
            assert_eq!(turns.at(size), Some(at(3 * liar)));
            turns.shown(size, at(3 * liar));
            assert_eq!(turns.at(7), Some(at(3 * liar + 3)));
            assert!(turns.at(size) > Some(at(60)), "another may be slow");
        }
        turns.failed(1 << 40, at(20));
        assert_eq!(turns.at(1 << 40), Some(at(20)));
    }

    #[test]
    fn the_longest_outline_is_waited_for_over_a_slow_line() {
        let megabit = |bytes: usize| Duration::from_secs_f64(bytes as f64 * 8.0 / 1e6);
        for size in [1 << 30, 1 << 40] {
            let takes = megabit(Outline::bytes_for(size));
            let waited = PATIENCE + 2 * time_of(size);
            assert!(waited > takes + PATIENCE / 2, "{takes:?}, {waited:?}");
        }
        assert!(time_of(1 << 30) < NEXT, "and the next is asked soon");
    }
}
