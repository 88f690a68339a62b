//! How many connections strangers may have.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::server::{Handshakes, Limits, Network, Shares};

/// Connections that are no streams yet, in all and of one network.
const HANDSHAKES: usize = 1024;
const HANDSHAKES_PER_NETWORK: usize = 64;

/// Counts connections by network. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Door {
    handshakes: usize,
    streams: usize,
    streams_per_network: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    handshakes: Places,
    streams: Places,
    /// The time for TLS.
    tls: Handshakes,
}

/// Who holds places.
#[derive(Debug, Default)]
struct Places {
    shares: Shares,
    /// How each is told to give way; the oldest of a network first.
    taken: BTreeMap<(Network, u64), Arc<Notify>>,
    last: u64,
}

impl Places {
    /// Takes a place that there is; returns its number.
    fn take(&mut self, network: Network) -> (u64, Arc<Notify>) {
        self.last += 1;
        let leave = Arc::new(Notify::new());
        self.taken.insert((network, self.last), leave.clone());
        self.shares.add(network, 1);
        (self.last, leave)
    }

    fn displace_oldest(&mut self, network: Network) {
        let mut taken = self.taken.range((network, 0)..=(network, u64::MAX));
        let oldest = taken.next().map(|(&(_, number), _)| number);
        self.displace(network, oldest);
    }

    fn displace_newest(&mut self, network: Network) {
        let mut taken = self.taken.range((network, 0)..=(network, u64::MAX));
        let newest = taken.next_back().map(|(&(_, number), _)| number);
        self.displace(network, newest);
    }

    fn displace(&mut self, network: Network, number: Option<u64>) {
        if let Some(leave) = number.and_then(|number| self.free(network, number)) {
            leave.notify_one();
        }
    }

    /// None if it was given up before.
    fn free(&mut self, network: Network, number: u64) -> Option<Arc<Notify>> {
        let freed = self.taken.remove(&(network, number))?;
        self.shares.remove(network, 1);
        Some(freed)
    }
}

impl Door {
    /// Of a port that may have so many connections.
    pub(super) fn new(limits: Limits, room: usize) -> Self {
        let handshakes = HANDSHAKES.min(room / 4).max(1);
        Self {
            handshakes,
            streams: limits.clients.min(room.saturating_sub(handshakes)),
            streams_per_network: limits.connections_per_ip,
            inside: Arc::default(),
        }
    }

    /// Streams that are open.
    pub(super) fn streams(&self) -> usize {
        self.lock().streams.shares.total()
    }

    /// Lets a connection in that may become a stream. Where there is no room, whoever was given most time gives way: a real
    /// client is done in a few round trips, and those who are slow on purpose cannot keep others out. A reverse proxy brings
    /// many at a time.
    pub(super) fn enter(&self, from: SocketAddr, is_proxy: bool) -> Place {
        let network = Network::of(from);
        let per_network = if is_proxy {
            self.handshakes
        } else {
            HANDSHAKES_PER_NETWORK
        };
        let handshakes = &mut self.lock().handshakes;
        let held = handshakes.shares.of(network);
        if held >= per_network {
            handshakes.displace_oldest(network);
        } else if handshakes.shares.total() >= self.handshakes {
            let greediest = handshakes.shares.greediest();
            let greedier = greediest.filter(|other| handshakes.shares.of(*other) > held);
            handshakes.displace_oldest(greedier.unwrap_or(network));
        }
        let (number, leave) = handshakes.take(network);
        self.place(Stage::Handshake, network, number, leave)
    }

    /// Takes the time for a TLS handshake.
    ///
    /// # Errors
    /// When to ask again, if too many come at once, of all or of this network.
    pub(super) fn begin_tls(&self, now: Instant, from: SocketAddr) -> Result<(), Duration> {
        self.lock().tls.take(now, Network::of(from))
    }

    /// A place for a stream of a client that is there; none if its network has its share. Where all are taken, they are shared
    /// out as the seats of clients are.
    fn stay(&self, from: SocketAddr) -> Option<Place> {
        let network = Network::of(from);
        let streams = &mut self.lock().streams;
        if streams.shares.of(network) >= self.streams_per_network {
            return None;
        }
        if streams.shares.total() >= self.streams {
            let greediest = streams.shares.yielding_to(network)?;
            streams.displace_newest(greediest);
        }
        let (number, leave) = streams.take(network);
        Some(self.place(Stage::Stream, network, number, leave))
    }

    fn place(&self, stage: Stage, network: Network, number: u64, leave: Arc<Notify>) -> Place {
        Place {
            door: self.clone(),
            stage,
            network,
            number,
            leave,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Handshake,
    Stream,
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Door,
    stage: Stage,
    network: Network,
    number: u64,
    leave: Arc<Notify>,
}

impl Place {
    /// Returns when it is to give way to another.
    pub(super) async fn displaced(&self) {
        self.leave.notified().await;
    }

    /// It became a stream of a client that is there; none if there is no room for more.
    pub(super) fn stays(self, from: SocketAddr) -> Option<Self> {
        self.door.stay(from)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.door.lock();
        let places = match self.stage {
            Stage::Handshake => &mut inside.handshakes,
            Stage::Stream => &mut inside.streams,
        };
        places.free(self.network, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, (last >> 8) as u8, last as u8], 1))
    }

    fn has_to_leave(place: &Place) -> bool {
        let mut leave = std::pin::pin!(place.leave.notified());
        leave.as_mut().enable()
    }

    #[test]
    fn one_network_has_its_share_of_streams_and_leaves_the_rest_to_others() {
        let limits = Limits {
            clients: 3,
            connections_per_ip: 2,
            ..Limits::default()
        };
        let door = Door::new(limits, usize::MAX);
        let enter = |last| door.enter(addr(last), false);
        let other = enter(2).stays(addr(2)).unwrap();
        let streams: Vec<_> = (0..3).filter_map(|_| enter(1).stays(addr(1))).collect();
        assert_eq!((streams.len(), door.streams()), (2, 3));
        drop((other, streams));
        assert_eq!(door.streams(), 0);
    }

    #[test]
    fn many_networks_cannot_keep_another_from_having_streams() {
        let limits = Limits {
            clients: 8,
            connections_per_ip: 4,
            ..Limits::default()
        };
        let door = Door::new(limits, usize::MAX);
        let stay = |last| door.enter(addr(last), false).stays(addr(last));
        let crowd: Vec<_> = (0..8).filter_map(|nth| stay(1 + nth % 2)).collect();
        let newcomers: Vec<_> = (0..4).filter_map(|_| stay(3)).collect();
        let leaving: Vec<_> = crowd.iter().map(has_to_leave).collect();
        assert_eq!(newcomers.len(), 2, "until all hold the same");
        assert_eq!(
            leaving,
            [false, false, false, false, false, false, true, true]
        );
        assert_eq!(door.streams(), 8);
        drop((crowd, newcomers));
        assert_eq!(door.streams(), 0);
        assert!(door.lock().streams.taken.is_empty());
    }

    #[test]
    fn where_the_system_gives_little_room_whoever_holds_most_gives_way_too() {
        let room = 40;
        let door = Door::new(Limits::default(), room);
        let slow: Vec<_> = (0..room).map(|_| door.enter(addr(1), false)).collect();
        let leaving = slow.iter().filter(|place| has_to_leave(place)).count();
        assert_eq!(leaving, room - room / 4);
        let stay = |last| door.enter(addr(last), false).stays(addr(last));
        let crowd: Vec<_> = (0..room).filter_map(|_| stay(2)).collect();
        assert_eq!(crowd.len(), room - room / 4);
        assert!(stay(3).is_some());
    }

    #[test]
    fn of_one_network_the_oldest_gives_way_and_nobody_of_others() {
        let door = Door::new(Limits::default(), usize::MAX);
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
        assert!(inside.handshakes.taken.is_empty());
        assert_eq!(inside.handshakes.shares.total(), 0);
    }

    #[test]
    fn a_network_that_begins_tls_too_often_waits_and_others_do_not() {
        let door = Door::new(Limits::default(), usize::MAX);
        let now = crate::hub::now().instant;
        let greedy = (0..5000).filter(|_| door.begin_tls(now, addr(1)).is_err());
        assert!(greedy.count() > 4000);
        assert_eq!(door.begin_tls(now, addr(2)), Ok(()));
    }

    #[test]
    fn behind_a_reverse_proxy_many_may_come_at_a_time() {
        let door = Door::new(Limits::default(), usize::MAX);
        let crowd: Vec<_> = (0..HANDSHAKES).map(|_| door.enter(addr(1), true)).collect();
        assert!(!crowd.iter().any(has_to_leave));
        let _next = door.enter(addr(1), true);
        assert!(has_to_leave(&crowd[0]));
    }

    #[test]
    fn where_all_is_taken_whoever_holds_most_gives_way_to_who_comes_anew() {
        let door = Door::new(Limits::default(), usize::MAX);
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
