#!/bin/sh
# A container of an ordinary user, on the command line alone. What it says is checked: the first thing
# that is not as it should be ends it with exit 1, after tidying up.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
export CORACLE_BIN="${CORACLE_BIN:-$top/dist/coracle}"

coracle() { "$CORACLE_BIN" "$@"; }
show() {
	echo "\$ coracle $*"
	coracle "$@"
}
fail() {
	echo "rootless: $1" >&2
	exit 1
}
work=$(mktemp -d)
tidy() {
	coracle rm -f rootless-web >/dev/null 2>&1 || true
	rm -rf "$work"
}

[ "$(id -u)" != 0 ] || fail "this is for those who are not root"
trap tidy EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/image/bin" "$work/shared"
cp /bin/busybox "$work/image/bin/"
for applet in sh id httpd sleep; do ln -s busybox "$work/image/bin/$applet"; done
tar -C "$work/image" -c . | coracle import - rootless-busybox >/dev/null

show run --rm --net=none rootless-busybox id
show run -d --name rootless-web -p 127.0.0.1:18080:80 -v "$work/shared:/srv" rootless-busybox \
	sh -c 'echo aboard >/srv/file; httpd -p 80 -h /srv; exec sleep 1000000'
for try in $(seq 100); do
	said=$(/bin/busybox wget -qO- http://127.0.0.1:18080/file 2>/dev/null) && break
	sleep 0.1
done
[ "$said" = aboard ] || fail "no answer from the published port"
echo "the port says: $said"
[ -O "$work/shared/file" ] || fail "the file is not ours"
ls -l "$work/shared/file"
show port rootless-web
