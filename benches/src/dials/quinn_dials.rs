//! Endpoints of raw quinn that dial and are dialled.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use peerway::{PeerId, SecretKey, tls};
use quinn::{ClientConfig, Connection, Endpoint, Incoming, ServerConfig};
use tokio::task::JoinSet;

use super::{ALPN, DOWNLOAD, HELLO};
use crate::{
    Ends, Failure,
    quinn_pair::{endpoint, transport},
};

/// A server at the receiving end that takes connections and waits for their end.
pub(crate) async fn serve(ends: &Ends) -> Result<(Endpoint, SocketAddr, PeerId), Failure> {
    let (server, id) = ends.receiving.spawn(async { listen() }).await??;
    let addr = server.local_addr()?;
    let serving = server.clone();
    ends.receiving.spawn(async move {
        let mut open = JoinSet::new();
        while let Some(incoming) = serving.accept().await {
            while open.try_join_next().is_some() {}
            open.spawn(async move {
                if let Ok(connection) = incoming.await {
                    connection.closed().await;
                }
            });
        }
    });
    Ok((server, addr, id))
}

/// Sends [`DOWNLOAD`] bytes on every stream that peers open.
pub(crate) async fn serve_downloads(server: &Endpoint) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(incoming) = server.accept() => drop(open.spawn(serve_download(incoming))),
            Some(_) = open.join_next() => {}
            else => return,
        }
    }
}

async fn serve_download(incoming: Incoming) {
    let Ok(connection) = incoming.await else {
        return;
    };
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

/// An endpoint that dials, and how.
pub(crate) fn client() -> Result<(Endpoint, ClientConfig), Failure> {
    let tls = tls::client_config(&SecretKey::generate()?, ALPN)?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport()));
    Ok((endpoint(Ipv4Addr::LOCALHOST.into(), None)?, config))
}

/// A new connection.
pub(crate) async fn dial(
    client: &Endpoint,
    config: ClientConfig,
    addr: SocketAddr,
    id: PeerId,
) -> Result<Connection, Failure> {
    Ok(client
        .connect_with(config, addr, &tls::server_name(id))?
        .await?)
}

/// A new connection, for a moment.
pub(crate) async fn dial_and_close(
    client: &Endpoint,
    config: ClientConfig,
    addr: SocketAddr,
    id: PeerId,
) -> Result<(), Failure> {
    let connection = dial(client, config, addr, id).await?;
    connection.close(0_u32.into(), b"");
    Ok(())
}

/// A server with a key of its own.
pub(crate) fn listen() -> Result<(Endpoint, PeerId), Failure> {
    let key = SecretKey::generate()?;
    let tls = tls::server_config(&key, &[ALPN.to_vec()])?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport()));
    Ok((
        endpoint(Ipv4Addr::LOCALHOST.into(), Some(config))?,
        key.id(),
    ))
}
