#!/usr/bin/env bash
# The crate mainline says of a value that is too long for the DHT that time ran out.
#
# One would guess that the 1,000 bytes that BEP 44 allows a value are checked before it is sent, or that the nodes' refusal (error 205, message
# too big) is what the caller is told. mainline 8.0.1 sends a value of 1,001 bytes, no node keeps it, and `put_mutable`
# ends with Query(Timeout), which is also what a blocked network gives. Whoever tries again after a timeout does so for ever: check the length first.
#
# Seen with mainline 8.0.1 on Linux x86_64, five nodes on loopback, bytes of the value:
#   1,000    Ok
#   1,001    Err(Query(Timeout))
# Fails if one of them is another. Needs cargo; changes nothing outside of its folder.
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
use mainline::{Dht, MutableItem, SigningKey, Testnet};

fn main() {
    let testnet = Testnet::builder(5).build().unwrap();
    let dht = Dht::builder().bootstrap(&testnet.bootstrap).build().unwrap();
    for (seq, len) in [(1, 1_000), (2, 1_001)] {
        let key = SigningKey::from_bytes(&[7; 32]);
        let item = MutableItem::new(key, &vec![b'x'; len], seq, None);
        println!("{len}: {:?}", dht.put_mutable(item, None).map(drop));
    }
}
RUST
CARGO_TARGET_DIR=$folder/target cargo run --quiet >seen
echo "mainline $version"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
1000: Ok(())
1001: Err(Query(Timeout))
SEEN
