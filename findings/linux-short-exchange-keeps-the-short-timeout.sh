#!/usr/bin/env bash
# A UDP mapping of Linux gets its long timeout only from a packet that comes two seconds after its first one or later.
#
# One would guess that a mapping is a stream's as soon as an answer came back, as the two timeouts are said to be for flows
# without and with answers: 30 and 120 s by default. Linux looks at the age of the flow as well. Packets within two seconds of the
# first leave the short one, however many were asked and answered; one more after that, in either direction, gives the long one.
# So a dial that is done in a second and idle from then on is forgotten after 30 s, and who measures how long a mapping lives by
# asking once, and waiting, finds a quarter of what it lives in use.
#
# Seen with Linux 6.18 x86_64, nftables 1.0.6, the timeouts set to 3 and 9 s; does a packet from outside come in after 5 s of silence?
#   asked and answered once                            no
#   asked and answered ten times within a second       no
#   the same, and after 2.8 s asked without an answer  yes
#   the same, and after 2.8 s a packet from outside    yes
#   asked ten times and after 2.8 s, never answered    no
# Fails if any of these changes. Needs python3, iproute2, nftables, and unshare with user namespaces; changes nothing outside of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >cases.py <<'PYTHON'
import socket, sys, time

# When the inside asks, when the outside speaks besides answering, and whether it answers what is asked in the first second.
OFTEN = [0.1 * each for each in range(10)]
CASES = [([0.0], [], True), (OFTEN, [], True), (OFTEN + [2.8], [], True), (OFTEN, [2.8], True), (OFTEN + [2.8], [], False)]
SILENCE = 5


def bound(address, port):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((address, port))
    one.setblocking(False)
    return one


def heard(one):
    try:
        return one.recvfrom(100)
    except BlockingIOError:
        return None, None


def live(start, socks, deeds):
    """Does each deed at its time, and yields what comes meanwhile."""
    deeds.sort(key=lambda deed: deed[0])
    while time.monotonic() < start + 10:
        while deeds and start + deeds[0][0] <= time.monotonic():
            deeds.pop(0)[1]()
        for number, one in enumerate(socks):
            what, source = heard(one)
            if what:
                yield number, what, source
        time.sleep(0.005)


def inside(start):
    socks = [bound("192.168.1.2", 40000 + number) for number in range(len(CASES))]
    send = lambda number: lambda: socks[number].sendto(b"hello", ("9.9.9.2", 50000 + number))
    deeds = [(at, send(number)) for number, (asks, _, _) in enumerate(CASES) for at in asks]
    came_in = ["no"] * len(CASES)
    for number, what, _ in live(start, socks, deeds):
        if what == b"late":
            came_in[number] = "yes"
    print(*came_in)


def outside(start):
    socks = [bound("9.9.9.2", 50000 + number) for number in range(len(CASES))]
    seen = {}
    say = lambda number, what: lambda: socks[number].sendto(what, seen[number])
    deeds = []
    for number, (asks, tells, _) in enumerate(CASES):
        deeds += [(at, say(number, b"told")) for at in tells]
        deeds.append((max(asks + tells) + SILENCE, say(number, b"late")))
    for number, _, source in live(start, socks, deeds):
        seen[number] = source
        if CASES[number][2] and time.monotonic() < start + 2:
            socks[number].sendto(b"answer", source)


globals()[sys.argv[1]](float(sys.argv[2]))
PYTHON
cat >network.sh <<'SCRIPT'
set -euo pipefail
mount -t tmpfs none /run
for name in router internet; do ip netns add "$name"; done
router() { ip netns exec router "$@"; }
internet() { ip netns exec internet "$@"; }
ip link set lo up
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
router sysctl -qw net.netfilter.nf_conntrack_udp_timeout=3 net.netfilter.nf_conntrack_udp_timeout_stream=9
start=$(python3 -c 'import time; print(time.monotonic() + 1)')
internet python3 cases.py outside "$start" &
python3 cases.py inside "$start"
wait $!
SCRIPT
echo "Linux $(uname -r), $(nft --version)"
unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh >seen 2>stderr ||
    { cat stderr >&2; exit 1; }
echo "once, often, asked later, told later, never answered: $(cat seen)"
[ "$(cat seen)" = "no no yes yes no" ] || { echo "the behaviour has changed" >&2; exit 1; }
