//! Connections one after the other, of both kinds.

pub(crate) mod peerway_dials;
pub(crate) mod quinn_dials;
pub(crate) mod relay_dials;

use std::net::{Ipv4Addr, SocketAddr};

use peerway::{RelayUrl, SecretKey};
use peerway_relay::{Config, Relay};

use crate::Failure;

/// Bytes of one download.
pub(crate) const DOWNLOAD: usize = 1_000_000;

const ALPN: &[u8] = b"bench";
/// Makes a stream known to its other end.
const HELLO: &[u8] = b"hello";

/// Has a relay on loopback for as long as the bench runs.
pub(crate) async fn beside_relay(
    bench: impl AsyncFnOnce(&RelayUrl) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let relay = Relay::bind(Config::new(addr, SecretKey::generate()?)).await?;
    let url = relay.url();
    tokio::select! {
        outcome = bench(&url) => outcome,
        () = relay.run() => Err("the relay ended".into()),
    }
}
