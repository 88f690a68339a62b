//! What a node may keep of what it sent and nobody acknowledged, shared out by peer.
//!
//! A peer that grants much and acknowledges nothing fills the memory of whoever sends to it. So the send windows of a node's
//! connections sum up to no more than [`NODE`] and a floor for each, and a peer with many connections divides its own share.

/// The largest send window: 3.2 Gbit/s at 80 ms, which 16 peers can have at a time.
pub const MAX_WINDOW: u64 = 32 << 20;
/// What all connections of a node may keep beyond their [`FLOOR`]s.
const NODE: u64 = 512 << 20;
/// What every connection may keep: 50 Mbit/s at 80 ms. With 64 KiB, thousands of streams that nobody reads hold up the others.
pub const FLOOR: u64 = 512 << 10;

/// The send window of each of a peer's connections, where so many peers have any. It changes when the number of peers passes a
/// power of two, so that not every coming and going concerns all.
pub fn send_window(peers: usize, connections: usize) -> u64 {
    let peers = peers.max(1).next_power_of_two() as u64;
    (NODE / peers / connections.max(1) as u64).clamp(FLOOR, MAX_WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_nobody_acknowledges_is_bounded_per_node() {
        for peers in 1..5000 {
            for connections in [1, 4, 64] {
                let each = send_window(peers, connections);
                let kept = peers as u64 * connections as u64 * (each.max(FLOOR) - FLOOR);
                assert!(
                    kept <= NODE,
                    "{peers} peers with {connections} each: {kept}"
                );
                assert!(each >= FLOOR);
            }
        }
    }

    #[test]
    fn a_few_peers_have_whole_windows_and_many_connections_hurt_only_their_own_peer() {
        assert_eq!(send_window(16, 1), MAX_WINDOW);
        assert!(send_window(100, 1) >= 4 << 20);
        assert_eq!(send_window(100, 8) * 8, send_window(100, 1));
    }
}
