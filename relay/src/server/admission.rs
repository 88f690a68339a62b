//! Whose connection attempts are answered.
//!
//! An attempt's source address may be forged until the client has shown that it received something there, so forged ones
//! must not use up the room of the address they name: they count for themselves, and past a few of them the client is asked
//! to prove its address first (QUIC Retry, RFC 9000 section 8.1.2), which costs the relay no state.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

/// Attempts from unproven addresses that are worked on at once, of all and of one network.
const UNPROVEN: usize = 128;
const UNPROVEN_PER_NETWORK: usize = 8;

/// What to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on with the handshake; tell [`Admission::end`] when the attempt or its connection is over.
    Accept,
    /// Ask for a proof of the address.
    Retry,
    /// Refuse: this network has enough connections.
    Refuse,
}

/// An attempt that was accepted, or the connection it became.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    network: IpAddr,
    proven: bool,
}

#[derive(Debug, Default)]
struct Network {
    proven: usize,
    unproven: usize,
}

/// Counts connections and attempts by network.
#[derive(Debug)]
pub struct Admission {
    per_network: usize,
    networks: HashMap<IpAddr, Network>,
    unproven: usize,
}

impl Admission {
    /// Allows `per_network` connections from one IPv4 address or IPv6 /64.
    #[must_use]
    pub fn new(per_network: usize) -> Self {
        Self {
            per_network,
            networks: HashMap::new(),
            unproven: 0,
        }
    }

    /// Decides on an attempt from `remote`; `proven` says whether it holds that address.
    pub fn attempt(&mut self, remote: SocketAddr, proven: bool) -> (Decision, Option<Admitted>) {
        let network = network_of(remote);
        let counts = self.networks.get(&network);
        let (connections, attempts) =
            counts.map_or((0, 0), |counts| (counts.proven, counts.unproven));
        let full = connections >= self.per_network;
        if proven && full {
            return (Decision::Refuse, None);
        }
        if !proven && (full || attempts >= UNPROVEN_PER_NETWORK || self.unproven >= UNPROVEN) {
            return (Decision::Retry, None);
        }
        let admitted = Admitted { network, proven };
        *self.count(&admitted) += 1;
        self.unproven += usize::from(!proven);
        (Decision::Accept, Some(admitted))
    }

    /// The handshake is done, which proves the address. None, with the attempt ended, if its network is full by now.
    #[must_use]
    pub fn proven(&mut self, admitted: Admitted) -> Option<Admitted> {
        if admitted.proven {
            return Some(admitted);
        }
        let network = admitted.network;
        self.end(admitted);
        let counts = self.networks.entry(network).or_default();
        if counts.proven >= self.per_network {
            return None;
        }
        counts.proven += 1;
        Some(Admitted {
            network,
            proven: true,
        })
    }

    /// An attempt or connection is over.
    pub fn end(&mut self, admitted: Admitted) {
        let count = self.count(&admitted);
        *count = count.saturating_sub(1);
        self.unproven = self.unproven.saturating_sub(usize::from(!admitted.proven));
        let network = admitted.network;
        if self
            .networks
            .get(&network)
            .is_some_and(|counts| counts.proven + counts.unproven == 0)
        {
            self.networks.remove(&network);
        }
    }

    fn count(&mut self, admitted: &Admitted) -> &mut usize {
        let counts = self.networks.entry(admitted.network).or_default();
        if admitted.proven {
            &mut counts.proven
        } else {
            &mut counts.unproven
        }
    }
}

/// One subscriber usually holds an IPv4 address or an IPv6 /64.
fn network_of(remote: SocketAddr) -> IpAddr {
    match remote.ip().to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1)
    }

    #[test]
    fn forged_attempts_do_not_use_up_the_room_of_their_victim() {
        let mut admission = Admission::new(4);
        let forged: Vec<_> = (0..100)
            .filter_map(|_| admission.attempt(from("192.0.2.1"), false).1)
            .collect();
        assert_eq!(forged.len(), UNPROVEN_PER_NETWORK);
        assert_eq!(
            admission.attempt(from("192.0.2.1"), false).0,
            Decision::Retry
        );
        assert_eq!(
            admission.attempt(from("192.0.2.1"), true).0,
            Decision::Accept
        );
        forged.into_iter().for_each(|one| admission.end(one));
        assert_eq!(
            admission.attempt(from("192.0.2.1"), false).0,
            Decision::Accept
        );
    }

    #[test]
    fn a_network_gets_its_share_and_room_again_after_one_leaves() {
        let mut admission = Admission::new(2);
        let network = |host: u16| from(&format!("2001:db8:1:2::{host}"));
        let first = admission.attempt(network(1), true).1.unwrap();
        let second = admission.attempt(network(2), false).1.unwrap();
        let second = admission.proven(second).unwrap();
        assert_eq!(admission.attempt(network(3), true).0, Decision::Refuse);
        assert_eq!(
            admission.attempt(from("2001:db8:1:3::1"), true).0,
            Decision::Accept
        );
        admission.end(first);
        assert_eq!(admission.attempt(network(3), true).0, Decision::Accept);
        admission.end(second);
    }

    #[test]
    fn an_attempt_that_proves_itself_too_late_is_turned_away() {
        let mut admission = Admission::new(1);
        let late = admission.attempt(from("192.0.2.1"), false).1.unwrap();
        let in_time = admission.attempt(from("192.0.2.1"), true).1.unwrap();
        assert_eq!(admission.proven(late), None);
        admission.end(in_time);
        assert!(admission.networks.is_empty());
        assert_eq!(admission.unproven, 0);
    }
}
