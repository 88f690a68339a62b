//! What others ask for is answered.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesOrdered};
use peerway::{Connection, PeerId, RecvStream, SendStream, Ticket};
use quinn::WriteError;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::{JoinSet, spawn_blocking},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Hash, Sharing, Units,
    object::{Object, lock},
    outline::VALUE_LEN,
    turnstile::Leave,
    uploader::QUANTUM,
    wire::{Answer, Ask, Described, MAX_ANSWER, MAX_ASK, MAX_GAINED, Told, Want},
};
use crate::frame::{self, FrameError};

/// Streams of one connection.
const STREAMS: usize = 128;
/// Of these, on which units are sent, and on which content is followed, at once; more wait.
const LANES: usize = 4;
const FOLLOWED: usize = 32;
/// How long a stream may take to say what it is about.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a peer may take for a unit.
const TO_READ: Duration = Duration::from_secs(60);
/// Wants of one lane that wait.
const MAX_WANTS: usize = 128;
/// Units of one lane that are looked up ahead of being sent, and up to how many bytes each is read then.
const FOUND_AHEAD: usize = 8;
const SHORT: usize = 32 << 10;
/// How many of all lanes are in memory before their turn, which is 2 MiB; beyond it they are read at their turn, as the others.
pub(super) const READ_AHEAD: usize = 64;
/// How often is told what there is more.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Everything else that is sent over the same link goes first.
const BACKGROUND: i32 = -10;

/// Answers what the peer of a connection asks for, until the connection ends.
pub(super) async fn answer(sharing: Sharing, connection: Connection) {
    until_unused(sharing, connection, || false).await;
}

/// The same for a connection that was dialled here: it ends when neither side uses it any more.
pub(super) async fn until_unused(
    sharing: Sharing,
    connection: Connection,
    is_unused: impl Fn() -> bool,
) {
    let mut streams = JoinSet::new();
    let room = Arc::new(Room::default());
    let mut looks = interval(PATIENCE);
    loop {
        tokio::select! {
            _ = looks.tick() => {
                if streams.is_empty() && is_unused() {
                    return;
                }
            }
            accepted = connection.accept_bi() => {
                let Ok((send, recv)) = accepted else { return };
                // Who opens more than anybody needs has them dropped.
                if streams.len() < STREAMS {
                    let room = room.clone();
                    let stream = stream(sharing.clone(), connection.clone(), room, send, recv);
                    streams.spawn(async { drop(stream.await) });
                }
            }
            Some(_) = streams.join_next() => {}
        }
    }
}

/// What one connection may have under way at once.
struct Room {
    lanes: Semaphore,
    followed: Semaphore,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            lanes: Semaphore::new(LANES),
            followed: Semaphore::new(FOLLOWED),
        }
    }
}

async fn stream(
    sharing: Sharing,
    connection: Connection,
    room: Arc<Room>,
    send: SendStream,
    mut recv: RecvStream,
) -> Result<(), FrameError> {
    let peer = connection.peer();
    let _ = send.set_priority(BACKGROUND);
    let Ok(ask) = timeout(PATIENCE, frame::read(&mut recv, MAX_ASK)).await else {
        return Ok(());
    };
    match ask? {
        Some(Ask::Follow { hash, ticket }) => {
            let _place = room.followed.acquire().await;
            let ticket = Ticket::from_bytes(&ticket).ok();
            follow(&sharing, &connection, hash, ticket, send).await
        }
        Some(Ask::Outline { hash }) => outline(&sharing, peer, hash, send).await,
        Some(Ask::Lane) => {
            let _place = room.lanes.acquire().await;
            lane(&sharing, peer, send, recv).await
        }
        None => Ok(()),
    }
}

/// Tells what there is of some content, and what becomes of it.
async fn follow(
    sharing: &Sharing,
    connection: &Connection,
    hash: Hash,
    ticket: Option<Ticket>,
    mut send: SendStream,
) -> Result<(), FrameError> {
    let peer = connection.peer();
    let Some(object) = sharing.find(hash, peer).await else {
        return frame::write(&mut send, &Told::Nothing, MAX_ANSWER).await;
    };
    let mut changed = object.watch();
    let held = object.held();
    let described = Described {
        size: object.outline().size(),
        held: held.as_ref().map(Units::to_bytes),
    };
    frame::write(&mut send, &Told::Object(described), MAX_ANSWER).await?;
    object.followed(connection, ticket);
    let mut told = Before {
        held,
        holders: Vec::new(),
        place: 0,
    };
    let stopped = send.stopped();
    let telling = async {
        let mut ticks = interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            changed.mark_unchanged();
            for news in told.news(sharing, &object, peer) {
                frame::write(&mut send, &news, MAX_ANSWER).await?;
            }
            if object.is_gone() {
                return frame::write(&mut send, &Told::Withdrawn, MAX_ANSWER).await;
            }
            // While somebody waits its place changes without a word.
            if told.place == 0 {
                let pause = timeout(4 * TELL_EVERY, changed.changed());
                let _ = pause.await;
            }
        }
    };
    let ended = tokio::select! {
        ended = telling => ended,
        _ = stopped => Ok(()),
        _ = connection.closed() => Ok(()),
    };
    object.left(peer);
    ended
}

/// What was told of an object.
struct Before {
    held: Option<Units>,
    holders: Vec<Ticket>,
    place: u32,
}

impl Before {
    fn news(&mut self, sharing: &Sharing, object: &Object, peer: PeerId) -> Vec<Told> {
        let mut news = Vec::new();
        if let Some(before) = &self.held {
            let held = object.held();
            if held.as_ref() != Some(before) {
                let now = held.clone().unwrap_or_else(|| Units::all(before.len()));
                let gained: Vec<_> = now.without(before, before).collect();
                let parts = gained.chunks(MAX_GAINED);
                news.extend(parts.map(|part| Told::Gained(part.to_vec())));
                self.held = held;
            }
        }
        let holders = object.holders(peer);
        if holders != self.holders {
            let bytes = holders.iter().map(Ticket::to_bytes).collect();
            news.push(Told::Holders(bytes));
            self.holders = holders;
        }
        let place = sharing.turnstile().place(peer);
        if place != self.place {
            news.push(Told::Place(place));
            self.place = place;
        }
        // Who waits asks for nothing before its turn.
        let suggested = if place == 0 {
            object.suggest(peer)
        } else {
            Vec::new()
        };
        if !suggested.is_empty() {
            news.push(Told::Suggest(suggested));
        }
        news
    }
}

async fn outline(
    sharing: &Sharing,
    peer: PeerId,
    hash: Hash,
    mut send: SendStream,
) -> Result<(), FrameError> {
    let Some(object) = sharing.find(hash, peer).await else {
        return frame::write(&mut send, &Told::Nothing, MAX_ANSWER).await;
    };
    let described = Described {
        size: object.outline().size(),
        held: None,
    };
    frame::write(&mut send, &Told::Object(described), MAX_ANSWER).await?;
    for values in object
        .outline()
        .values()
        .chunks(QUANTUM as usize / VALUE_LEN)
    {
        let leave = enter(sharing, peer, values.len() * VALUE_LEN).await?;
        send_slice(sharing, leave, values.concat().into(), &mut send).await?;
    }
    Ok(())
}

/// Waits until it is the peer's turn to be sent some more.
async fn enter(sharing: &Sharing, peer: PeerId, len: usize) -> Result<Leave<'_>, FrameError> {
    let leave = sharing.turnstile().enter(peer, len as u64).await;
    leave.ok_or_else(|| WriteError::ClosedStream.into())
}

async fn send_slice(
    sharing: &Sharing,
    leave: Leave<'_>,
    slice: Bytes,
    send: &mut SendStream,
) -> Result<(), FrameError> {
    let len = slice.len() as u64;
    in_time(send.write_chunk(slice)).await?;
    drop(leave);
    sharing.sent(len);
    Ok(())
}

/// Who takes nothing for a while has the stream end.
async fn in_time<E>(sent: impl Future<Output = Result<(), E>>) -> Result<(), FrameError>
where
    FrameError: From<E>,
{
    match timeout(TO_READ, sent).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(WriteError::ClosedStream.into()),
    }
}

/// Sends the units that are wanted, in their order.
async fn lane(
    sharing: &Sharing,
    peer: PeerId,
    send: SendStream,
    recv: RecvStream,
) -> Result<(), FrameError> {
    let wants = Wants::default();
    tokio::select! {
        read = read(&wants, recv) => read?,
        sent = send_each(sharing, peer, &wants, send) => sent?,
    }
    Ok(())
}

/// What is wanted on a lane and was not sent yet.
#[derive(Default)]
struct Wants {
    queue: Mutex<VecDeque<Arc<Wanted>>>,
    /// Those before them, which are looked up or sent.
    ahead: Mutex<VecDeque<Arc<Wanted>>>,
    more: Notify,
    fewer: Notify,
}

/// A unit that is wanted, unless that was cancelled.
pub(super) struct Wanted {
    hash: Hash,
    unit: u32,
    is_cancelled: AtomicBool,
}

impl Wanted {
    pub(super) fn new(hash: Hash, unit: u32) -> Self {
        Self {
            hash,
            unit,
            is_cancelled: AtomicBool::new(false),
        }
    }

    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Relaxed)
    }
}

async fn read(wants: &Wants, mut recv: RecvStream) -> Result<(), FrameError> {
    while let Some(want) = frame::read(&mut recv, MAX_ASK).await? {
        match want {
            Want::Unit { hash, unit } => {
                while lock(&wants.queue).len() >= MAX_WANTS {
                    wants.fewer.notified().await;
                }
                lock(&wants.queue).push_back(Arc::new(Wanted::new(hash, unit)));
                wants.more.notify_one();
            }
            Want::Cancel { hash, unit } => {
                let (ahead, queue) = (lock(&wants.ahead), lock(&wants.queue));
                let mut all = ahead.iter().chain(queue.iter());
                let is_it =
                    |it: &&Arc<Wanted>| (it.hash, it.unit) == (hash, unit) && !it.is_cancelled();
                if let Some(wanted) = all.find(is_it) {
                    wanted.cancel();
                }
            }
        }
    }
    Ok(())
}

impl Wants {
    fn next(&self) -> Option<Arc<Wanted>> {
        let mut ahead = lock(&self.ahead);
        let next = lock(&self.queue).pop_front()?;
        ahead.push_back(next.clone());
        self.fewer.notify_one();
        Some(next)
    }

    /// The first of those that are looked up was answered.
    fn answered(&self) {
        lock(&self.ahead).pop_front();
    }
}

async fn send_each(
    sharing: &Sharing,
    peer: PeerId,
    wants: &Wants,
    mut send: SendStream,
) -> Result<(), FrameError> {
    let mut found = FuturesOrdered::new();
    loop {
        while found.len() < FOUND_AHEAD
            && let Some(wanted) = wants.next()
        {
            found.push_back(find(sharing, peer, wanted));
        }
        let has_room = found.len() < FOUND_AHEAD;
        let next = tokio::select! {
            Some(next) = found.next(), if !found.is_empty() => next,
            () = wants.more.notified(), if has_room => continue,
        };
        let is_sent = match next {
            Some(found) => send_unit(sharing, peer, found, &mut send).await?,
            None => false,
        };
        wants.answered();
        if !is_sent {
            in_time(frame::write(&mut send, &Answer::Missing, MAX_ANSWER)).await?;
        }
    }
}

/// A unit that is there.
pub(super) struct Found {
    object: Arc<Object>,
    wanted: Arc<Wanted>,
    len: usize,
    /// What is short is read while what was wanted before it is sent, as a folder may have ten thousand such files; with its place among
    /// what is in memory.
    pub(super) data: Option<Read>,
}

/// What was read.
pub(super) struct Read {
    data: Vec<u8>,
    /// Its place among what is in memory, if that was ahead.
    _place: Option<OwnedSemaphorePermit>,
}

/// Looks up what is wanted; none if it is not there, or not wanted any more.
pub(super) async fn find(sharing: &Sharing, peer: PeerId, wanted: Arc<Wanted>) -> Option<Found> {
    if wanted.is_cancelled() {
        return None;
    }
    let object = sharing.find(wanted.hash, peer).await?;
    let len = object.outline().len(wanted.unit)?;
    let place = match len <= SHORT && !wanted.is_cancelled() {
        true => sharing.read_ahead().clone().try_acquire_owned().ok(),
        false => None,
    };
    let data = match place {
        Some(_) => Some(read_unit(&object, wanted.unit, place).await?),
        None => None,
    };
    Some(Found {
        object,
        wanted,
        len,
        data,
    })
}

async fn read_unit(
    object: &Arc<Object>,
    unit: u32,
    place: Option<OwnedSemaphorePermit>,
) -> Option<Read> {
    let object = object.clone();
    // Until it is read it has its place, also where the lane ends meanwhile.
    let read = spawn_blocking(move || {
        let data = object.unit(unit)?;
        let _place = place;
        Some(Read { data, _place })
    });
    read.await.ok().flatten()
}

/// Sends a unit in slices, each when it is the peer's turn; false if it is not there, or not wanted any more. Unless it was read ahead, it is
/// read when it is the turn of the first, so that of those who wait little is in memory.
async fn send_unit(
    sharing: &Sharing,
    peer: PeerId,
    found: Found,
    send: &mut SendStream,
) -> Result<bool, FrameError> {
    let Found {
        object,
        wanted,
        len,
        data,
    } = found;
    if wanted.is_cancelled() {
        return Ok(false);
    }
    let mut leave = Some(enter(sharing, peer, len).await?);
    if wanted.is_cancelled() {
        return Ok(false);
    }
    let unit = wanted.unit;
    let data = match data {
        Some(data) => Some(data),
        None => read_unit(&object, unit, None).await,
    };
    let Some(Read { data, _place }) = data else {
        return Ok(false);
    };
    object.sent(peer, unit);
    let answer = Answer::Unit { len: len as u32 };
    in_time(frame::write(send, &answer, MAX_ANSWER)).await?;
    let mut rest = Bytes::from(data);
    while !rest.is_empty() {
        let slice = rest.split_to(rest.len().min(QUANTUM as usize));
        let leave = match leave.take() {
            Some(leave) => leave,
            None => enter(sharing, peer, slice.len()).await?,
        };
        let len = slice.len() as u64;
        send_slice(sharing, leave, slice, send).await?;
        let contents = sharing.shown();
        contents.sent(object.roots(), peer, len, sharing.now());
    }
    Ok(true)
}
