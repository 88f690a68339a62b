#!/usr/bin/env bash
# miniupnpd gives another port, as a success, to a client that said by PCP that no other port will do.
#
# One would guess that a success by PCP with PREFER_FAILURE, which RFC 6887 section 13.2 made for a client that needs one certain port, is of that
# port: a router that cannot give it says 11, CANNOT_PROVIDE_EXTERNAL, and one that does not know the option leaves it out of its answer
# (section 7.3). miniupnpd heeds it for the suggested address alone. If the port is another host's, it opens the next one, says success, and has the
# option in its answer as if it had been heeded. A client that believes that gives its old number to its peers, and leaves a port
# open that it does not know of. Compare the port that was granted, option or not, and delete what was not wanted.
#
# Seen with Debian's miniupnpd and miniupnpd-nftables 2.3.1-1, Linux 6.18 x86_64; MAP for UDP, code and port of the answer:
#   6000, by another host                                       0, 6000
#   6000                                                        0, another port
#   6000 and PREFER_FAILURE                                     0, another port, with the option
#   6100 of another address of the router                       0, 6100
#   6100 of another address of the router and PREFER_FAILURE    11
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
import socket, struct

PREFER_FAILURE = struct.pack("!BxH", 2, 0)


def pcp(inner, outer, source="192.168.1.2", address="0.0.0.0", options=b""):
    mapped = bytes(10) + b"\xff\xff"
    request = struct.pack("!BBHI", 2, 1, 0, 600) + mapped + socket.inet_aton(source)
    request += b"nonce nonce." + struct.pack("!B3xHH", 17, inner, outer) + mapped + socket.inet_aton(address) + options
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.settimeout(60)
    line.bind((source, 0))
    line.connect(("192.168.1.1", 5351))
    line.send(request)
    answer = line.recv(1100)
    code, port = answer[3], *struct.unpack("!H", answer[42:44])
    if code:
        return str(code)
    option = ", with the option" if PREFER_FAILURE in answer[60:] else ", without the option" if options else ""
    return f"0, {port if port == outer else 'another port'}{option}"


print("by another host:", pcp(5000, 6000, source="192.168.1.3"))
print("taken:", pcp(5001, 6000))
print("taken, PREFER_FAILURE:", pcp(5002, 6000, options=PREFER_FAILURE))
print("another address:", pcp(5003, 6100, address="9.9.9.7"))
print("another address, PREFER_FAILURE:", pcp(5004, 6101, address="9.9.9.7", options=PREFER_FAILURE))
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
by another host: 0, 6000
taken: 0, another port
taken, PREFER_FAILURE: 0, another port, with the option
another address: 0, 6100
another address, PREFER_FAILURE: 11
SEEN
