#!/usr/bin/env bash
# Whether a node of the Mainline DHT tells an asker from where it was heard depends on the program: libtorrent and mainline do, aria2 does not.
#
# BEP 42 has every answer carry the asker's address and port (the key "ip", compact), so one would guess that any three nodes of the DHT tell
# a computer how its router maps its UDP port, as three STUN servers would. Only nodes of some programs do; the others answer the same
# query without a word of it. Who wants to be told needs more nodes than answers, and must not take an answer without an address for a failed one.
#
# Seen on Linux x86_64, pings on loopback, each node being asked until it answers:
#   libtorrent 2.1.1.0 (PyPI)   told, with the right port
#   mainline 8.0.1 (crates.io)  told, with the right port
#   aria2 1.36.0-1 (Debian)     not told
# Fails if that changes. Needs python3 with venv, cargo and Debian's archive; installs nothing outside of its folder.
set -euo pipefail
libtorrent=2.1.1.0
mainline=8.0.1
aria2=1.36.0-1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "libtorrent==$libtorrent"
apt-get -qq -o APT::Sandbox::User=root download "aria2=$aria2" "libaria2-0=$aria2" libc-ares2 libssh2-1 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
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
cat >ask.py <<'PYTHON'
import os, socket, subprocess, sys, tempfile, time
import libtorrent

def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

def ask(name, port):
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.bind(("127.0.0.1", 0))
    asker.settimeout(1)
    for _ in range(30):
        asker.sendto(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t4:abcd1:y1:qe", ("127.0.0.1", port))
        try:
            answer = libtorrent.bdecode(asker.recv(1500))
        except (TimeoutError, ConnectionRefusedError):
            time.sleep(0.2)
            continue
        if answer[b"y"] != b"r":
            continue
        own = socket.inet_aton("127.0.0.1") + asker.getsockname()[1].to_bytes(2, "big")
        said = answer.get(b"ip")
        print(f"{name}: {'not told' if said is None else 'told' if said == own else 'told something else'}")
        return
    print(f"{name}: no answer")

session = libtorrent.session({
    "listen_interfaces": "127.0.0.1:0", "enable_dht": True, "dht_bootstrap_nodes": "", "enable_lsd": False, "enable_upnp": False,
    "enable_natpmp": False, "dht_ignore_dark_internet": False})
for _ in range(100):
    if session.listen_port():
        break
    time.sleep(0.1)
ask("libtorrent", session.listen_port())

node = subprocess.Popen(["target/debug/finding"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
ask("mainline", int(node.stdout.readline()))
node.stdin.close()
node.wait()

port, files = free_port(), tempfile.mkdtemp(dir=".")
libraries = "root/usr/lib/x86_64-linux-gnu"
aria2 = subprocess.Popen(
    ["root/usr/bin/aria2c", "--no-conf", "--quiet", "--dir", files, "--enable-dht", "--dht-file-path", f"{files}/dht",
     "--dht-listen-port", str(port), "--listen-port", str(port), "--interface", "127.0.0.1", "magnet:?xt=urn:btih:" + "01" * 20],
    env={**os.environ, "LD_LIBRARY_PATH": libraries})
try:
    ask("aria2", port)
finally:
    aria2.kill()
    aria2.wait()
PYTHON
venv/bin/python ask.py >seen
echo "libtorrent $libtorrent, mainline $mainline, aria2 $aria2"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
libtorrent: told
mainline: told
aria2: not told
SEEN
