#!/usr/bin/env bash
# A router behind another NAT refuses a port by PCP as if it had none left, and names in that refusal the address that is the cause.
#
# One would guess that a router whose outer address is itself private says so when it refuses to open ports: RFC 6887 section 7.4 has 11,
# CANNOT_PROVIDE_EXTERNAL, and 3, NETWORK_FAILURE, where 8, NO_RESOURCES, is a full table that may have room half a minute
# later. miniupnpd says 8 with a lifetime of 30 s, for ever. Yet its refusal carries the private outer address where section 11.1
# copies what was suggested, so that a client that looks there sees the carrier. NAT-PMP has 3 and no address; UPnP gives the empty text as
# the outer address, without an error, and refuses the port by 501, which stands for any failure.
#
# Seen with Debian's miniupnpd and miniupnpd-nftables 2.3.1-1, Linux 6.18 x86_64, UDP; code, and what else is said:
#   outer address               9.9.9.9       192.168.7.9        100.64.7.9
#   NAT-PMP, outer address      0 9.9.9.9     3                  3
#   NAT-PMP, port               0             3                  3
#   PCP MAP                     0 9.9.9.9     8 192.168.7.9      8 100.64.7.9
#     its lifetime              600           30                 30
#   UPnP GetExternalIPAddress   9.9.9.9       the empty text     the empty text
#   UPnP AddPortMapping         done          501                501
# Fails if any of these changes. Needs python3, iproute2, nftables, unshare with user namespaces, and Debian's archive; installs nothing
# outside of its folder.
set -euo pipefail
version=2.3.1-1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download "miniupnpd=$version" "miniupnpd-nftables=$version" libnftnl11 libmnl0 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >ask.py <<'PYTHON'
import re, socket, struct, urllib.error, urllib.request

ROUTER, HOST = "192.168.1.1", "192.168.1.2"


def asked(port, packet):
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.settimeout(5)
    line.connect((ROUTER, port))
    line.send(packet)
    return line.recv(2000)


answer = asked(5351, b"\0\0")
code, addr = struct.unpack("!2xH4x4s", answer)
print("NAT-PMP outer:", code, socket.inet_ntoa(addr))
answer = asked(5351, struct.pack("!BBHHHI", 0, 1, 0, 5000, 5000, 600))
print("NAT-PMP port:", *struct.unpack("!H", answer[2:4]))

mapped = bytes(10) + b"\xff\xff"
request = struct.pack("!BBHI", 2, 1, 0, 600) + mapped + socket.inet_aton(HOST)
request += b"nonce nonce." + struct.pack("!B3xHH", 17, 5001, 5001) + mapped + bytes(4)
answer = asked(5351, request)
print("PCP MAP:", answer[3], socket.inet_ntoa(answer[56:60]), *struct.unpack("!I", answer[4:8]))

search = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {}\r\n\r\n"
device = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
answer = asked(1900, search.format(device).encode()).decode()
location = re.search(r"(?i)location: (\S+)", answer)[1]
description = urllib.request.urlopen(location).read().decode()
service = r"<serviceType>(\S+:WANIPConnection:\d)</serviceType>.*?<controlURL>(.*?)</controlURL>"
kind, path = re.search(service, description, re.S).groups()


def call(action, **arguments):
    inner = "".join(f"<New{name}>{value}</New{name}>" for name, value in arguments.items())
    body = (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">'
        f'<s:Body><u:{action} xmlns:u="{kind}">{inner}</u:{action}></s:Body></s:Envelope>'
    )
    headers = {"SOAPAction": f'"{kind}#{action}"', "Content-Type": "text/xml"}
    url = location[: location.index("/", len("http://"))] + path
    try:
        return urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers)).read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


said = call("GetExternalIPAddress")
print("UPnP outer:", re.search(r"<NewExternalIPAddress>(.*?)</|$", said)[1] or "the empty text")
said = call(
    "AddPortMapping", RemoteHost="", ExternalPort=5002, Protocol="UDP", InternalPort=5002, InternalClient=HOST,
    Enabled=1, PortMappingDescription="finding", LeaseDuration=600,
)
print("UPnP port:", re.search(r"<errorCode>(\d+)<|$", said)[1] or ("done" if "AddPortMappingResponse" in said else said))
PYTHON
cat >router.conf <<CONF
ext_ifname=wan
listening_ip=lan
enable_upnp=yes
enable_natpmp=yes
uuid=4d2e1a3c-0000-4000-8000-000000000001
allow 1024-65535 0.0.0.0/0 1024-65535
CONF
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
inside ip addr add "$1/24" dev wan
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
expected() {
    printf 'NAT-PMP outer: %s\nNAT-PMP port: %s\nPCP MAP: %s\nUPnP outer: %s\nUPnP port: %s' "$@"
}
for outer in 9.9.9.9 192.168.7.9 100.64.7.9; do
    : >log
    said=$(unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash network.sh "$outer")
    printf 'miniupnpd %s at %s\n%s\n' "$version" "$outer" "$said"
    case $outer in
        9.9.9.9) wanted=$(expected "0 $outer" 0 "0 $outer 600" "$outer" "done") ;;
        *) wanted=$(expected "3 0.0.0.0" 3 "8 $outer 30" "the empty text" 501) ;;
    esac
    [ "$said" = "$wanted" ] || { tail -n 5 log >&2; echo "the behaviour has changed; before:" >&2; echo "$wanted" >&2; exit 1; }
done
