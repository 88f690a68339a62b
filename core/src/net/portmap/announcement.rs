//! What routers say unasked to everybody on the network: that their address is another, or that they began anew (RFC 6886 section
//! 3.2.1, RFC 6887 section 14.1).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tracing::debug;

const PORT: u16 = 5350;
const NODES_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Where IPv4 and IPv6 routers are listened to.
pub(super) const V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
pub(super) const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PORT);

/// Hears announcements, if the system lets us.
pub(super) struct Announcements(Option<UdpSocket>);

impl Announcements {
    pub(super) fn open(at: SocketAddr) -> Self {
        let socket = listen(at);
        Self(
            socket
                .inspect_err(|error| debug!(%error, "the router's announcements cannot be heard"))
                .ok(),
        )
    }

    /// The router's clock in its next announcement, in seconds. Nothing is lost if the future is dropped.
    pub(super) async fn next(&self, router: IpAddr) -> u32 {
        let mut buffer = [0; 1100];
        while let Some(socket) = &self.0 {
            let Ok((len, source)) = socket.recv_from(&mut buffer).await else {
                break;
            };
            if let Some(seconds) = read(&buffer[..len]).filter(|_| source.ip() == router) {
                return seconds;
            }
        }
        std::future::pending().await
    }
}

/// Others on this computer may listen there too.
fn listen(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    if at.is_ipv6() {
        // The kernel is in ff02::1 on every interface by itself.
        socket.set_only_v6(true)?;
    }
    socket.bind(&at.into())?;
    if at.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        // Likewise, but not every system is.
        let _ = socket.join_multicast_v4(&NODES_V4, &Ipv4Addr::UNSPECIFIED);
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// The clock in an announcement; none if it is something else.
fn read(bytes: &[u8]) -> Option<u32> {
    let clock = match bytes {
        [0, 128, 0, 0, clock @ ..] if bytes.len() == 12 => clock,
        [2, 128, _, 0, _, _, _, _, clock @ ..] if bytes.len() >= 24 => clock,
        _ => return None,
    };
    Some(u32::from_be_bytes(clock.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_protocols_tell_the_clock_and_nothing_else_does() {
        let nat_pmp = [0, 128, 0, 0, 0, 0, 1, 2, 198, 51, 100, 7];
        assert_eq!(read(&nat_pmp), Some(258));
        let mut pcp = [0; 24];
        (pcp[0], pcp[1], pcp[11]) = (2, 128, 9);
        assert_eq!(read(&pcp), Some(9));
        assert_eq!(read(&pcp[..23]), None);
        assert_eq!(read(&nat_pmp[..11]), None);
        pcp[1] = 129;
        assert_eq!(read(&pcp), None);
    }
}
