#!/usr/bin/env bash
# The SOCKS5 proxy of `ssh -D` has no answer for what it cannot do: it closes the connection, as a broken proxy would.
#
# One would guess that whoever asks a SOCKS5 proxy for a port where nobody listens is told so, and is told "command not supported" where there
# is no UDP ASSOCIATE: RFC 1928 section 6 has codes for both, and microsocks and dante give them. OpenSSH answers what worked. For a
# refused port, an unreachable network, BIND and UDP ASSOCIATE alike it sends nothing after the choice of the method, and closes. Who takes that for
# a proxy out of order gives up a good one at the first peer that is away, and who waits for a code before going on without UDP never
# does: an end after the method means "no", and only one before it is about the proxy.
#
# Seen with Debian's openssh-client 1:9.2p1-2+deb12u10 (asyncssh 2.24.1 of PyPI behind it), microsocks 1.0.3-2 and dante-server
# 1.4.2+dfsg-7+b8 on Linux x86_64; the code of the answer:
#                           ssh -D    microsocks    dante
#   a port that listens       0           0           0
#   a port that does not    closed        5           5
#   no route                closed        3           3
#   BIND                    closed        7           0
#   UDP ASSOCIATE           closed        7           0
# Fails if one of them is another. Needs python3 with venv, iproute2, unshare with user namespaces, and Debian's archive; installs nothing
# outside of its folder.
set -euo pipefail
ssh=1:9.2p1-2+deb12u10 microsocks=1.0.3-2 dante=1.4.2+dfsg-7+b8 asyncssh=2.24.1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download "openssh-client=$ssh" "microsocks=$microsocks" "dante-server=$dante" libwrap0 libgssapi-krb5-2 \
    libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1 libedit2 libbsd0 libmd0 libcom-err2 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "asyncssh==$asyncssh" cryptography==50.0.2
cat >far.py <<'PYTHON'
import asyncio
import asyncssh


class Far(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False

    def connection_requested(self, *_):
        return True


async def main():
    keys = [asyncssh.generate_private_key("ssh-ed25519")]
    await asyncssh.listen("127.0.0.1", 2222, server_host_keys=keys, server_factory=Far)
    await asyncio.Event().wait()


asyncio.run(main())
PYTHON
cat >ask.py <<'PYTHON'
import socket, struct

CONNECT, BIND, UDP_ASSOCIATE = 1, 2, 3
listening = socket.create_server(("127.0.0.1", 7001))


def ask(proxy, command, host, port):
    with socket.create_connection(("127.0.0.1", proxy), timeout=60) as line:
        line.sendall(b"\5\1\0")
        assert line.recv(2) == b"\5\0"
        line.sendall(bytes([5, command, 0, 1]) + socket.inet_aton(host) + struct.pack("!H", port))
        try:
            answer = line.recv(100)
        except ConnectionResetError:
            answer = b""
        return answer[1] if answer else "closed"


for what, command, host, port in [
    ("a port that listens", CONNECT, "127.0.0.1", 7001), ("a port that does not", CONNECT, "127.0.0.1", 7002),
    ("no route", CONNECT, "192.0.2.1", 80), ("BIND", BIND, "127.0.0.1", 0), ("UDP ASSOCIATE", UDP_ASSOCIATE, "0.0.0.0", 0),
]:
    print(f"{what}:", *(ask(proxy, command, host, port) for proxy in (1080, 1081, 1082)))
PYTHON
cat >dante.conf <<'CONF'
logoutput: stderr
internal: 127.0.0.1 port = 1082
external: lo
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: root
client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
CONF
cat >network.sh <<'SCRIPT'
set -euo pipefail
ip link set lo up
LD_LIBRARY_PATH=$(find "$PWD"/root -type d -name '*-linux-gnu' | paste -sd:)
listens() { until ss -Hltn "sport = :$1" | grep -q .; do kill -0 "$2"; sleep 0.05; done; }
venv/bin/python far.py &
listens 2222 $!
export LD_LIBRARY_PATH
root/usr/bin/ssh -F none -N -D 127.0.0.1:1080 -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null somebody@127.0.0.1 &
listens 1080 $!
root/usr/bin/microsocks -i 127.0.0.1 -p 1081 &
listens 1081 $!
root/usr/sbin/danted -f dante.conf &
listens 1082 $!
python3 ask.py
SCRIPT
unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc bash network.sh >seen 2>stderr || { cat stderr >&2; exit 1; }
echo "OpenSSH $ssh, microsocks $microsocks, dante $dante:"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
a port that listens: 0 0 0
a port that does not: closed 5 5
no route: closed 3 3
BIND: closed 7 0
UDP ASSOCIATE: closed 7 0
SEEN
