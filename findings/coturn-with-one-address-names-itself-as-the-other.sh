#!/usr/bin/env bash
# A coturn server that has one address tells classic clients that its other address is that one, so both mappings that they compare are one.
#
# One would guess that a STUN server without a second address says so, or nothing, as RFC 5780 section 6.1 has OTHER-ADDRESS stand
# only in answers of servers that can answer from there. To a request with the magic cookie of RFC 5389 that is what coturn does. To a
# classic one (RFC 3489, without the cookie) it sends CHANGED-ADDRESS all the same, equal to SOURCE-ADDRESS. Who asks there again, to
# see whether the router gives every destination another port, asks the same address twice and takes any router for one that
# does not. To CHANGE-REQUEST both kinds of client get an error 420, from the address that was asked and without UNKNOWN-ATTRIBUTES,
# which RFC 8489 section 6.3.1 wants in it (an attribute that coturn does not know at all is named): who takes any answer to
# "answer from elsewhere" as one that came from elsewhere sees a full cone. Compare the addresses that were asked, look from where an
# answer came, and read 420 without a list.
#
# Seen with Debian's coturn 4.6.1-1 on Linux x86_64, on 127.0.0.1 alone and on 127.0.0.1 and 127.0.0.2:
#   addresses  request                      answer
#   one        Binding                      success, other none
#   one        Binding, classic             success, other the one that was asked
#   one        CHANGE-REQUEST port          error 420 from where it was asked, names nothing
#   one        CHANGE-REQUEST port, classic error 420 from where it was asked, names nothing
#   one        attribute 0x7ffe             error 420 from where it was asked, names 7ffe
#   two        Binding                      success, other 127.0.0.2 and the next port
#   two        Binding, classic             success, other 127.0.0.2 and the next port
#   two        CHANGE-REQUEST port          success from the next port
# Fails if one of them is another. Needs python3 and Debian's archive; installs nothing outside of its folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .
coturn=4.6.1-1
apt-get -qq -o APT::Sandbox::User=root download "coturn=$coturn" libmariadb3 libhiredis0.14 libevent-core-2.1-7 libevent-extra-2.1-7 \
    libevent-openssl-2.1-7 libevent-pthreads-2.1-7 libpq5 libsqlite3-0 libssl3 libsystemd0 libldap-2.5-0 libsasl2-2 libcap2 \
    liblz4-1 liblzma5 libzstd1 libgcrypt20 libgpg-error0 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
libraries=$(find "$PWD"/root -type d -name '*-linux-gnu' | paste -sd:)
cat >ask.py <<'PYTHON'
import os, socket, struct, sys, time

COOKIE, CHANGE_REQUEST = b"\x21\x12\xa4\x42", 0x0003
OTHERS = {0x0005, 0x802C}  # CHANGED-ADDRESS of RFC 3489, OTHER-ADDRESS of RFC 5780


def address(value):
    return socket.inet_ntoa(value[4:8]), struct.unpack(">H", value[2:4])[0]


def ask(server, attribute=b"", classic=False):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        transaction = (os.urandom(4) if classic else COOKIE) + os.urandom(12)
        for _ in range(20):
            client.sendto(struct.pack(">HH", 1, len(attribute)) + transaction + attribute, server)
            try:
                answer, source = client.recvfrom(2048)
                break
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.1)
        else:
            sys.exit("no answer")
    assert answer[4:20] == transaction, answer
    (kind, length), attributes = struct.unpack(">HH", answer[:4]), {}
    rest = answer[20 : 20 + length]
    while len(rest) >= 4:
        name, size = struct.unpack(">HH", rest[:4])
        attributes[name] = rest[4 : 4 + size]
        rest = rest[4 + (size + 3) // 4 * 4 :]
    return kind, source, attributes


def place(found, server):
    if found == server:
        return "the one that was asked"
    host = "" if found[0] == server[0] else found[0]
    port = "the next port" if found[1] == server[1] + 1 else "the same port" if found[1] == server[1] else "another port"
    return " and ".join(part for part in (host, port) if part)


count, port = sys.argv[1], int(sys.argv[2])
server = ("127.0.0.1", port)
change_port = struct.pack(">HHI", CHANGE_REQUEST, 4, 2)
unknown = struct.pack(">HHI", 0x7FFE, 4, 0)
requests = [
    ("Binding", b"", False),
    ("Binding, classic", b"", True),
    ("CHANGE-REQUEST port", change_port, False),
]
if count == "one":
    requests += [("CHANGE-REQUEST port, classic", change_port, True), ("attribute 0x7ffe", unknown, False)]
for name, attribute, classic in requests:
    kind, source, attributes = ask(server, attribute, classic)
    if kind == 0x0101 and not attribute:
        others = [address(value) for key, value in attributes.items() if key in OTHERS]
        seen = "success, other " + (place(others[0], server) if others else "none")
    elif kind == 0x0101:
        seen = "success from " + place(source, server)
    else:
        code = attributes[0x0009][2] * 100 + attributes[0x0009][3]
        where = "from where it was asked" if source == server else f"from {place(source, server)}"
        seen = f"error {code} {where}, names {attributes.get(0x000A, b'').hex() or 'nothing'}"
    print(f"{count}, {name}: {seen}")
PYTHON
free_port() { python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1] & ~1)'; }
serve() { # COUNT ADDRESS...
    local port addresses=() address
    port=$(free_port)
    for address in "${@:2}"; do addresses+=(-L "$address"); done
    LD_LIBRARY_PATH=$libraries root/usr/bin/turnserver -n "${addresses[@]}" -p "$port" --alt-listening-port $((port + 1)) --userdb "$PWD/db" \
        --no-cli --no-tls --no-dtls --no-auth --log-file stdout >"$1.log" 2>&1 &
    local server=$!
    timeout 60 python3 ask.py "$1" "$port" || { tail -5 "$1.log" >&2; exit 1; }
    kill "$server"
    wait "$server" || true
}
{ serve one 127.0.0.1; serve two 127.0.0.1 127.0.0.2; } >seen
echo "coturn $coturn"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
one, Binding: success, other none
one, Binding, classic: success, other the one that was asked
one, CHANGE-REQUEST port: error 420 from where it was asked, names nothing
one, CHANGE-REQUEST port, classic: error 420 from where it was asked, names nothing
one, attribute 0x7ffe: error 420 from where it was asked, names 7ffe
two, Binding: success, other 127.0.0.2 and the next port
two, Binding, classic: success, other 127.0.0.2 and the next port
two, CHANGE-REQUEST port: success from the next port
SEEN
