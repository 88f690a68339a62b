//! The streams of one connection and the credit for them: [`Flow`].
//!
//! What a stream may carry is decided by [`credit`](crate::proto::credit) and travels as
//! [`Credit`](crate::wire::credit::Credit) on the first unidirectional stream of each side, which programs never see. It is
//! opened with the connection and written to when the first credit beyond the initial one is due, so a connection without
//! streams costs nothing.

mod task;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Deref,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use futures_util::{FutureExt, task::AtomicWaker};
use quinn::{ConnectionError, Dir, StreamId};
use tokio::sync::Notify;

use crate::{
    RecvStream, SendStream,
    net::transport::{self, CONTROL_STREAMS},
    proto::{
        allowance::Allowance,
        credit::{Budget, Buffered, INITIAL, Inbound, Window},
    },
};

/// What the connections of one node hold together.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeMemory(Arc<Mutex<Buffered>>);

impl NodeMemory {
    /// For the connections of one more peer.
    pub(crate) fn link(&self) -> LinkMemory {
        LinkMemory {
            node: self.0.clone(),
            link: Arc::default(),
        }
    }
}

/// What the connections of one peer hold together.
#[derive(Clone, Debug)]
pub(crate) struct LinkMemory {
    node: Arc<Mutex<Buffered>>,
    /// Locked only after `node`.
    link: Arc<Mutex<Buffered>>,
}

impl LinkMemory {
    fn with<T>(&self, change: impl FnOnce(&mut Budget<'_>) -> T) -> T {
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut Budget {
            node: &mut node,
            link: &mut link,
        })
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Flow {
    quic: quinn::Connection,
    memory: LinkMemory,
    /// How many [`Usage`]s there are.
    users: AtomicUsize,
    state: Mutex<State>,
    opened_bi: Notify,
    opened_uni: Notify,
    granted: Notify,
}

/// A program's hold on a connection, which is closed when the last is gone: those of ours, here and in the driver, are no reason
/// for it to stay.
#[derive(Debug)]
pub(crate) struct Usage(Arc<Flow>);

impl Usage {
    pub(crate) fn begin(flow: Arc<Flow>) -> Self {
        flow.users.fetch_add(1, Ordering::Relaxed);
        Self(flow)
    }
}

impl Clone for Usage {
    fn clone(&self) -> Self {
        Self::begin(self.0.clone())
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        if self.0.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            // As quinn does.
            self.0.quic.close(0u32.into(), b"");
        }
    }
}

impl Deref for Usage {
    type Target = Arc<Flow>;

    fn deref(&self) -> &Arc<Flow> {
        &self.0
    }
}

#[derive(Debug)]
struct State {
    inbound: Inbound,
    /// How many streams the peer may open.
    allowed_bi: Allowance,
    allowed_uni: Allowance,
    /// How far we may send on the streams that we send on.
    credits: HashMap<StreamId, Arc<Limit>>,
    /// What the peer has to be told.
    grants: BTreeMap<StreamId, u64>,
    /// Until the task runs, which it does from the first stream on.
    control: Option<Option<quinn::SendStream>>,
    /// Streams that the peer opened and the program has not taken.
    bi: VecDeque<(Outgoing, Incoming)>,
    uni: VecDeque<Incoming>,
    ended: Option<ConnectionError>,
}

#[derive(Debug)]
struct Outgoing {
    quic: quinn::SendStream,
    limit: Arc<Limit>,
}

#[derive(Debug)]
struct Incoming {
    quic: quinn::RecvStream,
    window: Window,
}

impl Flow {
    pub(crate) fn new(quic: quinn::Connection, memory: LinkMemory) -> Arc<Self> {
        // Right after the handshake this takes no time, or the peer allows no stream and can be granted nothing.
        let control = quic.open_uni().now_or_never().and_then(Result::ok);
        Arc::new(Self {
            quic,
            memory,
            users: AtomicUsize::new(0),
            state: Mutex::new(State {
                inbound: Inbound::default(),
                allowed_bi: Allowance::bidirectional(),
                allowed_uni: Allowance::unidirectional(),
                credits: HashMap::new(),
                grants: BTreeMap::new(),
                control: Some(control),
                bi: VecDeque::new(),
                uni: VecDeque::new(),
                ended: None,
            }),
            opened_bi: Notify::new(),
            opened_uni: Notify::new(),
            granted: Notify::new(),
        })
    }

    pub(crate) async fn open_bi(
        self: &Arc<Self>,
    ) -> Result<(SendStream, RecvStream), ConnectionError> {
        self.start();
        let (send, recv) = self.quic.open_bi().await?;
        let (send, recv) = {
            let mut state = self.lock();
            (state.sends(send), self.receives(&mut state, recv))
        };
        Ok((self.sender(send), self.receiver(recv)))
    }

    pub(crate) async fn open_uni(self: &Arc<Self>) -> Result<SendStream, ConnectionError> {
        self.start();
        let send = self.quic.open_uni().await?;
        let send = self.lock().sends(send);
        Ok(self.sender(send))
    }

    pub(crate) async fn accept_bi(
        self: &Arc<Self>,
    ) -> Result<(SendStream, RecvStream), ConnectionError> {
        let take = |state: &mut State| (state.bi.pop_front(), state.bi.is_empty());
        let (send, recv) = self.accept(&self.opened_bi, take).await?;
        self.allow(Dir::Bi, Allowance::opened);
        Ok((self.sender(send), self.receiver(recv)))
    }

    pub(crate) async fn accept_uni(self: &Arc<Self>) -> Result<RecvStream, ConnectionError> {
        let take = |state: &mut State| (state.uni.pop_front(), state.uni.is_empty());
        let recv = self.accept(&self.opened_uni, take).await?;
        self.allow(Dir::Uni, Allowance::opened);
        Ok(self.receiver(recv))
    }

    /// `take` gives the first stream of a queue, and whether it was the last.
    async fn accept<S>(
        self: &Arc<Self>,
        opened: &Notify,
        take: impl Fn(&mut State) -> (Option<S>, bool),
    ) -> Result<S, ConnectionError> {
        self.start();
        loop {
            let mut another = pin!(opened.notified());
            another.as_mut().enable();
            {
                let mut state = self.lock();
                if let (Some(stream), is_last) = take(&mut state) {
                    if !is_last {
                        opened.notify_one();
                    }
                    return Ok(stream);
                }
                if let Some(error) = &state.ended {
                    return Err(error.clone());
                }
            }
            another.await;
        }
    }

    /// A program read from a stream whose window is due.
    pub(crate) fn grant(&self, stream: StreamId, window: &mut Window) {
        let rtt = self.quic.rtt();
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        let offset = self.change(&mut state, |inbound, budget| {
            inbound.grant(budget, window, now(), rtt)
        });
        if let Some(offset) = offset {
            state.grants.insert(stream, offset);
            self.granted.notify_one();
        }
    }

    /// Nothing more is read from a stream.
    pub(crate) fn received(&self, stream: StreamId, mut window: Window) {
        self.closed(stream);
        let mut state = self.lock();
        state.grants.remove(&stream);
        if state.ended.is_some() {
            return;
        }
        self.change(&mut state, |inbound, budget| {
            inbound.close(budget, &mut window)
        });
    }

    /// Streams that may still be sent on.
    pub(crate) fn sending(&self) -> u32 {
        u32::try_from(self.lock().credits.len()).unwrap_or(u32::MAX)
    }

    /// Nothing more is sent on a stream.
    pub(crate) fn sent(&self, stream: StreamId) {
        self.lock().credits.remove(&stream);
        self.closed(stream);
    }

    /// A stream is over in one direction.
    fn closed(&self, stream: StreamId) {
        if stream.initiator() != self.quic.side() {
            self.allow(stream.dir(), Allowance::closed);
        }
    }

    /// Lets QUIC know if the peer may open another number of streams now.
    fn allow(&self, dir: Dir, change: impl FnOnce(&mut Allowance) -> Option<u64>) {
        let mut state = self.lock();
        match dir {
            Dir::Bi => {
                if let Some(streams) = change(&mut state.allowed_bi) {
                    let streams = transport::window(streams);
                    self.quic.set_max_concurrent_bi_streams(streams);
                }
            }
            Dir::Uni => {
                if let Some(streams) = change(&mut state.allowed_uni) {
                    let streams = transport::window(streams + CONTROL_STREAMS);
                    self.quic.set_max_concurrent_uni_streams(streams);
                }
            }
        }
    }

    /// Makes the connection send at once after its path changed.
    pub(crate) fn nudge(&self) {
        let state = self.lock();
        transport::nudge(&self.quic, state.inbound.receive_window());
    }

    fn sender(self: &Arc<Self>, Outgoing { quic, limit }: Outgoing) -> SendStream {
        SendStream::new(quic, Usage::begin(self.clone()), limit)
    }

    fn receiver(self: &Arc<Self>, Incoming { quic, window }: Incoming) -> RecvStream {
        RecvStream::new(quic, Usage::begin(self.clone()), window)
    }

    fn receives(&self, state: &mut State, quic: quinn::RecvStream) -> Incoming {
        let window = self.change(state, |inbound, budget| inbound.open(budget, now()));
        Incoming { quic, window }
    }

    /// Lets QUIC know if its window changed.
    fn change<T>(
        &self,
        state: &mut State,
        change: impl FnOnce(&mut Inbound, &mut Budget<'_>) -> T,
    ) -> T {
        let before = state.inbound.receive_window();
        let inbound = &mut state.inbound;
        let outcome = self.memory.with(|budget| change(inbound, budget));
        let after = state.inbound.receive_window();
        if after != before {
            self.quic.set_receive_window(transport::window(after));
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.memory.with(|budget| state.inbound.end(budget));
    }
}

impl State {
    fn sends(&mut self, quic: quinn::SendStream) -> Outgoing {
        let limit = self.credits.entry(quic.id()).or_default().clone();
        Outgoing { quic, limit }
    }
}

/// As quinn's clock, which tests may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How far we may send on a stream.
#[derive(Debug)]
pub(crate) struct Limit {
    offset: AtomicU64,
    blocked: AtomicWaker,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            offset: AtomicU64::new(INITIAL),
            blocked: AtomicWaker::new(),
        }
    }
}

impl Limit {
    /// The offset up to which may be sent.
    pub(crate) fn offset(&self) -> u64 {
        self.offset.load(Ordering::Acquire)
    }

    /// Wakes this task when the limit is raised.
    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.blocked.register(waker);
    }

    fn raise(&self, offset: u64) {
        if self.offset.fetch_max(offset, Ordering::AcqRel) < offset {
            self.blocked.wake();
        }
    }
}
