#!/usr/bin/env bash
# tinyproxy answers a wrong password for itself with 401, as if the server behind the tunnel had asked for one.
#
# One would guess that a proxy that wants a password says 407 with Proxy-Authenticate until it gets the right one (RFC 9110
# section 11.7), so that a 401 to a CONNECT cannot be about the proxy. tinyproxy says 407 only as long as there is no
# Proxy-Authorization; a wrong one gets 401 with WWW-Authenticate. A client that takes a 401 for an answer of its server tells
# its user to mend the wrong password.
#
# Seen with Debian's tinyproxy-bin 1.11.1-2.1+deb12u1 on Linux x86_64, status and the header that asks:
#   no password       407 Proxy-Authenticate
#   wrong password    401 WWW-Authenticate
#   right password    200
# Fails if one of them is another. Needs python3 and Debian's archive; installs nothing outside of its folder.
set -euo pipefail
version=1.11.1-2.1+deb12u1
folder=$(mktemp -d)
trap 'kill "${proxy:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download "tinyproxy-bin=$version" >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
cat >proxy.conf <<CONF
Listen 127.0.0.1
Port $port
Timeout 30
MaxClients 10
BasicAuth home right
CONF
root/usr/bin/tinyproxy -d -c proxy.conf >log 2>&1 &
proxy=$!
cat >ask.py <<'PYTHON'
import base64, socket, sys, time

port = int(sys.argv[1])
server = socket.create_server(("127.0.0.1", 0))
for name, password in (("no", None), ("wrong", "wrong"), ("right", "right")):
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", port), 10)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    target = f"127.0.0.1:{server.getsockname()[1]}"
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if password:
        head += f"Proxy-Authorization: Basic {base64.b64encode(f'home:{password}'.encode()).decode()}\r\n"
    client.sendall(f"{head}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(4096)
    lines = answer.split(b"\r\n\r\n")[0].decode().split("\r\n")
    asks = [line.split(":")[0] for line in lines if "authenticate" in line.lower()]
    print(f"{name} password:", lines[0].split()[1], *asks)
PYTHON
timeout 60 python3 ask.py "$port" >seen
echo "tinyproxy $version"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
no password: 407 Proxy-Authenticate
wrong password: 401 WWW-Authenticate
right password: 200
SEEN
