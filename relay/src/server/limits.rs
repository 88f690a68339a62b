//! How much of the relay one party may use.

use super::{bucket::Rate, volume::VolumeLimits};

/// Ceilings, all of them on by default. A *network* is an IPv4 address or an IPv6 /56.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What all clients together may send on the lane, of which networks get equal parts; none for no limit.
    pub lane_rate: Option<Rate>,
    /// What one client may send: lane and signals.
    pub client_rate: Rate,
    /// What a pair of clients may send to each other on the lane, both directions together.
    pub pair_rate: Rate,
    /// What may be sent on the lane in a month.
    pub volumes: VolumeLimits,
    /// Clients in all. Where there is no room, a network that has more than a newcomer's gives up one.
    pub clients: usize,
    /// Control connections per network.
    pub connections_per_ip: usize,
    /// Open channels in all.
    pub channels: usize,
    /// Open channels that one client opened.
    pub channels_per_client: usize,
    /// Channels to one client that it has not answered yet. Where there is no room, a network that has more of them than a
    /// newcomer's gives up one.
    pub waiting_per_client: usize,
    /// What may go on the lane of a channel before it is answered: the first flight of a handshake and its repetitions.
    pub waiting_rate: Rate,
    /// The same for all of one client's callers together, who share it by network.
    pub waiting_rate_in_all: Rate,
    /// Signals in each direction of a channel, per second.
    pub signals_per_pair: Rate,
    /// Signals per second to one client from callers whom it has not answered, who take turns by network.
    pub calls_per_client: Rate,
    /// STUN requests that are answered to one network, per second.
    pub stun_per_network: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lane_rate: None,
            client_rate: Rate::mib_per_second(64),
            pair_rate: Rate::mib_per_second(64),
            volumes: VolumeLimits::default(),
            clients: 10_000,
            connections_per_ip: 64,
            channels: 131_072,
            channels_per_client: 2048,
            waiting_per_client: 2048,
            waiting_rate: Rate::bytes_per_second(4 << 10),
            waiting_rate_in_all: Rate::mib_per_second(2),
            signals_per_pair: Rate::per_second(10),
            calls_per_client: Rate::per_second(512),
            stun_per_network: Rate::per_second(250),
        }
    }
}
