#!/usr/bin/env bash
# A stranger's packet that comes before ours makes Linux give our flow to that stranger another port.
#
# One would guess that masquerade keeps a free source port whoever knocked before, as its mapping is endpoint-independent in every
# test of RFC 5780. But where the router's INPUT chain accepts, the packet from outside to that port is taken for the router's own and
# stays in conntrack; our flow to the same stranger would have the same tuple, so it gets a random port, which the stranger's NAT
# does not expect. Later flows to others share that new port, as Linux looks for a mapping of the source that it has; earlier ones keep
# the old. Where INPUT drops or rejects, nothing is remembered. So of two homes that open their NATs towards each other, the one whose packet arrives first spoils the other's port.
#
# Seen with Linux 6.18 x86_64, nftables 1.0.6; source port 40000 of a host behind masquerade, as three others see it:
#   INPUT      spoken to first    who knocked    spoken to last
#   accept     40000              another        the same other
#   drop       40000              40000          40000
#   reject     40000              40000          40000
# Fails if any of these changes. Needs python3, iproute2, nftables, and unshare with user namespaces; changes nothing outside of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >say.py <<'PYTHON'
import socket, sys

host, port, to = sys.argv[1], int(sys.argv[2]), sys.argv[3]
says = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
says.bind((host, port))
says.sendto(b"hello", (to, int(sys.argv[4])))
PYTHON
cat >hear.py <<'PYTHON'
import socket, sys

hears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hears.bind((sys.argv[1], 50000))
hears.settimeout(5)
print("ready", flush=True)
print(hears.recvfrom(100)[1][1])
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
router sysctl -qw net.ipv4.ip_forward=1
internet ip addr add 9.9.9.2/24 dev wire
internet ip addr add 9.9.9.3/24 dev wire
internet ip addr add 9.9.9.4/24 dev wire
internet ip link set wire up
router nft -f - <<RULES
table ip nat {
    chain out { type nat hook postrouting priority 100; oifname wan masquerade; }
}
table inet filter {
    chain input { type filter hook input priority 0; iifname wan $1; }
}
RULES
# The port that one of those outside sees when the host speaks to it from port 40000.
seen_by() {
    : >heard
    internet python3 hear.py "$1" >heard &
    local hearing=$!
    until grep -q ready heard; do kill -0 "$hearing"; sleep 0.02; done
    python3 say.py 192.168.1.2 40000 "$1" 50000
    wait "$hearing"
    sed -n 2p heard
}
first=$(seen_by 9.9.9.3)
internet python3 say.py 9.9.9.2 50000 9.9.9.1 40000
knocked=$(seen_by 9.9.9.2)
echo "$first $knocked $(seen_by 9.9.9.4)"
SCRIPT
echo "Linux $(uname -r), $(nft --version)"
changed() { echo "the behaviour has changed: $1" >&2; exit 1; }
for policy in accept drop reject; do
    unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh "$policy" >"$policy" 2>stderr ||
        { cat stderr >&2; exit 1; }
    read -r first knocked last <"$policy"
    echo "INPUT $policy: first $first, who knocked $knocked, last $last"
    [ "$first" = 40000 ] || changed "a flow before"
    case $policy in
        accept)
            [ "$knocked" != 40000 ] || changed "a port that a stranger spoilt"
            [ "$last" = "$knocked" ] || changed "a flow after"
            ;;
        *) [ "$knocked $last" = "40000 40000" ] || changed "a port that nothing spoilt" ;;
    esac
done
