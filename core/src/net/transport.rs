//! How quinn is set up on a link whose path may change at any time.

use std::{sync::Arc, time::Duration};

use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use super::congestion::{Epoch, PathAwareFactory};
use crate::proto::{allowance, credit, outbound};

/// Largest QUIC packet on any path: with the lane's 8 bytes and an IPv6 header of 48 it fills an Ethernet frame of 1500.
///
/// One limit for all paths, so that a switch is never a black hole for packets that fitted before.
const MAX_PACKET: u16 = 1444;
/// What every network carries (RFC 9000 section 14).
const MIN_PACKET: u16 = 1200;

/// Longer than a path takes to fail over, a home router to restart, or a laptop to change networks.
const IDLE_TIMEOUT_MS: u32 = 180_000;
/// Rarely, as paths are kept open by questions of our own, which are more frequent. It and its repeats have the whole idle
/// timeout for an answer, which begins anew with it (RFC 9000 section 10.1).
const KEEP_ALIVE: Duration = Duration::from_secs(150);
/// Whoever was dialled leaves keeping alive to the dialler: one exchange is enough.
const SPARE_KEEP_ALIVE: Duration = Duration::from_secs(165);
/// Paths whose MTU grew are noticed this soon; quinn's default is 10 minutes.
const MTU_INTERVAL: Duration = Duration::from_secs(30);
const BLACK_HOLE_COOLDOWN: Duration = Duration::from_secs(10);
/// Between a path inside a city and one through a relay abroad. What is lost of a handshake is sent again after three of
/// these.
const INITIAL_RTT: Duration = Duration::from_millis(50);

/// Unidirectional streams beside those of the program: the one that carries credit.
pub(crate) const CONTROL_STREAMS: u64 = 1;

/// The settings of a connection of the link that `epoch` belongs to, on this side of it.
pub(crate) fn transport_config(epoch: Epoch, side: quinn::Side) -> TransportConfig {
    let keep_alive = match side {
        quinn::Side::Client => KEEP_ALIVE,
        quinn::Side::Server => SPARE_KEEP_ALIVE,
    };
    let mut mtu_discovery = MtuDiscoveryConfig::default();
    mtu_discovery
        .upper_bound(MAX_PACKET)
        .interval(MTU_INTERVAL)
        .black_hole_cooldown(BLACK_HOLE_COOLDOWN);
    let mut config = TransportConfig::default();
    config
        .initial_mtu(MIN_PACKET)
        .min_mtu(MIN_PACKET)
        .mtu_discovery_config(Some(mtu_discovery))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(Some(keep_alive))
        .initial_rtt(INITIAL_RTT)
        .max_concurrent_bidi_streams(window(allowance::FEW))
        .max_concurrent_uni_streams(window(allowance::FEW + CONTROL_STREAMS))
        // Caps for peers that keep to no credit; what a stream may carry is decided in `proto::credit`.
        .stream_receive_window(window(credit::MAX_WINDOW))
        .receive_window(window(credit::FLOOR))
        .send_window(outbound::MAX_WINDOW)
        .congestion_controller_factory(Arc::new(PathAwareFactory::new(epoch)));
    config
}

/// Makes a connection send at once after its path changed, instead of waiting out a probe timeout grown on the dead path.
///
/// Taking one byte off the receive window and giving it back queues a MAX_DATA frame, which the peer must acknowledge,
/// and wakes the connection; nothing else changes.
pub(crate) fn nudge(connection: &quinn::Connection, receive_window: u64) {
    connection.set_receive_window(window(receive_window - 1));
    connection.set_receive_window(window(receive_window));
}

/// A window, or a number of streams, as QUIC writes it.
pub(crate) fn window(bytes: u64) -> VarInt {
    VarInt::from_u64(bytes).unwrap_or(VarInt::MAX)
}
