#!/usr/bin/env bash
# privoxy throws away what a client sends behind its CONNECT before the answer; tinyproxy and squid pass it on.
#
# One would guess that a client may save a round trip and send its first bytes, a TLS ClientHello say, together with the CONNECT:
# they are bytes of the tunnel, TCP keeps them in order, and most proxies hand them over once they are connected. privoxy answers
# 200, and what came before that answer never arrives, whether in the same write as the head or in a second one. Whatever is sent
# after the answer passes. A handshake that was sent along hangs, behind a proxy that seems to work: wait for the answer.
#
# Seen with Debian's privoxy 3.0.34-1, tinyproxy-bin 1.11.1-2.1+deb12u1 and squid 5.7-2+deb12u6 on Linux x86_64: what arrived of
# "early", sent with the head or in a write of its own, and "late", sent after the 200:
#              with the head    own write
#   privoxy    late             late
#   tinyproxy  early late       early late
#   squid      early late       early late
# Fails if one of them is another. Needs python3 and Debian's archive; installs nothing outside of its folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .
privoxy=3.0.34-1 tinyproxy=1.11.1-2.1+deb12u1 squid=5.7-2+deb12u6
apt-get -qq -o APT::Sandbox::User=root download "privoxy=$privoxy" "tinyproxy-bin=$tinyproxy" "squid=$squid" "squid-common=$squid" squid-langpack \
    libecap3 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1 libltdl7 libtdb1 libnetfilter-conntrack3 libnfnetlink0 libmnl0 \
    libxml2 libicu72 libpcre3 libpcre2-posix3 libmbedtls14 libmbedx509-1 libmbedcrypto7 libbrotli1 libexpat1 libldap-2.5-0 libsasl2-2 libdb5.3 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
libraries=$(find "$PWD"/root -type d -name '*-linux-gnu' | paste -sd:)
free_ports() { python3 -c 'import socket; s = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]; print(*(x.getsockname()[1] for x in s))'; }
read -r privoxy_port tinyproxy_port squid_port server_port < <(free_ports)
cat >privoxy.conf <<CONF
confdir $PWD/root/etc/privoxy
templdir $PWD/root/etc/privoxy/templates
listen-address 127.0.0.1:$privoxy_port
CONF
printf 'Listen 127.0.0.1\nPort %s\nTimeout 30\nMaxClients 10\n' "$tinyproxy_port" >tinyproxy.conf
cat >squid.conf <<CONF
http_port 127.0.0.1:$squid_port
http_access allow all
pid_filename $PWD/squid.pid
cache_log /dev/null
access_log none
cache_effective_user nobody
mime_table $PWD/root/usr/share/squid/mime.conf
error_directory $PWD/root/usr/share/squid-langpack/templates
icon_directory $PWD/root/usr/share/squid/icons
unlinkd_program /bin/true
pinger_enable off
shutdown_lifetime 0 seconds
CONF
LD_LIBRARY_PATH=$libraries root/usr/sbin/privoxy --no-daemon privoxy.conf >privoxy.log 2>&1 &
root/usr/bin/tinyproxy -d -c tinyproxy.conf >tinyproxy.log 2>&1 &
LD_LIBRARY_PATH=$libraries root/usr/sbin/squid -N -f squid.conf >squid.log 2>&1 &
cat >ask.py <<'PYTHON'
import socket, sys, time

name, port, server_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
server = socket.create_server(("127.0.0.1", server_port))
for apart in (False, True):
    for _ in range(200):
        try:
            client = socket.create_connection(("127.0.0.1", port), 10)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    target = f"127.0.0.1:{server_port}"
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()
    if apart:
        client.sendall(head)
        client.sendall(b"early ")
    else:
        client.sendall(head + b"early ")
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(4096)
    assert answer.split()[1] == b"200", answer
    far, _ = server.accept()
    far.settimeout(10)
    client.sendall(b"late.")
    seen = b""
    while not seen.endswith(b"."):
        seen += far.recv(4096)
    print(f"{name}, {'own write' if apart else 'with the head'}: {seen.decode().rstrip('.')}")
    client.close()
    far.close()
PYTHON
for name in privoxy tinyproxy squid; do
    port=${name}_port
    timeout 60 python3 ask.py "$name" "${!port}" "$server_port" || { tail -5 "$name.log" >&2; exit 1; }
done >seen
echo "privoxy $privoxy, tinyproxy $tinyproxy, squid $squid"
cat seen
diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
privoxy, with the head: late
privoxy, own write: late
tinyproxy, with the head: early late
tinyproxy, own write: early late
squid, with the head: early late
squid, own write: early late
SEEN
