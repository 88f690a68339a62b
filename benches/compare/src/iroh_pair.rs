//! Two iroh endpoints that know each other's address, without relays or lookups, or that only have a relay.

use std::net::{IpAddr, SocketAddr};

use iroh::{
    Endpoint, EndpointAddr, RelayMode,
    endpoint::{Connection, RecvStream, SendStream, presets},
};
use iroh_relay::tls::CaTlsConfig;
use peerway::RelayUrl;
use peerway_benches::{
    Ends, Failure,
    loss::{Connecting, Contestant, Flow},
};

const ALPN: &[u8] = b"bench";
/// Makes the stream known to the receiver.
const HELLO: &[u8] = b"hello";

/// iroh with its defaults.
pub(crate) struct Iroh;

impl Contestant for Iroh {
    fn name(&self) -> &'static str {
        "iroh"
    }

    fn connect<'a>(&'a self, ends: &'a Ends, _: &'a RelayUrl) -> Connecting<'a> {
        Box::pin(async {
            let receiving = ends.receiving.addr;
            let server = ends.receiving.spawn(endpoint(receiving)).await??;
            let port = |addr: &SocketAddr| addr.is_ipv4().then_some(addr.port());
            let port = server.bound_sockets().iter().find_map(port);
            let addr = SocketAddr::new(receiving, port.ok_or("iroh has no IPv4 socket")?);
            let target = EndpointAddr::new(server.id()).with_ip_addr(addr);
            let dialling = ends.sending.spawn(dial(ends.sending.addr, target));
            let accepting = ends.receiving.spawn(accept(server));
            let (client, _, sender) = dialling.await??;
            let (server, _, receiver) = accepting.await??;
            Ok(flow([client, server], sender, receiver))
        })
    }
}

/// Two endpoints that only have this relay in common, and what joins them.
pub(crate) struct Relayed {
    /// The dialling one first.
    pub(crate) endpoints: [Endpoint; 2],
    pub(crate) connections: [Connection; 2],
    sender: SendStream,
    receiver: RecvStream,
}

impl Relayed {
    /// Joins two new endpoints with these addresses, of which none reaches the other.
    pub(crate) async fn connect(
        ends: &Ends,
        [sending, receiving]: [IpAddr; 2],
        relay: &str,
    ) -> Result<Self, Failure> {
        let relay: iroh::RelayUrl = relay.parse()?;
        let server = ends
            .receiving
            .spawn(relayed_endpoint(receiving, relay.clone()));
        let server = server.await??;
        let target = EndpointAddr::new(server.id()).with_relay_url(relay.clone());
        let dialling = ends.sending.spawn(async move {
            let client = relayed_endpoint(sending, relay).await?;
            open(client, target).await
        });
        let accepting = ends.receiving.spawn(accept(server));
        let (client, dialled, sender) = dialling.await??;
        let (server, accepted, receiver) = accepting.await??;
        Ok(Self {
            endpoints: [client, server],
            connections: [dialled, accepted],
            sender,
            receiver,
        })
    }

    pub(crate) fn flow(self) -> Flow {
        flow(self.endpoints, self.sender, self.receiver)
    }
}

/// Has an IP transport, as endpoints without any do not send in batches.
async fn relayed_endpoint(addr: IpAddr, relay: iroh::RelayUrl) -> Result<Endpoint, Failure> {
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::custom([relay]))
        .ca_tls_config(CaTlsConfig::insecure_skip_verify())
        .alpns(vec![ALPN.to_vec()])
        .clear_ip_transports()
        .bind_addr(SocketAddr::new(addr, 0))?;
    let endpoint = builder.bind().await?;
    endpoint.online().await;
    Ok(endpoint)
}

fn flow(endpoints: [Endpoint; 2], sender: SendStream, receiver: RecvStream) -> Flow {
    Flow {
        senders: vec![Box::new(sender)],
        receivers: vec![Box::new(receiver)],
        close: Box::pin(async move {
            for endpoint in endpoints {
                endpoint.close().await;
            }
        }),
    }
}

async fn endpoint(addr: IpAddr) -> Result<Endpoint, Failure> {
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .alpns(vec![ALPN.to_vec()])
        .clear_ip_transports()
        .bind_addr(SocketAddr::new(addr, 0))?;
    Ok(builder.bind().await?)
}

type Opened<S> = Result<(Endpoint, Connection, S), Failure>;

async fn dial(addr: IpAddr, target: EndpointAddr) -> Opened<SendStream> {
    open(endpoint(addr).await?, target).await
}

async fn open(client: Endpoint, target: EndpointAddr) -> Opened<SendStream> {
    let connection = client.connect(target, ALPN).await?;
    let mut sender = connection.open_uni().await?;
    sender.write_all(HELLO).await?;
    Ok((client, connection, sender))
}

async fn accept(server: Endpoint) -> Opened<RecvStream> {
    let incoming = server.accept().await.ok_or("the endpoint was closed")?;
    let connection = incoming.await?;
    let mut receiver = connection.accept_uni().await?;
    receiver.read_exact(&mut [0; HELLO.len()]).await?;
    Ok((server, connection, receiver))
}
