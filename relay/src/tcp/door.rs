//! How many connections strangers may have.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::server::{Limits, Network, Shares};

/// Connections that are no streams yet, in all and of one network.
const HANDSHAKES: usize = 1024;
const HANDSHAKES_PER_NETWORK: usize = 64;

/// Counts connections by network. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Door {
    streams: usize,
    streams_per_network: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    handshakes: Handshakes,
    streams: Shares,
}

/// Connections that are no streams yet. Where there is no room, whoever was given most time gives way: a real client is done in
/// a few round trips, and those who are slow on purpose cannot keep others out.
#[derive(Debug, Default)]
struct Handshakes {
    shares: Shares,
    /// How each is told to give way; the oldest of a network first.
    waiting: BTreeMap<(Network, u64), Arc<Notify>>,
    last: u64,
}

impl Handshakes {
    fn add(&mut self, network: Network, per_network: usize) -> (u64, Arc<Notify>) {
        let held = self.shares.of(network);
        if held >= per_network {
            self.displace(network);
        } else if self.shares.total() >= HANDSHAKES {
            let greediest = self.shares.greediest();
            let greedier = greediest.filter(|other| self.shares.of(*other) > held);
            self.displace(greedier.unwrap_or(network));
        }
        self.last += 1;
        let leave = Arc::new(Notify::new());
        self.waiting.insert((network, self.last), leave.clone());
        self.shares.add(network, 1);
        (self.last, leave)
    }

    /// Has the oldest of a network give way.
    fn displace(&mut self, network: Network) {
        let mut waiting = self.waiting.range((network, 0)..=(network, u64::MAX));
        let oldest = waiting.next().map(|(&(_, number), _)| number);
        if let Some(leave) = oldest.and_then(|number| self.remove(network, number)) {
            leave.notify_one();
        }
    }

    /// None if it has given way before.
    fn remove(&mut self, network: Network, number: u64) -> Option<Arc<Notify>> {
        let removed = self.waiting.remove(&(network, number))?;
        self.shares.remove(network, 1);
        Some(removed)
    }
}

impl Door {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            streams: limits.clients,
            streams_per_network: limits.connections_per_ip,
            inside: Arc::default(),
        }
    }

    /// Streams that are open.
    pub(super) fn streams(&self) -> usize {
        self.lock().streams.total()
    }

    /// Lets a connection in that may become a stream. A reverse proxy brings many at a time.
    pub(super) fn enter(&self, from: SocketAddr, is_proxy: bool) -> Entered {
        let network = Network::of(from);
        let per_network = if is_proxy {
            HANDSHAKES
        } else {
            HANDSHAKES_PER_NETWORK
        };
        let (number, leave) = self.lock().handshakes.add(network, per_network);
        Entered {
            door: self.clone(),
            network,
            number,
            leave,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    door: Door,
    network: Network,
    number: u64,
    leave: Arc<Notify>,
}

impl Entered {
    /// Returns when it is to give way to another.
    pub(super) async fn displaced(&self) {
        self.leave.notified().await;
    }

    /// It became a stream of a client that is there; none if there is no room for more.
    pub(super) fn stays(self, from: SocketAddr) -> Option<Stream> {
        let network = Network::of(from);
        let mut inside = self.door.lock();
        let streams = &mut inside.streams;
        let room = streams.total() < self.door.streams
            && streams.of(network) < self.door.streams_per_network;
        room.then(|| {
            streams.add(network, 1);
            Stream {
                door: self.door.clone(),
                network,
            }
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut inside = self.door.lock();
        inside.handshakes.remove(self.network, self.number);
    }
}

/// A stream that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    door: Door,
    network: Network,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.door.lock().streams.remove(self.network, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, (last >> 8) as u8, last as u8], 1))
    }

    fn has_to_leave(entered: &Entered) -> bool {
        let mut leave = std::pin::pin!(entered.leave.notified());
        leave.as_mut().enable()
    }

    #[test]
    fn one_network_has_its_share_of_streams_and_leaves_the_rest_to_others() {
        let limits = Limits {
            clients: 3,
            connections_per_ip: 2,
            ..Limits::default()
        };
        let door = Door::new(limits);
        let enter = |last| door.enter(addr(last), false);
        let other = enter(2).stays(addr(2)).unwrap();
        let streams: Vec<_> = (0..3).filter_map(|_| enter(1).stays(addr(1))).collect();
        assert_eq!((streams.len(), door.streams()), (2, 3));
        assert!(enter(3).stays(addr(3)).is_none());
        drop((other, streams));
        assert_eq!(door.streams(), 0);
    }

    #[test]
    fn of_one_network_the_oldest_gives_way_and_nobody_of_others() {
        let door = Door::new(Limits::default());
        let other = door.enter(addr(2), false);
        let crowd: Vec<_> = (0..HANDSHAKES_PER_NETWORK + 2)
            .map(|_| door.enter(addr(1), false))
            .collect();
        let leaving: Vec<_> = crowd.iter().map(has_to_leave).collect();
        assert_eq!(leaving.iter().filter(|leaves| **leaves).count(), 2);
        assert!(leaving[0] && leaving[1]);
        assert!(!has_to_leave(&other));
        drop((other, crowd));
        let inside = door.lock();
        assert!(inside.handshakes.waiting.is_empty());
        assert_eq!(inside.handshakes.shares.total(), 0);
    }

    #[test]
    fn behind_a_reverse_proxy_many_may_come_at_a_time() {
        let door = Door::new(Limits::default());
        let crowd: Vec<_> = (0..HANDSHAKES).map(|_| door.enter(addr(1), true)).collect();
        assert!(!crowd.iter().any(has_to_leave));
        let _next = door.enter(addr(1), true);
        assert!(has_to_leave(&crowd[0]));
    }

    #[test]
    fn where_all_is_taken_whoever_holds_most_gives_way_to_who_comes_anew() {
        let door = Door::new(Limits::default());
        let networks = (HANDSHAKES / HANDSHAKES_PER_NETWORK) as u16;
        let crowd: Vec<_> = (0..HANDSHAKES as u16)
            .map(|nth| door.enter(addr(nth % networks), false))
            .collect();
        assert!(!crowd.iter().any(has_to_leave));
        let newcomers: Vec<_> = (1000..1100)
            .map(|last| door.enter(addr(last), false))
            .collect();
        assert!(!newcomers.iter().any(has_to_leave));
        let gave_way = crowd.iter().filter(|one| has_to_leave(one)).count();
        assert_eq!(gave_way, newcomers.len());
        assert_eq!(door.lock().handshakes.shares.total(), HANDSHAKES);
    }
}
