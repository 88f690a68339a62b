#!/usr/bin/env bash
# A service whose addresses are in none of this host's networks is registered without an error, and announced to nobody.
#
# One would guess that what ServiceDaemon::register took is announced with the addresses that were given, as avahi-publish does
# for a printer that cannot speak for itself, or for the address of a tunnel with a prefix of 32 bits. mdns-sd tells on each
# interface only those addresses that are in the network of one of its own. What has none is not announced and answers no
# question; a further address of a service that has one is left out. Neither register nor the daemon's monitor says so. Another
# host's address in the same network is announced.
#
# Seen with mdns-sd 0.21.7, Linux 6.18 x86_64; a host with 192.168.1.1/24 registers, its neighbour browses for 8 s and resolves:
#   registered address               register    neighbour
#   192.168.1.1                      Ok          192.168.1.1
#   192.168.1.77, of another host    Ok          192.168.1.77
#   192.168.1.1 and 10.9.9.9         Ok          192.168.1.1
#   10.9.9.9                         Ok          nothing
# Fails if any of these changes. Needs cargo, iproute2, and unshare with user namespaces; changes nothing outside of its folder.
set -euo pipefail
version=0.21.7
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
mdns-sd = { version = "=$version", default-features = false }
TOML
cat >src/main.rs <<'RUST'
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};

const TYPE: &str = "_finding._udp.local.";
const SERVICES: [(&str, &str); 4] = [
    ("ours", "192.168.1.1"),
    ("neighbours", "192.168.1.77"),
    ("both", "192.168.1.1,10.9.9.9"),
    ("foreign", "10.9.9.9"),
];

fn main() {
    let daemon = ServiceDaemon::new().unwrap();
    if std::env::args().nth(1).as_deref() == Some("browse") {
        browse(&daemon);
    } else {
        for (name, addresses) in SERVICES {
            let host = format!("{name}.local.");
            let service = ServiceInfo::new(TYPE, name, &host, addresses, 5000, None).unwrap();
            daemon.register(service).expect("register says that it cannot");
        }
        std::thread::sleep(Duration::from_secs(10));
    }
}

fn browse(daemon: &ServiceDaemon) {
    let events = daemon.browse(TYPE).unwrap();
    let end = Instant::now() + Duration::from_secs(8);
    let mut seen = BTreeMap::new();
    while let Ok(event) = events.recv_deadline(end) {
        if let ServiceEvent::ServiceResolved(service) = event {
            let name = service.fullname.split('.').next().unwrap().to_owned();
            let mut addresses: Vec<_> = service.addresses.iter().map(|one| one.to_ip_addr()).collect();
            addresses.sort();
            seen.insert(name, addresses);
        }
    }
    for (name, _) in SERVICES {
        println!("{name}: {:?}", seen.get(name).cloned().unwrap_or_default());
    }
}
RUST
cargo build --quiet --release
cat >network.sh <<'SCRIPT'
set -euo pipefail
mount -t tmpfs none /run
ip netns add neighbour
ip link set lo up
ip link add lan type veth peer name lan netns neighbour
ip addr add 192.168.1.1/24 dev lan
ip link set lan up
ip netns exec neighbour ip addr add 192.168.1.2/24 dev lan
ip netns exec neighbour ip link set lan up
until ip -o link show lan | grep -q LOWER_UP && ip netns exec neighbour ip -o link show lan | grep -q LOWER_UP; do sleep 0.05; done
target/release/finding register &
ip netns exec neighbour target/release/finding browse
wait $!
SCRIPT
unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh >seen 2>stderr ||
    { cat stderr >&2; exit 1; }
echo "mdns-sd $version, Linux $(uname -r)"
cat seen
expect() { grep -qx "$1" seen || { echo "the behaviour has changed: $1" >&2; exit 1; }; }
expect 'ours: \[192\.168\.1\.1\]'
expect 'neighbours: \[192\.168\.1\.77\]'
expect 'both: \[192\.168\.1\.1\]'
expect 'foreign: \[\]'
