#!/bin/sh
# Runs cox.toml as PID 1 of a namespace of its own, looks at it from outside by coxctl, and stops
# it. What it says is checked: the first thing that is not as it should be ends it with exit 1.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cox=${COX_BIN:-$here/../../dist/cox}
EXAMPLE_DIR=$(mktemp -d)
export EXAMPLE_DIR COX_SOCKET="$EXAMPLE_DIR/control"
chmod 755 "$EXAMPLE_DIR"
cp -r "$here/www" "$EXAMPLE_DIR"
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$EXAMPLE_DIR"' EXIT

show() {
	echo "\$ $*"
	shift
	"$cox" coxctl "$@"
}
fail() {
	echo "example: $1" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "namespaces need root: sudo $0"
"$cox" check "$here/cox.toml" || fail "cox.toml is not right"

mkfifo "$EXAMPLE_DIR/output"
# The net namespace has nothing but a loopback of its own: port 8080 is free there.
unshare --net --pid --fork --mount-proc --kill-child -- \
	sh -c 'ip link set lo up && exec "$@"' sh "$cox" "$here/cox.toml" >"$EXAMPLE_DIR/output" 2>&1 &
pid=$!
sed 's/^/    /' <"$EXAMPLE_DIR/output" &
output=$!
# Until its socket is there: the kernel tells when a name appears in the directory.
until [ -S "$COX_SOCKET" ]; do kill -0 "$pid" || fail "cox has ended"; done

show coxctl wait web --ready
show coxctl tree
show coxctl healthy web
show coxctl wait worker --down || true # it gives up
show coxctl why worker
show coxctl status

echo "\$ kill cox"
kill -TERM "$(cat "/proc/$pid/task/$pid/children")"
code=0
wait "$pid" || code=$?
wait "$output"
pid=
[ "$code" = 0 ] || fail "cox ended with $code"
