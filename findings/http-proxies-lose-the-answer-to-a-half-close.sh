#!/usr/bin/env bash
# HTTP proxies end a tunnel when its client has no more to send, and lose the answer that is on its way.
#
# One would guess that a half-close (shutdown of one direction, a FIN) passes a tunnel made by CONNECT as it passes TCP, so that "send all, close
# the writing side, read until the end" works through it. squid, tinyproxy and privoxy take the client's FIN for the end of the whole
# tunnel: the server's answer, sent 300 ms after it has read the request and the FIN, does not arrive, and the client sees a clean end.
# Without the half-close the same answer arrives. An end must be said in the protocol within, not by a FIN.
#
# Seen with Debian's squid 5.7-2+deb12u6, tinyproxy-bin 1.11.1-2.1+deb12u1 and privoxy 3.0.34-1 on Linux x86_64: bytes of an answer of
# 7 that arrive
#                half-closed    kept open
#   privoxy          0              7
#   tinyproxy        0              7
#   squid            0              7
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
for half_close in (True, False):
    for _ in range(200):
        try:
            client = socket.create_connection(("127.0.0.1", port), 10)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    target = f"127.0.0.1:{server_port}"
    client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(4096)
    assert answer.split()[1] == b"200", answer
    far, _ = server.accept()
    client.sendall(b"request")
    if half_close:
        client.shutdown(socket.SHUT_WR)
    far.settimeout(10)
    seen = b""
    while len(seen) < 7 or half_close:
        piece = far.recv(4096)
        if not piece:
            break
        seen += piece
    assert seen == b"request", seen
    time.sleep(0.3)
    try:
        far.sendall(b"answer.")
    except OSError:
        pass
    client.settimeout(10)
    arrived = b""
    try:
        while len(arrived) < 7:
            piece = client.recv(4096)
            if not piece:
                break
            arrived += piece
    except OSError:
        pass
    print(f"{name}, {'half-closed' if half_close else 'kept open'}: {len(arrived)}")
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
privoxy, half-closed: 0
privoxy, kept open: 7
tinyproxy, half-closed: 0
tinyproxy, kept open: 7
squid, half-closed: 0
squid, kept open: 7
SEEN
