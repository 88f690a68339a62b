#!/usr/bin/env bash
# Where a router's NAT is a rule with a fixed address, a flow keeps the lost address for as long as somebody tries to keep it alive.
#
# One would guess that `snat to` the address of the uplink is masquerade without the look-up, and that both move a flow when the router's
# default route moves to its second uplink, or its address is replaced: the next packet goes by the rule for where it now leaves. With masquerade
# it does, at the cost of that packet where the old interface stays up. A flow of snat keeps what its first packet was given. Its packets
# leave by the new way with the old address, for which no answer comes, each of them renewing the entry. A peer that sends
# keepalives more often than the entry lives stays cut off until it stops for that long, or speaks from another port: that
# is what to do once nothing comes back, as new flows of the same host do well.
#
# Seen with Linux 6.18 x86_64, nftables 1.0.6; a UDP flow of a host from port 4000, as somebody outside sees it before and after, and a new
# flow; router's addresses 9.9.1.1 and 9.9.2.1, and 9.9.1.7 for the replaced one:
#                                    before     after                       a new flow
#   second uplink, masquerade        9.9.1.1    one lost, then 9.9.2.1      9.9.2.1
#   second uplink, snat              9.9.1.1    9.9.1.1                     9.9.2.1
#   first one down, masquerade       9.9.1.1    9.9.2.1                     9.9.2.1
#   first one down, snat             9.9.1.1    9.9.1.1                     9.9.2.1
#   address replaced, masquerade     9.9.1.1    9.9.1.7                     9.9.1.7
#   address and rule replaced, snat  9.9.1.1    9.9.1.1                     9.9.1.7
# Fails if one of them is another. Needs python3, iproute2, nftables, and unshare with user namespaces; changes nothing outside of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >flow.py <<'PYTHON'
import ctypes, os, socket, subprocess

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
home = os.open("/proc/self/ns/net", os.O_RDONLY)
internet = os.open("/run/netns/internet", os.O_RDONLY)


def bound(namespace, address, port):
    assert libc.setns(namespace, CLONE_NEWNET) == 0, ctypes.get_errno()
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((address, port))
    line.settimeout(2)
    assert libc.setns(home, CLONE_NEWNET) == 0, ctypes.get_errno()
    return line


outside = bound(internet, "5.5.5.5", 5000)
host = bound(home, "192.168.1.2", 4000)


def seen(line):
    line.sendto(b"hello", ("5.5.5.5", 5000))
    try:
        source = outside.recvfrom(100)[1]
    except TimeoutError:
        return "lost"
    outside.sendto(b"answer", source)
    return source[0]


before = seen(host)
subprocess.run(["bash", "change.sh"], check=True)
after = [seen(host) for _ in range(3)]
new = seen(bound(home, "192.168.1.2", 4001))
print(f"{before}; {', '.join(after)}; {new}")
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
internet ip link set lo up
internet ip addr add 5.5.5.5/32 dev lo
for each in 1 2; do
    router ip link add "wan$each" type veth peer name "wire$each" netns internet
    router ip addr add "9.9.$each.1/24" dev "wan$each"
    router ip link set "wan$each" up
    internet ip addr add "9.9.$each.2/24" dev "wire$each"
    internet ip link set "wire$each" up
    # This internet takes packets from whatever address, lest it is what loses them.
    internet sysctl -qw "net.ipv4.conf.wire$each.rp_filter=0"
done
internet sysctl -qw net.ipv4.conf.all.rp_filter=0
router sysctl -qw net.ipv4.ip_forward=1
router ip route add default via 9.9.1.2
router nft add table ip nat
router nft 'add chain ip nat out { type nat hook postrouting priority 100; }'
case $1 in
    masquerade) router nft add rule ip nat out oifname '"wan*"' masquerade ;;
    snat)
        router nft add rule ip nat out oifname wan1 snat to 9.9.1.1
        router nft add rule ip nat out oifname wan2 snat to 9.9.2.1
        ;;
esac
python3 flow.py
SCRIPT
write_change() {
    echo 'set -euo pipefail; router() { ip netns exec router "$@"; }'
    case $1 in
        "second uplink") echo 'router ip route replace default via 9.9.2.2' ;;
        "first one down") echo 'router ip link set wan1 down; router ip route replace default via 9.9.2.2' ;;
        "address replaced")
            echo 'router ip addr del 9.9.1.1/24 dev wan1; router ip addr add 9.9.1.7/24 dev wan1'
            echo 'router ip route replace default via 9.9.1.2'
            [ "$2" = masquerade ] || echo 'router nft flush chain ip nat out; router nft add rule ip nat out oifname wan1 snat to 9.9.1.7'
            ;;
    esac
}
for change in "second uplink" "first one down" "address replaced"; do
    for kind in masquerade snat; do
        write_change "$change" "$kind" >change.sh
        printf '%s, %s: ' "$change" "$kind"
        unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh "$kind" 2>stderr ||
            { cat stderr >&2; exit 1; }
    done
done >seen
echo "Linux $(uname -r), $(nft --version); before; after; a new flow"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
second uplink, masquerade: 9.9.1.1; lost, 9.9.2.1, 9.9.2.1; 9.9.2.1
second uplink, snat: 9.9.1.1; 9.9.1.1, 9.9.1.1, 9.9.1.1; 9.9.2.1
first one down, masquerade: 9.9.1.1; 9.9.2.1, 9.9.2.1, 9.9.2.1; 9.9.2.1
first one down, snat: 9.9.1.1; 9.9.1.1, 9.9.1.1, 9.9.1.1; 9.9.2.1
address replaced, masquerade: 9.9.1.1; 9.9.1.7, 9.9.1.7, 9.9.1.7; 9.9.1.7
address replaced, snat: 9.9.1.1; 9.9.1.1, 9.9.1.1, 9.9.1.1; 9.9.1.7
SEEN
