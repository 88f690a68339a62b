#!/usr/bin/env bash
# prosody dials another server by what DNS says of it alone; the hosts file counts once lua-unbound is there and `hoststxt` is set.
#
# One would guess that a name in /etc/hosts is enough to have two servers of a private network, or of two ends of a tunnel, meet, as it is for
# nearly every program. prosody resolves names itself. Its own resolver asks the servers of resolv.conf and never reads the hosts file, nor
# does libunbound, which it takes instead where lua-unbound is installed, unless `unbound = { hoststxt = true }` says so. What is said to
# people of the other server comes back as undeliverable, while `getent hosts` finds it.
#
# Seen with Debian's prosody 0.12.3-1+deb12u1 and lua-unbound 1.0.0-2 on Linux x86_64, in a namespace whose hosts file has
# 127.0.0.2 far.example, with a DNS server that knows no name and a listener at 127.0.0.2 port 5269; what prosody does within 20 s:
#   without lua-unbound                          asks DNS for far.example, and dials nobody
#   with lua-unbound                             asks DNS for far.example, and dials nobody
#   with lua-unbound and hoststxt = true         dials 127.0.0.2
# Fails if one of them does otherwise. Needs python3, iproute2, Debian's archive and namespaces; installs nothing outside of its folder.
set -euo pipefail
version=0.12.3-1+deb12u1
unbound=1.0.0-2
if [ "${1-}" != inside ]; then
    script=$(realpath "$0")
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    apt-get -qq -o APT::Sandbox::User=root download "prosody=$version" "lua-unbound=$unbound" lua5.4 liblua5.4-0 lua-bitop lua-expat \
        lua-filesystem lua-sec lua-socket libunbound8 libexpat1 libhiredis0.14 libevent-2.1-7 libnghttp2-14 >/dev/null
    for package in *.deb; do dpkg-deb -x "$package" root; done
    unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash "$script" inside
    exit
fi
libraries=$(find "$PWD/root/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu')
export LD_LIBRARY_PATH=$libraries PROSODY_SRCDIR=$PWD/root/usr/lib/prosody
lua=$PWD/root/usr/bin/lua5.4
export LUA_PATH="$PWD/root/usr/share/lua/5.4/?.lua;$PWD/root/usr/share/lua/5.4/?/init.lua;$PROSODY_SRCDIR/?.lua"
ip link set lo up
printf '127.0.0.1 localhost\n127.0.0.2 far.example\n' >hosts
printf 'nameserver 127.0.0.1\n' >resolv.conf
mount --bind hosts /etc/hosts
mount --bind resolv.conf /etc/resolv.conf
getent hosts far.example >/dev/null || { echo "the hosts file is not in force"; exit 1; }

cat >listen.py <<'PYTHON'
import select, socket, time

listener = socket.create_server(("127.0.0.2", 5269))
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
dns.bind(("127.0.0.1", 53))
until, asked, said = time.monotonic() + 20, False, ""
while not said and (left := until - time.monotonic()) > 0:
    ready, _, _ = select.select([listener, dns], [], [], left)
    if dns in ready:
        query, asker = dns.recvfrom(4096)
        asked |= b"\3far\7example\0" in query.lower()
        question = query[12 : query.index(b"\0", 12) + 5]
        # There is no such name.
        dns.sendto(query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + question, asker)
    if listener in ready:
        said = "dials"
print(said or ("asks" if asked else "nothing"))
PYTHON

# What it does to reach the other server, for somebody who is written to, with Lua's modules in this folder and these lines of configuration.
reaches() {
    export LUA_CPATH="$1/?.so"
    mkdir -p modules certs "data-$3"
    cat >modules/mod_writes.lua <<'LUA'
local stanza = require "util.stanza"
module:add_timer(1, function()
    module:send(stanza.message({ from = "a@near.example", to = "b@far.example", type = "chat" }, "hello"))
end)
LUA
    cat >"$3.lua" <<CONF
daemonize = false
run_as_root = true
pidfile = "$PWD/$3.pid"
data_path = "$PWD/data-$3"
plugin_paths = { "$PWD/modules" }
log = { info = "$PWD/$3.log" }
interfaces = { "127.0.0.1" }
modules_enabled = { "dialback", "writes" }
modules_disabled = { "tls" }
s2s_require_encryption = false
s2s_secure_auth = false
$2
VirtualHost "near.example"
CONF
    "$lua" root/usr/bin/prosody --config "$PWD/$3.lua" >"$3.out" 2>&1 &
    local server=$!
    python3 listen.py
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
}

mkdir plain
cp -rL "$libraries"/lua/5.4/. plain
rm -f plain/lunbound.so
all=$libraries/lua/5.4
echo "prosody $version, lua-unbound $unbound"
own=$(reaches "$PWD/plain" "" own)
with=$(reaches "$all" "" with)
hosts=$(reaches "$all" "unbound = { hoststxt = true }" hosts)
printf 'without lua-unbound: %s\nwith lua-unbound: %s\nand hoststxt: %s\n' "$own" "$with" "$hosts"
[ "$own $with $hosts" = "asks asks dials" ] || { tail -n 20 ./*.log ./*.out; echo "the behaviour has changed"; exit 1; }
