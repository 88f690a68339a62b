#!/usr/bin/env bash
# igd-next's add_any_port gives a local port another outer one each time, and does not try the same number first.
#
# One would guess that asking again for the same local address renews its mapping, as a lease has to be renewed, and that a free
# port of the local number is taken first, as PCP, NAT-PMP and most clients of UPnP suggest it. igd-next 0.18.0 draws a random
# number above 32,767 for each call, on routers with AddAnyPortMapping as on others. Whoever renews by it opens one more port each
# time, tells peers of a new address, and leaves the others open until their leases end. To renew, add_port with the port that was
# granted extends its lease.
#
# Seen with igd-next 0.18.0, Debian's miniupnpd and miniupnpd-nftables 2.3.1-1, Linux 6.18 x86_64; three calls for one local address:
#   call            service              outer ports    the local number among them    mappings in the router
#   add_any_port    WANIPConnection:1         3                     no                           3
#   add_any_port    WANIPConnection:2         3                     no                           3
#   add_port        either                    1                     yes                          1
# Fails if any of these changes. Needs cargo, iproute2, nftables, unshare with user namespaces, and Debian's archive; installs nothing
# outside of its folder.
set -euo pipefail
version=0.18.0
router_version=2.3.1-1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download "miniupnpd=$router_version" "miniupnpd-nftables=$router_version" libnftnl11 libmnl0 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
mkdir src
cat >Cargo.toml <<TOML
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
igd-next = "=$version"
TOML
cat >src/main.rs <<'RUST'
use std::{net::SocketAddr, time::Duration};

use igd_next::{Gateway, PortMappingProtocol::UDP, SearchOptions, search_gateway};

fn main() {
    let mut options = SearchOptions::default();
    options.bind_addr = "192.168.1.2:0".parse().unwrap();
    options.timeout = Some(Duration::from_secs(20));
    let router = search_gateway(options).unwrap();
    let ours: SocketAddr = "192.168.1.2:5000".parse().unwrap();

    let ports: Vec<_> = (0..3).map(|_| router.add_any_port(UDP, ours, 3600, "finding").unwrap()).collect();
    let distinct = ports.iter().all(|port| ports.iter().filter(|other| *other == port).count() == 1);
    println!("add_any_port: distinct {distinct}, ours {}, open {}", ports.contains(&ours.port()), open(&router));
    for port in ports {
        router.remove_port(UDP, port).unwrap();
    }

    for _ in 0..3 {
        router.add_port(UDP, ours.port(), ours, 3600, "finding").unwrap();
    }
    println!("add_port: open {}", open(&router));
}

fn open(router: &Gateway) -> u32 {
    (0..).find(|index| router.get_generic_port_mapping_entry(*index).is_err()).unwrap()
}
RUST
cargo build --quiet --release
write() {
    cat >router.conf <<CONF
ext_ifname=wan
listening_ip=lan
enable_upnp=yes
force_igd_desc_v1=$1
uuid=4d2e1a3c-0000-4000-8000-000000000001
allow 1024-65535 0.0.0.0/0 1024-65535
CONF
}
cat >network.sh <<'SCRIPT'
set -euo pipefail
mount -t tmpfs none /run
ip netns add router
ip link set lo up
ip link add home type veth peer name lan netns router
ip addr add 192.168.1.2/24 dev home
ip link set home up
ip route add default via 192.168.1.1
inside() { ip netns exec router "$@"; }
inside ip link set lo up
inside ip addr add 192.168.1.1/24 dev lan
inside ip link set lan up
inside ip link add wan type veth peer name internet
inside ip link set wan up
inside ip link set internet up
inside ip addr add 9.9.9.9/24 dev wan
inside nft -f - <<'RULES'
table inet filter {
    chain miniupnpd { type filter hook forward priority 0; }
    chain prerouting_miniupnpd { type nat hook prerouting priority -100; }
    chain postrouting_miniupnpd { type nat hook postrouting priority 100; }
}
RULES
LD_LIBRARY_PATH=$(echo "$PWD"/root/usr/lib/*-linux-gnu) ip netns exec router \
    root/usr/sbin/miniupnpd -d -f router.conf >log 2>&1 &
router=$!
until grep -q "HTTP listening" log; do kill -0 "$router"; sleep 0.05; done
target/release/finding
kill "$router"
wait "$router" || true
SCRIPT
run() {
    unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh >seen 2>stderr ||
        { cat stderr >&2; exit 1; }
}
echo "igd-next $version, miniupnpd $router_version"
for first in yes no; do
    write "$first"
    run
    echo "version 1 only: $first"
    cat seen
    for line in "add_any_port: distinct true, ours false, open 3" "add_port: open 1"; do
        grep -qx "$line" seen || { echo "the behaviour has changed: $line" >&2; exit 1; }
    done
done
