#!/usr/bin/env bash
# innd becomes the user news whatever runasuser in its inn.conf says, while the programs beside it become the user that it names.
#
# One would guess that `runasuser:` and `runasgroup:` in the file that INNCONF names hold for all of INN, so that a server can be tried
# as any user, with files of that user. makedbz does as the file says. innd asks for the group news all the same (strace shows setgid(9)),
# and where there is no news, as in a user namespace with one user in it, ends with "failed to setgid: Invalid argument". There all of
# INN runs as that one user if the namespace calls it news: unshare --user --map-user=news --map-group=news.
#
# Seen with Debian's inn2 2.7.1-1+deb12u1 on Linux x86_64, with `runasuser: root` and `runasgroup: root`:
#   makedbz   in a namespace that knows root alone: makes the history's index
#   innd      there: failed to setgid; where root is mapped to news: gets further
# Fails if one of them does otherwise. Needs Debian's archive and namespaces; installs nothing outside of its folder.
set -euo pipefail
version=2.7.1-1+deb12u1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances inn2 |
    grep -E '^(lib(expat1|canlock|sasl2|db5|systemd|python3|perl|krb5|crypt)|inn2)' | sort --unique)
apt-get -qq -o APT::Sandbox::User=root download $packages >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
LD_LIBRARY_PATH=$(find "$PWD"/root/usr/lib -type d \( -name '*-linux-gnu' -o -name news -o -name CORE \) | paste -sd:)
export LD_LIBRARY_PATH INNCONF=$PWD/inn.conf
bin=$PWD/root/usr/lib/news/bin
mkdir db
touch db/history
cat >inn.conf <<CONF
mta: "/bin/true %s"
pathhost: a.example
domain: example
pathnews: $PWD/root/usr/lib/news
pathdb: $PWD/db
pathetc: $PWD
pathrun: $PWD
port: 1119
hismethod: hisv6
enableoverview: false
ovmethod: tradindexed
runasuser: root
runasgroup: root
CONF

in_namespace() { timeout 20 unshare --user --net "$@" 2>&1 || true; }

echo "inn2 $version"
in_namespace --map-root-user "$bin/makedbz" -i -o -f "$PWD/db/history"
[ -e db/history.dir ] || { echo "makedbz does not become who is named"; exit 1; }
echo "makedbz: becomes root, as its file says"
as_root=$(in_namespace --map-root-user "$bin/innd" -d)
as_news=$(in_namespace --map-user=news --map-group=news "$bin/innd" -d)
printf 'innd as root: %s\ninnd as news: %s\n' "${as_root##*$'\n'}" "${as_news##*$'\n'}"
[[ $as_root == *'failed to setgid'* && $as_news != *'failed to setgid'* ]] || { echo "the behaviour has changed"; exit 1; }
