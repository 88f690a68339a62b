#!/usr/bin/env bash
# if-watch tells of a new IPv6 address while nobody can bind to it yet, and does not tell again once one can.
#
# One would guess that the address of an IfEvent::Up is one of the host's, to bind to and to tell peers of. A new IPv6 address is tentative
# for a second or two, until the kernel knows that no neighbour has it, and cannot be bound to until then. if-watch passes the kernel's
# first word on at once, and takes the second, that the address may be used, for a repetition. An address that a neighbour does have is
# never usable and is Up all the same, without a Down. A program that binds in answer to the event, as a listener at each address would,
# fails, hears nothing further, and stays without that address: try again for some seconds, and do not tell peers before.
#
# Seen with if-watch 3.2.2, Linux 6.18 x86_64; how often it says Up and Down, and whether binding works, at its word and 6 s later:
#   address                         Up    Down    bind then            bind later
#   IPv4                             1      0     Ok                   Ok
#   IPv6                             1      0     AddrNotAvailable     Ok
#   IPv6 that a neighbour has        1      0     AddrNotAvailable     AddrNotAvailable
# Fails if one of them is another. Needs cargo, iproute2, and unshare with user namespaces; changes nothing outside of its folder.
set -euo pipefail
version=3.2.2
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
futures = "0.3"
if-watch = { version = "=$version", features = ["tokio"] }
tokio = { version = "1", features = ["macros", "net", "rt", "time"] }
TOML
cat >src/main.rs <<'RUST'
use std::{
    collections::BTreeMap,
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use futures::StreamExt;
use if_watch::{IfEvent, tokio::IfWatcher};
use tokio::time::{Instant, timeout_at};

const ADDRESSES: [(&str, &str); 3] =
    [("IPv4", "10.0.0.1"), ("IPv6", "2001:db8::1"), ("IPv6 that a neighbour has", "2001:db8::2")];

fn bind(addr: IpAddr) -> String {
    UdpSocket::bind((addr, 0)).map_or_else(|error| format!("{:?}", error.kind()), |_| "Ok".into())
}

#[derive(Default)]
struct Heard {
    up: u8,
    down: u8,
    then: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut watcher = IfWatcher::new().unwrap();
    println!("ready");
    let mut heard = BTreeMap::<IpAddr, Heard>::new();
    let mut end = None;
    loop {
        // From the first of the addresses on.
        let until = end.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        match timeout_at(until, watcher.select_next_some()).await {
            Ok(Ok(IfEvent::Up(net))) => {
                let one = heard.entry(net.addr()).or_default();
                one.up += 1;
                one.then = bind(net.addr());
                if ADDRESSES.iter().any(|(_, addr)| *addr == net.addr().to_string()) {
                    end.get_or_insert(Instant::now() + Duration::from_secs(6));
                }
            }
            Ok(Ok(IfEvent::Down(net))) => heard.entry(net.addr()).or_default().down += 1,
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => break,
        }
    }
    for (name, addr) in ADDRESSES {
        let addr = addr.parse().unwrap();
        let one = heard.remove(&addr).unwrap_or_default();
        println!("{name}: Up {}, Down {}, bind {}, later {}", one.up, one.down, one.then, bind(addr));
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
ip netns exec neighbour ip addr add 2001:db8::2/64 dev lan nodad
ip netns exec neighbour ip link set lan up
ip link set lan up
# Until both have their own link-local addresses for good.
ready() { ip -6 addr show dev lan scope link | grep -q fe80 && [ -z "$(ip -6 addr show dev lan tentative)" ]; }
export -f ready
until ready && ip netns exec neighbour bash -c ready; do sleep 0.1; done
mkfifo line
target/release/finding >line &
exec 3<line
read -r word <&3
[ "$word" = ready ]
ip addr add 10.0.0.1/24 dev lan
ip addr add 2001:db8::1/64 dev lan
ip addr add 2001:db8::2/64 dev lan
cat <&3
wait $!
SCRIPT
unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh >seen 2>stderr ||
    { cat stderr >&2; exit 1; }
echo "if-watch $version, Linux $(uname -r)"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
IPv4: Up 1, Down 0, bind Ok, later Ok
IPv6: Up 1, Down 0, bind AddrNotAvailable, later Ok
IPv6 that a neighbour has: Up 1, Down 0, bind AddrNotAvailable, later AddrNotAvailable
SEEN
