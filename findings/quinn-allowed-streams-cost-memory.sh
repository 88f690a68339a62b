#!/usr/bin/env bash
# A QUIC stream that the peer never opens costs memory all the same.
#
# One would guess that max_concurrent_bidi_streams is only a number that is sent to the peer, and that memory is spent
# when a stream is opened. quinn-proto 0.11.19 keeps a place in a map for each stream that the peer may open, from the
# start of the connection on, and at both ends alike, as each end also has streams that the other may open.
#
# Seen with quinn 0.11.12, quinn-proto 0.11.19, rcgen 0.14.5, Linux x86_64, 64 idle connections within one process,
# both ends counted:
#     16 streams allowed each way, of each kind:     63 KiB a connection
#   4096 streams allowed each way, of each kind:  1,145 KiB a connection
# Fails if 4096 allowed streams cost less than 5 times what 16 cost.
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
quinn = { version = "=0.11.12", default-features = false, features = ["runtime-tokio", "rustls-ring"] }
quinn-proto = { version = "=0.11.19", default-features = false }
rcgen = "=0.14.5"
rustls = { version = "0.23", default-features = false, features = ["ring", "std"] }
tokio = { version = "1", features = ["rt", "macros"] }
TOML
cat >src/main.rs <<'RUST'
use std::{net::Ipv4Addr, sync::Arc};

use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig, VarInt};

const CONNECTIONS: usize = 64;

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let streams: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(streams));
    let transport = Arc::new(transport);

    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::with_single_cert(vec![certificate.clone()], key).unwrap();
    server.transport_config(transport.clone());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::with_root_certificates(Arc::new(roots)).unwrap();
    client.transport_config(transport);

    let listening = Endpoint::server(server, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listening.local_addr().unwrap();
    let dialling = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut kept = Vec::new();
    let mut before = 0;
    for count in 0..=CONNECTIONS {
        let dial = dialling.connect_with(client.clone(), address, "localhost").unwrap();
        let accept = async { listening.accept().await.unwrap().await.unwrap() };
        let (dialled, accepted) = tokio::join!(dial, accept);
        kept.push((dialled.unwrap(), accepted));
        if count == 0 {
            before = resident_kib(); // The first one pays for what all share.
        }
    }
    println!("{}", (resident_kib() - before) / CONNECTIONS);
}
RUST
cargo build --quiet --release
few=$(target/release/finding 16)
many=$(target/release/finding 4096)
echo "quinn 0.11.12: 16 streams allowed: $few KiB a connection, 4096 allowed: $many KiB a connection"
[ "$many" -ge $((5 * few)) ] || { echo "the behaviour has changed" >&2; exit 1; }
