//! Several received batches sent by one call (UDP_SEGMENT of udp(7)), from where they lie. quinn-udp sends what lies in one piece.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
};

use nix::libc;
use quinn_udp::EcnCodepoint;
use socket2::{MsgHdr, SockAddr, SockRef};

/// Room for the three messages: UDP_SEGMENT, traffic class, source address.
const ROOM: usize = 24 + 24 + 40;
const HEADER: usize = size_of::<usize>() + 2 * size_of::<i32>();

/// Sends `runs` to one destination in datagrams of `stride` bytes.
pub(super) fn send(
    socket: SockRef<'_>,
    destination: SocketAddr,
    from: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    stride: u16,
    runs: &[IoSlice<'_>],
) -> io::Result<()> {
    let addr = SockAddr::from(destination);
    let mut control = Control::default();
    let class = ecn.map_or(0, |ecn| ecn as i32).to_ne_bytes();
    if destination.ip().to_canonical().is_ipv4() {
        control.push(libc::IPPROTO_IP, libc::IP_TOS, &class);
    } else {
        control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class);
    }
    control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &stride.to_ne_bytes());
    match from {
        // struct in_pktinfo: interface, source address, and a field that is for receiving.
        Some(IpAddr::V4(ip)) => {
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&ip.octets());
            control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        // struct in6_pktinfo: source address and interface.
        Some(IpAddr::V6(ip)) => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&ip.octets());
            control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    let message = MsgHdr::new()
        .with_addr(&addr)
        .with_buffers(runs)
        .with_control(&control.bytes[..control.len]);
    socket.sendmsg(&message, 0).map(drop)
}

/// Control messages as cmsg(3) lays them out.
struct Control {
    bytes: [u8; ROOM],
    len: usize,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            bytes: [0; ROOM],
            len: 0,
        }
    }
}

impl Control {
    fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let len = (HEADER + data.len()).to_ne_bytes();
        let fields: [&[u8]; 4] = [&len, &level.to_ne_bytes(), &kind.to_ne_bytes(), data];
        for field in fields {
            self.bytes[self.len..][..field.len()].copy_from_slice(field);
            self.len += field.len();
        }
        self.len = self.len.next_multiple_of(size_of::<usize>());
    }
}

#[cfg(test)]
mod tests {
    use std::{io::IoSliceMut, net::UdpSocket};

    use quinn_udp::{RecvMeta, UdpSocketState};

    use super::*;

    #[test]
    fn pieces_arrive_as_datagrams_with_their_mark_from_the_address_that_was_named() {
        for (ours, theirs, destination) in [
            ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"),
            ("[::1]:0", "[::1]:0", "::1"),
            ("[::]:0", "127.0.0.1:0", "::ffff:127.0.0.1"),
        ] {
            let sender = UdpSocket::bind(ours).unwrap();
            let receiver = UdpSocket::bind(theirs).unwrap();
            let state = UdpSocketState::new((&receiver).into()).unwrap();
            receiver.set_nonblocking(false).unwrap();
            let destination: IpAddr = destination.parse().unwrap();
            let port = receiver.local_addr().unwrap().port();
            let from = destination.to_canonical();
            send(
                SockRef::from(&sender),
                (destination, port).into(),
                Some(from),
                Some(EcnCodepoint::Ect0),
                100,
                &[IoSlice::new(&[1; 200]), IoSlice::new(&[2; 150])],
            )
            .unwrap();
            let (mut bytes, mut meta) = ([0; 1024], [RecvMeta::default()]);
            let received = state.recv(
                (&receiver).into(),
                &mut [IoSliceMut::new(&mut bytes)],
                &mut meta,
            );
            assert_eq!(received.unwrap(), 1);
            let [meta] = meta;
            assert_eq!((meta.len, meta.stride), (350, 100));
            assert_eq!(meta.ecn, Some(EcnCodepoint::Ect0));
            assert_eq!(meta.addr.ip(), from);
            assert_eq!(bytes[..350], [[1; 200].as_slice(), &[2; 150]].concat());
        }
    }
}
