//! Where a forward listens: [`Bound`].

use std::{
    future::pending,
    io::{self, ErrorKind},
    net::SocketAddr,
};

use peerway::services::tunnel::{ForwardError, Forwarder, Transport};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
};

use super::ListenError;
#[cfg(unix)]
use super::unix::Socket;
use crate::kept::Local;

/// A free port has to be one for TCP and for UDP; so many are looked at.
const TRIES: usize = 16;

/// Where programs of this computer find the service.
pub(crate) enum Bound {
    /// Until it is known which of them it is; UDP may be taken there where TCP is not.
    Addr(TcpListener, io::Result<UdpSocket>),
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(Socket),
}

impl Bound {
    pub(crate) async fn open(local: &Local) -> Result<(Self, String), ListenError> {
        let (bound, name) = match local {
            Local::Addr(addr) => {
                let failed = |source| listen(addr, source);
                let (tcp, udp) = both(*addr).await.map_err(failed)?;
                let name = tcp.local_addr().map_err(failed)?.to_string();
                (Self::Addr(tcp, udp), name)
            }
            Local::Udp(addr) => {
                let failed = |source| listen(addr, source);
                let udp = UdpSocket::bind(addr).await.map_err(failed)?;
                let name = udp_name(udp.local_addr().map_err(failed)?);
                (Self::Udp(udp), name)
            }
            #[cfg(unix)]
            Local::Unix(path) => {
                let failed = |source| listen(&format!("unix:{}", path.display()), source);
                let socket = Socket::open(path).map_err(failed)?;
                (Self::Unix(socket), format!("unix:{}", path.display()))
            }
        };
        Ok((bound, name))
    }

    /// The same where UDP at that address is another forward's.
    pub(crate) async fn open_beside_udp(local: &Local) -> Result<(Self, String), ListenError> {
        let Local::Addr(addr) = local else {
            return Self::open(local).await;
        };
        let failed = |source| listen(addr, source);
        let tcp = TcpListener::bind(addr).await.map_err(failed)?;
        let name = tcp.local_addr().map_err(failed)?.to_string();
        Ok((Self::Addr(tcp, Err(ErrorKind::AddrInUse.into())), name))
    }

    /// What a service has to take to be reached here; none if either does.
    pub(crate) fn wants(&self) -> Option<Transport> {
        match self {
            Self::Addr(..) => None,
            Self::Udp(_) => Some(Transport::Datagrams),
            #[cfg(unix)]
            Self::Unix(_) => Some(Transport::Stream),
        }
    }

    /// Forwards what comes. `found` says what the service takes, once that is known, and `udp` is told where that is UDP.
    pub(crate) async fn run(
        self,
        forwarder: &Forwarder,
        mut found: watch::Receiver<Option<Transport>>,
        udp: impl FnOnce(String),
        failed: impl Fn(&ForwardError) + Clone + Send + 'static,
    ) -> Result<(), ListenError> {
        match self {
            Self::Udp(socket) => forwarder.run_udp(socket, failed).await,
            #[cfg(unix)]
            Self::Unix(socket) => forwarder.run_unix(socket.listener, failed).await,
            Self::Addr(listener, socket) => {
                let addr = listener
                    .local_addr()
                    .map_err(|source| listen(&"a port", source))?;
                let is_udp = async {
                    let found = found.wait_for(Option::is_some).await;
                    if found.is_ok_and(|it| *it == Some(Transport::Datagrams)) {
                        return socket;
                    }
                    // Another forward may lead UDP from the same port.
                    drop(socket);
                    pending().await
                };
                let socket = tokio::select! {
                    () = forwarder.run(listener, failed.clone()) => return Ok(()),
                    socket = is_udp => socket,
                };
                let socket = socket.map_err(|source| listen(&udp_name(addr), source))?;
                udp(udp_name(addr));
                forwarder.run_udp(socket, failed).await;
            }
        }
        Ok(())
    }
}

async fn both(addr: SocketAddr) -> io::Result<(TcpListener, io::Result<UdpSocket>)> {
    let mut tries = 0;
    loop {
        let tcp = TcpListener::bind(addr).await?;
        let udp = UdpSocket::bind(tcp.local_addr()?).await;
        tries += 1;
        if udp.is_ok() || addr.port() != 0 || tries == TRIES {
            return Ok((tcp, udp));
        }
    }
}

fn udp_name(addr: SocketAddr) -> String {
    format!("udp://{addr}")
}

fn listen(addr: &impl ToString, source: io::Error) -> ListenError {
    let addr = addr.to_string();
    ListenError { addr, source }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_forward_leaves_udp_to_another_at_the_same_port() {
        // Where no other test has UDP at a port of that number.
        let any = Local::Addr(([127, 3, 2, 1], 0).into());
        let (_tcp, name) = Bound::open_beside_udp(&any).await.unwrap();
        let other = Local::Udp(name.parse().unwrap());
        assert!(Bound::open(&other).await.is_ok());
    }

    #[tokio::test]
    async fn a_free_port_is_one_for_tcp_and_for_udp() {
        let any = Local::Addr((Ipv4Addr::LOCALHOST, 0).into());
        let (bound, name) = Bound::open(&any).await.unwrap();
        let Bound::Addr(tcp, Ok(udp)) = bound else {
            panic!("not both");
        };
        assert_eq!(tcp.local_addr().unwrap(), udp.local_addr().unwrap());
        let taken = Local::Udp(udp.local_addr().unwrap());
        let error = Bound::open(&taken).await.err().unwrap().to_string();
        assert!(
            error.contains(&format!("cannot listen on {name}")),
            "{error}"
        );
    }
}
