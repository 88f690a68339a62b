//! What others ask for is answered.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use bytes::Bytes;
use peerway::{Connection, PeerId, RecvStream, SendStream, Ticket};
use quinn::WriteError;
use tokio::{
    sync::Notify,
    task::{JoinSet, spawn_blocking},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Hash, Sharing, Units,
    object::{Object, lock},
    uploader::QUANTUM,
    wire::{Answer, Ask, Described, MAX_ANSWER, MAX_ASK, MAX_GAINED, Told, Want},
};
use crate::frame::{self, FrameError};

/// Streams of one connection.
const STREAMS: usize = 128;
/// How long a stream may take to say what it is about.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a peer may take for a unit.
const TO_READ: Duration = Duration::from_secs(60);
/// Wants of one lane that wait.
const MAX_WANTS: usize = 128;
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
                    let stream = stream(sharing.clone(), connection.clone(), send, recv);
                    streams.spawn(async { drop(stream.await) });
                }
            }
            Some(_) = streams.join_next() => {}
        }
    }
}

async fn stream(
    sharing: Sharing,
    connection: Connection,
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
            let ticket = Ticket::from_bytes(&ticket).ok();
            follow(&sharing, &connection, hash, ticket, send).await
        }
        Some(Ask::Outline { hash }) => outline(&sharing, peer, hash, send).await,
        Some(Ask::Lane) => lane(&sharing, peer, send, recv).await,
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
    let Some(object) = sharing.find(hash, peer) else {
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
            let now = object.held();
            let all = Units::all(before.len());
            let none = Units::none(before.len());
            let gained = now.as_ref().unwrap_or(&all).without(before, &none);
            let gained: Vec<_> = gained.collect();
            let parts = gained.chunks(MAX_GAINED);
            news.extend(parts.map(|part| Told::Gained(part.to_vec())));
            self.held = now;
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
        news
    }
}

async fn outline(
    sharing: &Sharing,
    peer: PeerId,
    hash: Hash,
    mut send: SendStream,
) -> Result<(), FrameError> {
    let Some(object) = sharing.find(hash, peer) else {
        return frame::write(&mut send, &Told::Nothing, MAX_ANSWER).await;
    };
    let described = Described {
        size: object.outline().size(),
        held: None,
    };
    frame::write(&mut send, &Told::Object(described), MAX_ANSWER).await?;
    let bytes = Bytes::from(object.outline().to_bytes());
    send_fairly(sharing, peer, bytes, &mut send).await
}

/// Sends content in slices, each when it is the peer's turn.
async fn send_fairly(
    sharing: &Sharing,
    peer: PeerId,
    mut rest: Bytes,
    send: &mut SendStream,
) -> Result<(), FrameError> {
    while !rest.is_empty() {
        let slice = rest.split_to(rest.len().min(QUANTUM as usize));
        let len = slice.len() as u64;
        let Some(leave) = sharing.turnstile().enter(peer, len).await else {
            return Err(WriteError::ClosedStream.into());
        };
        match timeout(TO_READ, send.write_chunk(slice)).await {
            Ok(sent) => sent?,
            Err(_) => return Err(WriteError::ClosedStream.into()),
        }
        drop(leave);
        sharing.sent(peer, len);
    }
    Ok(())
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

/// What is wanted on a lane and was not sent yet; none in the place of what was cancelled.
#[derive(Default)]
struct Wants {
    queue: Mutex<VecDeque<Option<(Hash, u32)>>>,
    more: Notify,
    fewer: Notify,
}

async fn read(wants: &Wants, mut recv: RecvStream) -> Result<(), FrameError> {
    while let Some(want) = frame::read(&mut recv, MAX_ASK).await? {
        match want {
            Want::Unit { hash, unit } => {
                while lock(&wants.queue).len() >= MAX_WANTS {
                    wants.fewer.notified().await;
                }
                lock(&wants.queue).push_back(Some((hash, unit)));
                wants.more.notify_one();
            }
            Want::Cancel { hash, unit } => {
                let mut queue = lock(&wants.queue);
                if let Some(want) = queue.iter_mut().find(|it| **it == Some((hash, unit))) {
                    *want = None;
                }
            }
        }
    }
    Ok(())
}

async fn send_each(
    sharing: &Sharing,
    peer: PeerId,
    wants: &Wants,
    mut send: SendStream,
) -> Result<(), FrameError> {
    loop {
        let next = lock(&wants.queue).pop_front();
        let Some(want) = next else {
            wants.more.notified().await;
            continue;
        };
        wants.fewer.notify_one();
        let found = match want {
            Some((hash, unit)) => take(sharing, peer, hash, unit).await,
            None => None,
        };
        let Some(data) = found else {
            frame::write(&mut send, &Answer::Missing, MAX_ANSWER).await?;
            continue;
        };
        let len = data.len() as u32;
        frame::write(&mut send, &Answer::Unit { len }, MAX_ANSWER).await?;
        send_fairly(sharing, peer, data, &mut send).await?;
    }
}

async fn take(sharing: &Sharing, peer: PeerId, hash: Hash, unit: u32) -> Option<Bytes> {
    let object = sharing.find(hash, peer)?;
    let read = spawn_blocking(move || object.unit(unit)).await;
    read.ok().flatten().map(Bytes::from)
}
