#!/usr/bin/env bash
# coturn says at once that an allocation is deleted, and goes on with it for a second: what comes is still relayed, and a new one refused.
#
# One would guess that after the success of a Refresh with a lifetime of 0 the allocation is gone, as RFC 8656 section 8.2 has a server delete it
# then: its address hears no more, and the same socket may allocate anew at once, say to get another family or a pair of ports. coturn
# answers a new Allocate with 437, Allocation Mismatch, and brings what peers send, for a second. A client that takes 437 as
# section 7.4 has it, for a socket that it must leave for another one, throws away a good mapping of its NAT; so wait and try
# again, or allocate from another socket at once.
#
# Seen with Debian's coturn 4.6.1-1 on Linux x86_64, over loopback:
#   Refresh with lifetime 0             success, lifetime 0
#   Allocate right after it             437
#   what a peer sends right after it    arrives
#   Allocate, tried again               success
#   what the peer sends then            does not arrive
# Fails if one of them is another. Needs python3 and Debian's archive; installs nothing outside of its folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .
coturn=4.6.1-1
apt-get -qq -o APT::Sandbox::User=root download "coturn=$coturn" libmariadb3 libhiredis0.14 libevent-core-2.1-7 libevent-extra-2.1-7 \
    libevent-openssl-2.1-7 libevent-pthreads-2.1-7 libpq5 libsqlite3-0 libssl3 libsystemd0 libldap-2.5-0 libsasl2-2 libcap2 \
    liblz4-1 liblzma5 libzstd1 libgcrypt20 libgpg-error0 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >ask.py <<'PYTHON'
import os, socket, struct, sys, time

COOKIE = b"\x21\x12\xa4\x42"
ALLOCATE, REFRESH, CREATE_PERMISSION, DATA = 0x0003, 0x0004, 0x0008, 0x0017
ERROR_CODE, LIFETIME, XOR_PEER, XOR_RELAYED, TRANSPORT = 0x0009, 0x000D, 0x0012, 0x0016, 0x0019
UDP = (TRANSPORT, b"\x11\0\0\0")
server = ("127.0.0.1", int(sys.argv[1]))


def bound():
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind(("127.0.0.1", 0))
    line.settimeout(2)
    return line


def parsed(packet):
    attributes, rest = {}, packet[20:]
    while len(rest) >= 4:
        name, size = struct.unpack(">HH", rest[:4])
        attributes[name] = rest[4 : 4 + size]
        rest = rest[4 + (size + 3) // 4 * 4 :]
    return struct.unpack(">H", packet[:2])[0], attributes


def ask(line, kind, *attributes):
    body = b"".join(struct.pack(">HH", name, len(value)) + value for name, value in attributes)
    packet = struct.pack(">HH", kind, len(body)) + COOKIE + os.urandom(12) + body
    for _ in range(50):
        try:
            line.sendto(packet, server)
            while (answer := line.recv(2000))[4:20] != packet[4:20]:
                pass
            return parsed(answer)
        except (TimeoutError, ConnectionRefusedError):
            time.sleep(0.1)
    sys.exit("no answer")


def allocate(line):
    """The relayed port, or the code of the refusal."""
    _, attributes = ask(line, ALLOCATE, UDP)
    if code := attributes.get(ERROR_CODE):
        return None, code[2] * 100 + code[3]
    return struct.unpack(">H", attributes[XOR_RELAYED][2:4])[0] ^ 0x2112, None


def heard(client):
    try:
        return "arrives" if parsed(client.recv(2000))[0] == DATA else "something else arrives"
    except TimeoutError:
        return "does not arrive"


def delete():
    """An allocation is deleted: what is seen right after it, or nothing if this computer was too slow to see it then."""
    client, peer = bound(), bound()
    first, _ = allocate(client)
    peer_address = bytes(each ^ key for each, key in zip(socket.inet_aton("127.0.0.1"), COOKIE))
    peer_address = struct.pack(">BBH", 0, 1, peer.getsockname()[1] ^ 0x2112) + peer_address
    assert ask(client, CREATE_PERMISSION, (XOR_PEER, peer_address))[0] == CREATE_PERMISSION | 0x0100
    start = time.monotonic()
    kind, attributes = ask(client, REFRESH, (LIFETIME, bytes(4)))
    peer.sendto(b"hello", ("127.0.0.1", first))
    arrives = heard(client)
    _, refused = allocate(client)
    if time.monotonic() - start > 0.7:
        return None
    lifetime, = struct.unpack(">I", attributes[LIFETIME])
    print("Refresh:", "success" if kind == REFRESH | 0x0100 else hex(kind), lifetime)
    print("Allocate right after it:", refused or "success")
    print("a peer right after it:", arrives)
    return client, peer, first


seen = None
for _ in range(50):
    if seen := delete():
        break
else:
    sys.exit("this computer is too slow")
client, peer, first = seen
second = None
while second is None:
    time.sleep(0.1)
    second, code = allocate(client)
    assert second or code == 437, code
print("Allocate, tried again: success")
peer.sendto(b"hello", ("127.0.0.1", first))
print("a peer then:", heard(client))
PYTHON
port=$(python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
LD_LIBRARY_PATH=$(find "$PWD"/root -type d -name '*-linux-gnu' | paste -sd:) root/usr/bin/turnserver -n -L 127.0.0.1 -p "$port" \
    --userdb "$PWD/db" --no-cli --no-tls --no-dtls --no-auth --allow-loopback-peers --log-file stdout >log 2>&1 &
timeout 300 python3 ask.py "$port" >seen || { tail -5 log >&2; exit 1; }
echo "coturn $coturn"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
Refresh: success 0
Allocate right after it: 437
a peer right after it: arrives
Allocate, tried again: success
a peer then: does not arrive
SEEN
