#!/usr/bin/env bash
# Who has port 6000 of a router for its port 4000 still speaks from the router's port 4000, and sees one peer under two addresses.
#
# One would guess that a mapping holds in both directions, so that peers see a host by the port that it was granted. miniupnpd on nftables
# makes a rule for what comes in. What the host sends of its own accord is masqueraded as if there were no mapping, by its
# own number if that is free; only answers to what came in by 6000 leave by it. STUN tells of the port that only those spoken to can reach, and a
# peer that opens its NAT for 6000 is knocked at from 4000. If a peer that was spoken to then comes by 6000, Linux has to tell the two
# flows apart, and gives the peer a random port on the inside: the host sees a stranger, who gets his answers all the same. Ask for the number
# of the inner port, tell peers of both, and do not take the address for the peer.
#
# Seen with Debian's miniupnpd and miniupnpd-nftables 2.3.1-1, nftables 1.0.6, Linux 6.18 x86_64; ports of a host that has a mapping by
# PCP, and of a peer at port 5000:
#   inner port    granted    speaks first from    answers from    peer spoken to comes by    host sees it at    and answers from
#   4000          6000       4000                 6000            4000                       5000               4000
#                                                                 6000                       another port       6000
#   4500          4500       4500                 4500            4500                       5000               4500
# Fails if one of them is another. Needs python3, iproute2, nftables, unshare with user namespaces, and Debian's archive; installs nothing
# outside of its folder.
set -euo pipefail
version=2.3.1-1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download "miniupnpd=$version" "miniupnpd-nftables=$version" libnftnl11 libmnl0 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >router.conf <<CONF
ext_ifname=wan
listening_ip=lan
enable_upnp=no
enable_natpmp=yes
uuid=4d2e1a3c-0000-4000-8000-000000000001
allow 1024-65535 0.0.0.0/0 1024-65535
CONF
cat >ask.py <<'PYTHON'
import ctypes, os, socket, struct

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
home = os.open("/proc/self/ns/net", os.O_RDONLY)
internet = os.open("/run/netns/internet", os.O_RDONLY)


def bound(namespace, address, port):
    assert libc.setns(namespace, CLONE_NEWNET) == 0, ctypes.get_errno()
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((address, port))
    line.settimeout(60)
    assert libc.setns(home, CLONE_NEWNET) == 0, ctypes.get_errno()
    return line


def map_port(inner, outer):
    mapped = bytes(10) + b"\xff\xff"
    request = struct.pack("!BBHI", 2, 1, 0, 600) + mapped + socket.inet_aton("192.168.1.2")
    request += b"nonce nonce." + struct.pack("!B3xHH", 17, inner, outer) + mapped + bytes(4)
    line = bound(home, "192.168.1.2", 0)
    line.sendto(request, ("192.168.1.1", 5351))
    answer = line.recv(1100)
    assert answer[3] == 0 and struct.unpack("!H", answer[42:44]) == (outer,), answer


def comes_by(peer, outer, host):
    """At which port the host sees the peer, and from which it answers."""
    peer.sendto(b"hello", ("9.9.9.9", outer))
    _, seen = host.recvfrom(100)
    host.sendto(b"answer", seen)
    return "itself" if seen == peer.getsockname() else "another port", peer.recvfrom(100)[1][1]


for inner, outer in ((4000, 6000), (4500, 4500)):
    map_port(inner, outer)
    host = bound(home, "192.168.1.2", inner)
    spoken_to, stranger = bound(internet, "9.9.9.2", 5000), bound(internet, "9.9.9.3", 5000)
    host.sendto(b"first", ("9.9.9.2", 5000))
    print(f"{inner} mapped to {outer}: speaks first from {spoken_to.recvfrom(100)[1][1]}")
    for name, peer, port in (("stranger", stranger, outer), ("spoken to", spoken_to, inner), ("spoken to", spoken_to, outer)):
        print(f"  {name} comes by {port}: seen at %s, answered from %s" % comes_by(peer, port, host))
    for each in (host, spoken_to, stranger):
        each.close()
PYTHON
cat >network.sh <<'SCRIPT'
set -euo pipefail
mount -t tmpfs none /run
for name in router internet; do ip netns add "$name"; done
ip link add home type veth peer name lan netns router
ip addr add 192.168.1.2/24 dev home
ip link set home up
ip route add default via 192.168.1.1
inside() { ip netns exec router "$@"; }
inside ip link set lo up
inside ip addr add 192.168.1.1/24 dev lan
inside ip link set lan up
inside ip link add wan type veth peer name wire netns internet
inside ip link set wan up
inside ip addr add 9.9.9.9/24 dev wan
inside sysctl -qw net.ipv4.ip_forward=1
ip netns exec internet ip addr add 9.9.9.2/24 dev wire
ip netns exec internet ip addr add 9.9.9.3/24 dev wire
ip netns exec internet ip link set wire up
inside nft -f - <<'RULES'
table inet filter {
    chain miniupnpd { type filter hook forward priority 0; }
    chain prerouting_miniupnpd { type nat hook prerouting priority -100; }
    chain postrouting_miniupnpd { type nat hook postrouting priority 100; }
    chain input { type filter hook input priority 0; iifname wan drop; }
}
table ip nat {
    chain out { type nat hook postrouting priority 110; oifname wan masquerade; }
}
RULES
LD_LIBRARY_PATH=$(echo "$PWD"/root/usr/lib/*-linux-gnu) ip netns exec router \
    root/usr/sbin/miniupnpd -d -f router.conf >log 2>&1 &
until grep -q "Listening for NAT-PMP/PCP" log; do kill -0 $!; sleep 0.05; done
python3 ask.py
SCRIPT
: >log
unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh >seen 2>stderr ||
    { cat stderr >&2; tail -n 5 log >&2; exit 1; }
echo "miniupnpd $version, Linux $(uname -r), $(nft --version)"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
4000 mapped to 6000: speaks first from 4000
  stranger comes by 6000: seen at itself, answered from 6000
  spoken to comes by 4000: seen at itself, answered from 4000
  spoken to comes by 6000: seen at another port, answered from 6000
4500 mapped to 4500: speaks first from 4500
  stranger comes by 4500: seen at itself, answered from 4500
  spoken to comes by 4500: seen at itself, answered from 4500
  spoken to comes by 4500: seen at itself, answered from 4500
SEEN
