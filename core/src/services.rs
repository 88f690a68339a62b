//! What people do over a link: [`ping`], [`speed`] and the TCP [`tunnel`].
//!
//! Services use only the public API of this crate, so each of them is also an example of it. [`Services`] is the listening
//! side: it accepts connections on an endpoint and gives each to the service that its application protocol names.

pub mod ping;
pub mod speed;
pub mod tunnel;

#[cfg(test)]
mod testing;

use std::net::SocketAddr;

use tokio::task::JoinSet;

use crate::{Connection, Endpoint};
use tunnel::{Exposed, ServiceName};

/// The services that a node offers to its peers.
#[derive(Clone, Debug)]
pub struct Services {
    diagnostics: bool,
    exposed: Exposed,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            diagnostics: true,
            exposed: Exposed::default(),
        }
    }
}

impl Services {
    /// Answers ping and speed, exposes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether ping and speed are answered; yes by default.
    #[must_use]
    pub fn diagnostics(mut self, enabled: bool) -> Self {
        self.diagnostics = enabled;
        self
    }

    /// Lets peers reach the TCP server at `target` under `name`.
    #[must_use]
    pub fn expose(mut self, name: ServiceName, target: SocketAddr) -> Self {
        self.exposed.insert(name, target);
        self
    }

    /// The protocols to give to [`crate::Builder::alpns`].
    #[must_use]
    pub fn alpns(&self) -> Vec<&'static [u8]> {
        let mut alpns = Vec::new();
        if self.diagnostics {
            alpns.extend([ping::ALPN, speed::ALPN]);
        }
        if !self.exposed.is_empty() {
            alpns.push(tunnel::ALPN);
        }
        alpns
    }

    /// Serves peers until the endpoint is closed; dropping the future ends all services at once.
    pub async fn run(&self, endpoint: &Endpoint) {
        let mut served = JoinSet::new();
        loop {
            tokio::select! {
                accepted = endpoint.accept() => match accepted {
                    Some(connection) => drop(served.spawn(self.clone().serve(connection))),
                    None => return,
                },
                Some(_) = served.join_next() => {}
            }
        }
    }

    async fn serve(self, connection: Connection) {
        match connection.alpn().as_slice() {
            ping::ALPN => ping::serve(&connection).await,
            speed::ALPN => speed::serve(&connection).await,
            tunnel::ALPN => tunnel::serve(&connection, &self.exposed).await,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_offered_is_announced() {
        assert_eq!(Services::new().alpns(), [ping::ALPN, speed::ALPN]);
        let exposing = Services::new()
            .diagnostics(false)
            .expose("web".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(exposing.alpns(), [tunnel::ALPN]);
    }
}
