#!/usr/bin/env bash
# A node of the Mainline DHT that is given another value by the number of the one it has says it took it: libtorrent's kept the first, mainline's the last.
#
# BEP 44 has a node refuse by error 302 only a number below the one it has, and lets one that is equal pass if the value is the same, so one
# would guess that another value by the same number is refused, or taken. libtorrent answers as if it had taken it, and goes on to give out
# what it had. mainline takes it. Whoever publishes twice within a unit of its numbers, as a clock's seconds, is told both times that all
# nodes have it, and readers find either value, by which nodes they ask. Never sign two values with one number: count on from the last one,
# and take a clock's time only if that is later.
#
# Seen on Linux x86_64, one node on loopback and signed items without salt; what the node answers, and what it gives out then:
#                               libtorrent 2.1.1.0 (PyPI)   mainline 8.0.1 (crates.io)
#   "one" by number 5           taken, one                  taken, one
#   "two" by number 5           taken, one                  taken, two
#   "low" by number 4           302, one                    302, two
#   "six" by number 6           taken, six                  taken, six
# Fails if that changes. Needs python3 with venv and cargo; installs nothing outside of its folder.
set -euo pipefail
libtorrent=2.1.1.0
mainline=8.0.1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "libtorrent==$libtorrent" cryptography==45.0.7
mkdir src
cat >Cargo.toml <<TOML
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
mainline = "=$mainline"
TOML
cat >src/main.rs <<'RUST'
#![allow(deprecated)]

fn main() {
    let testnet = mainline::Testnet::builder(3).build().unwrap();
    println!("{}", testnet.nodes[0].info().local_addr().port());
    // Until stdin ends.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}
RUST
CARGO_TARGET_DIR=$folder/target cargo build --quiet
cat >store.py <<'PYTHON'
import hashlib, socket, subprocess, sys, time
import libtorrent
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Node:
    def __init__(self, port):
        self.line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.line.bind(("127.0.0.1", 0))
        self.line.settimeout(1)
        self.line.connect(("127.0.0.1", port))

    def ask(self, query, **arguments):
        arguments["id"] = b"abcdefghij0123456789"
        asked = libtorrent.bencode({"t": b"abcd", "y": b"q", "q": query, "a": arguments})
        for _ in range(30):
            try:
                self.line.send(asked)
                # It asks us as well.
                while (answer := libtorrent.bdecode(self.line.recv(2000))).get(b"t") != b"abcd":
                    pass
                return answer
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.2)
        sys.exit("the node does not answer")


def judge(name, port):
    node = Node(port)
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    target = hashlib.sha1(public).digest()

    def get():
        return node.ask("get", target=target)[b"r"]

    for value, number in [("one", 5), ("two", 5), ("low", 4), ("six", 6)]:
        signed = key.sign(b"3:seqi%de1:v%s" % (number, libtorrent.bencode(value)))
        # BEP 44 has no target in it, which mainline wants.
        answer = node.ask("put", v=value, seq=number, k=public, sig=signed, token=get()[b"token"], target=target)
        said = answer.get(b"e", ["taken"])[0]
        print(f"{name}: {value} by {number}: {said}, {get()[b'v'].decode()}")


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
session = libtorrent.session({
    "listen_interfaces": f"127.0.0.1:{port}", "enable_dht": True, "dht_bootstrap_nodes": "", "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False,
})
judge("libtorrent", port)
with subprocess.Popen(["target/debug/finding"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as testnet:
    judge("mainline", int(testnet.stdout.readline()))
    testnet.stdin.close()
PYTHON
echo "libtorrent $libtorrent, mainline $mainline"
venv/bin/python -W ignore store.py | tee said
cat >before <<'SEEN'
libtorrent: one by 5: taken, one
libtorrent: two by 5: taken, one
libtorrent: low by 4: 302, one
libtorrent: six by 6: taken, six
mainline: one by 5: taken, one
mainline: two by 5: taken, two
mainline: low by 4: 302, two
mainline: six by 6: taken, six
SEEN
cmp -s said before || { echo "the behaviour has changed"; exit 1; }
