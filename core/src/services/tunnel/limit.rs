//! What a service's limit lets through, each way, and of each peer: connections wait, datagrams beyond it are dropped.

mod policer;
mod queue;

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use self::{policer::Policer, queue::Queue};
use crate::{PeerId, services::Rate};

/// What may pass at once, as a time of the rate.
const BURST: Duration = Duration::from_millis(20);
/// What a connection asks leave for at a time; a peer's largest head start.
const PIECE: (usize, usize) = (1200, 64 << 10);

/// A service's limit, which holds for what goes to all peers together, and for what comes from them.
#[derive(Debug)]
pub(super) struct Limit {
    piece: usize,
    to_peers: Way,
    from_peers: Way,
}

impl Limit {
    pub(super) fn new(rate: Rate) -> Self {
        let burst = f64::from(rate.bytes_per_second()) * BURST.as_secs_f64();
        Self {
            piece: (burst as usize).clamp(PIECE.0, PIECE.1),
            to_peers: Way::new(rate),
            from_peers: Way::new(rate),
        }
    }
}

/// A peer's part of a limit.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) limit: Arc<Limit>,
    pub(super) peer: PeerId,
}

impl Share {
    /// What is asked leave for at a time, in bytes.
    pub(super) fn piece(&self) -> usize {
        self.limit.piece
    }

    /// Waits until a connection may send the peer so much.
    pub(super) async fn send(&self, len: usize) {
        self.limit.to_peers.enter(self.peer, len).await;
    }

    /// Waits until a connection may take so much from the peer.
    pub(super) async fn take(&self, len: usize) {
        self.limit.from_peers.enter(self.peer, len).await;
    }

    /// Whether the peer may be sent a datagram now.
    pub(super) fn sends(&self, len: usize) -> bool {
        self.limit.to_peers.admits(self.peer, len)
    }

    /// Whether a datagram of the peer may pass now.
    pub(super) fn takes(&self, len: usize) -> bool {
        self.limit.from_peers.admits(self.peer, len)
    }
}

/// One direction.
#[derive(Debug)]
struct Way {
    connections: Mutex<Connections>,
    /// Held by the one of those who wait that looks at the clock for all.
    clock: tokio::sync::Mutex<()>,
    datagrams: Mutex<Policer>,
}

#[derive(Debug)]
struct Connections {
    queue: Queue,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Way {
    fn new(rate: Rate) -> Self {
        let now = Instant::now();
        Self {
            connections: Mutex::new(Connections {
                queue: Queue::new(rate, BURST, now),
                waiting: BTreeMap::new(),
            }),
            clock: tokio::sync::Mutex::default(),
            datagrams: Mutex::new(Policer::new(rate, now)),
        }
    }

    async fn enter(&self, peer: PeerId, len: usize) {
        let (give, mut given) = oneshot::channel();
        let _waiting = self.wait(peer, len, give);
        let keeping_time = async {
            let _clock = self.clock.lock().await;
            loop {
                match self.pump() {
                    Some(pause) => sleep(pause).await,
                    None => pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            _ = &mut given => {}
            () = keeping_time => {}
        }
    }

    fn wait(&self, peer: PeerId, len: usize, give: oneshot::Sender<()>) -> Waiting<'_> {
        let mut connections = lock(&self.connections);
        let id = connections.queue.want(peer, len);
        connections.waiting.insert(id, give);
        Waiting {
            way: self,
            peer,
            id,
        }
    }

    /// Gives leave to whose turn it is, and says how long until there is more; none if nobody waits.
    fn pump(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut connections = lock(&self.connections);
        for id in connections.queue.poll(now) {
            if let Some(give) = connections.waiting.remove(&id) {
                // Who is gone has used its turn.
                let _ = give.send(());
            }
        }
        connections.queue.pause(now)
    }

    fn admits(&self, peer: PeerId, len: usize) -> bool {
        lock(&self.datagrams).admits(peer, len, Instant::now())
    }
}

/// A want; it is withdrawn when this is dropped before its leave.
struct Waiting<'a> {
    way: &'a Way,
    peer: PeerId,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut connections = lock(&self.way.connections);
        if connections.waiting.remove(&self.id).is_some() {
            connections.queue.withdraw(self.peer, self.id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::{task::JoinSet, time::timeout};

    use super::*;
    use crate::SecretKey;

    fn share(limit: &Arc<Limit>, seed: u8) -> Share {
        Share {
            limit: limit.clone(),
            peer: SecretKey::from_seed(&[seed; 32]).id(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_of_two_peers_wait_for_the_rate_and_share_it_however_many_they_are() {
        let limit = Arc::new(Limit::new("8mbit".parse().unwrap()));
        let mut sending = JoinSet::new();
        for (peer, connections) in [(1, 1), (2, 20)] {
            for _ in 0..connections {
                let share = share(&limit, peer);
                sending.spawn(async move {
                    let mut sent = 0;
                    let all = async {
                        loop {
                            share.send(10_000).await;
                            sent += 10_000;
                        }
                    };
                    let _: Result<(), _> = timeout(Duration::from_secs(10), all).await;
                    (peer, sent)
                });
            }
        }
        let mut sent = [0, 0];
        while let Some(done) = sending.join_next().await {
            let (peer, bytes) = done.unwrap();
            sent[usize::from(peer) - 1] += bytes;
        }
        let all = sent[0] + sent[1];
        assert!((9_900_000..10_300_000).contains(&all), "{sent:?}");
        assert!(sent[0] * 20 > all * 9, "{sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_time_and_leaves_holds_up_nobody() {
        let limit = Arc::new(Limit::new("8kbit".parse().unwrap()));
        let (first, second) = (share(&limit, 1), share(&limit, 2));
        first.send(10_000).await;
        let leaving = timeout(Duration::from_secs(1), first.send(1000));
        let staying = timeout(Duration::from_secs(30), second.send(1000));
        let (left, stayed) = tokio::join!(leaving, staying);
        assert!(left.is_err() && stayed.is_ok());
        assert!(lock(&limit.to_peers.connections).waiting.is_empty());
    }
}
