#!/usr/bin/env bash
# Mumble's server takes a client's voice from the first UDP port that it hears, at the address of its TCP connection, and never from another one.
#
# One would guess that voice, each packet of which is encrypted with the client's own key, is taken from wherever it comes, and that the server
# answers where it was heard last: that is what lets WireGuard or QUIC live through a router's new mapping. mumble-server takes it only from the address
# from which the client's TCP connection comes, and keeps to the first port there from which it heard a good packet. When the router gives
# the UDP flow another port, or a forwarder opens a new socket for it after a pause, the client's pings go unanswered until it connects anew, so
# that it has to send its voice by TCP till then; where TCP and UDP are forwarded from two addresses there is no UDP from the start. A forwarder
# has to come from the same address with both, and to keep the socket of a flow for as long as the TCP connection beside it.
#
# Seen with Debian's mumble-server 1.3.4-4 on Linux x86_64; encrypted pings of a client whose TCP connection comes from 127.0.0.1:
#   from 127.0.0.2                                     not answered
#   from a port of 127.0.0.1                           answered
#   from another port of 127.0.0.1                     not answered
#   from the first one again                           answered
#   connected anew, from that other port               answered
#   connected anew, from the first port                not answered
# Fails if one of them is another. Needs python3 with venv, iproute2, unshare with user namespaces, and Debian's archive; installs nothing
# outside of its folder.
set -euo pipefail
version=1.3.4-4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .
apt-get -qq -o APT::Sandbox::User=root download "mumble-server=$version" libqt5core5a libqt5dbus5 libqt5network5 libqt5sql5 libqt5sql5-sqlite libqt5xml5 \
    libprotobuf32 libzeroc-ice3.7 libavahi-compat-libdnssd1 libavahi-client3 libavahi-common3 libdbus-1-3 libdouble-conversion3 \
    libglib2.0-0 libicu72 libpcre2-16-0 libcap2 libdb5.3 libexpat1 libbz2-1.0 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 \
    libkeyutils1 libsystemd0 libsqlite3-0 libssl3 liblz4-1 liblzma5 libzstd1 libgcrypt20 libgpg-error0 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cryptography==45.0.7
mkdir state
cat >server.ini <<CONF
database=$PWD/state/server.sqlite
host=127.0.0.1
port=64738
bonjour=false
logfile=
CONF
cat >speak.py <<'PYTHON'
import socket, ssl, struct, time
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SERVER = ("127.0.0.1", 64738)
VERSION, AUTHENTICATE, CRYPT_SETUP = 0, 2, 15
PING = b"\x20\x05"


def doubled(block):
    number = int.from_bytes(block, "big") << 1
    return ((number ^ 0x87 if number >> 128 else number) & (1 << 128) - 1).to_bytes(16, "big")


def xor(left, right):
    return bytes(a ^ b for a, b in zip(left, right))


def sealed(key, nonce, plain):
    """OCB2 of less than a block, and its tag."""
    cipher = lambda block: Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)
    offset = doubled(cipher(nonce))
    pad = cipher(xor(struct.pack(">QQ", 0, len(plain) * 8), offset))
    padded = plain + pad[len(plain) :]
    return xor(plain, pad), cipher(xor(xor(offset, doubled(offset)), padded))


class Client:
    """Somebody who is there, by TCP from 127.0.0.1."""

    def __init__(self):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        for _ in range(300):
            try:
                self.line = tls.wrap_socket(socket.create_connection(SERVER, timeout=60))
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        self.send(VERSION, b"\x08\x80\x86\x04")  # 1.3.0
        self.send(AUTHENTICATE, b"\x0a\x03ann\x28\x01")  # a name, and Opus
        while (message := self.said())[0] != CRYPT_SETUP:
            pass
        fields, rest = {}, message[1]
        while rest:
            fields[rest[0] >> 3], rest = rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
        self.key, self.nonce = fields[1], int.from_bytes(fields[2], "little")

    def send(self, kind, body):
        self.line.sendall(struct.pack(">HI", kind, len(body)) + body)

    def exactly(self, count):
        got = b""
        while len(got) < count:
            more = self.line.recv(count - len(got))
            assert more, "the server hung up"
            got += more
        return got

    def said(self):
        kind, length = struct.unpack(">HI", self.exactly(6))
        return kind, self.exactly(length)

    def ping(self, line):
        self.nonce = (self.nonce + 1) % (1 << 128)
        nonce = self.nonce.to_bytes(16, "little")
        text, tag = sealed(self.key, nonce, PING)
        line.sendto(nonce[:1] + tag[:3] + text, SERVER)


def bound(address):
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((address, 0))
    line.settimeout(1)
    return line


def answered(client, line):
    """Whether one of ten pings is answered."""
    for _ in range(10):
        client.ping(line)
        try:
            line.recv(100)
            return "answered"
        except TimeoutError:
            pass
    return "not answered"


first, other, elsewhere = bound("127.0.0.1"), bound("127.0.0.1"), bound("127.0.0.2")
client = Client()
print("another address:", answered(client, elsewhere))
print("a port:", answered(client, first))
print("another port:", answered(client, other))
print("the first port:", answered(client, first))
client.line.close()
client = Client()
print("connected anew, the other port:", answered(client, other))
print("connected anew, the first port:", answered(client, first))
PYTHON
cat >network.sh <<'SCRIPT'
set -euo pipefail
ip link set lo up
# As somebody else than root, lest it wants to become a user that is not there.
LD_LIBRARY_PATH=$(find "$PWD"/root/usr/lib "$PWD"/root/lib -maxdepth 1 -type d -name '*-linux-gnu' | paste -sd:) \
    QT_PLUGIN_PATH=$(echo "$PWD"/root/usr/lib/*-linux-gnu/qt5/plugins) \
    unshare --user --map-user=1000 --map-group=1000 root/usr/sbin/murmurd -fg -ini server.ini >log 2>&1 &
venv/bin/python speak.py
SCRIPT
: >log
unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc bash network.sh >seen 2>stderr ||
    { cat stderr >&2; tail -n 5 log >&2; exit 1; }
echo "mumble-server $version"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
another address: not answered
a port: answered
another port: not answered
the first port: answered
connected anew, the other port: answered
connected anew, the first port: not answered
SEEN
