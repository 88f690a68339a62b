#!/usr/bin/env bash
# Who browses a type of service a second time ends the first search of that type, in another part of the program too.
#
# One would guess that each call of ServiceDaemon::browse has a search of its own, or that both receivers hear all, as each call
# returns one. mdns-sd keeps one listener for a type of each daemon. The second call takes its place: the first channel is closed,
# without the SearchStopped that stop_browse sends, and hears of nothing that comes later. ServiceDaemon can be cloned to be shared,
# and a clone is the same daemon, so two parts of a program that do not know of each other need a daemon each.
#
# Seen with mdns-sd 0.21.7, Linux 6.18 x86_64; what both hear of a service of this host:
#   searches                                 first receiver      second receiver
#   one                                      resolved            -
#   two of one daemon, or of its clone       closed, no event    resolved
#   one of each of two daemons               resolved            resolved
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
use std::time::{Duration, Instant};

use mdns_sd::{Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};

const TYPE: &str = "_finding._udp.local.";

fn main() {
    let announcer = ServiceDaemon::new().unwrap();
    let service = ServiceInfo::new(TYPE, "one", "one.local.", "192.168.1.1", 5000, None).unwrap();
    announcer.register(service).unwrap();

    let alone = ServiceDaemon::new().unwrap();
    println!("one: {}", heard(&alone.browse(TYPE).unwrap()));

    let shared = ServiceDaemon::new().unwrap();
    let first = shared.browse(TYPE).unwrap();
    let second = shared.clone().browse(TYPE).unwrap();
    println!("shared: {}, {}", heard(&first), heard(&second));

    let (left, right) = (ServiceDaemon::new().unwrap(), ServiceDaemon::new().unwrap());
    let (first, second) = (left.browse(TYPE).unwrap(), right.browse(TYPE).unwrap());
    println!("two: {}, {}", heard(&first), heard(&second));
}

/// What comes first: that the service was found, the end of the search, that its channel is closed, or eight seconds.
fn heard(events: &Receiver<ServiceEvent>) -> &'static str {
    let end = Instant::now() + Duration::from_secs(8);
    loop {
        match events.recv_deadline(end) {
            Ok(ServiceEvent::ServiceResolved(_)) => return "resolved",
            Ok(ServiceEvent::SearchStopped(_)) => return "stopped",
            Ok(_) => {}
            Err(_) if events.is_disconnected() => return "closed",
            Err(_) => return "nothing",
        }
    }
}
RUST
cargo build --quiet --release
cat >network.sh <<'SCRIPT'
set -euo pipefail
ip link set lo up
ip link add lan type veth peer name far
ip addr add 192.168.1.1/24 dev lan
ip link set lan up
ip link set far up
target/release/finding
SCRIPT
unshare --user --map-root-user --net bash network.sh >seen 2>stderr || { cat stderr >&2; exit 1; }
echo "mdns-sd $version, Linux $(uname -r)"
cat seen
expect() { grep -qx "$1" seen || { echo "the behaviour has changed: $1" >&2; exit 1; }; }
expect "one: resolved"
expect "shared: closed, resolved"
expect "two: resolved, resolved"
