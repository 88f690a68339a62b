//! The search for the router's own UPnP device (SSDP, UPnP Device Architecture section 1.3).
//!
//! igd-next takes the first device that answers, whoever that is: on a network with two routers often the one that our packets
//! do not go through. So it asks a go-between on loopback, which asks the network, and passes on what the default router
//! says. The router is also asked alone: that reaches it where a switch keeps multicast to itself, and miniupnpd, for one,
//! answers.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use igd_next::{
    SearchOptions,
    aio::{
        Gateway,
        tokio::{Tokio, search_gateway},
    },
};
use tokio::net::UdpSocket;

use super::lease::LeaseError;

/// Where UPnP devices listen for searches.
pub(super) const GROUP: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), PORT);
const PORT: u16 = 1900;

/// The targets that igd-next asks for too, but on behalf of the group: some devices do not answer a question whose host is another.
const TARGETS: [&str; 3] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// Looks for `router`'s device from our address `local`. igd-next reads at most 1 MiB of XML, 64 levels deep, follows no
/// redirects, and fetches only from the router.
pub(super) async fn search(
    local: IpAddr,
    router: IpAddr,
    group: SocketAddr,
    limit: Duration,
) -> Result<Gateway<Tokio>, LeaseError> {
    let network = UdpSocket::bind((local, 0)).await?;
    let between = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut options = SearchOptions::default();
    options.bind_addr = (Ipv4Addr::LOCALHOST, 0).into();
    options.broadcast_address = between.local_addr()?;
    options.timeout = Some(limit);
    options.allowed_gateway_ips = vec![router];
    let found = tokio::select! {
        found = search_gateway(options) => found?,
        Err(error) = pass_on(&network, &between, router, group) => return Err(error.into()),
    };
    // Anybody on this computer can write to its socket.
    if found.addr.ip() == router {
        Ok(found)
    } else {
        Err(LeaseError::ForeignDevice)
    }
}

/// Asks the network once igd-next asks, and passes on the router's answers until something fails.
async fn pass_on(
    network: &UdpSocket,
    between: &UdpSocket,
    router: IpAddr,
    group: SocketAddr,
) -> io::Result<Infallible> {
    let mut buffer = [0; 1500];
    let (_, asker) = between.recv_from(&mut buffer).await?;
    ask(network, router, group).await?;
    loop {
        let (len, source) = match network.recv_from(&mut buffer).await {
            // Windows says so that somebody who was asked does not listen.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
            received => received?,
        };
        if source.ip() == router {
            between.send_to(&buffer[..len], asker).await?;
        }
    }
}

/// Fails only if nobody could be asked.
async fn ask(network: &UdpSocket, router: IpAddr, group: SocketAddr) -> io::Result<()> {
    let mut asked = Err(io::ErrorKind::HostUnreachable.into());
    for to in [group, SocketAddr::new(router, PORT)] {
        for target in TARGETS {
            match network.send_to(question(target).as_bytes(), to).await {
                Ok(_) => asked = Ok(()),
                Err(error) => asked = asked.map_err(|_| error),
            }
        }
    }
    asked
}

fn question(target: &str) -> String {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: {target}\r\n\r\n"
    )
}
