//! A connection to a peer, over which units are asked for and come: [`Session`].

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use peerway::{Connection, PeerId, RecvStream, SendStream};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Hash, Outline,
    object::lock,
    wire::{Answer, Ask, MAX_ANSWER, MAX_ASK, Told, Want},
};
use crate::frame::{self, FrameError};

/// Streams on which units come.
const LANES: usize = 2;
/// Units that are asked for on one of them at once.
const AHEAD: usize = 64;
/// Contents of which a peer tells before anybody listens.
const MAX_EARLY: usize = 8;
/// How long a unit may take from the last; whoever makes us wait for a turn says that it is there meanwhile.
const PATIENCE: Duration = Duration::from_secs(180);

/// Why no unit came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoUnit {
    /// The peer has it not, or not for us.
    Missing,
    /// Nothing comes from it any more.
    Gone,
}

/// Why no outline came.
#[derive(Debug)]
pub(super) enum NoOutline {
    /// The peer has it not, or not for us.
    NotThere,
    /// It does not come to the hash.
    Wrong,
}

impl<E: Into<FrameError>> From<E> for NoOutline {
    fn from(_: E) -> Self {
        Self::NotThere
    }
}

struct Request {
    hash: Hash,
    unit: u32,
    len: usize,
    begins: Option<oneshot::Sender<()>>,
    reply: oneshot::Sender<Result<Vec<u8>, NoUnit>>,
}

enum Order {
    Unit(Request),
    Cancel { hash: Hash, unit: u32 },
}

/// A connection over which content comes.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    lanes: Vec<mpsc::Sender<Order>>,
    next: AtomicUsize,
    /// Streams on which it tells of content.
    early: Mutex<BTreeMap<Hash, Streams>>,
}

type Streams = (SendStream, RecvStream);

impl Session {
    /// Lanes open with the first unit that is asked for.
    pub(super) fn new(connection: Connection) -> Self {
        let lane = |_| {
            let (orders, ordered) = mpsc::channel(AHEAD);
            #[expect(clippy::disallowed_methods, reason = "the shell")]
            tokio::spawn(lane(connection.clone(), ordered));
            orders
        };
        Self {
            lanes: (0..LANES).map(lane).collect(),
            connection,
            next: AtomicUsize::new(0),
            early: Mutex::default(),
        }
    }

    pub(super) fn peer(&self) -> PeerId {
        self.connection.peer()
    }

    pub(super) fn is_over(&self) -> bool {
        self.connection.close_reason().is_some() || self.lanes.iter().any(mpsc::Sender::is_closed)
    }

    /// A unit of so many bytes, as the peer sends it; that it `begins` to is told, to whom that matters.
    pub(super) async fn unit(
        &self,
        hash: Hash,
        unit: u32,
        len: usize,
        begins: Option<oneshot::Sender<()>>,
    ) -> Result<Vec<u8>, NoUnit> {
        let (reply, came) = oneshot::channel();
        let request = Request {
            hash,
            unit,
            len,
            begins,
            reply,
        };
        let lane = self.next.fetch_add(1, Relaxed) % LANES;
        let lane = self.lanes.get(lane).ok_or(NoUnit::Gone)?;
        let sent = lane.send(Order::Unit(request)).await;
        sent.map_err(|_| NoUnit::Gone)?;
        came.await.unwrap_or(Err(NoUnit::Gone))
    }

    /// A unit that was asked for need not come any more.
    pub(super) fn cancel(&self, hash: Hash, unit: u32) {
        for lane in &self.lanes {
            // A lane that is full sends it in vain.
            let _ = lane.try_send(Order::Cancel { hash, unit });
        }
    }

    /// The outline of content of so many bytes. What there is of it is asked for in the same breath, by `follow`, where
    /// that will be wanted.
    pub(super) async fn outline(
        &self,
        hash: Hash,
        size: u64,
        follow: Option<&Ask>,
    ) -> Result<Outline, NoOutline> {
        let (mut send, mut recv) = self.open(&Ask::Outline { hash }).await?;
        let _ = send.finish();
        let has_room = {
            let early = lock(&self.early);
            early.len() < MAX_EARLY && !early.contains_key(&hash)
        };
        if let Some(follow) = follow
            && has_room
            && let Ok(streams) = self.open(follow).await
        {
            lock(&self.early).insert(hash, streams);
        }
        let described = timeout(PATIENCE, frame::read(&mut recv, MAX_ANSWER)).await;
        match described.map_err(|_| NoOutline::NotThere)?? {
            Some(Told::Object(described)) if described.size == size => {}
            // What is of another length is other content, whoever made the link erred.
            _ => return Err(NoOutline::NotThere),
        }
        let mut bytes = vec![0; Outline::bytes_for(size)];
        match timeout(PATIENCE, recv.read_exact(&mut bytes)).await {
            Ok(read) => read?,
            Err(_) => return Err(NoOutline::NotThere),
        }
        let outline = tokio::task::spawn_blocking(move || Outline::from_bytes(hash, size, &bytes));
        outline.await.ok().flatten().ok_or(NoOutline::Wrong)
    }

    /// The stream that was opened for it with its outline, or a new one.
    pub(super) async fn follow(&self, hash: Hash, ask: &Ask) -> Result<Streams, FrameError> {
        let early = lock(&self.early).remove(&hash);
        match early {
            Some(streams) => Ok(streams),
            None => self.open(ask).await,
        }
    }

    /// Opens a stream that is about something.
    pub(super) async fn open(&self, ask: &Ask) -> Result<(SendStream, RecvStream), FrameError> {
        open(&self.connection, ask).await
    }
}

async fn open(connection: &Connection, ask: &Ask) -> Result<(SendStream, RecvStream), FrameError> {
    let opened = connection.open_bi().await;
    let (mut send, recv) = opened.map_err(quinn::WriteError::ConnectionLost)?;
    frame::write(&mut send, ask, MAX_ASK).await?;
    Ok((send, recv))
}

/// Carries out orders until nobody gives any more, or the stream ends.
async fn lane(connection: Connection, mut orders: mpsc::Receiver<Order>) {
    let first = tokio::select! {
        first = orders.recv() => first,
        _ = connection.closed() => None,
    };
    let Some(first) = first else { return };
    let Ok((send, recv)) = open(&connection, &Ask::Lane).await else {
        return;
    };
    let (expect, expected) = mpsc::channel(AHEAD);
    tokio::select! {
        () = ask(first, orders, send, expect) => {}
        () = take(recv, expected) => {}
    }
}

/// Asks; whoever is asked has the stream end when this does.
async fn ask(
    first: Order,
    mut orders: mpsc::Receiver<Order>,
    mut send: SendStream,
    expect: mpsc::Sender<Request>,
) {
    let mut next = Some(first);
    while let Some(order) = next {
        let (want, request) = match order {
            Order::Unit(request) => {
                let Request { hash, unit, .. } = request;
                (Want::Unit { hash, unit }, Some(request))
            }
            Order::Cancel { hash, unit } => (Want::Cancel { hash, unit }, None),
        };
        if let Some(request) = request
            && expect.send(request).await.is_err()
        {
            return;
        }
        if frame::write(&mut send, &want, MAX_ASK).await.is_err() {
            return;
        }
        next = orders.recv().await;
    }
}

/// Takes the answers in the order of the questions.
async fn take(mut recv: RecvStream, mut expected: mpsc::Receiver<Request>) {
    while let Some(request) = expected.recv().await {
        let Request {
            len, begins, reply, ..
        } = request;
        let answer = timeout(PATIENCE, answer(&mut recv, len, begins)).await;
        let Ok(Ok(answer)) = answer else {
            let _ = reply.send(Err(NoUnit::Gone));
            return;
        };
        // It may not be wanted any more.
        let _ = reply.send(answer);
    }
}

async fn answer(
    recv: &mut RecvStream,
    len: usize,
    begins: Option<oneshot::Sender<()>>,
) -> Result<Result<Vec<u8>, NoUnit>, FrameError> {
    match frame::read(recv, MAX_ANSWER).await? {
        Some(Answer::Unit { len: sent }) if sent as usize == len => {
            // Whoever wanted to know may be gone.
            let _ = begins.map(|begins| begins.send(()));
            let mut data = vec![0; len];
            recv.read_exact(&mut data).await?;
            Ok(Ok(data))
        }
        Some(Answer::Missing) => Ok(Err(NoUnit::Missing)),
        Some(Answer::Unit { .. }) | None => Err(FrameError::BadLength),
    }
}
