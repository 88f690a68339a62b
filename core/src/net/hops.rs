//! How many routers stand between us and a relay, which bounds how far a low-TTL packet may go.

use std::net::SocketAddr;

/// The number of routers on the way from the relay to us, by the TTL that an answer of its STUN port has left.
///
/// Senders start at 64, 128 or 255; the lowest of these that is not below what arrived is taken. Asks three times over a socket
/// of its own, 250 ms apart. None without an answer, and on systems other than Linux.
pub(crate) async fn hops_to(relay: SocketAddr) -> Option<u8> {
    received_ttl(relay).await.and_then(hops_from_ttl)
}

fn hops_from_ttl(ttl: u8) -> Option<u8> {
    const INITIAL: [u8; 3] = [64, 128, 255];
    INITIAL
        .into_iter()
        .find_map(|initial| initial.checked_sub(ttl))
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unused_async, reason = "on Linux it waits")]
async fn received_ttl(_relay: SocketAddr) -> Option<u8> {
    None
}

#[cfg(target_os = "linux")]
use linux::received_ttl;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io::{self, IoSliceMut},
        net::{Ipv4Addr, Ipv6Addr, SocketAddr},
        os::fd::AsRawFd,
        time::Duration,
    };

    use nix::{
        cmsg_space,
        sys::socket::{
            ControlMessageOwned, MsgFlags, recvmsg, setsockopt,
            sockopt::{Ipv4RecvTtl, Ipv6RecvHopLimit},
        },
    };
    use tokio::{io::Interest, net::UdpSocket, time::timeout};

    use crate::net::stun;

    const TRIES: usize = 3;
    const WAIT: Duration = Duration::from_millis(250);

    pub(super) async fn received_ttl(relay: SocketAddr) -> Option<u8> {
        let socket = open(relay).await.ok()?;
        let mut tx = [0; 12];
        getrandom::fill(&mut tx).ok()?;
        let request = stun::binding_request(tx, false);
        for _ in 0..TRIES {
            socket.send(&request).await.ok()?;
            match timeout(WAIT, answer_ttl(&socket, tx)).await {
                Ok(Ok(ttl)) => return Some(ttl),
                Ok(Err(_)) => return None,
                Err(_elapsed) => {}
            }
        }
        None
    }

    /// Connected, so that the kernel drops what others send.
    async fn open(relay: SocketAddr) -> io::Result<UdpSocket> {
        let socket = if relay.is_ipv4() {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
            setsockopt(&socket, Ipv4RecvTtl, &true)?;
            socket
        } else {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?;
            setsockopt(&socket, Ipv6RecvHopLimit, &true)?;
            socket
        };
        socket.connect(relay).await?;
        Ok(socket)
    }

    async fn answer_ttl(socket: &UdpSocket, tx: [u8; 12]) -> io::Result<u8> {
        loop {
            let mut buffer = [0; 512];
            let (size, ttl) = socket
                .async_io(Interest::READABLE, || receive(socket, &mut buffer))
                .await?;
            let answers_us = buffer
                .get(..size)
                .and_then(|datagram| stun::parse_response(datagram).ok())
                .is_some_and(|response| response.tx == tx);
            if let Some(ttl) = ttl.filter(|_| answers_us) {
                return Ok(ttl);
            }
        }
    }

    fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
        let mut control = cmsg_space!(i32);
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        let ttl = message.cmsgs()?.find_map(|control| {
            if let ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) =
                control
            {
                u8::try_from(ttl).ok()
            } else {
                None
            }
        });
        Ok((message.bytes, ttl))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_ttl_is_the_lowest_usual_one_that_fits() {
        for (ttl, hops) in [
            (64, 0),
            (63, 1),
            (1, 63),
            (65, 63),
            (128, 0),
            (120, 8),
            (129, 126),
            (255, 0),
            (243, 12),
        ] {
            assert_eq!(hops_from_ttl(ttl), Some(hops), "{ttl}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the relay of the test")]
    async fn a_relay_on_this_computer_is_no_hop_away() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let relay = tokio::net::UdpSocket::bind(host).await.unwrap();
            let addr = relay.local_addr().unwrap();
            let server = tokio::spawn(async move {
                let mut buffer = [0; 512];
                let (size, source) = relay.recv_from(&mut buffer).await.unwrap();
                relay.send_to(b"noise", source).await.unwrap();
                let answer = crate::stun::answer(&buffer[..size], source, None).unwrap();
                relay.send_to(&answer.bytes, source).await.unwrap();
            });
            assert_eq!(hops_to(addr).await, Some(0));
            server.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_relay_is_at_no_known_distance() {
        let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        assert_eq!(hops_to(silent.local_addr().unwrap()).await, None);
    }
}
