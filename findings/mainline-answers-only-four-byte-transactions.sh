#!/usr/bin/env bash
# A server node of the crate mainline answers no query whose transaction id is not four bytes long, so libtorrent's never.
#
# One would guess that a node of the Mainline DHT answers whoever speaks its protocol: BEP 5 has the transaction id be a string that the asker
# chooses, two characters being enough for 65,536 outstanding queries, and the answer repeat it. mainline 8.0.1 answers its own
# four bytes and says nothing at all to shorter and longer ones. libtorrent sends two. So a node made a server to help the network helps only
# those that run the same crate, and looks dead to the others.
#
# Seen with mainline 8.0.1 on Linux x86_64, pings on loopback, bytes of the transaction id:
#   1, 2, 3, 5    silent
#   4             answered
# Fails if that changes. Needs cargo; changes nothing outside of its folder.
set -euo pipefail
version=8.0.1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<TOML
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
mainline = "=$version"
TOML
cat >src/main.rs <<'RUST'
#![allow(deprecated)]
use std::{net::UdpSocket, time::Duration};

use mainline::Testnet;

fn main() {
    let testnet = Testnet::builder(3).build().unwrap();
    let port = testnet.nodes[0].info().local_addr().port();
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    for len in 1..=5 {
        let id = &"abcde"[..len];
        let ping = format!("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t{len}:{id}1:y1:qe");
        asker.send_to(ping.as_bytes(), ("127.0.0.1", port)).unwrap();
        let answered = asker.recv(&mut [0; 1500]).is_ok();
        println!("{len} bytes: {}", if answered { "answered" } else { "silent" });
    }
}
RUST
CARGO_TARGET_DIR=$folder/target cargo run --quiet >seen
echo "mainline $version"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
1 bytes: silent
2 bytes: silent
3 bytes: silent
4 bytes: answered
5 bytes: silent
SEEN
