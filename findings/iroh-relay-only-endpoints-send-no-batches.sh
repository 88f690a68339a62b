#!/usr/bin/env bash
# An iroh endpoint that only has a relay sends it each datagram in a frame of its own; with an IP socket that is of no use, ten.
#
# One would guess that the relay's frames for batches are used for whatever goes through a relay, and most of all by an
# endpoint from which everything does. How many datagrams leave together is asked of the endpoint's IP and custom transports
# though, and is one if it has none: `clear_ip_transports`, which is how an endpoint is kept to its relay, costs the relay
# three times the processor time for a byte. Who measures iroh's relay should give both ends a socket, of families that
# they do not have in common.
#
# Seen with iroh 1.4.1 and iroh-relay 1.4.1 on Linux x86_64, bytes that the relay received in each frame of data while 20 MB
# went one way:
#     1,386 without a socket, 13,097 with one
# Fails if that with a socket is not at least three times that without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
iroh = { version = "=1.4.1", default-features = false, features = ["tls-aws-lc-rs"] }
iroh-relay = { version = "=1.4.1", features = ["server", "test-utils"] }
tokio = { version = "1.48", features = ["macros", "rt-multi-thread"] }
TOML
cat >src/main.rs <<'RUST'
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use iroh::{Endpoint, EndpointAddr, RelayMode, RelayUrl, endpoint::presets};
use iroh_relay::{
    server::{Server, testing},
    tls::CaTlsConfig,
};

const BYTES: usize = 20_000_000;

async fn endpoint(relay: &RelayUrl, addr: Option<IpAddr>) -> Endpoint {
    let mut builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::custom([relay.clone()]))
        .ca_tls_config(CaTlsConfig::insecure_skip_verify())
        .alpns(vec![b"finding".to_vec()])
        .clear_ip_transports();
    if let Some(addr) = addr {
        builder = builder.bind_addr((addr, 0)).unwrap();
    }
    let endpoint = builder.bind().await.unwrap();
    endpoint.online().await;
    endpoint
}

/// Bytes that the relay gets in each frame of data.
async fn bytes_per_frame(addrs: [Option<IpAddr>; 2]) -> u64 {
    let relay = Server::spawn(testing::server_config()).await.unwrap();
    let url = relay.https_url().unwrap();
    let receiver = endpoint(&url, addrs[0]).await;
    let sender = endpoint(&url, addrs[1]).await;
    let target = EndpointAddr::new(receiver.id()).with_relay_url(url);
    let receiving = tokio::spawn(async move {
        let connection = receiver.accept().await.unwrap().await.unwrap();
        let mut stream = connection.accept_uni().await.unwrap();
        assert_eq!(stream.read_to_end(BYTES).await.unwrap().len(), BYTES);
        receiver.close().await;
    });
    let connection = sender.connect(target, b"finding").await.unwrap();
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(&vec![0; BYTES]).await.unwrap();
    stream.finish().unwrap();
    receiving.await.unwrap();
    let counted = &relay.metrics().server;
    counted.bytes_recv.get() / counted.send_packets_recv.get()
}

#[tokio::main]
async fn main() {
    let none = bytes_per_frame([None, None]).await;
    let v4 = Ipv4Addr::LOCALHOST.into();
    let v6 = Ipv6Addr::LOCALHOST.into();
    let sockets = bytes_per_frame([Some(v4), Some(v6)]).await;
    println!("{none} {sockets}");
}
RUST
cargo build --quiet --release
read -r none sockets < <(target/release/finding)
echo "iroh 1.4.1, bytes in a frame to its relay: $none without a socket, $sockets with one"
[ "$sockets" -ge $((3 * none)) ] || { echo "the behaviour has changed" >&2; exit 1; }
