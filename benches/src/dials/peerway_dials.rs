//! Peerway nodes that dial and are dialled.

use std::net::{Ipv4Addr, SocketAddr};

use peerway::{Connection, Endpoint, RelayUrl, Ticket};
use tokio::task::JoinSet;

use super::{ALPN, DOWNLOAD, HELLO};
use crate::{Ends, Failure};

/// A node that peers can dial.
pub(crate) async fn node(relay: Option<&RelayUrl>) -> Result<Endpoint, Failure> {
    bind(0, relay, Some(ALPN)).await
}

/// A node that dials. The `nth` has an address in a network of its own.
pub(crate) async fn client(nth: usize, relay: Option<&RelayUrl>) -> Result<Endpoint, Failure> {
    bind(nth + 1, relay, None).await
}

/// A node at the receiving end that takes connections and waits for their end.
pub(crate) async fn serve(
    ends: &Ends,
    relay: Option<&RelayUrl>,
) -> Result<(Endpoint, Ticket), Failure> {
    let relay = relay.cloned();
    let server = ends
        .receiving
        .spawn(async move { node(relay.as_ref()).await })
        .await??;
    let serving = server.clone();
    ends.receiving.spawn(async move {
        let mut open = JoinSet::new();
        while let Some(connection) = serving.accept().await {
            while open.try_join_next().is_some() {}
            open.spawn(async move { connection.closed().await });
        }
    });
    let ticket = server.ticket();
    Ok((server, ticket))
}

/// A new connection.
pub(crate) async fn dial(client: &Endpoint, ticket: Ticket) -> Result<Connection, Failure> {
    Ok(client.connect(ticket, ALPN).await?)
}

/// A new connection, for a moment.
pub(crate) async fn dial_and_close(client: &Endpoint, ticket: Ticket) -> Result<(), Failure> {
    dial(client, ticket).await?.close(0, b"");
    Ok(())
}

/// Sends [`DOWNLOAD`] bytes on every stream that peers open.
pub(crate) async fn serve_downloads(server: &Endpoint) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(connection) = server.accept() => drop(open.spawn(serve_download(connection))),
            Some(_) = open.join_next() => {}
            else => return,
        }
    }
}

async fn serve_download(connection: Connection) {
    while let Ok((mut sender, _)) = connection.accept_bi().await {
        sender.write_all(&vec![0x5a; DOWNLOAD]).await.ok();
    }
}

/// Fetches [`DOWNLOAD`] bytes.
pub(crate) async fn download(connection: &Connection) -> Result<(), Failure> {
    let (mut sender, mut receiver) = connection.open_bi().await?;
    sender.write_all(HELLO).await?;
    receiver.read_to_end(DOWNLOAD).await?;
    Ok(())
}

async fn bind(
    nth: usize,
    relay: Option<&RelayUrl>,
    alpn: Option<&[u8]>,
) -> Result<Endpoint, Failure> {
    let node = Endpoint::builder()
        .bind_addr(SocketAddr::from((loopback(nth)?, 0)))
        .relays(relay.cloned())
        .alpns(alpn)
        .port_mapping(false)
        .bind()
        .await?;
    node.online().await?;
    Ok(node)
}

/// An address of this computer in a network of its own.
pub(super) fn loopback(nth: usize) -> Result<Ipv4Addr, Failure> {
    let [_, a, b, c] = u32::try_from(nth)?.to_be_bytes();
    Ok(Ipv4Addr::new(127, a * 128 + b, c, 1))
}
