//! Taking streams from whoever knocks, with bounds on what strangers can hold.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use futures_util::{
    StreamExt,
    future::{AbortHandle, Aborted, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::sleep,
};

use super::{Established, Tls};
use crate::proto::shares::{Limits, Origin, Room, Shares};

/// Handshakes at once.
const HANDSHAKES: Limits = Limits {
    in_all: 64,
    of_site: 16,
    of_network: 8,
    of_peer: 8,
};
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
    handshakes: FuturesUnordered<BoxFuture<'static, Done>>,
    /// By the order in which they began.
    under_way: BTreeMap<u64, AbortHandle>,
    shares: Shares<u64>,
    begun: u64,
}

/// A handshake that is over, unless it had to give way to another.
type Done = (u64, Result<io::Result<Established>, Aborted>);

impl Door {
    fn new(tls: Tls) -> Self {
        Self {
            tls,
            handshakes: FuturesUnordered::new(),
            under_way: BTreeMap::new(),
            shares: Shares::new(HANDSHAKES),
            begun: 0,
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
                Some((number, done)) = self.handshakes.next() => {
                    self.leave(number);
                    match done {
                        // The driver is behind, or at its end: the peer dials again.
                        Ok(Ok(stream)) => drop(established.try_send(stream)),
                        Ok(Err(error)) => tracing::trace!(%error, "handshake"),
                        Err(Aborted) => {}
                    }
                }
            }
        }
    }

    /// Begins a handshake, or hangs up where there are too many.
    fn admit(&mut self, tcp: TcpStream, addr: SocketAddr) {
        let origin = Origin {
            peer: None,
            ip: addr.ip(),
        };
        match self.shares.room(origin, |_| true) {
            Room::Free => {}
            Room::Instead(greediest) => {
                for oldest in greediest.into_iter().take(1) {
                    self.leave(oldest);
                }
            }
            Room::Full | Room::Over => return,
        }
        self.begun += 1;
        let number = self.begun;
        let (handshake, abort) = abortable(self.tls.clone().accept(tcp, addr));
        self.shares.take(number, origin);
        self.under_way.insert(number, abort);
        self.handshakes
            .push(Box::pin(async move { (number, handshake.await) }));
    }

    fn leave(&mut self, number: u64) {
        self.shares.release(number);
        if let Some(handshake) = self.under_way.remove(&number) {
            handshake.abort();
        }
    }
}
