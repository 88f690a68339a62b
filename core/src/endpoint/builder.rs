//! What a node is to be: [`Builder`].

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::{broadcast, mpsc, watch};

use super::{BindError, Endpoint, Inner, owned};
use crate::{
    Access, DiscoverySecret, NodeSnapshot, PeerId, RelayUrl, SecretKey,
    net::{
        backlog::Backlog,
        clock,
        command::Outlets,
        driver::{Driver, Parts},
        lan::{Lan, LanError},
        mux::Mux,
        relay,
        tcp::Tls,
    },
    proto::{
        endpoint::{Machine, Settings},
        local::Ports,
    },
    tls,
};

/// Events that a slow reader may lag behind.
const EVENTS: usize = 256;

/// Configures an [`Endpoint`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) relays: Vec<RelayUrl>,
    pub(crate) alpns: Vec<Vec<u8>>,
    pub(crate) access: Access,
    pub(crate) bind: Option<SocketAddr>,
    pub(crate) relay_only: bool,
    pub(crate) no_port_mapping: bool,
    pub(crate) no_lan: bool,
    pub(crate) no_port_guessing: bool,
    pub(crate) no_tcp: bool,
    pub(crate) visits: bool,
    pub(crate) discovery: Option<DiscoverySecret>,
}

impl Builder {
    /// The node's identity; by default a new one that is not kept.
    #[must_use]
    pub fn secret_key(mut self, key: SecretKey) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// The node's own relays: it stays registered with them and names them in its ticket, the nearest first, and of those that are
    /// about as near the first of these.
    #[must_use]
    pub fn relays(mut self, relays: impl IntoIterator<Item = RelayUrl>) -> Self {
        self.relays = relays.into_iter().collect();
        self
    }

    /// Whether the node only dials through its relays, and is not to be found there; no by default. A relay that serves few takes in
    /// whoever comes to meet one of those.
    #[must_use]
    pub fn visits(mut self, visits: bool) -> Self {
        self.visits = visits;
        self
    }

    /// What the node's tickets say its published record is found with, where a program publishes one; nothing by default.
    #[must_use]
    pub fn discovery(mut self, secret: Option<DiscoverySecret>) -> Self {
        self.discovery = secret;
        self
    }

    /// The application protocols that [`Endpoint::accept`] takes; none by default.
    #[must_use]
    pub fn alpns<A: AsRef<[u8]>>(mut self, alpns: impl IntoIterator<Item = A>) -> Self {
        self.alpns = owned(alpns);
        self
    }

    /// Who may connect; everybody by default.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// The local address and port; by default every interface, IPv4 and IPv6, at a free port.
    #[must_use]
    pub fn bind_addr(mut self, addr: SocketAddr) -> Self {
        self.bind = Some(addr);
        self
    }

    /// Never sends to a peer directly, and tells no peer our addresses: relays alone know the public one, and are asked to keep it to
    /// themselves.
    #[must_use]
    pub fn relay_only(mut self, relay_only: bool) -> Self {
        self.relay_only = relay_only;
        self
    }

    /// Whether to ask the router for a port mapping (UPnP, PCP, NAT-PMP); yes by default, unless bound to loopback.
    #[must_use]
    pub fn port_mapping(mut self, enabled: bool) -> Self {
        self.no_port_mapping = !enabled;
        self
    }

    /// Whether to guess ports where a NAT gives every destination another one, and to let peers guess ours; yes by default,
    /// where the peer agrees. It costs up to some thousand small packets per peer, and at most 200 a second.
    #[must_use]
    pub fn port_guessing(mut self, enabled: bool) -> Self {
        self.no_port_guessing = !enabled;
        self
    }

    /// Whether to use TLS over TCP where datagrams do not get through, to relays and to peers; yes by default. Relays are also reached
    /// through the proxy that `HTTPS_PROXY` or `ALL_PROXY` names, unless `NO_PROXY` excepts them. A node that has a public address, or was
    /// bound to a single one, also listens at its port for peers whose network drops UDP.
    #[must_use]
    pub fn tcp(mut self, enabled: bool) -> Self {
        self.no_tcp = !enabled;
        self
    }

    /// Whether to find dialled peers on the local network by multicast DNS, and to be found there if any protocol is accepted;
    /// yes by default, unless bound to loopback or [`Builder::relay_only`]. Of the networks of an interface only IPv4 or IPv6
    /// takes part if our addresses in the other are public; none does if they are so in both.
    ///
    /// The announcement shows our id only to those who know it already, and to others that some node is here, at which address
    /// and port.
    #[must_use]
    pub fn lan_discovery(mut self, enabled: bool) -> Self {
        self.no_lan = !enabled;
        self
    }

    /// Opens the socket and starts the node.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(self) -> Result<Endpoint, BindError> {
        let key = match &self.secret_key {
            Some(key) => key.clone(),
            None => SecretKey::generate().map_err(BindError::Random)?,
        };
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let no_socket = |source| BindError::Socket {
            addr: self.bind.unwrap_or(any),
            source,
        };
        let (mux, side) = Mux::bind(self.bind).map_err(no_socket)?;
        let server = tls::quic_server(&key, &self.alpns)?;
        let quic = quic_endpoint(&key, &mux, server.clone()).map_err(no_socket)?;
        let ports = ports(&mux);
        let lan = self.lan(key.id());
        let map_ports = !self.no_port_mapping && !self.is_on_loopback();
        let machine = Machine::new(self.settings(&key, ports, lan.is_ok())?);
        let (commands, inbox) = mpsc::channel(64);
        let backlog = Backlog::default();
        let accepted = backlog.sender();
        let events = broadcast::Sender::new(EVENTS);
        let snapshot = watch::Sender::new(Arc::new(NodeSnapshot::empty(key.id())));
        let inner = Inner {
            key: key.clone(),
            commands,
            events: events.clone(),
            snapshot: snapshot.subscribe(),
            alpns: watch::Sender::new(self.alpns.clone()),
            accepted: backlog,
        };
        let use_tcp = !self.no_tcp && !self.relay_only;
        let relay_streams = (!self.no_tcp).then(|| relay::Streams::new(mux.clone()));
        let driver = Driver::start(Parts {
            tls: use_tcp.then(|| Tls::new(&key)).transpose()?,
            relay_streams: relay_streams.transpose()?.map(Arc::new),
            visits: self.visits,
            discovery: self.discovery,
            key,
            machine,
            mux,
            side,
            quic,
            server,
            alpns: inner.alpns.subscribe(),
            home_relays: self.relays,
            map_ports: if map_ports { ports } else { Ports::default() },
            lan,
            commands: inbox,
            outlets: Outlets {
                events,
                snapshot,
                accepted,
            },
        })
        .await;
        #[expect(
            clippy::disallowed_methods,
            reason = "the one task that owns the node's state"
        )]
        tokio::spawn(driver.run());
        Ok(Endpoint(Arc::new(inner)))
    }

    fn settings(&self, key: &SecretKey, ports: Ports, lan: bool) -> Result<Settings, BindError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| BindError::Random(error.into()))?;
        let bound = self.bind.map(|addr| addr.ip());
        Ok(Settings {
            key: key.clone(),
            access: self.access.clone(),
            relay_only: self.relay_only,
            lan,
            guess_ports: !self.no_port_guessing,
            tcp: !self.no_tcp,
            bound: bound.filter(|ip| !ip.is_unspecified()),
            ports,
            seed,
            now: clock::now(),
            unix_ms: clock::unix_ms(),
        })
    }

    fn lan(&self, id: PeerId) -> Result<Lan, LanError> {
        if self.no_lan || self.relay_only || self.is_on_loopback() {
            return Err(LanError::Off);
        }
        Lan::start(id)
            .inspect_err(|error| tracing::debug!(%error, "no discovery on the local network"))
    }

    fn is_on_loopback(&self) -> bool {
        self.bind.is_some_and(|addr| addr.ip().is_loopback())
    }
}

fn ports(mux: &Mux) -> Ports {
    let port = |addr: Option<SocketAddr>| addr.map_or(0, |addr| addr.port());
    Ports {
        v4: port(mux.local_v4()),
        v6: port(mux.local_v6()),
    }
}

fn quic_endpoint(
    key: &SecretKey,
    mux: &Arc<Mux>,
    server: quinn::ServerConfig,
) -> std::io::Result<quinn::Endpoint> {
    quinn::Endpoint::new_with_abstract_socket(
        tls::endpoint_config(key, "node"),
        Some(server),
        mux.clone(),
        Arc::new(quinn::TokioRuntime),
    )
}
