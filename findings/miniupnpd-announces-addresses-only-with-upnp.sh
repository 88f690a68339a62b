#!/usr/bin/env bash
# A router that serves PCP and NAT-PMP tells of its new outer address only if it serves UPnP too.
#
# One would guess that a host that listens to the announcements of RFC 6886 (section 3.2.1) and RFC 6887 (section 14.1)
# at 224.0.0.1 port 5350 learns of every new outer address, whatever else the router offers. miniupnpd 2.3.1 with
# enable_upnp=no announces none. With enable_upnp=yes it does so at once, once or twice in each protocol. Its start it announces
# in either case, by PCP alone and once, where NAT-PMP asks for ten packets.
#
# Seen with Debian's miniupnpd and miniupnpd-nftables 2.3.1-1, Linux 6.18 x86_64; announcements heard in 8 s, PCP / NAT-PMP:
#                              UPnP off    UPnP on
#   started                     1 / 0       1 / 0
#   outer address replaced      0 / 0       2 / 1 or 2
#   killed and started again    1 / 0       1 / 0
# Fails if a new address is announced without UPnP, or is not with it, or a start not at all. Needs python3, iproute2, nftables,
# unshare with user namespaces, and Debian's archive; installs nothing outside of its folder.
set -euo pipefail
version=2.3.1-1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download "miniupnpd=$version" "miniupnpd-nftables=$version" libnftnl11 libmnl0 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >hear.py <<'PYTHON'
import socket, sys, time

end = time.monotonic() + float(sys.argv[1])
hears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hears.bind(("", 5350))
hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.1") + bytes(4))
seen = {2: 0, 0: 0}
while (left := end - time.monotonic()) > 0:
    hears.settimeout(left)
    try:
        packet, _ = hears.recvfrom(1100)
    except TimeoutError:
        break
    seen[packet[0]] += 1
print(f"{seen[2]} / {seen[0]}")
PYTHON
write() {
    cat >router.conf <<CONF
ext_ifname=wan
listening_ip=lan
enable_upnp=$1
enable_natpmp=yes
uuid=4d2e1a3c-0000-4000-8000-000000000001
allow 1024-65535 0.0.0.0/0 1024-65535
CONF
}
cat >network.sh <<'SCRIPT'
set -euo pipefail
mount -t tmpfs none /run
ip netns add router
ip link set lo up
ip link add home type veth peer name lan netns router
ip addr add 192.168.1.2/24 dev home
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
start() {
    LD_LIBRARY_PATH=$(echo "$PWD"/root/usr/lib/*-linux-gnu) ip netns exec router \
        root/usr/sbin/miniupnpd -d -f router.conf >log 2>&1 &
    router=$!
    until grep -q "Listening for NAT-PMP/PCP" log; do kill -0 "$router"; sleep 0.05; done
}
stop() { kill "-$1" "$router"; wait "$router" || true; : >log; }
: >log
heard() {
    python3 hear.py 8 >heard &
    local hearing=$!
    until grep -q ":14E6 " /proc/net/udp; do sleep 0.05; done
    "${@:2}" 2>/dev/null
    wait "$hearing"
    echo "$1: $(cat heard)"
}
replace() { inside ip addr del 9.9.9.9/24 dev wan; inside ip addr add 9.9.9.10/24 dev wan; }
heard started start
heard replaced replace
stop KILL
heard again start
stop TERM
SCRIPT
for upnp in no yes; do
    write "$upnp"
    unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh >"$upnp" 2>stderr ||
        { cat stderr >&2; exit 1; }
    echo "miniupnpd $version, enable_upnp=$upnp, announcements by PCP / NAT-PMP:"
    cat "$upnp"
done
changed() { echo "the behaviour has changed: $1" >&2; exit 1; }
grep -q "^replaced: 0 / 0$" no || changed "a new address without UPnP"
grep -q "^replaced: [1-9]" yes || changed "a new address with UPnP"
for upnp in no yes; do
    [ "$(grep -c "^\(started\|again\): [1-9]" "$upnp")" = 2 ] || changed "a start"
done
