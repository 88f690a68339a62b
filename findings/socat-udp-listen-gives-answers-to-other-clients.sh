#!/usr/bin/env bash
# socat's UDP-LISTEN with fork gives one client the answers of all that start at the same moment.
#
# One would guess that "UDP-LISTEN:port,fork" is a UDP forwarder for many clients, as "TCP-LISTEN:port,fork" is for TCP: a process for
# each, which has one client and its answers. The process of the first client gets the socket with whatever waits in it though, of whomever
# that is: all of it goes to the server as the first client's, and so do the answers. The others hear nothing. Who comes alone
# is served well, so a trial by hand does not show it.
#
# Seen with Debian's socat 1.7.4.4-2 on Linux x86_64, an echo server behind it, and clients that send their number once:
#   20 clients, one after the other    20 hear their own answer and no other
#   20 clients at once                 0; one hears the answers of others too
# Fails if one of those who come alone is not served, or if all of those who come at once are. Needs python3 and Debian's archive; installs
# nothing outside of its folder.
set -euo pipefail
version=1.7.4.4-2
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download "socat=$version" libwrap0 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >clients.py <<'PYTHON'
import os, select, socket, subprocess, sys, threading, time

COUNT = 20
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))

def echo():
    while True:
        datagram, addr = server.recvfrom(100)
        server.sendto(datagram, addr)

threading.Thread(target=echo, daemon=True).start()
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.bind(("127.0.0.1", 0))
port = probe.getsockname()[1]
probe.close()
forwarder = subprocess.Popen(
    [sys.argv[1], "-T", "5", f"UDP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"UDP4:127.0.0.1:{server.getsockname()[1]}"],
    stderr=subprocess.DEVNULL, start_new_session=True)

def answers(client, seconds):
    client.settimeout(seconds)
    got = []
    try:
        while True:
            got.append(client.recv(100))
            client.settimeout(0.2)
    except (TimeoutError, ConnectionRefusedError):
        return got

def a_client():
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(("127.0.0.1", port))
    return client

def told(how, got):
    own = sum(answer == [b"%d" % number] for number, answer in enumerate(got))
    foreign = sum(any(one != b"%d" % number for one in answer) for number, answer in enumerate(got))
    print(f"{how}: {own} of {COUNT} hear their own answer and no other, {foreign} hear another's")
    return own

try:
    up = a_client()
    for _ in range(100):
        up.send(b"up")
        if answers(up, 0.1):
            break
        time.sleep(0.05)
    alone = []
    for number in range(COUNT):
        client = a_client()
        client.send(b"%d" % number)
        alone.append(answers(client, 2))
    own_alone = told("one after the other", alone)
    clients = [a_client() for _ in range(COUNT)]
    for number, client in enumerate(clients):
        client.send(b"%d" % number)
    time.sleep(2)
    own_at_once = told("at once", [answers(client, 0.1) for client in clients])
finally:
    os.killpg(forwarder.pid, 15)
    forwarder.wait()
if own_alone != COUNT or own_at_once == COUNT:
    sys.exit("the behaviour has changed")
PYTHON
echo "socat $version"
LD_LIBRARY_PATH=$(find "$PWD"/root -type d -name '*-linux-gnu' | paste -sd:) timeout 120 python3 clients.py root/usr/bin/socat
