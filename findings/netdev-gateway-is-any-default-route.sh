#!/usr/bin/env bash
# The first gateway that netdev names may be one that no packet goes through, and one that all packets go through it may not know.
#
# One would guess that the gateway of the default interface is the router that the kernel would send to. netdev takes every route
# to 0.0.0.0/0 with a gateway, of any routing table, whether a rule leads to that table or not, and lists those of an interface in
# the order in which the kernel dumps its tables. So a table that a VPN or a rule for another uplink has set aside comes first, and
# a client of UPnP or PCP asks a router that its packets never see. Of a route with several next hops it takes none.
#
# Seen with netdev 0.47.0, iproute2 6.1.0, Linux 6.18 x86_64; the kernel's choice is that of `ip route get 192.0.2.1`:
#   default routes                                     the kernel's choice    get_default_gateway
#   via 10.0.0.1                                       10.0.0.1               10.0.0.1
#   the same, and via 10.0.0.9 in unused table 50      10.0.0.1               10.0.0.9, 10.0.0.1
#   with next hops 10.0.0.1 and 10.1.0.1               one of both            an error
# Fails if any of these changes. Needs cargo, iproute2, and unshare with user namespaces; changes nothing outside of its folder.
set -euo pipefail
version=0.47.0
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
netdev = "=$version"
TOML
cat >src/main.rs <<'RUST'
fn main() {
    match netdev::get_default_gateway() {
        Ok(gateway) => println!("{:?}", gateway.ipv4),
        Err(_) => println!("an error"),
    }
}
RUST
cargo build --quiet --release
cat >network.sh <<'SCRIPT'
set -euo pipefail
ip link set lo up
ip link add uplink type veth peer name far
ip link add other type veth peer name farther
ip addr add 10.0.0.2/24 dev uplink
ip addr add 10.1.0.2/24 dev other
for each in uplink far other farther; do ip link set "$each" up; done
say() { echo "$1: kernel $(ip route get 192.0.2.1 | sed -n 's/.* via \([0-9.]*\) .*/\1/p'), netdev $(target/release/finding)"; }
ip route add default via 10.0.0.1
say one
ip route add default via 10.0.0.9 table 50
say unused
ip route flush table 50
ip route replace default nexthop via 10.0.0.1 dev uplink nexthop via 10.1.0.1 dev other
say several
SCRIPT
unshare --user --map-root-user --net bash network.sh >seen 2>stderr || { cat stderr >&2; exit 1; }
echo "netdev $version, Linux $(uname -r), $(ip -V)"
cat seen
expect() { grep -q "$1" seen || { echo "the behaviour has changed: $1" >&2; exit 1; }; }
expect '^one: kernel 10\.0\.0\.1, netdev \[10\.0\.0\.1\]$'
expect '^unused: kernel 10\.0\.0\.1, netdev \[10\.0\.0\.9, 10\.0\.0\.1\]$'
expect '^several: kernel 10\.[01]\.0\.1, netdev an error$'
