#!/usr/bin/env bash
# A mapping that a router once granted for two minutes is asked for two minutes at a time for ever after, by crab_nat's renew.
#
# One would guess that renew asks for the lifetime that the program wanted, two hours by default, as RFC 6886 section 3.3 recommends
# and RFC 6887 section 11.2.1 describes it. crab_nat 0.8.1 keeps only what was granted, and asks for that. A router may grant less for
# a time, because its own address is leased for a short time or its table is full. When that is over, the program still wakes up once
# a minute, and so does the router, until it gives the mapping back and asks for a new one.
#
# Seen with crab_nat 0.8.1, Linux 6.18 x86_64, a NAT-PMP router of 15 lines on loopback that grants 120 s at first, and then what is
# asked; lifetimes asked for / granted:
#   port_mapping              7200 / 120
#   renew                      120 / 120
#   renew                      120 / 120
#   port_mapping once more    7200 / 7200
# Fails if any of these changes. Needs cargo, python3, and unshare with user namespaces; changes nothing outside of its folder.
set -euo pipefail
version=0.8.1
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
crab_nat = "=$version"
tokio = { version = "1", features = ["rt", "macros"] }
TOML
cat >src/main.rs <<'RUST'
use std::{net::Ipv4Addr, num::NonZeroU16};

use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, natpmp};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut mapping = ask().await;
    mapping.renew().await.unwrap();
    mapping.renew().await.unwrap();
    ask().await;
}

async fn ask() -> PortMapping {
    let port = NonZeroU16::new(5000).unwrap();
    let options = PortMappingOptions::default();
    natpmp::port_mapping(Ipv4Addr::LOCALHOST.into(), InternetProtocol::Udp, port, options)
        .await
        .unwrap()
}
RUST
cat >router.py <<'PYTHON'
import socket, struct

router = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
router.bind(("127.0.0.1", 5351))
print("ready", flush=True)
for granted in (120, None, None, None):
    request, client = router.recvfrom(100)
    _, operation, _, inside, outside, asked = struct.unpack("!BBHHHI", request)
    granted = granted or asked
    print(asked, granted, flush=True)
    # Version, operation, success, seconds since it began, ports, lifetime (RFC 6886 section 3.3).
    answer = struct.pack("!BBHIHHI", 0, operation | 0x80, 0, 1, inside, outside or inside, granted)
    router.sendto(answer, client)
PYTHON
cargo build --quiet --release
cat >network.sh <<'SCRIPT'
set -euo pipefail
ip link set lo up
python3 router.py >asked &
until grep -q ready asked; do kill -0 $!; sleep 0.05; done
target/release/finding
wait $!
SCRIPT
: >asked
unshare --user --map-root-user --net bash network.sh 2>stderr || { cat stderr >&2; exit 1; }
echo "crab_nat $version, lifetimes asked for and granted:"
tail -n +2 asked
[ "$(tail -n +2 asked | tr '\n' ,)" = "7200 120,120 120,120 120,7200 7200," ] || { echo "the behaviour has changed" >&2; exit 1; }
