//! Clients of a relay that are registered and do nothing else.

use std::net::{Ipv4Addr, SocketAddr};

use peerway::{
    RelayUrl, SecretKey,
    relay::{self, RelayEvent, RelayHandle},
};
use peerway_relay::{Config, Rate, Relay};
use quinn::Endpoint;
use tokio::sync::mpsc;

use super::peerway_dials::loopback;
use crate::Failure;

/// A relay on loopback where each client may send so many MiB a second, if any number is said.
pub(crate) async fn listen(rate: Option<u64>) -> Result<Relay, Failure> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = Config::new(addr, SecretKey::generate()?);
    // No line is faster.
    config.limits.client_rate = Rate::mib_per_second(rate.unwrap_or(100_000));
    config.limits.pair_rate = config.limits.client_rate;
    Ok(Relay::bind(config).await?)
}

/// A registered client.
pub(crate) struct Registered {
    endpoint: Endpoint,
    handle: RelayHandle,
    /// Full or not, the client stays registered as long as somebody could hear of it.
    _events: mpsc::Receiver<(RelayUrl, RelayEvent)>,
}

impl Registered {
    /// Registers, from an address that `nth` tells from others.
    pub(crate) async fn register(url: &RelayUrl, nth: usize) -> Result<Self, Failure> {
        let endpoint = Endpoint::client(SocketAddr::from((loopback(nth)?, 0)))?;
        let (sender, mut events) = mpsc::channel(16);
        let key = SecretKey::generate()?;
        let handle = relay::spawn(endpoint.clone(), url.clone(), &key, sender)?;
        loop {
            match events.recv().await {
                Some((_, RelayEvent::Resolved { addr, .. })) => handle.dial(addr),
                Some((_, RelayEvent::Up { .. })) => break,
                Some((_, RelayEvent::Down { error, .. })) => return Err(error.into()),
                Some(_) => {}
                None => return Err("the client ended".into()),
            }
        }
        Ok(Self {
            endpoint,
            handle,
            _events: events,
        })
    }

    /// Says goodbye.
    pub(crate) async fn leave(self) {
        drop(self.handle);
        self.endpoint.wait_idle().await;
    }
}
