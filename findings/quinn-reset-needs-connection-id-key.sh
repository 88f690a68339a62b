#!/usr/bin/env bash
# A restarted QUIC server with its former stateless-reset key resets nothing.
#
# One would guess that it is enough to give quinn's EndpointConfig the same reset key in each life (RFC 9000 section 10.3.2):
# packets of connections that it does not know are then answered with resets that their peers believe. But the connection
# ids that quinn 0.11.12 makes by default are signed with a key of their own, new in each process, and quinn-proto 0.11.19
# drops packets with other ids in silence, before it thinks of resets. HashedConnectionIdGenerator::from_key keeps that key.
#
# Seen with quinn 0.11.12, quinn-proto 0.11.19, rcgen 0.14.5, ring 0.17, Linux x86_64; a server killed, restarted on its port, and
# then written to by its client:
#   the same reset key:                          no word within 5 s
#   the same reset key and connection id key:    reset after 8 ms
# Fails if the first is reset too, or the second is not.
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
ring = "0.17"
rustls = { version = "0.23", default-features = false, features = ["ring", "std"] }
tokio = { version = "1", features = ["rt", "macros", "time"] }
TOML
cat >src/main.rs <<'RUST'
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, UdpSocket},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let keeps = arguments[2] == "both";
    match arguments[1].as_str() {
        "server" => server(arguments[3].parse().unwrap(), keeps).await,
        _ => client(&arguments[2]).await,
    }
}

async fn server(port: u16, keeps: bool) {
    let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[7; 32]);
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    if keeps {
        config.cid_generator(|| Box::new(HashedConnectionIdGenerator::from_key(7)));
    }
    let certificate = CertificateDer::from(fs::read("certificate").unwrap());
    let key = PrivateKeyDer::try_from(fs::read("key").unwrap()).unwrap();
    let tls = ServerConfig::with_single_cert(vec![certificate], key).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let endpoint = Endpoint::new(config, Some(tls), socket, Arc::new(TokioRuntime)).unwrap();
    println!("ready");
    let mut kept = Vec::new();
    while let Some(incoming) = endpoint.accept().await {
        kept.push(incoming.await.unwrap());
    }
}

fn start(port: u16, mode: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut server = Command::new(program);
    server.args(["server", mode, &port.to_string()]);
    let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    server
}

async fn client(mode: &str) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    fs::write("certificate", made.cert.der()).unwrap();
    fs::write("key", made.signing_key.serialize_der()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::with_root_certificates(Arc::new(roots)).unwrap();
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();

    let mut first = start(free.port(), mode);
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let dial = endpoint.connect_with(config, free, "localhost").unwrap();
    let connection = dial.await.unwrap();
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(b"in the first life").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let mut second = start(free.port(), mode);
    stream.write_all(b"in the second").await.unwrap();
    let written = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(5), connection.closed()).await;
    match ended {
        Ok(quinn::ConnectionError::Reset) => println!("reset after {} ms", written.elapsed().as_millis()),
        Ok(other) => println!("{other}"),
        Err(_) => println!("nothing"),
    }
    second.kill().unwrap();
    second.wait().unwrap();
}
RUST
cargo build --quiet --release
one=$(target/release/finding client one)
both=$(target/release/finding client both)
echo "quinn 0.11.12: the same reset key: $one; with the same connection id key: $both"
case "$one/$both" in nothing/reset*) ;; *) echo "the behaviour has changed" >&2; exit 1 ;; esac
