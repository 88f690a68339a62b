//! Linux tells of changed links, addresses and routes by netlink (rtnetlink(7)). What changed is read from the list itself, so the
//! messages are thrown away.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::{
        RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE, RTMGRP_LINK,
    },
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    },
};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::debug;

/// How often to look without netlink, which a sandbox may forbid.
const INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct ChangeSignal {
    netlink: Option<AsyncFd<OwnedFd>>,
}

impl ChangeSignal {
    pub(super) fn open() -> Self {
        let netlink = subscribe()
            .inspect_err(|error| debug!(%error, "no netlink, polling the interfaces"))
            .ok();
        Self { netlink }
    }

    /// Returns when the list of interfaces may have changed.
    pub(super) async fn changed(&self) {
        let Some(netlink) = &self.netlink else {
            tokio::time::sleep(INTERVAL).await;
            return;
        };
        let read = netlink.async_io(Interest::READABLE, discard).await;
        if let Err(error) = read {
            debug!(%error, "netlink failed, polling the interfaces");
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Forgets the changes so far.
    pub(super) fn clear(&self) {
        if let Some(netlink) = &self.netlink {
            while discard(netlink.get_ref()).is_ok() {}
        }
    }
}

fn subscribe() -> io::Result<AsyncFd<OwnedFd>> {
    let groups = RTMGRP_LINK
        | RTMGRP_IPV4_IFADDR
        | RTMGRP_IPV4_ROUTE
        | RTMGRP_IPV6_IFADDR
        | RTMGRP_IPV6_ROUTE;
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkRoute,
    )?;
    bind(
        netlink.as_raw_fd(),
        &NetlinkAddr::new(0, groups.cast_unsigned()),
    )?;
    #[expect(
        deprecated,
        reason = "an OwnedFd keeps its descriptor, and the successor is unsafe"
    )]
    AsyncFd::with_interest(netlink, Interest::READABLE)
}

/// Reads one message, of which a part is enough. ENOBUFS says that there were more than the kernel would keep.
fn discard(netlink: &OwnedFd) -> io::Result<()> {
    match recv(netlink.as_raw_fd(), &mut [0; 64], MsgFlags::empty()) {
        Ok(_) | Err(Errno::ENOBUFS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
