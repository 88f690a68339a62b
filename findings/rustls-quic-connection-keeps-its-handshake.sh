#!/usr/bin/env bash
# A QUIC connection's TLS keeps kilobytes of its handshake for as long as the connection lives.
#
# One would guess that after the handshake TLS is left with what QUIC still asks it for: who the other side is, the
# protocol that was agreed on, and the secrets for the next key update (RFC 9001 section 6), a few hundred bytes.
# The connection keeps ten times that, and nothing of it can be let go of but by dropping it whole.
#
# Seen with rustls 0.23.46, ring 0.17, rcgen 0.14.5, Linux x86_64, bytes of heap that are freed with the TLS connection
# after the handshake was over and all its messages were taken:
#     3,986 at the client, 3,559 at the server
# Fails if a server's is below 2,048 bytes.
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
rcgen = "=0.14.5"
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std"] }
TOML
cat >src/main.rs <<'RUST'
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicIsize, Ordering},
    },
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::PrivateKeyDer,
    quic::{ClientConnection, Connection, ServerConnection, Version},
};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Passes on what one side has to say, at one level of encryption after the other, and drops the keys.
fn say(from: &mut Connection, to: &mut Connection) -> bool {
    let mut said = false;
    loop {
        let mut message = Vec::new();
        let keys = from.write_hs(&mut message);
        if keys.is_none() && message.is_empty() {
            return said;
        }
        said = true;
        to.read_hs(&message).unwrap();
    }
}

/// Bytes that are freed with a connection.
fn freed(connection: Box<Connection>) -> isize {
    let before = LIVE.load(Ordering::Relaxed);
    drop(connection);
    before - LIVE.load(Ordering::Relaxed)
}

fn main() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let tls13 = &[&rustls::version::TLS13];
    let server = ServerConfig::builder_with_protocol_versions(tls13)
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_protocol_versions(tls13)
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (client, server) = (Arc::new(client), Arc::new(server));

    // The first one pays for what all share.
    for last in [false, true] {
        let name = "localhost".try_into().unwrap();
        let dialled = ClientConnection::new(client.clone(), Version::V1, name, vec![]).unwrap();
        let accepted = ServerConnection::new(server.clone(), Version::V1, vec![]).unwrap();
        let mut dialled = Box::new(Connection::Client(dialled));
        let mut accepted = Box::new(Connection::Server(accepted));
        while say(&mut dialled, &mut accepted) | say(&mut accepted, &mut dialled) {}
        assert!(!dialled.is_handshaking() && !accepted.is_handshaking());
        let (dialled, accepted) = (freed(dialled), freed(accepted));
        if last {
            println!("{dialled} {accepted}");
        }
    }
}
RUST
cargo build --quiet --release
read -r client server < <(target/release/finding)
echo "rustls 0.23.46 after a QUIC handshake: $client bytes at the client, $server at the server"
[ "$server" -ge 2048 ] || { echo "the behaviour has changed" >&2; exit 1; }
