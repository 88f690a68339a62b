//! A pair of connections over plain quinn on loopback, for the tests of services.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::watch;

use crate::{Connection, LinkStatus, PathInfo, PeerState, SecretKey, net::flow::NodeMemory, tls};

pub(super) struct NodePair {
    pub(super) client: Connection,
    pub(super) server: Connection,
    _endpoints: [quinn::Endpoint; 2],
}

impl NodePair {
    /// The path that the client's connection shows.
    pub(super) fn path(&self) -> PathInfo {
        direct(self.client.quic.remote_address())
    }
}

pub(super) async fn pair(alpn: &[u8]) -> NodePair {
    let keys = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server_tls = tls::server_config(&keys[1], &[alpn.to_vec()]).unwrap();
    let server_config = quinn::ServerConfig::with_crypto(Arc::new(server_tls));
    let listening = quinn::Endpoint::server(server_config, any).unwrap();
    let dialling = quinn::Endpoint::client(any).unwrap();
    let client_tls = tls::client_config(&keys[0], alpn).unwrap();
    let name = tls::server_name(keys[1].id());
    let connecting = dialling
        .connect_with(
            quinn::ClientConfig::new(Arc::new(client_tls)),
            listening.local_addr().unwrap(),
            &name,
        )
        .unwrap();
    let accepting = async { listening.accept().await.unwrap().await };
    let (client, server) = tokio::try_join!(connecting, accepting).unwrap();
    NodePair {
        client: connection(client),
        server: connection(server),
        _endpoints: [listening, dialling],
    }
}

fn connection(quic: quinn::Connection) -> Connection {
    let status = LinkStatus {
        state: PeerState::Direct,
        path: Some(direct(quic.remote_address())),
        why: None,
    };
    let peer = tls::peer_id(&quic).unwrap();
    let status = watch::Sender::new(status).subscribe();
    Connection::new(quic, peer, status, NodeMemory::default().link())
}

fn direct(remote: SocketAddr) -> PathInfo {
    PathInfo::Direct {
        remote,
        lan: false,
        tcp: false,
    }
}
