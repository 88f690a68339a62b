#!/usr/bin/env bash
# A client that renews a mapping at miniupnpd with another suggestion gets one port more, and keeps the old one open too.
#
# One would guess that an inner port has one mapping, and that a second request for it renews that one, whatever it suggests: the suggestion
# is for a router that has no mapping yet. miniupnpd takes the suggested port if it is free, by NAT-PMP as by PCP with the same nonce, and the earlier
# ones stay open as well. Without a suggestion it takes the inner number. Who wanted 6000, was given 6001 and renews with what
# it wanted moves to 6000 on the day on which that is free: renew with what was granted. To delete, NAT-PMP takes all of the inner
# port's at once. PCP takes one for each request, and where there is none says 8, NO_RESOURCES, the word for a full table: so that is what the
# repetition of a deletion hears whose answer was lost. NAT-PMP has a success for that.
#
# Seen with Debian's miniupnpd and miniupnpd-nftables 2.3.1-1, Linux 6.18 x86_64; one inner port by each protocol, outer port granted or
# code, and how many outer ports lead to it then:
#   request                  PCP             NAT-PMP
#   suggesting 6000          6000, 1         6000, 1
#   suggesting 6000          6000, 1         6000, 1
#   suggesting 6001          6001, 2         6001, 2
#   suggesting none          inner port, 3   inner port, 3
#   delete                   code 0, 2       code 0, 0
#   delete                   code 0, 1       code 0, 0
#   delete                   code 0, 0       code 0, 0
#   delete                   code 8, 0       code 0, 0
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
import os, re, socket, struct, subprocess


def asked(packet, source="192.168.1.2"):
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.settimeout(60)
    line.bind((source, 0))
    line.connect(("192.168.1.1", 5351))
    line.send(packet)
    return line.recv(1100)


def pcp(inner, outer, lifetime, source="192.168.1.2", options=b""):
    """The code of the answer, its lifetime and its outer port."""
    mapped = bytes(10) + b"\xff\xff"
    request = struct.pack("!BBHI", 2, 1, 0, lifetime) + mapped + socket.inet_aton(source)
    request += b"nonce nonce." + struct.pack("!B3xHH", 17, inner, outer) + mapped + bytes(4) + options
    answer = asked(request, source)
    return answer[3], *struct.unpack("!I", answer[4:8]), *struct.unpack("!H", answer[42:44])


def natpmp(inner, outer, lifetime):
    code, port, granted = struct.unpack("!2xH6xHI", asked(struct.pack("!BBHHHI", 0, 1, 0, inner, outer, lifetime)))
    return code, granted, port


def lead_to(inner):
    rules = subprocess.run(
        ["ip", "netns", "exec", "router", "nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd"],
        capture_output=True, text=True, check=True,
    ).stdout
    return len(re.findall(rf"dnat ip to 192\.168\.1\.2:{inner}\b", rules))


for name, protocol, inner, wanted in (("PCP", pcp, 5000, 6000), ("NAT-PMP", natpmp, 5001, 7000)):
    for outer in (wanted, wanted, wanted + 1, 0):
        code, _, port = protocol(inner, outer, 600)
        assert code == 0, code
        words = {inner: "the inner one", wanted: "the first", wanted + 1: "the second"}
        suggested = {0: "none"}.get(outer, words.get(outer))
        print(f"{name}, suggesting {suggested}: {words.get(port, port)}, {lead_to(inner)}")
    for _ in range(4):
        code, _, _ = protocol(inner, 0, 0)
        print(f"{name}, delete: code {code}, {lead_to(inner)}")
PYTHON
cat >network.sh <<'SCRIPT'
set -euo pipefail
mount -t tmpfs none /run
ip netns add router
ip link add home type veth peer name lan netns router
ip addr add 192.168.1.2/24 dev home
ip addr add 192.168.1.3/24 dev home
ip link set home up
ip route add default via 192.168.1.1
inside() { ip netns exec router "$@"; }
inside ip link set lo up
inside ip addr add 192.168.1.1/24 dev lan
inside ip link set lan up
inside ip link add wan type veth peer name internet
inside ip link set wan up
inside ip link set internet up
inside ip addr add 9.9.9.9/24 dev wan
inside nft -f - <<'RULES'
table inet filter {
    chain miniupnpd { type filter hook forward priority 0; }
    chain prerouting_miniupnpd { type nat hook prerouting priority -100; }
    chain postrouting_miniupnpd { type nat hook postrouting priority 100; }
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
echo "miniupnpd $version"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
PCP, suggesting the first: the first, 1
PCP, suggesting the first: the first, 1
PCP, suggesting the second: the second, 2
PCP, suggesting none: the inner one, 3
PCP, delete: code 0, 2
PCP, delete: code 0, 1
PCP, delete: code 0, 0
PCP, delete: code 8, 0
NAT-PMP, suggesting the first: the first, 1
NAT-PMP, suggesting the first: the first, 1
NAT-PMP, suggesting the second: the second, 2
NAT-PMP, suggesting none: the inner one, 3
NAT-PMP, delete: code 0, 0
NAT-PMP, delete: code 0, 0
NAT-PMP, delete: code 0, 0
NAT-PMP, delete: code 0, 0
SEEN
