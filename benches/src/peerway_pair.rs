//! Two Peerway nodes that met at a relay on loopback and are linked directly.

use std::net::{IpAddr, SocketAddr};

use peerway::{Endpoint, PeerState, RecvStream, RelayUrl, SendStream, Ticket};

use crate::{Ends, Failure};

const ALPN: &[u8] = b"bench";
/// Makes a stream known to the receiver.
const HELLO: &[u8] = b"hello";

/// Streams of one connection between two nodes.
pub struct Pair {
    /// Where the dialling node sends.
    pub senders: Vec<SendStream>,
    /// Where the other one reads.
    pub receivers: Vec<RecvStream>,
    /// Both nodes, the dialling one first.
    pub endpoints: [Endpoint; 2],
}

/// Starts two new nodes, one at each end, waits until their link is direct, and opens so many streams.
///
/// # Errors
/// Whatever keeps a node from starting or the two from meeting.
pub async fn connect(ends: &Ends, relay: &RelayUrl, streams: usize) -> Result<Pair, Failure> {
    let server = ends
        .receiving
        .spawn(node(ends.receiving.addr, relay.clone()))
        .await??;
    let dialling = ends.sending.spawn(dial(
        ends.sending.addr,
        relay.clone(),
        server.ticket(),
        streams,
    ));
    let accepting = ends.receiving.spawn(accept(server, streams));
    let (client, senders) = dialling.await??;
    let (server, receivers) = accepting.await??;
    Ok(Pair {
        senders,
        receivers,
        endpoints: [client, server],
    })
}

async fn node(addr: IpAddr, relay: RelayUrl) -> Result<Endpoint, Failure> {
    let node = Endpoint::builder()
        .bind_addr(SocketAddr::from((addr, 0)))
        .relays([relay])
        .alpns([ALPN])
        .port_mapping(false)
        .bind()
        .await?;
    node.online().await?;
    Ok(node)
}

async fn dial(
    addr: IpAddr,
    relay: RelayUrl,
    ticket: Ticket,
    streams: usize,
) -> Result<(Endpoint, Vec<SendStream>), Failure> {
    let client = node(addr, relay).await?;
    let connection = client.connect(ticket, ALPN).await?;
    let mut path = connection.watch_status();
    path.wait_for(|link| link.state == PeerState::Direct)
        .await?;
    let mut senders = Vec::new();
    for _ in 0..streams {
        let mut sender = connection.open_uni().await?;
        sender.write_all(HELLO).await?;
        senders.push(sender);
    }
    Ok((client, senders))
}

async fn accept(server: Endpoint, streams: usize) -> Result<(Endpoint, Vec<RecvStream>), Failure> {
    let connection = server.accept().await.ok_or("the node was closed")?;
    let mut receivers = Vec::new();
    for _ in 0..streams {
        let mut receiver = connection.accept_uni().await?;
        receiver.read_exact(&mut [0; HELLO.len()]).await?;
        receivers.push(receiver);
    }
    Ok((server, receivers))
}
