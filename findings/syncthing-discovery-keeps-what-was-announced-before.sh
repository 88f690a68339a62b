#!/usr/bin/env bash
# Syncthing's discovery server adds what a device announces to what it announced before, and takes no announcement of nothing.
#
# One would guess that an announcement says where a device is now, and replaces the one before it: it has the whole list each time, and the
# specification calls an empty list all right. stdiscosrv keeps each address for two hours from when it last was named. A device that has
# moved, or whose port was closed, is given out with its old addresses beside the new ones, and others waste a try on
# each; and if it has no address any more it cannot say so: an empty list is answered 400, and what was known stays.
#
# Seen with Debian's syncthing-discosrv 1.19.2~ds1-1+b4 on Linux x86_64; announcements of one device, and what a look-up gives after each:
#   announced                       answer    looked up
#   tcp://198.51.100.7:22000          204     198.51.100.7
#   tcp://192.0.2.9:22000             204     192.0.2.9 and 198.51.100.7
#   an empty list                     400     192.0.2.9 and 198.51.100.7
#   tcp://192.0.2.9:22000             204     192.0.2.9 and 198.51.100.7
# Fails if one of them is another. Needs python3, openssl and Debian's archive; installs nothing outside of its folder.
set -euo pipefail
version=1.19.2~ds1-1+b4
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download "syncthing-discosrv=$version" >/dev/null
dpkg-deb -x syncthing-discosrv_*.deb root
for each in server device; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=syncthing -keyout "$each.key" -out "$each.pem" \
        -days 30 2>/dev/null
done
cat >announce.py <<'PYTHON'
import base64, hashlib, http.client, json, ssl, sys, time

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def device_id(certificate):
    """The hash of the certificate in base 32, with a check digit behind each quarter, in groups of seven."""
    text = base64.b32encode(hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest()).decode().rstrip("=")
    checked = ""
    for part in (text[start : start + 13] for start in range(0, 52, 13)):
        digits = [ALPHABET.index(each) * (1 + place % 2) for place, each in enumerate(part)]
        checked += part + ALPHABET[-sum(digit // 32 + digit % 32 for digit in digits) % 32]
    return "-".join(checked[start : start + 7] for start in range(0, 56, 7))


tls = ssl.create_default_context()
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
tls.load_cert_chain("device.pem", "device.key")


def asked(method, path, body=None):
    for _ in range(200):
        line = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), timeout=30, context=tls)
        try:
            line.request(method, path, body)
        except ConnectionRefusedError:
            time.sleep(0.1)
            continue
        answer = line.getresponse()
        return answer.status, answer.read()
    sys.exit("no answer")


device = device_id(open("device.pem").read())
for addresses in (["tcp://198.51.100.7:22000"], ["tcp://192.0.2.9:22000"], [], ["tcp://192.0.2.9:22000"]):
    status, _ = asked("POST", "/v2/", json.dumps({"addresses": addresses}))
    found, body = asked("GET", f"/v2/?device={device}")
    assert found == 200, found
    print(f"{' '.join(addresses) or 'an empty list'}: {status}, {' '.join(json.loads(body)['addresses'])}")
PYTHON
port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
root/usr/bin/stdiscosrv -listen "127.0.0.1:$port" -cert server.pem -key server.key -db-dir db -replication-listen "" >log 2>&1 &
python3 announce.py "$port" >seen || { tail -5 log >&2; exit 1; }
echo "stdiscosrv $version"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
tcp://198.51.100.7:22000: 204, tcp://198.51.100.7:22000
tcp://192.0.2.9:22000: 204, tcp://192.0.2.9:22000 tcp://198.51.100.7:22000
an empty list: 400, tcp://192.0.2.9:22000 tcp://198.51.100.7:22000
tcp://192.0.2.9:22000: 204, tcp://192.0.2.9:22000 tcp://198.51.100.7:22000
SEEN
