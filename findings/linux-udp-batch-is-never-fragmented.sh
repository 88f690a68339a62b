#!/usr/bin/env bash
# A datagram that Linux would cut in fragments is refused with EMSGSIZE as soon as it is sent in a batch, even in a batch of one.
#
# One would guess that sending by UDP_SEGMENT is the same as sending its parts one by one, "the same MTU rules" applying, as udp(7) says. A socket may
# fragment unless it is told otherwise, so a datagram of 1,400 bytes passes a tunnel with an MTU of 1,280. With UDP_SEGMENT set the call
# fails for all that is in it, whatever the socket says of fragments, if the parts are too long for the way; how many there are, or whether the last is
# short, plays no part. A program that falls back on sending one by one at an error never notices that its packets are in pieces from then
# on, and one that takes EMSGSIZE for the end of a probe stops on a way that carries them: choose the parts by the MTU, or set neither.
# Also, 128 parts go in one call, where udp(7) has 64; with 129 it is EINVAL.
#
# Seen with Linux 6.18 x86_64, over an interface with an MTU of 1,280, fragments allowed as by default; IPv4 and IPv6 alike:
#   parts                   one by one    UDP_SEGMENT
#   1,200                   sent          sent
#   1,400                   sent          EMSGSIZE
#   1,400, 1,400            sent          EMSGSIZE
#   1,400, 100              sent          EMSGSIZE
#   128 of 100              sent          sent
#   129 of 100              sent          EINVAL
# Fails if one of them is another. Needs python3, iproute2, and unshare with user namespaces; changes nothing outside of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >send.py <<'PYTHON'
import errno, socket, struct

UDP_SEGMENT = 103
FAR = {socket.AF_INET: ("IPv4", "10.0.0.2"), socket.AF_INET6: ("IPv6", "2001:db8::2")}
CASES = {
    "1,200": [1200], "1,400": [1400], "1,400, 1,400": [1400, 1400], "1,400, 100": [1400, 100],
    "128 of 100": [100] * 128, "129 of 100": [100] * 129,
}


def said(call):
    try:
        return "sent" if call() else "nothing"
    except OSError as error:
        return errno.errorcode[error.errno]


for family, (name, addr) in FAR.items():
    line = socket.socket(family, socket.SOCK_DGRAM)
    for case, sizes in CASES.items():
        alone = {said(lambda: line.sendto(bytes(size), (addr, 5000))) for size in sizes}
        segment = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", sizes[0]))]
        batch = said(lambda: line.sendmsg([bytes(sum(sizes))], segment, 0, (addr, 5000)))
        print(f"{name}, {case}: {' '.join(alone)}, {batch}")
PYTHON
cat >network.sh <<'SCRIPT'
set -euo pipefail
ip link set lo up
ip link add wan type veth peer name far
ip link set far up
ip link set wan mtu 1280 up
ip addr add 10.0.0.1/24 dev wan
ip addr add 2001:db8::1/64 dev wan nodad
ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:09 dev wan
ip neigh add 2001:db8::2 lladdr 02:00:00:00:00:09 dev wan
python3 send.py
SCRIPT
unshare --user --map-root-user --net bash network.sh >seen 2>stderr || { cat stderr >&2; exit 1; }
echo "Linux $(uname -r); one by one, and by UDP_SEGMENT:"
cat seen
for name in IPv4 IPv6; do
    sed "s/^/$name, /" <<'SEEN'
1,200: sent, sent
1,400: sent, EMSGSIZE
1,400, 1,400: sent, EMSGSIZE
1,400, 100: sent, EMSGSIZE
128 of 100: sent, sent
129 of 100: sent, EINVAL
SEEN
done >before
diff seen before || { echo "the behaviour has changed" >&2; exit 1; }
