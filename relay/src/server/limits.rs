//! How much of the relay one party may use.

use super::bucket::Rate;

/// Ceilings, all of them on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What one client may send: lane and signals.
    pub client_rate: Rate,
    /// What a pair of clients may send to each other on the lane, both directions together.
    pub pair_rate: Rate,
    /// Open channels per client.
    pub pairs_per_client: usize,
    /// Control connections per IPv4 address or IPv6 /64 network.
    pub connections_per_ip: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            client_rate: Rate::mib_per_second(64),
            pair_rate: Rate::mib_per_second(64),
            pairs_per_client: 256,
            connections_per_ip: 64,
        }
    }
}
