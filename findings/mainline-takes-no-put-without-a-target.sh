#!/usr/bin/env bash
# A node of the mainline crate says nothing to a put that names no target, which BEP 44 has none name, and stores nothing.
#
# One would guess that whatever stores an item at libtorrent's nodes stores it at all others. BEP 44's put names the value, its key, number
# and signature, and the token; where the item lies follows from those. mainline, in its own puts, names the target besides, and its nodes
# drop one without it like a packet that is no message: no answer, no error, and the sender takes the node for gone. Name the target always:
# libtorrent does not mind.
#
# Seen on Linux x86_64, one node on loopback, immutable and signed items, transaction ids of four bytes:
#                               libtorrent 2.1.1.0 (PyPI)   mainline 8.0.1 (crates.io)
#   as in BEP 44, immutable     stored                      no answer, not stored
#   as in BEP 44, signed        stored                      no answer, not stored
#   with the target, immutable  stored                      stored
#   with the target, signed     stored                      stored
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
cat >put.py <<'PYTHON'
import hashlib, socket, subprocess, time
import libtorrent
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Node:
    def __init__(self, port):
        self.line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.line.bind(("127.0.0.1", 0))
        self.line.settimeout(1)
        self.line.connect(("127.0.0.1", port))

    def ask(self, query, tries=30, **arguments):
        arguments["id"] = b"abcdefghij0123456789"
        asked = libtorrent.bencode({"t": b"abcd", "y": b"q", "q": query, "a": arguments})
        for _ in range(tries):
            try:
                self.line.send(asked)
                # It asks us as well.
                while (answer := libtorrent.bdecode(self.line.recv(2000))).get(b"t") != b"abcd":
                    pass
                return answer
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.2)
        return None


def judge(name, port):
    node = Node(port)
    while node.ask("ping") is None:
        pass

    def get():
        return node.ask("get", target=target)[b"r"]

    for more in ["as in BEP 44", "with the target"]:
        for kind in ["immutable", "signed"]:
            value = f"{more}, {kind}"
            key = Ed25519PrivateKey.generate()
            item = {"v": value}
            target = hashlib.sha1(libtorrent.bencode(value)).digest()
            if kind == "signed":
                public = key.public_key().public_bytes_raw()
                signed = key.sign(b"3:seqi1e1:v" + libtorrent.bencode(value))
                item |= {"k": public, "seq": 1, "sig": signed}
                target = hashlib.sha1(public).digest()
            get = lambda: node.ask("get", target=target)[b"r"]
            item["token"] = get()[b"token"]
            if more == "with the target":
                item["target"] = target
            answer = node.ask("put", tries=5, **item)
            answered = "no answer, " if answer is None else ""
            stored = "stored" if get().get(b"v") == value.encode() else "not stored"
            print(f"{name}: {value}: {answered}{stored}")


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
venv/bin/python -W ignore put.py | tee said
cat >before <<'SEEN'
libtorrent: as in BEP 44, immutable: stored
libtorrent: as in BEP 44, signed: stored
libtorrent: with the target, immutable: stored
libtorrent: with the target, signed: stored
mainline: as in BEP 44, immutable: no answer, not stored
mainline: as in BEP 44, signed: no answer, not stored
mainline: with the target, immutable: stored
mainline: with the target, signed: stored
SEEN
cmp -s said before || { echo "the behaviour has changed"; exit 1; }
