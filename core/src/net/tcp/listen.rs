//! Taking streams from whoever knocks, with bounds on what strangers can hold.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::sleep,
};

use super::{Established, Tls};

/// Handshakes at once, and of those from one address.
const MAX_HANDSHAKES: usize = 64;
const MAX_PER_ADDRESS: usize = 8;
/// Connections that the kernel holds until we look.
const BACKLOG: i32 = 64;
/// After the system refused to hand out a connection, as it does without descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener(JoinHandle<()>);

impl Listener {
    /// Listens at this address and hands over what has proved a key.
    ///
    /// # Errors
    /// The system's: most often, somebody else listens there.
    pub(crate) fn spawn(
        addr: SocketAddr,
        tls: Tls,
        established: mpsc::Sender<Established>,
    ) -> io::Result<Self> {
        let listener = bind(addr)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "it owns its state and ends with its handle"
        )]
        let task = tokio::spawn(Door::new(tls).keep(listener, established));
        Ok(Self(task))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(addr);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    // A port whose last connections are still fading out is free to us.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Who is in a handshake.
struct Door {
    tls: Tls,
    handshakes: FuturesUnordered<BoxFuture<'static, (IpAddr, io::Result<Established>)>>,
    per_address: BTreeMap<IpAddr, usize>,
}

impl Door {
    fn new(tls: Tls) -> Self {
        Self {
            tls,
            handshakes: FuturesUnordered::new(),
            per_address: BTreeMap::new(),
        }
    }

    async fn keep(mut self, listener: TcpListener, established: mpsc::Sender<Established>) {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((tcp, addr)) => self.admit(tcp, addr),
                    Err(error) => {
                        tracing::debug!(%error, "cannot accept");
                        sleep(PAUSE).await;
                    }
                },
                Some((ip, done)) = self.handshakes.next() => {
                    self.leave(ip);
                    match done {
                        // A full queue is a flood of known keys: it loses its own.
                        Ok(stream) => drop(established.try_send(stream)),
                        Err(error) => tracing::trace!(%error, "handshake"),
                    }
                }
            }
        }
    }

    /// Begins a handshake, or hangs up where there are too many.
    fn admit(&mut self, tcp: TcpStream, addr: SocketAddr) {
        let ip = network(addr.ip());
        let here = self.per_address.get(&ip).copied().unwrap_or_default();
        if self.handshakes.len() >= MAX_HANDSHAKES || here >= MAX_PER_ADDRESS {
            return;
        }
        self.per_address.insert(ip, here + 1);
        let accept = self.tls.clone().accept(tcp, addr);
        self.handshakes
            .push(Box::pin(async move { (ip, accept.await) }));
    }

    fn leave(&mut self, ip: IpAddr) {
        if let Some(here) = self.per_address.get_mut(&ip) {
            *here -= 1;
            if *here == 0 {
                self.per_address.remove(&ip);
            }
        }
    }
}

/// What one subscriber has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::from((ip.to_bits() >> 64 << 64).to_be_bytes()),
    }
}
