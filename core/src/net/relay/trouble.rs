//! Why a relay that does not answer does not: what the system, a router on the way, or the line makes of packets to it.
//!
//! QUIC hears nothing of refusals, as its socket talks to many. A socket of its own asks the relay by STUN, which is answered
//! with few bytes however long the request is, and hears what else is said.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn_udp::UdpSocketState;
use tokio::time::{Instant, timeout_at};

use crate::net::stun;

/// QUIC's smallest first packet (RFC 9000 section 14.1), without IP and UDP headers.
const QUIC: usize = 1200;
/// Longer than the shortest request; every line carries it.
const SMALL: usize = 64;
/// How far apart the lengths are that are tried first, and then between two of those.
const STEPS: [usize; 2] = [48, 4];
/// The shortest of them.
const FIRST: usize = 528;
/// How long answers are waited for, and when the requests are repeated.
const WAIT: Duration = Duration::from_millis(500);
const REPEAT: Duration = Duration::from_millis(200);

/// What becomes of packets to a relay that does not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayTrouble {
    /// This computer sends none: look at its firewall, or its routes.
    #[error("{}", local(.0))]
    NotSent(#[source] Arc<io::Error>),
    /// Somebody on the way, or the relay's own computer, sends them back.
    #[error("{}", remote(.0))]
    Rejected(#[source] Arc<io::Error>),
    /// Give the line, or the tunnel in it, an MTU that QUIC can use.
    #[error("the line to it carries only packets up to {limit} bytes, and QUIC needs {needed}")]
    Narrow {
        /// The longest packet that was answered, headers included.
        limit: usize,
        /// QUIC's shortest first packet.
        needed: usize,
    },
    /// Look at the relay.
    #[error(
        "it answers STUN but not QUIC: another program has its port, or large packets are lost on the way back"
    )]
    StunAlone,
    /// Look at the relay, and at the firewalls on the way to it.
    #[error("it does not answer: it is down, or UDP is blocked on the way to it")]
    Silent,
}

impl RelayTrouble {
    fn not_sent(error: io::Error) -> Self {
        Self::NotSent(Arc::new(error))
    }

    /// An error after something was sent is mostly an answer to that (ICMP), which only firewalls of this computer give as a lack
    /// of permission.
    fn later(error: io::Error) -> Self {
        if error.kind() == ErrorKind::PermissionDenied {
            Self::not_sent(error)
        } else {
            Self::Rejected(Arc::new(error))
        }
    }
}

fn local(error: &io::Error) -> String {
    const NO_ROUTE: [ErrorKind; 4] = [
        ErrorKind::NetworkUnreachable,
        ErrorKind::HostUnreachable,
        ErrorKind::NetworkDown,
        ErrorKind::AddrNotAvailable,
    ];
    if error.kind() == ErrorKind::PermissionDenied {
        format!("this computer lets no packets to it out ({error}): look at its firewall")
    } else if NO_ROUTE.contains(&error.kind()) {
        format!("this computer has no route to it ({error})")
    } else {
        format!("this computer cannot send to it ({error})")
    }
}

fn remote(error: &io::Error) -> String {
    const CLOSED: [ErrorKind; 2] = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
    if CLOSED.contains(&error.kind()) {
        format!("nothing listens at its port ({error})")
    } else {
        format!("a router or firewall on the way refuses packets to it ({error})")
    }
}

/// Asks the relay at this address, from this address of ours if it is a certain one; takes 1.5 s at most.
pub(super) async fn look(relay: SocketAddr, from: Option<IpAddr>) -> RelayTrouble {
    match Asking::start(relay, from) {
        Ok(asking) => asking.look().await.unwrap_or_else(|error| error),
        Err(error) => RelayTrouble::not_sent(error),
    }
}

struct Asking {
    socket: tokio::net::UdpSocket,
    headers: usize,
}

impl Asking {
    fn start(relay: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let any = match relay {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let from = from.filter(|from| from.is_ipv4() == relay.is_ipv4());
        let socket = UdpSocket::bind((from.unwrap_or(any), 0))?;
        // Forbids fragments, as for QUIC's packets.
        UdpSocketState::new((&socket).into())?;
        socket.connect(relay)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: tokio::net::UdpSocket::from_std(socket)?,
            headers: if relay.is_ipv4() { 28 } else { 48 },
        })
    }

    async fn look(&self) -> Result<RelayTrouble, RelayTrouble> {
        match self.longest(&[SMALL, QUIC]).await? {
            None => Ok(RelayTrouble::Silent),
            Some(QUIC) => Ok(RelayTrouble::StunAlone),
            Some(_) => self.width().await,
        }
    }

    /// The longest packet that the line carries.
    async fn width(&self) -> Result<RelayTrouble, RelayTrouble> {
        let (mut longest, mut end) = (SMALL, QUIC);
        for step in STEPS {
            let first = (longest + step).max(FIRST);
            let lengths: Vec<usize> = (first..end).step_by(step).collect();
            longest = self.longest(&lengths).await?.unwrap_or(longest);
            end = end.min(longest + step);
            if longest < FIRST {
                break;
            }
        }
        Ok(RelayTrouble::Narrow {
            limit: longest + self.headers,
            needed: QUIC + self.headers,
        })
    }

    /// The longest of requests of these lengths that is answered.
    async fn longest(&self, lengths: &[usize]) -> Result<Option<usize>, RelayTrouble> {
        let requests = lengths.iter().map(|length| Request::new(*length));
        let mut open: Vec<Request> = requests
            .collect::<io::Result<_>>()
            .map_err(RelayTrouble::not_sent)?;
        let began = Instant::now();
        let (first, rest) = open.split_at(1);
        self.send(first).await.map_err(RelayTrouble::not_sent)?;
        self.send(rest).await.map_err(RelayTrouble::later)?;
        let mut longest = None;
        for until in [REPEAT, WAIT] {
            if until == WAIT {
                self.send(&open).await.map_err(RelayTrouble::later)?;
            }
            while let Ok(tx) = timeout_at(began + until, self.answer()).await {
                let tx = tx.map_err(RelayTrouble::later)?;
                if let Some(at) = open.iter().position(|request| request.tx == tx) {
                    longest = longest.max(Some(open.swap_remove(at).length));
                }
                if open.is_empty() {
                    return Ok(longest);
                }
            }
        }
        Ok(longest)
    }

    async fn send(&self, requests: &[Request]) -> io::Result<()> {
        for request in requests {
            ignore_losses(self.socket.send(&request.bytes).await)?;
        }
        Ok(())
    }

    /// Which request is answered next.
    async fn answer(&self) -> io::Result<[u8; 12]> {
        let mut buffer = [0; 256];
        loop {
            let received = ignore_losses(self.socket.recv(&mut buffer).await)?;
            let datagram = received.and_then(|len| buffer.get(..len));
            if let Some(Ok(response)) = datagram.map(stun::parse_response) {
                return Ok(response.tx);
            }
        }
    }
}

/// Keeps the errors that are refusals. Others, as that a packet is too long for an interface or a router, are as good as loss.
fn ignore_losses(done: io::Result<usize>) -> io::Result<Option<usize>> {
    const REFUSALS: [ErrorKind; 6] = [
        ErrorKind::PermissionDenied,
        ErrorKind::NetworkUnreachable,
        ErrorKind::HostUnreachable,
        ErrorKind::NetworkDown,
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
    ];
    match done {
        Ok(len) => Ok(Some(len)),
        Err(error) if REFUSALS.contains(&error.kind()) => Err(error),
        Err(_) => Ok(None),
    }
}

struct Request {
    tx: [u8; 12],
    length: usize,
    bytes: Vec<u8>,
}

impl Request {
    fn new(length: usize) -> io::Result<Self> {
        let mut tx = [0; 12];
        getrandom::fill(&mut tx)?;
        let bytes = stun::padded_request(tx, length);
        Ok(Self { tx, length, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A relay's STUN behind a line that carries so many bytes.
    async fn behind(limit: usize) -> SocketAddr {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            loop {
                let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
                if len + 28 <= limit {
                    let answer = stun::answer(&buffer[..len], from, None).unwrap();
                    socket.send_to(&answer.bytes, from).await.unwrap();
                }
            }
        });
        addr
    }

    #[tokio::test]
    async fn a_line_that_is_too_narrow_for_quic_is_measured() {
        for limit in [1124, 1224, 576] {
            let said = look(behind(limit).await, None).await.to_string();
            let expected = format!(
                "the line to it carries only packets up to {limit} bytes, and QUIC needs 1228"
            );
            assert_eq!(said, expected);
        }
    }

    #[tokio::test]
    async fn what_answers_stun_and_nothing_else_is_told_from_what_is_silent() {
        let wide = look(behind(1500).await, None).await;
        assert!(matches!(wide, RelayTrouble::StunAlone), "{wide}");
        let silent = look(behind(0).await, None).await;
        assert!(matches!(silent, RelayTrouble::Silent), "{silent}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_port_that_nothing_listens_at_is_said_to_be_so() {
        // Where no other test opens a socket.
        let addr = SocketAddr::from(([127, 3, 2, 1], 9));
        let said = look(addr, None).await.to_string();
        assert!(said.starts_with("nothing listens at its port"), "{said}");
    }

    #[test]
    fn refusals_of_the_system_and_of_routers_are_said() {
        let said = |trouble: fn(Arc<io::Error>) -> RelayTrouble, kind: ErrorKind| {
            trouble(Arc::new(kind.into())).to_string()
        };
        let firewall = said(RelayTrouble::NotSent, ErrorKind::PermissionDenied);
        assert!(firewall.contains("look at its firewall"), "{firewall}");
        let offline = said(RelayTrouble::NotSent, ErrorKind::NetworkUnreachable);
        assert!(offline.contains("no route to it"), "{offline}");
        let router = said(RelayTrouble::Rejected, ErrorKind::HostUnreachable);
        assert!(router.contains("on the way refuses"), "{router}");
    }
}
