#!/usr/bin/env bash
# Transmission dials no peer at a loopback address that a tracker names; of other addresses it dials private ones too.
#
# One would guess that a forwarded port at 127.0.0.1 is a peer like any other, as it is for libtorrent: somebody listens there. Transmission
# takes loopback addresses for no peers and says nothing of it: the torrent stays idle, its list of peers empty, and there is no line in the
# log. It minds neither 10.x nor 100.64.x, so what forwards for it has to listen at such an address of the computer.
#
# Seen with Debian's transmission-daemon 3.00-2.1+deb12u1 on Linux x86_64: two daemons, and a tracker that names them to each other, at
#   127.0.0.2, 127.0.0.3      nothing of the file after 30 s
#   10.9.9.1, 10.9.9.2        all of it
#   100.64.0.1, 100.64.0.2    all of it
# Fails if one of them does otherwise. Needs python3, iproute2, Debian's archive and namespaces; installs nothing outside of its folder.
set -euo pipefail
version=3.00-2.1+deb12u1
if [ "${1-}" != inside ]; then
    script=$(realpath "$0")
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    apt-get -qq -o APT::Sandbox::User=root download "transmission-daemon=$version" "transmission-cli=$version" libcurl4 libevent-2.1-7 \
        libminiupnpc17 libnatpmp1 >/dev/null
    for package in *.deb; do dpkg-deb -x "$package" root; done
    unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc bash "$script" inside
    exit
fi
LD_LIBRARY_PATH=$(find "$PWD"/root -type d -name '*-linux-gnu' | paste -sd:)
export LD_LIBRARY_PATH PATH=$PWD/root/usr/bin:$PATH
ip link set lo up
for addr in 10.9.9.1 10.9.9.2 100.64.0.1 100.64.0.2; do ip address add "$addr/32" dev lo; done
cat >tracker.py <<'PYTHON'
import http.server, socket, sys, urllib.parse

peers = set()

class Tracker(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        own = self.client_address[0], int(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("port", ["0"])[0])
        others = b"".join(socket.inet_aton(addr) + port.to_bytes(2, "big") for addr, port in peers - {own})
        if own[1]:
            peers.add(own)
        body = b"d8:intervali3e5:peers%d:%se" % (len(others), others)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer((sys.argv[1], 6969), Tracker).serve_forever()
PYTHON

daemon() {
    mkdir -p "$1/files"
    cat >"$1/settings.json" <<JSON
{"bind-address-ipv4": "$2", "download-dir": "$PWD/$1/files", "rpc-bind-address": "127.0.0.1", "rpc-port": $3,
 "dht-enabled": false, "lpd-enabled": false, "port-forwarding-enabled": false}
JSON
    transmission-daemon -f -g "$PWD/$1" >"$1/log" 2>&1 &
}

# What comes of a file from the first address to the second.
between() {
    local run=$1 seed=$2 leech=$3
    python3 tracker.py "$seed" &
    mkdir -p "$run-a/files"
    head -c 1000000 /dev/urandom >"$run-a/files/file"
    transmission-create -o "$run.torrent" -t "http://$seed:6969/announce" "$run-a/files/file" >/dev/null
    daemon "$run-a" "$seed" 9091
    daemon "$run-b" "$leech" 9092
    for port in 9091 9092; do
        until transmission-remote "127.0.0.1:$port" -a "$run.torrent" >/dev/null 2>&1; do sleep 0.2; done
    done
    result=nothing
    for _ in $(seq 60); do
        sleep 0.5
        if cmp -s "$run-a/files/file" "$run-b/files/file"; then result=all && break; fi
    done
    [ "$result" = all ] || [ ! -e "$run-b/files/file.part" ] || result="a part"
    echo "$seed, $leech: $result"
    kill $(jobs -p)
    wait || true
}

echo "transmission-daemon $version"
between loopback 127.0.0.2 127.0.0.3
at_loopback=$result
between private 10.9.9.1 10.9.9.2
at_private=$result
between shared 100.64.0.1 100.64.0.2
[ "$at_loopback $at_private $result" = "nothing all all" ] || { echo "the behaviour has changed"; exit 1; }
