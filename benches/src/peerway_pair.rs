//! Two Peerway nodes that met at a relay on loopback and are linked directly or through it.

use std::net::{IpAddr, SocketAddr};

use peerway::{Connection, Endpoint, PeerState, RecvStream, RelayUrl, SendStream, Ticket};

use crate::{Ends, Failure};

const ALPN: &[u8] = b"bench";
/// Makes a stream known to the receiver.
const HELLO: &[u8] = b"hello";

/// How the two nodes are to be linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Directly.
    Direct,
    /// Through the relay alone.
    Relayed,
}

/// Streams of one connection between two nodes.
pub struct PeerwayPair {
    /// Where the dialling node sends.
    pub senders: Vec<SendStream>,
    /// Where the other one reads.
    pub receivers: Vec<RecvStream>,
    /// What the streams belong to, the dialling node's first.
    pub connections: [Connection; 2],
    /// Both nodes, the dialling one first.
    pub endpoints: [Endpoint; 2],
}

/// Starts two new nodes, one at each end, waits until they are linked so, and opens so many streams.
///
/// # Errors
/// Whatever keeps a node from starting or the two from meeting.
pub async fn connect(
    ends: &Ends,
    relay: &RelayUrl,
    way: Way,
    streams: usize,
) -> Result<PeerwayPair, Failure> {
    let server = ends
        .receiving
        .spawn(node(ends.receiving.addr, relay.clone(), way))
        .await??;
    let dialling = ends.sending.spawn(dial(
        ends.sending.addr,
        relay.clone(),
        server.ticket(),
        way,
        streams,
    ));
    let accepting = ends.receiving.spawn(accept(server, streams));
    let (client, dialled, senders) = dialling.await??;
    let (server, accepted, receivers) = accepting.await??;
    Ok(PeerwayPair {
        senders,
        receivers,
        connections: [dialled, accepted],
        endpoints: [client, server],
    })
}

async fn node(addr: IpAddr, relay: RelayUrl, way: Way) -> Result<Endpoint, Failure> {
    let node = Endpoint::builder()
        .bind_addr(SocketAddr::from((addr, 0)))
        .relays([relay])
        .alpns([ALPN])
        .port_mapping(false)
        .relay_only(way == Way::Relayed)
        .bind()
        .await?;
    node.online().await?;
    Ok(node)
}

async fn dial(
    addr: IpAddr,
    relay: RelayUrl,
    ticket: Ticket,
    way: Way,
    streams: usize,
) -> Result<(Endpoint, Connection, Vec<SendStream>), Failure> {
    let client = node(addr, relay, way).await?;
    let connection = client.connect(ticket, ALPN).await?;
    let mut path = connection.watch_status();
    let wanted = match way {
        Way::Direct => PeerState::Direct,
        Way::Relayed => PeerState::Relayed,
    };
    path.wait_for(|link| link.state == wanted).await?;
    let mut senders = Vec::new();
    for _ in 0..streams {
        let mut sender = connection.open_uni().await?;
        sender.write_all(HELLO).await?;
        senders.push(sender);
    }
    Ok((client, connection, senders))
}

async fn accept(
    server: Endpoint,
    streams: usize,
) -> Result<(Endpoint, Connection, Vec<RecvStream>), Failure> {
    let connection = server.accept().await.ok_or("the node was closed")?;
    let mut receivers = Vec::new();
    for _ in 0..streams {
        let mut receiver = connection.accept_uni().await?;
        receiver.read_exact(&mut [0; HELLO.len()]).await?;
        receivers.push(receiver);
    }
    Ok((server, connection, receivers))
}
