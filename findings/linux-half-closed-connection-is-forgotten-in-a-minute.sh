#!/usr/bin/env bash
# A router of Linux forgets a TCP connection a minute after one end said that it has no more to send, while the other still thinks of its answer.
#
# One would guess that a mapping that lives five days without a packet, as nf_conntrack_tcp_timeout_established has it, lives as long for
# somebody who has asked, half-closed and waits: TCP lets him wait for ever, and the connection is open until both ends said goodbye. From
# the first FIN on, once it is acknowledged, 60 s of silence are enough (nf_conntrack_tcp_timeout_close_wait). The answer that
# comes later is refused or dropped at the router. The server sent it without an error, and the client waits for ever. Keepalives, which one
# does not need for a connection of some minutes, help; so does it to say the end of the request in the protocol and to keep the direction open.
#
# Seen with Linux 6.18 x86_64, nftables 1.0.6, the 60 s set to 4; a client behind masquerade asks, and is answered after 9 s of silence:
#   default timeouts, in s                        established 432000, close_wait 60
#   half-closed                                   no answer
#   half-closed, keepalives each second           answered
#   open                                          answered
#   half-closed, answered at once                 answered
# Fails if one of them is another. Needs python3, iproute2, nftables, and unshare with user namespaces; changes nothing outside of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >serve.py <<'PYTHON'
# Answers each connection so many seconds after it has read a line, and the end of what comes, if the line announces one.
import socket, threading, time


def serve(connection):
    with connection, connection.makefile("rb") as lines:
        seconds, announced = lines.readline().split()
        if announced == b"half-closed":
            assert lines.read() == b""
        time.sleep(float(seconds))
        connection.sendall(b"answer")
        # Until the client is through with all of them.
        gone.wait()


gone = threading.Event()
listening = socket.create_server(("9.9.9.2", 7000))
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
PYTHON
cat >ask.py <<'PYTHON'
import socket, threading

CASES = {
    "half-closed": (9, "half-closed", False),
    "half-closed, keepalives": (9, "half-closed", True),
    "open": (9, "open", False),
    "half-closed, answered at once": (0, "half-closed", False),
}
seen = {}


def ask(name, seconds, kind, alive):
    with socket.create_connection(("9.9.9.2", 7000), timeout=25) as line:
        if alive:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        line.sendall(f"{seconds} {kind}\n".encode())
        if kind == "half-closed":
            line.shutdown(socket.SHUT_WR)
        try:
            seen[name] = "answered" if line.recv(100) == b"answer" else "closed"
        except TimeoutError:
            seen[name] = "no answer"


asking = [threading.Thread(target=ask, args=(name, *case)) for name, case in CASES.items()]
for one in asking:
    one.start()
for one in asking:
    one.join()
for name in CASES:
    print(f"{name}: {seen[name]}")
PYTHON
cat >network.sh <<'SCRIPT'
set -euo pipefail
mount -t tmpfs none /run
for name in router internet; do ip netns add "$name"; done
router() { ip netns exec router "$@"; }
internet() { ip netns exec internet "$@"; }
ip link add home type veth peer name lan netns router
ip addr add 192.168.1.2/24 dev home
ip link set home up
ip route add default via 192.168.1.1
router ip addr add 192.168.1.1/24 dev lan
router ip link set lan up
router ip link add wan type veth peer name wire netns internet
router ip addr add 9.9.9.1/24 dev wan
router ip link set wan up
internet ip addr add 9.9.9.2/24 dev wire
internet ip link set wire up
router sysctl -qw net.ipv4.ip_forward=1
router nft -f - <<'RULES'
table ip nat {
    chain out { type nat hook postrouting priority 100; oifname wan masquerade; }
}
RULES
timeouts=net.netfilter.nf_conntrack_tcp_timeout
echo "established $(router sysctl -n ${timeouts}_established), close_wait $(router sysctl -n ${timeouts}_close_wait)"
router sysctl -qw ${timeouts}_close_wait=4
internet python3 serve.py >serving &
until grep -q ready serving; do kill -0 $!; sleep 0.05; done
python3 ask.py
SCRIPT
echo "Linux $(uname -r), $(nft --version)"
unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh >seen 2>stderr ||
    { cat stderr >&2; exit 1; }
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
established 432000, close_wait 60
half-closed: no answer
half-closed, keepalives: answered
open: answered
half-closed, answered at once: answered
SEEN
