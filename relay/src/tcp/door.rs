//! How many connections strangers may have.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::server::{Limits, Network};

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
    handshakes: Count,
    streams: Count,
}

#[derive(Debug, Default)]
struct Count {
    in_all: usize,
    by_network: HashMap<Network, usize>,
}

impl Count {
    fn add(&mut self, network: Network, in_all: usize, per_network: usize) -> bool {
        let held = self.by_network.get(&network).copied().unwrap_or_default();
        let fits = self.in_all < in_all && held < per_network;
        if fits {
            self.in_all += 1;
            *self.by_network.entry(network).or_default() += 1;
        }
        fits
    }

    fn remove(&mut self, network: Network) {
        self.in_all -= 1;
        if let Some(held) = self.by_network.get_mut(&network) {
            *held -= 1;
            if *held == 0 {
                self.by_network.remove(&network);
            }
        }
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
        self.lock().streams.in_all
    }

    /// Lets a connection in that may become a stream; none where there is no room. A reverse proxy brings many at a time.
    pub(super) fn enter(&self, from: SocketAddr, is_proxy: bool) -> Option<Entered> {
        let network = Network::of(from);
        let per_network = if is_proxy {
            HANDSHAKES
        } else {
            HANDSHAKES_PER_NETWORK
        };
        let room = self.lock().handshakes.add(network, HANDSHAKES, per_network);
        room.then(|| Entered {
            door: self.clone(),
            network,
            is_tcp: false,
        })
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
    is_tcp: bool,
}

impl Entered {
    /// It became a stream of a client that is there; none if there is no room for more.
    pub(super) fn stays(self, from: SocketAddr) -> Option<Self> {
        let network = Network::of(from);
        let (in_all, per_network) = (self.door.streams, self.door.streams_per_network);
        let room = self.door.lock().streams.add(network, in_all, per_network);
        room.then(|| Self {
            door: self.door.clone(),
            network,
            is_tcp: true,
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut inside = self.door.lock();
        if self.is_tcp {
            inside.streams.remove(self.network);
        } else {
            inside.handshakes.remove(self.network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, (last >> 8) as u8, last as u8], 1))
    }

    #[test]
    fn one_network_has_its_share_and_leaves_the_rest_to_others() {
        let limits = Limits {
            clients: 3,
            connections_per_ip: 2,
            ..Limits::default()
        };
        let door = Door::new(limits);
        let crowd: Vec<_> = std::iter::from_fn(|| door.enter(addr(1), false)).collect();
        assert_eq!(crowd.len(), HANDSHAKES_PER_NETWORK);
        let other = door.enter(addr(2), false).unwrap().stays(addr(2)).unwrap();
        let streams: Vec<_> = crowd
            .into_iter()
            .filter_map(|it| it.stays(addr(1)))
            .collect();
        assert_eq!((streams.len(), door.streams()), (2, 3));
        assert!(door.enter(addr(3), false).unwrap().stays(addr(3)).is_none());
        drop((other, streams));
        assert_eq!(door.streams(), 0);
        assert!(door.lock().handshakes.by_network.is_empty());
        assert!(door.lock().streams.by_network.is_empty());
    }

    #[test]
    fn behind_a_reverse_proxy_many_may_come_at_a_time() {
        let door = Door::new(Limits::default());
        let crowd: Vec<_> = std::iter::from_fn(|| door.enter(addr(1), true)).collect();
        assert_eq!(crowd.len(), HANDSHAKES);
    }
}
