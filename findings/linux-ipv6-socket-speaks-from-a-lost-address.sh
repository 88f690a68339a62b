#!/usr/bin/env bash
# A UDP socket goes on sending from an IPv6 address that the host has no longer, without an error; of IPv4 it gets one.
#
# One would guess that a socket that is bound to an address, or connected from it, fails once that address is taken from the host, as when a
# laptop changes from the wireless network to a cable. For IPv4 it does: each send gives ENETUNREACH while there is another
# way out. For IPv6 Linux takes the socket's word for its address. What is sent leaves by the new interface with the address of the old
# network, and no answer can come. So an endpoint that rebinds its socket at the first error moves on with IPv4 and waits for its idle timeout with
# IPv6; a socket that is bound to no address, and not connected, takes the new one at once. Who binds or connects has to watch the host's addresses.
#
# Seen with Linux 6.18 x86_64; two interfaces, of which the first loses its address and the second has the default route then; what
# send says, and from which network the packet leaves:
#                        IPv4 before    IPv4 after             IPv6 before    IPv6 after
#   connected            ok, old        ENETUNREACH, nothing   ok, old        ok, old
#   bound                ok, old        ENETUNREACH, nothing   ok, old        ok, old
#   neither              ok, old        ok, new                ok, old        ok, new
# Fails if one of them is another. Needs python3, iproute2, and unshare with user namespaces; changes nothing outside of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >speak.py <<'PYTHON'
import errno, socket, subprocess

FAR = {socket.AF_INET: "198.51.100.1", socket.AF_INET6: "2001:db8:9::1"}
OLD = {socket.AF_INET: "10.0.0.2", socket.AF_INET6: "2001:db8:1::2"}
NEW = {socket.AF_INET: "10.0.1.2", socket.AF_INET6: "2001:db8:2::2"}
NAMES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def left(sniffers, family, marker):
    """From which network the marked datagram left, on any of the interfaces."""
    for sniffer in sniffers:
        while True:
            try:
                frame = sniffer.recv(2000)
            except TimeoutError:
                break
            if frame.endswith(marker):
                source = frame[26:30] if family == socket.AF_INET else frame[22:38]
                names = {OLD[family]: "old", NEW[family]: "new"}
                return names[socket.inet_ntop(family, source)]
    return "nothing"


sniffers = []
for interface in ("old", "new"):
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniffer.bind((interface, 0))
    sniffer.settimeout(1)
    sniffers.append(sniffer)
count = 0


def speak(family, line, connected):
    global count
    count += 1
    marker = b"finding %03d" % count
    try:
        line.send(marker) if connected else line.sendto(marker, (FAR[family], 5000))
        said = "ok"
    except OSError as error:
        said = errno.errorcode[error.errno]
    return f"{said}, {left(sniffers, family, marker)}"


lines = {}
for family in FAR:
    for kind in ("connected", "bound", "neither"):
        line = lines[family, kind] = socket.socket(family, socket.SOCK_DGRAM)
        if kind == "connected":
            line.connect((FAR[family], 5000))
        if kind == "bound":
            line.bind((OLD[family], 0))
before = {key: speak(key[0], line, key[1] == "connected") for key, line in lines.items()}
subprocess.run(["bash", "move.sh"], check=True)
for (family, kind), line in lines.items():
    print(f"{NAMES[family]}, {kind}: {before[family, kind]}; {speak(family, line, kind == 'connected')}")
PYTHON
cat >move.sh <<'SCRIPT'
set -euo pipefail
ip addr del 10.0.0.2/24 dev old
ip addr del 2001:db8:1::2/64 dev old
ip route replace default via 10.0.1.1
ip -6 route replace default via 2001:db8:2::1
SCRIPT
cat >network.sh <<'SCRIPT'
set -euo pipefail
ip link set lo up
number=0
for each in old new; do
    ip link add "$each" type veth peer name "far-$each"
    ip link set "far-$each" up
    ip link set "$each" up
    ip addr add "10.0.$number.2/24" dev "$each"
    ip neigh add "10.0.$number.1" lladdr 02:00:00:00:00:09 dev "$each"
    number=$((number + 1))
    ip addr add "2001:db8:$number::2/64" dev "$each" nodad
    ip neigh add "2001:db8:$number::1" lladdr 02:00:00:00:00:09 dev "$each"
done
ip route add default via 10.0.0.1
ip -6 route add default via 2001:db8:1::1
python3 speak.py
SCRIPT
unshare --user --map-root-user --net bash network.sh >seen 2>stderr || { cat stderr >&2; exit 1; }
echo "Linux $(uname -r), before and after:"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
IPv4, connected: ok, old; ENETUNREACH, nothing
IPv4, bound: ok, old; ENETUNREACH, nothing
IPv4, neither: ok, old; ok, new
IPv6, connected: ok, old; ok, old
IPv6, bound: ok, old; ok, old
IPv6, neither: ok, old; ok, new
SEEN
