//! A server in a process of its own, and a crowd of peers in this one.

use std::{io, net::SocketAddr, time::Duration};

use peerway::{PeerId, RelayUrl, Ticket};
use tokio::task::spawn_blocking;

use crate::{
    Failure,
    dials::{peerway_dials, quinn_dials, relay_dials},
    process::{self, Beside},
};

/// Which of the two is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Quinn,
    Peerway,
    Relay,
}

impl Kind {
    /// A node beside what it is built on.
    pub(crate) const BOTH: [Self; 2] = [Self::Quinn, Self::Peerway];
    /// The same for a relay.
    pub(crate) const RELAY: [Self; 2] = [Self::Quinn, Self::Relay];
}

/// The server's process; it ends with this.
pub(crate) struct Server {
    process: Beside,
    address: Address,
    relay: RelayUrl,
}

#[derive(Clone)]
enum Address {
    Quinn(SocketAddr, PeerId),
    Peerway(Box<Ticket>),
    Relay(RelayUrl),
}

/// One peer of the server, with its connections.
pub(crate) enum Peer {
    Quinn(quinn::Endpoint, Vec<quinn::Connection>),
    Peerway(peerway::Endpoint, Vec<peerway::Connection>),
    Relay(relay_dials::Registered),
}

/// Serves downloads until the parent closes our input.
pub(crate) async fn serve(kind: Kind, relay: &RelayUrl, rate: Option<u64>) -> Result<(), Failure> {
    let serving = async {
        match kind {
            Kind::Quinn => {
                let (endpoint, id) = quinn_dials::listen()?;
                println!("{} {id}", endpoint.local_addr()?);
                quinn_dials::serve_downloads(&endpoint).await;
            }
            Kind::Peerway => {
                let node = peerway_dials::node(Some(relay)).await?;
                println!("{}", node.ticket());
                peerway_dials::serve_downloads(&node).await;
            }
            Kind::Relay => {
                let relay = relay_dials::listen(rate).await?;
                println!("{}", relay.url());
                relay.run().await;
            }
        }
        Ok(())
    };
    let closed = spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    tokio::select! {
        served = serving => served,
        _ = closed => Ok(()),
    }
}

impl Server {
    pub(crate) async fn start(kind: Kind, relay: &RelayUrl) -> Result<Self, Failure> {
        let (kind_name, relay_url) = (format!("{kind:?}").to_lowercase(), relay.to_string());
        let process = Beside::run(&["serve", &kind_name, &relay_url], None).await?;
        let line = &process.line;
        let address = match kind {
            Kind::Quinn => {
                let (addr, id) = line.split_once(' ').ok_or("no address")?;
                Address::Quinn(addr.parse()?, id.parse()?)
            }
            Kind::Peerway => Address::Peerway(Box::new(line.parse()?)),
            Kind::Relay => Address::Relay(line.parse()?),
        };
        let relay = relay.clone();
        Ok(Self {
            process,
            address,
            relay,
        })
    }

    /// A new peer with this many connections; `nth` tells its address from those of others.
    pub(crate) async fn visit(&self, nth: usize, connections: usize) -> Result<Peer, Failure> {
        match &self.address {
            Address::Quinn(addr, id) => {
                let (client, config) = quinn_dials::client()?;
                let mut open = Vec::new();
                for _ in 0..connections {
                    open.push(quinn_dials::dial(&client, config.clone(), *addr, *id).await?);
                }
                Ok(Peer::Quinn(client, open))
            }
            Address::Peerway(ticket) => {
                let client = peerway_dials::client(nth, Some(&self.relay)).await?;
                let mut open = Vec::new();
                for _ in 0..connections {
                    open.push(peerway_dials::dial(&client, ticket.as_ref().clone()).await?);
                }
                Ok(Peer::Peerway(client, open))
            }
            Address::Relay(url) => Ok(Peer::Relay(
                relay_dials::Registered::register(url, nth).await?,
            )),
        }
    }

    pub(crate) fn memory_kib(&self) -> Result<f64, Failure> {
        Ok(process::memory_kib(self.process.pid()?)?)
    }

    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        Ok(process::cpu(self.process.pid()?)?)
    }
}

impl Peer {
    /// Fetches a megabyte.
    pub(crate) async fn download(&self) -> Result<(), Failure> {
        match self {
            Self::Quinn(_, open) => {
                quinn_dials::download(open.first().ok_or("no connection")?).await
            }
            Self::Peerway(_, open) => {
                peerway_dials::download(open.first().ok_or("no connection")?).await
            }
            Self::Relay(_) => Err("a relay has nothing to fetch".into()),
        }
    }

    /// Says goodbye.
    pub(crate) async fn leave(self) {
        match self {
            Self::Quinn(endpoint, _) => {
                endpoint.close(0_u32.into(), b"");
                endpoint.wait_idle().await;
            }
            Self::Peerway(endpoint, _) => endpoint.close().await,
            Self::Relay(registered) => registered.leave().await,
        }
    }
}
