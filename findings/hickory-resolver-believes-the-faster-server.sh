#!/usr/bin/env bash
# hickory-resolver asks the servers of resolv.conf at the same time and takes the first answer, even if that is that there is no such name.
#
# One would guess that the second server of resolv.conf is for when the first one does not answer, as resolv.conf(5) has it and as getaddrinfo
# does, so that the first may know names that nobody else does: those of the home, of a company, or of the other end of a VPN, whose
# program puts its server first. hickory-resolver reads the same file and asks two at once. A public server that is quicker to say that it knows no
# such name than the home's is to answer wins every time, and the name does not exist for programs with hickory while `getent` finds it.
# Asking one at a time is not enough either, as the faster is preferred as soon as it is known; nor is the order of the file, which does
# not keep it from asking both. It takes num_concurrent_reqs = 1 and ServerOrderingStrategy::UserProvidedOrder together.
#
# Seen with hickory-resolver 0.26.3 on Linux x86_64, 20 look-ups of a name that the first server knows and the second one does not; found
# by hickory-resolver as it is, with one question at a time, in the order of the file, with both, and by getent:
#                                        as it is    one by one    in order    both    getent
#   the first answers after 0.3 s         none        some          none        all     yes
#   the second answers after 0.3 s        all         -             all         all     yes
# Fails if one of them is another. Needs cargo, python3, iproute2, and unshare with user namespaces; changes nothing outside of its folder.
set -euo pipefail
version=0.26.3
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
hickory-resolver = { version = "=$version", features = ["system-config", "tokio"] }
tokio = { version = "1", features = ["macros", "rt"] }
TOML
cat >src/main.rs <<'RUST'
use hickory_resolver::{TokioResolver, config::ServerOrderingStrategy};

const COUNT: usize = 20;

async fn found(one_by_one: bool, in_order: bool) -> &'static str {
    let mut builder = TokioResolver::builder_tokio().unwrap();
    let options = builder.options_mut();
    if one_by_one {
        options.num_concurrent_reqs = 1;
    }
    if in_order {
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    }
    let resolver = builder.build().unwrap();
    let mut count = 0;
    for _ in 0..COUNT {
        count += usize::from(resolver.lookup_ip("nas.home.example.").await.is_ok());
        resolver.clear_cache();
    }
    match count {
        0 => "none",
        COUNT => "all",
        _ => "some",
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // Where the second is the slow one, this is left to chance.
    let one_by_one = match std::env::args().nth(1).as_deref() {
        Some("first") => found(true, false).await,
        _ => "-",
    };
    println!("{} {one_by_one} {} {}", found(false, false).await, found(false, true).await, found(true, true).await);
}
RUST
cargo build --quiet
cat >serve.py <<'PYTHON'
# Two servers, of which one knows every name.
import socket, struct, sys, threading, time

A, NO_SUCH_NAME = 1, 3


def answer(line, asked, source, knows, delay):
    end = 12
    while asked[end]:
        end += 1 + asked[end]
    end += 5
    kind, = struct.unpack(">H", asked[end - 4 : end - 2])
    record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + socket.inet_aton("10.0.0.7") if knows and kind == A else b""
    flags = 0x8580 | (0 if knows else NO_SUCH_NAME)
    time.sleep(delay)
    line.sendto(asked[:2] + struct.pack(">5H", flags, 1, bool(record), 0, 0) + asked[12:end] + record, source)


def serve(line, knows, delay):
    while True:
        asked, source = line.recvfrom(2000)
        threading.Thread(target=answer, args=(line, asked, source, knows, delay), daemon=True).start()


lines = []
for address in ("127.0.0.53", "127.0.0.54"):
    lines.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    lines[-1].bind((address, 53))
print("ready", flush=True)
slow = sys.argv[1]
threading.Thread(target=serve, args=(lines[0], True, 0.3 * (slow == "first")), daemon=True).start()
serve(lines[1], False, 0.3 * (slow == "second"))
PYTHON
cat >network.sh <<'SCRIPT'
set -euo pipefail
ip link set lo up
printf 'nameserver 127.0.0.53\nnameserver 127.0.0.54\n' >resolv.conf
echo 'hosts: files dns' >nsswitch.conf
for file in resolv.conf nsswitch.conf; do mount --bind "$file" "/etc/$file"; done
python3 serve.py "$1" >serving &
until grep -q ready serving; do kill -0 $!; sleep 0.05; done
echo "the $1 is slow: $(target/debug/finding "$1") $(getent ahosts nas.home.example >/dev/null && echo yes || echo no)"
SCRIPT
for slow in first second; do
    : >serving
    unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh "$slow" 2>stderr || { cat stderr >&2; exit 1; }
done >seen
echo "hickory-resolver $version: as it is, one by one, in order, both; getent"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
the first is slow: none some none all yes
the second is slow: all - all all yes
SEEN
