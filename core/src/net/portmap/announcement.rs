//! What routers say unasked to everybody on the network: that their address is another, or that they began anew (RFC 6886 section
//! 3.2.1, RFC 6887 section 14.1).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::UdpSocket, time::Instant};
use tracing::debug;

use super::schedule::Epoch;
use crate::PortMapping;

const PORT: u16 = 5350;
const NODES_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Where IPv4 and IPv6 routers are listened to.
pub(super) const V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
pub(super) const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PORT);

/// What a router announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    /// Its clock, in seconds.
    pub(super) seconds: u32,
    /// Its outer address, of which only NAT-PMP tells.
    pub(super) outside: Option<IpAddr>,
}

impl Announcement {
    /// Whether what the router granted may still be so.
    pub(super) fn agrees_with(self, epoch: Epoch, mapping: PortMapping, now: Instant) -> bool {
        let elsewhere = |outside: IpAddr| outside != mapping.external.ip();
        epoch.goes_on(self.seconds, now) && !self.outside.is_some_and(elsewhere)
    }
}

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

    /// What the router announces next. Nothing is lost if the future is dropped.
    pub(super) async fn next(&self, router: IpAddr) -> Announcement {
        let mut buffer = [0; 1100];
        while let Some(socket) = &self.0 {
            let Ok((len, source)) = socket.recv_from(&mut buffer).await else {
                break;
            };
            if let Some(announcement) = read(&buffer[..len]).filter(|_| source.ip() == router) {
                return announcement;
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

/// None if it is something else.
fn read(bytes: &[u8]) -> Option<Announcement> {
    let (clock, outside) = match bytes {
        [0, 128, 0, 0, clock @ ..] if bytes.len() == 12 => {
            let outside: [u8; 4] = clock[4..].try_into().ok()?;
            (clock, Some(Ipv4Addr::from(outside).into()))
        }
        [2, 128, _, 0, _, _, _, _, clock @ ..] if bytes.len() >= 24 => (clock, None),
        _ => return None,
    };
    Some(Announcement {
        seconds: u32::from_be_bytes(clock.first_chunk().copied()?),
        outside,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::MappingProtocol;

    const OUTSIDE: [u8; 4] = [198, 51, 100, 7];

    fn nat_pmp(seconds: u8, outside: [u8; 4]) -> Vec<u8> {
        [&[0, 128, 0, 0, 0, 0, 1, seconds], &outside[..]].concat()
    }

    #[test]
    fn both_protocols_tell_the_clock_and_nothing_else_does() {
        let told = |seconds, outside| Some(Announcement { seconds, outside });
        assert_eq!(read(&nat_pmp(2, OUTSIDE)), told(258, Some(OUTSIDE.into())));
        let mut pcp = [0; 24];
        (pcp[0], pcp[1], pcp[11]) = (2, 128, 9);
        assert_eq!(read(&pcp), told(9, None));
        assert_eq!(read(&pcp[..23]), None);
        assert_eq!(read(&nat_pmp(2, OUTSIDE)[..11]), None);
        pcp[1] = 129;
        assert_eq!(read(&pcp), None);
    }

    #[test]
    fn another_clock_or_another_outer_address_is_news() {
        let now = Instant::now();
        let epoch = Epoch {
            seconds: 258,
            at: now,
        };
        let external = (OUTSIDE, 41000).into();
        let mapping = PortMapping::new(
            MappingProtocol::Pcp,
            external,
            Some(Duration::from_secs(7200)),
        );
        let agrees = |bytes: &[u8]| read(bytes).unwrap().agrees_with(epoch, mapping, now);
        assert!(agrees(&nat_pmp(2, OUTSIDE)));
        assert!(!agrees(&nat_pmp(0, OUTSIDE)));
        assert!(!agrees(&nat_pmp(2, [198, 51, 100, 8])));
    }
}
