#!/usr/bin/env bash
# A router with several outer addresses speaks from the one that its route names, and lets its hosts speak from another.
#
# One would guess that masquerade gives what leaves by a route the address that the route has as its source, as everything has that
# the router itself sends there: `ip route ... src` is how providers' addresses, a failover address or one kept on the loopback interface are set.
# Linux asks the interface instead. For IPv4 it takes the first address in the network of the next hop, for IPv6 what the rules of
# RFC 6724 prefer, which is the last one added if all else is equal. A STUN client or a mapping service on the router finds an address that is not
# that of the homes behind it, and a peer that is let in by the one is not by the other. `snat to` with that address makes them one.
#
# Seen with Linux 6.18 x86_64, nftables 1.0.6; 9.9.9.1 and then 9.9.9.7 on the outer interface, 9.7.7.7 on lo, and the same of IPv6; how
# somebody outside sees the router, and a host whose packets are masqueraded:
#   source of the default route     router           host
#   none                            9.9.9.1          9.9.9.1
#   9.9.9.7                         9.9.9.7          9.9.9.1
#   9.7.7.7                         9.7.7.7          9.9.9.1
#   none                            2001:db8::7      2001:db8::7
#   2001:db8::1                     2001:db8::1      2001:db8::7
#   2001:db8:7::7                   2001:db8:7::7    2001:db8::7
# Fails if one of them is another. Needs python3, iproute2, nftables, and unshare with user namespaces; changes nothing outside of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >tell.py <<'PYTHON'
# Answers each datagram with the address that it came from.
import selectors, socket

lines = selectors.DefaultSelector()
for family, address in ((socket.AF_INET, "5.5.5.5"), (socket.AF_INET6, "2001:db8:5::5")):
    line = socket.socket(family, socket.SOCK_DGRAM)
    line.bind((address, 5000))
    lines.register(line, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in lines.select():
        source = key.fileobj.recvfrom(100)[1]
        key.fileobj.sendto(source[0].encode(), source)
PYTHON
cat >seen.py <<'PYTHON'
import socket, sys

family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
line = socket.socket(family, socket.SOCK_DGRAM)
line.settimeout(30)
line.sendto(b"who am I?", (sys.argv[1], 5000))
print(line.recv(100).decode(), end="")
PYTHON
cat >network.sh <<'SCRIPT'
set -euo pipefail
mount -t tmpfs none /run
for name in router internet; do ip netns add "$name"; done
router() { ip netns exec router "$@"; }
internet() { ip netns exec internet "$@"; }
ip link add home type veth peer name lan netns router
ip addr add 192.168.1.2/24 dev home
ip addr add fd00::2/64 dev home nodad
ip link set home up
router ip addr add 192.168.1.1/24 dev lan
router ip addr add fd00::1/64 dev lan nodad
router ip link set lan up
router ip link set lo up
ip route add default via 192.168.1.1
ip -6 route add default via fd00::1
router ip link add wan type veth peer name wire netns internet
router ip link set wan up
internet ip link set wire up
internet ip link set lo up
for each in 1 7; do
    router ip addr add "9.9.9.$each/24" dev wan
    router ip addr add "2001:db8::$each/64" dev wan nodad
done
router ip addr add 9.7.7.7/32 dev lo
router ip addr add 2001:db8:7::7/128 dev lo nodad
internet ip addr add 9.9.9.2/24 dev wire
internet ip addr add 2001:db8::2/64 dev wire nodad
internet ip addr add 5.5.5.5/32 dev lo
internet ip addr add 2001:db8:5::5/128 dev lo nodad
internet ip route add 9.7.7.7/32 via 9.9.9.1
internet ip route add 2001:db8:7::7/128 via 2001:db8::1
router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
router nft -f - <<'RULES'
table inet nat {
    chain out { type nat hook postrouting priority 100; iifname lan oifname wan masquerade; }
}
RULES
internet python3 tell.py >telling &
until grep -q ready telling; do kill -0 $!; sleep 0.05; done
# The link-local addresses, without which no IPv6 neighbour is found, are tentative at first.
for each in home lan wan; do
    [ "$each" = home ] && where= || where="ip netns exec router"
    until [ -n "$($where ip -6 addr show dev "$each" scope link)" ] && [ -z "$($where ip -6 addr show dev "$each" tentative)" ]; do sleep 0.1; done
done
for source in "" 9.9.9.7 9.7.7.7; do
    router ip route replace default via 9.9.9.2 ${source:+src $source}
    echo "${source:-none}: $(router python3 seen.py 5.5.5.5), $(python3 seen.py 5.5.5.5)"
done
for source in "" 2001:db8::1 2001:db8:7::7; do
    router ip -6 route replace default via 2001:db8::2 ${source:+src $source}
    echo "${source:-none}: $(router python3 seen.py 2001:db8:5::5), $(python3 seen.py 2001:db8:5::5)"
done
SCRIPT
unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh >seen 2>stderr ||
    { cat stderr >&2; exit 1; }
echo "Linux $(uname -r), $(nft --version); source of the route: the router, a host"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
none: 9.9.9.1, 9.9.9.1
9.9.9.7: 9.9.9.7, 9.9.9.1
9.7.7.7: 9.7.7.7, 9.9.9.1
none: 2001:db8::7, 2001:db8::7
2001:db8::1: 2001:db8::1, 2001:db8::7
2001:db8:7::7: 2001:db8:7::7, 2001:db8::7
SEEN
