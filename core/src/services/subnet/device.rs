//! The TUN device, its addresses and the routes into it. All of it is gone with the device, which is gone with the process.

use std::{
    io::{self, IoSlice},
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd,
};

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use nix::{
    net::if_::if_nametoindex,
    sys::{
        socket::{
            MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt,
            socket, sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike},
    },
};
use tun_rs::{AsyncDevice, DeviceBuilder};

use super::frame::DEVICE_HEADER;
use crate::net::interfaces::TUN_PREFIX;

/// That of the networks at both ends, so that nobody has to find out about a smaller one: what does not fit into a datagram goes by a
/// stream.
pub(super) const MTU: u16 = 1500;
/// Devices of one computer.
const MAX_DEVICES: u8 = 32;
/// See the [module](self).
pub(super) struct Device {
    tun: AsyncDevice,
    name: String,
    index: u32,
    v4: Ipv4Addr,
    v6: Option<Ipv6Addr>,
}

impl Device {
    /// Makes a device of the next free name with these addresses. Without IPv6 in the system it has none.
    pub(super) fn open(v4: Ipv4Addr, v6: Ipv6Addr) -> io::Result<Self> {
        let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
        for number in 0..MAX_DEVICES {
            let name = format!("{TUN_PREFIX}{number}");
            if if_nametoindex(name.as_str()).is_ok() {
                continue;
            }
            match build(&name, v4) {
                Ok(tun) => {
                    let index = if_nametoindex(name.as_str())?;
                    let v6 = tun.add_address_v6(v6, 128).ok().map(|()| v6);
                    return Ok(Self {
                        tun,
                        name,
                        index,
                        v4,
                        v6,
                    });
                }
                Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn v6(&self) -> Option<Ipv6Addr> {
        self.v6
    }

    /// Waits until the system has something for us.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.tun.readable().await
    }

    /// A packet behind what the device says of it, if there is one.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tun.try_recv(buffer)
    }

    /// Gives a packet to the system.
    pub(super) async fn write(
        &self,
        header: &[u8; DEVICE_HEADER],
        packet: &[u8],
    ) -> io::Result<()> {
        let parts = [IoSlice::new(header), IoSlice::new(packet)];
        self.tun.send_vectored(&parts).await.map(drop)
    }

    pub(super) fn add_route(&self, net: IpNet) -> io::Result<()> {
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        request(RouteNetlinkMessage::NewRoute(self.route(net)), flags)
    }

    pub(super) fn remove_route(&self, net: IpNet) -> io::Result<()> {
        let message = RouteNetlinkMessage::DelRoute(self.route(net));
        request(message, NLM_F_REQUEST | NLM_F_ACK)
    }

    fn route(&self, net: IpNet) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.header.protocol = RouteProtocol::Static;
        route.header.kind = RouteType::Unicast;
        route.header.destination_prefix_length = net.prefix_len();
        route.attributes = vec![
            RouteAttribute::Destination(net.network().into()),
            RouteAttribute::Oif(self.index),
        ];
        match net {
            IpNet::V4(_) => {
                route.header.address_family = AddressFamily::Inet;
                route.header.scope = RouteScope::Link;
                let source = RouteAttribute::PrefSource(self.v4.into());
                route.attributes.push(source);
            }
            // The device's is chosen anyway; a route that names it is refused until the kernel is done with the address.
            IpNet::V6(_) => {
                route.header.address_family = AddressFamily::Inet6;
                route.header.scope = RouteScope::Universe;
            }
        }
        route
    }
}

fn build(name: &str, v4: Ipv4Addr) -> io::Result<AsyncDevice> {
    DeviceBuilder::new()
        .name(name)
        .mtu(MTU)
        .offload(true)
        .ipv4(v4, 32, None)
        .build_async()
}

/// Has the kernel do something, and waits until it is done.
fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let netlink = socket(
        nix::sys::socket::AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    setsockopt(&netlink, ReceiveTimeout, &TimeVal::seconds(1))?;
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;
    let mut answer = [0; 4096];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer[..length])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if let NetlinkPayload::Error(error) = answer.payload
        && error.code.is_some()
    {
        return Err(error.to_io());
    }
    Ok(())
}
