//! SOCKS5 and HTTP CONNECT for services of peers, and for nothing else: [`Proxy`].

mod associate;
mod http;
mod socks;

pub use associate::AssociateCounts;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use self::associate::Associations;
use super::{
    ForwardError, Forwarder, ServiceName,
    begin::First,
    splice::{ResetOnDrop, StopOnDrop, splice},
};
use crate::{ConnectError, Endpoint, PeerId, Ticket};

/// Programs' connections at a time; more wait.
const MAX_CONNECTIONS: usize = 1024;
/// What a program may take to say where it wants to go.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head that is read.
const MAX_HEAD: usize = 8 * 1024;
/// When the system has no sockets left.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The last part of all names.
const ZONE: &str = "peer";

/// Leads programs of this computer that speak SOCKS5 (RFC 1928) or HTTP CONNECT (RFC 9110) to services of peers, by names like
/// `web.nas.peer`: the service `web` of the peer that is called `nas`. Where both have dots, the longest name of a peer counts. Everything else is refused; ports mean nothing.
#[derive(Clone)]
pub struct Proxy {
    endpoint: Endpoint,
    whom: Arc<Whom>,
    /// One for each peer, whose connection all its services share.
    peers: Arc<Mutex<BTreeMap<PeerId, Forwarder>>>,
    associations: Arc<Associations>,
}

/// Which peer is called so.
type Whom = dyn Fn(&str) -> Option<Ticket> + Send + Sync;

impl Proxy {
    /// `whom` says which peer is called so. Programs may write names in lower case; a service's is compared letter by letter.
    pub fn new(
        endpoint: Endpoint,
        whom: impl Fn(&str) -> Option<Ticket> + Send + Sync + 'static,
    ) -> Self {
        Self {
            endpoint,
            whom: Arc::new(whom),
            peers: Arc::default(),
            associations: Arc::default(),
        }
    }

    /// What became of UDP datagrams so far, of all programs.
    #[must_use]
    pub fn datagrams(&self) -> AssociateCounts {
        self.associations.counts()
    }

    /// Serves the programs that `listener` accepts, and tells `refused` what they asked for in vain, and why. Whoever reaches the
    /// listener reaches the peers' services: it is for an address of this computer alone.
    pub async fn run(
        &self,
        listener: TcpListener,
        refused: impl Fn(&str, &ProxyError) + Clone + Send + 'static,
    ) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
            }
            match listener.accept().await {
                Ok((tcp, _)) => {
                    connections.spawn(self.clone().serve(tcp, refused.clone()));
                }
                Err(error) => {
                    debug!(%error, "no connection is accepted");
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn serve(
        self,
        mut tcp: TcpStream,
        refused: impl Fn(&str, &ProxyError) + Clone + Send + 'static,
    ) {
        let _ = tcp.set_nodelay(true);
        let asked = timeout(PATIENCE, ask(&mut tcp)).await;
        let Ok(Ok(Some(asked))) = asked else {
            return;
        };
        let host = match asked.want {
            Want::Connect(host) => host,
            Want::Associate(announced) => {
                if let Err(error) = self.associate(tcp, announced, refused).await {
                    debug!(%error, "datagrams by the proxy ended early");
                }
                return;
            }
        };
        let opened = match &host {
            Ok(host) => self.open(host, asked.early).await,
            Err(error) => Err(error.clone()),
        };
        let reply = asked.speaks.reply(opened.as_ref().err());
        if let Err(error) = &opened {
            refused(host.as_deref().unwrap_or("?"), error);
        }
        if tcp.write_all(&reply).await.is_err() {
            return;
        }
        if let Ok((send, recv)) = opened
            && let Err(error) = splice(tcp.into(), send, recv).await
        {
            debug!(%error, "a connection by the proxy ended early");
        }
    }

    async fn open(
        &self,
        host: &str,
        early: Vec<u8>,
    ) -> Result<(ResetOnDrop, StopOnDrop), ProxyError> {
        let (service, ticket) = self.meant(host)?;
        let forwarder = {
            let mut peers = self.peers.lock().await;
            let known = peers.entry(ticket.id());
            let name = service.clone();
            let known =
                known.or_insert_with(|| Forwarder::new(self.endpoint.clone(), ticket, name));
            known.to(service)
        };
        forwarder.connected().await?;
        Ok(forwarder.open(None, First::of(early)).await?)
    }

    /// Both names may have dots: the longest name of a peer that there is counts.
    fn meant(&self, host: &str) -> Result<(ServiceName, Ticket), ProxyError> {
        let name = inside_zone(host).ok_or(ProxyError::Foreign)?;
        let mut error = ProxyError::Foreign;
        for (dot, _) in name.match_indices('.') {
            let (service, peer) = (name.get(..dot), name.get(dot + 1..));
            let (Some(Ok(service)), Some(peer)) = (service.map(str::parse), peer) else {
                continue;
            };
            if let Some(ticket) = (self.whom)(peer) {
                return Ok((service, ticket));
            }
            error = ProxyError::UnknownPeer;
        }
        Err(error)
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

/// Service and peer.
fn inside_zone(host: &str) -> Option<&str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let (name, zone) = host.rsplit_once('.')?;
    zone.eq_ignore_ascii_case(ZONE).then_some(name)
}

/// Why a program is not led where it wants to go.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Only names of services of peers are served.
    #[error("it is not SERVICE.PEER.peer, and nothing else is reached by this proxy")]
    Foreign,
    /// Give the peer a name in the address book.
    #[error("no peer is called so in the address book")]
    UnknownPeer,
    /// A request that this proxy does not know: only connections are made.
    #[error("only CONNECT, and UDP ASSOCIATE of SOCKS5, are served by this proxy")]
    Command,
    /// See the inner error.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

/// What a program asks for.
struct Asked {
    speaks: Speaks,
    want: Want,
    /// What it sent behind its question.
    early: Vec<u8>,
}

enum Want {
    /// A connection to a service of this name.
    Connect(Result<String, ProxyError>),
    /// Datagrams carried, which come from here if that is said.
    Associate(Option<SocketAddr>),
}

/// What a request says.
struct Head {
    want: Want,
    /// Of the request, in bytes.
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Socks,
    Http,
}

impl Speaks {
    fn reply(self, error: Option<&ProxyError>) -> Vec<u8> {
        match self {
            Self::Socks => socks::reply(error),
            Self::Http => http::reply(error),
        }
    }
}

/// None if it speaks neither, and was told so where that can be said.
async fn ask(tcp: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let mut read = Vec::new();
    more(tcp, &mut read).await?;
    if read.first() != Some(&socks::VERSION) {
        loop {
            match http::parse(&read) {
                Some(Some(head)) => {
                    return Ok(Some(Asked {
                        speaks: Speaks::Http,
                        early: read.split_off(head.len),
                        want: head.want,
                    }));
                }
                Some(None) => {
                    tcp.write_all(http::MALFORMED).await?;
                    return Ok(None);
                }
                None => more(tcp, &mut read).await?,
            }
        }
    }
    let Some(len) = until(tcp, &mut read, socks::greeting).await? else {
        tcp.write_all(&socks::NO_METHOD).await?;
        return Ok(None);
    };
    tcp.write_all(&socks::NO_PASSWORD).await?;
    let mut read = read.split_off(len);
    let Some(head) = until(tcp, &mut read, socks::request).await? else {
        tcp.write_all(&socks::reply(Some(&ProxyError::Command)))
            .await?;
        return Ok(None);
    };
    Ok(Some(Asked {
        speaks: Speaks::Socks,
        early: read.split_off(head.len),
        want: head.want,
    }))
}

/// What is read once there is enough of it; none if it is nonsense.
async fn until<T>(
    tcp: &mut TcpStream,
    read: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Option<Option<T>>,
) -> std::io::Result<Option<T>> {
    loop {
        match parse(read) {
            Some(parsed) => return Ok(parsed),
            None => more(tcp, read).await?,
        }
    }
}

async fn more(tcp: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<()> {
    if read.len() >= MAX_HEAD || tcp.read_buf(read).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// What stands in the way, as both protocols say it in their own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Foreign,
    Unknown,
    Command,
    NotAllowed,
    Refused,
    Unreachable,
}

impl Refusal {
    fn of(error: &ProxyError) -> Self {
        match error {
            ProxyError::Foreign => Self::Foreign,
            ProxyError::Command | ProxyError::Forward(ForwardError::IsUdp { .. }) => Self::Command,
            ProxyError::UnknownPeer | ProxyError::Forward(ForwardError::UnknownService { .. }) => {
                Self::Unknown
            }
            ProxyError::Forward(
                ForwardError::NotAllowed { .. }
                | ForwardError::Connect(ConnectError::NoSuchService | ConnectError::Closed(_)),
            ) => Self::NotAllowed,
            ProxyError::Forward(ForwardError::TargetRefused { .. }) => Self::Refused,
            ProxyError::Forward(_) => Self::Unreachable,
        }
    }
}

#[cfg(test)]
mod tests;
