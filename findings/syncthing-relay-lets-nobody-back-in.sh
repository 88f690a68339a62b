#!/usr/bin/env bash
# A device that lost its connection to Syncthing's relay is refused a new one for as long as the relay believes in the old.
#
# One would guess that a device that comes again with the same certificate takes the place of its former self, as it can only have one
# and the older one must be dead. strelaysrv says "already connected", a code that the specification has for a session with both its sides, and
# closes the new connection. A device whose network changed, or whose router forgot the flow, cannot say goodbye on the old one; the relay notices
# by its --network-timeout, two minutes by default. Meanwhile it invites the device to sessions on the dead connection, tells
# those who want it that all is well, and nobody comes. Try again until it lets you in, and have another relay for the time between.
#
# Seen with Debian's syncthing-relaysrv 1.19.2~ds1-1+b4 on Linux x86_64, --network-timeout 15s and --ping-interval 3s; a device joins, and
# says nothing more:
#   it joins by a second connection       already connected, and closed
#   another one asks for it               an invitation, on the silent connection too
#   it tries again and again              success, within a minute
#   another one asks for it then          an invitation, on the new connection too
# Fails if one of them is another. Needs python3, openssl and Debian's archive; installs nothing outside of its folder.
set -euo pipefail
version=1.19.2~ds1-1+b4
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download "syncthing-relaysrv=$version" >/dev/null
dpkg-deb -x syncthing-relaysrv_*.deb root
for each in relay/cert device other; do
    mkdir -p relay
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=syncthing -keyout "$each.key" -out "$each.pem" \
        -days 30 2>/dev/null
done
mv relay/cert.key relay/key.pem
cat >join.py <<'PYTHON'
import hashlib, socket, ssl, struct, sys, time

MAGIC, PING, JOIN, RESPONSE, CONNECT, INVITATION = 0x9E79BC40, 0, 2, 4, 5, 6


class Line:
    def __init__(self, name):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        tls.load_cert_chain(f"{name}.pem", f"{name}.key")
        tls.set_alpn_protocols(["bep-relay"])
        for _ in range(200):
            try:
                self.line = tls.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60))
                return
            except ConnectionRefusedError:
                time.sleep(0.1)
        sys.exit("no relay")

    def send(self, kind, body):
        body = struct.pack(">I", len(body)) + body + bytes(-len(body) % 4)
        self.line.sendall(struct.pack(">III", MAGIC, kind, len(body)) + body)

    def exactly(self, count):
        got = b""
        while len(got) < count and (more := self.line.recv(count - len(got))):
            got += more
        return got

    def said(self):
        """What comes, besides pings, in words."""
        while head := self.exactly(12):
            magic, kind, length = struct.unpack(">III", head)
            assert magic == MAGIC
            body = self.exactly(length)
            if kind == RESPONSE:
                return body[8 : 8 + struct.unpack(">I", body[4:8])[0]].decode()
            if kind != PING:
                return "an invitation" if kind == INVITATION else f"message {kind}"
        return "closed"


def joined():
    line = Line("device")
    line.send(JOIN, b"")
    return line, line.said()


device = hashlib.sha256(ssl.PEM_cert_to_DER_cert(open("device.pem").read())).digest()


def asked_for(line):
    other = Line("other")
    other.send(CONNECT, device)
    return f"{other.said()}, {line.said()}"


first, said = joined()
assert said == "success", said
second, said = joined()
print(f"a second connection: {said}, {second.said()}")
print("asked for:", asked_for(first))
for _ in range(120):
    again, said = joined()
    if said == "success":
        break
    time.sleep(0.5)
print("tried again:", said)
print("asked for then:", asked_for(again))
PYTHON
port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
root/usr/bin/strelaysrv -listen "127.0.0.1:$port" -keys relay -pools "" -status-srv "" -network-timeout 15s -ping-interval 3s >log 2>&1 &
python3 join.py "$port" >seen || { tail -5 log >&2; exit 1; }
echo "strelaysrv $version"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
a second connection: already connected, closed
asked for: an invitation, an invitation
tried again: success
asked for then: an invitation, an invitation
SEEN
