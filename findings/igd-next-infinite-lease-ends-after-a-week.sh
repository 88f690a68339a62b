#!/usr/bin/env bash
# A mapping that igd-next asks for without an end ends after a week, at a router that speaks version 2 of UPnP's IGD.
#
# One would guess that a lease_duration of 0 is infinite, as the documentation of add_port says and version 1 of WANIPConnection
# has it, and needs no renewal. Version 2 knows no infinite lease: its routers take 0 for 604,800 s, the longest, and miniupnpd
# does so also where it is told to call itself version 1. igd-next sends the 0 to either. What add_port returns has no duration in
# it, so that the program is told nothing, and what it serves is cut off a week later; get_generic_port_mapping_entry tells the truth.
#
# Seen with igd-next 0.18.0, Debian's miniupnpd and miniupnpd-nftables 2.3.1-1, Linux 6.18 x86_64; add_port with a lease of 0:
#   force_igd_desc_v1    service of the router    lease_duration of the entry
#   no                   WANIPConnection:2        604,800
#   yes                  WANIPConnection:1        604,800
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
use std::time::Duration;

use igd_next::{PortMappingProtocol::UDP, SearchOptions, search_gateway};

const FOREVER: u32 = 0;

fn main() {
    let mut options = SearchOptions::default();
    options.bind_addr = "192.168.1.2:0".parse().unwrap();
    options.timeout = Some(Duration::from_secs(20));
    let router = search_gateway(options).unwrap();
    let ours = "192.168.1.2:5000".parse().unwrap();
    router.add_port(UDP, 5000, ours, FOREVER, "finding").unwrap();
    let entry = router.get_generic_port_mapping_entry(0).unwrap();
    println!("{} {}", router.service_type, entry.lease_duration);
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
for first in no yes; do
    write "$first"
    run
    cat seen
    case $first in no) number=2 ;; yes) number=1 ;; esac
    # A second may have passed.
    grep -qxE "urn:schemas-upnp-org:service:WANIPConnection:$number (604800|60479[5-9])" seen ||
        { echo "the behaviour has changed" >&2; exit 1; }
done
