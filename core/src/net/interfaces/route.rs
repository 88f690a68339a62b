//! The router that the kernel would send to, by RTM_GETROUTE (rtnetlink(7)). netdev 0.47 names every default route of any table,
//! also of tables that no rule leads to, and none of a route with several next hops.

use std::{io, net::IpAddr, os::fd::AsRawFd};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage},
};
use nix::{
    libc::{ENETUNREACH, ESRCH},
    sys::{
        socket::{
            MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt,
            socket, sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike},
    },
};

/// The next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NextHop {
    pub(super) interface: u32,
    /// None where the destination is a neighbour itself.
    pub(super) router: Option<IpAddr>,
}

/// Where a packet to `destination` would go first; none if nowhere. An error where the kernel cannot be asked.
pub(super) fn next_hop(destination: IpAddr) -> io::Result<Option<NextHop>> {
    let netlink = socket(
        nix::sys::socket::AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    // The kernel answers within the call; a sandbox may not.
    setsockopt(&netlink, ReceiveTimeout, &TimeVal::seconds(1))?;
    let question = question(destination);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &question, &kernel, MsgFlags::empty())?;
    let mut answer = [0; 4096];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    read(&answer[..length])
}

fn question(destination: IpAddr) -> Vec<u8> {
    let mut route = RouteMessage::default();
    (
        route.header.address_family,
        route.header.destination_prefix_length,
    ) = match destination {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    route
        .attributes
        .push(RouteAttribute::Destination(destination.into()));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(route));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn read(answer: &[u8]) -> io::Result<Option<NextHop>> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if let NetlinkPayload::Error(error) = &message.payload {
        let error = error.to_io();
        return match error.raw_os_error() {
            Some(ENETUNREACH | ESRCH) => Ok(None),
            _ => Err(error),
        };
    }
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = message.payload else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (mut interface, mut router) = (None, None);
    for attribute in route.attributes {
        if let RouteAttribute::Oif(index) = attribute {
            interface = Some(index);
        } else if let RouteAttribute::Gateway(RouteAddress::Inet(ip)) = attribute {
            router = Some(ip.into());
        } else if let RouteAttribute::Gateway(RouteAddress::Inet6(ip)) = attribute {
            router = Some(ip.into());
        }
    }
    Ok(interface.map(|interface| NextHop { interface, router }))
}
