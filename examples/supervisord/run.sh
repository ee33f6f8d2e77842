#!/bin/sh
# Runs supervisord.conf as PID 1 of a namespace of its own, asks it by Debian's supervisorctl, and
# shuts it down. The first thing that is not as it should be ends it with exit 1.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cox=${COX_BIN:-$here/../../dist/cox}
fail() {
	echo "example: $1" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || fail "namespaces need root: sudo $0"
command -v supervisorctl >/dev/null || fail "supervisorctl is missing: apt-get install supervisor"

dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT
cp "$here/supervisord.conf" "$dir"
mkfifo "$dir/output"

show() {
	echo "\$ supervisorctl $*"
	supervisorctl -c "$dir/supervisord.conf" "$@" || true # its code tells of programs that are down
}

unshare --pid --fork --mount-proc --kill-child -- "$cox" -c "$dir/supervisord.conf" >"$dir/output" 2>&1 &
pid=$!
sed 's/^/    /' <"$dir/output" &
output=$!
# Until its socket is there, and what cannot run was given up.
until [ -S "$dir/supervisor.sock" ]; do kill -0 "$pid" || fail "cox has ended"; done
until supervisorctl -c "$dir/supervisord.conf" status broken | grep -q FATAL; do kill -0 "$pid" || fail "cox has ended"; done

show status
show tail worker:worker1
show restart worker:*
show stop store
show status
show shutdown
code=0
wait "$pid" || code=$?
wait "$output"
pid=
[ "$code" = 0 ] || fail "cox ended with $code"
