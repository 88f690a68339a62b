#!/usr/bin/env bash
# A group whose numbers stand in innd's file active as "0 1" has the server refuse all groups from its tenth article on, with a word about its storage.
#
# One would guess that `0 1` is as good as `0000000000 0000000001` for an empty group: innd starts with it without a word, and nine articles
# come in. innd writes each number over the last one, though, and has no room for a second digit. The tenth article is one of no group then, so
# that no class of storage.conf has it, and for that innd throttles itself: "no matching entry in storage.conf", where there is one for
# all groups. From then on it takes nothing of any group. Who posts sees nothing of it, as nnrpd says "240 Article received" and lays the article
# aside in spool/incoming. active(5) has the zeros for a file that can be updated in place; that one cannot do without them it does not say.
#
# Seen with Debian's inn2 2.7.1-1+deb12u1 on Linux x86_64; storage.conf has a class for all groups:
#   lab.zeros in active        0000000000 0000000001              0000000000 0000000001
#   lab.other in active        0000000000 0000000001              0 1
#   12 posted to lab.other     all 240, 12 to be read             all 240, 9 to be read
#   1 posted to lab.zeros      240, 1 to be read                  240, none to be read
#   the server's state         running                            throttled, no matching entry in storage.conf
# Fails if one of them is another. Needs python3, iproute2, Debian's archive and namespaces; installs nothing outside of its folder.
set -euo pipefail
version=2.7.1-1+deb12u1
if [ "${1-}" != inside ]; then
    script=$(realpath "$0")
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    chmod 755 .
    packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances inn2 |
        grep -E '^(lib(expat1|canlock|sasl2|db5|systemd|python3|perl|krb5|crypt)|inn2-)' | sort --unique)
    apt-get -qq -o APT::Sandbox::User=root download $packages "inn2=$version" >/dev/null
    for package in *.deb; do dpkg-deb -x "$package" root; done
    # innd wants to be the user news, as whom it runs here in a namespace that knows nobody else.
    echo "inn2 $version"
    for numbers in "0000000000 0000000001" "0 1"; do
        unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc bash -c \
            'ip link set lo up; exec unshare --user --map-user=news --map-group=news bash "$@"' - "$script" inside "$numbers" 2>stderr ||
            { cat stderr >&2; exit 1; }
    done | tee seen
    diff seen - <<'SEEN' || { echo "the behaviour has changed" >&2; exit 1; }
lab.other at 0000000000 0000000001: 12 taken, 12 to be read
lab.zeros: 1 taken, 1 to be read
Server running
lab.other at 0 1: 12 taken, 9 to be read
lab.zeros: 1 taken, 0 to be read
Server throttled no matching entry in storage.conf storing article -- throttling
SEEN
    exit
fi
numbers=$2
LD_LIBRARY_PATH=$(find "$PWD"/root/usr/lib -type d \( -name '*-linux-gnu' -o -name news -o -name CORE \) | paste -sd:)
export LD_LIBRARY_PATH INNCONF=$PWD/inn.conf
news=$PWD/root/usr/lib/news
server=$(mktemp -d "$PWD/server.XXXX")
mkdir -p "$server"/spool/{incoming,outgoing,articles,overview}
cat >inn.conf <<CONF
mta: "/bin/true %s"
organization: finding
doinnwatch: false
hismethod: hisv6
ovmethod: tradindexed
pathhost: a.example
domain: a.example
bindaddress: 127.0.0.1
port: 1119
pathnews: $news
pathbin: $news/bin
pathspool: $server/spool
pathdb: $server
pathetc: $server
pathrun: $server
pathlog: $server
pathtmp: $server
CONF
cd "$server"
for group in control control.cancel junk; do echo "$group 0000000000 0000000001 n"; done >active
printf 'lab.zeros 0000000000 0000000001 y\nlab.other %s y\n' "$numbers" >>active
printf 'auth "all" { hosts: "*" default: "<all>" }\naccess "all" { users: "<all>" newsgroups: "*" access: RP }\n' >readers.conf
echo 'method tradspool { newsgroups: * class: 0 }' >storage.conf
printf '/remember/:11\n*:A:1:10:never\n' >expire.ctl
echo 'all:*:drop' >control.ctl
echo 'ME:!*::' >newsfeeds
touch incoming.conf active.times newsgroups history localgroups
"$news/bin/makedbz" -i -o -f history
"$news/bin/innd" -d >innd.log 2>&1 &
until [ -e control ]; do kill -0 $!; sleep 0.05; done
cat >post.py <<'PYTHON'
import socket, sys

line = socket.create_connection(("127.0.0.1", 1119), timeout=60).makefile("rwb")


def said():
    return line.readline().decode().split()


def ask(command):
    line.write(command.encode() + b"\r\n")
    line.flush()
    return said()


assert said()[0] == "200"
ask("MODE READER")


def post(group, count):
    taken = 0
    for at in range(count):
        assert ask("POST")[0] == "340"
        head = f"From: a@example.org\r\nNewsgroups: {group}\r\nSubject: {at}\r\nMessage-ID: <{group}.{at}@a.example>\r\n\r\n"
        taken += ask(head + "body\r\n.")[0] == "240"
    read = [ask(f"STAT <{group}.{at}@a.example>")[0] == "223" for at in range(count)]
    return f"{taken} taken, {sum(read)} to be read"


print(f"lab.other at {sys.argv[1]}:", post("lab.other", 12))
print("lab.zeros:", post("lab.zeros", 1))
PYTHON
python3 post.py "$numbers"
"$news/bin/ctlinnd" -t 30 mode | grep '^Server'
