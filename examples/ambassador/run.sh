#!/bin/sh
# The documentation's two hosts on one machine: the second is a network namespace at the other end
# of a cable, with a state root of its own. What it says is checked: the first thing that is not as
# it should be ends it with exit 1, after tidying up.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
export CORACLE_BIN="${CORACLE_BIN:-$top/dist/coracle}" COX_BIN="${COX_BIN:-$top/dist/cox}"

big() { "$CORACLE_BIN" ${CORACLE_ROOT:+--root "$CORACLE_ROOT"} "$@"; }
client() { nsenter -t "$namespace" -n "$CORACLE_BIN" --root "$client_root" "$@"; }
step() { printf '\n%s\n' "$*"; }
show() { # show HOST ARGUMENTS: the command as one would type it there, then what it prints
	host=$1
	shift
	echo "$host-server \$ coracle $*"
	"$host" "$@"
}
fail() {
	echo "ambassador: $1" >&2
	exit 1
}
eventually() { # eventually COMMAND...: runs it until it goes well
	for try in $(seq 300); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	return 1
}
listens() { "$1" exec "$2" netstat -ltn | grep ':6379 '; }

[ "$(id -u)" = 0 ] || fail "containers need root: sudo $0"
client_root=$(mktemp -d)
unshare -n sleep 1000000 &
namespace=$!
tidy() {
	client rm -f redis_ambassador >/dev/null 2>&1 || true
	big rm -f redis_ambassador redis >/dev/null 2>&1 || true
	ip link delete cable 2>/dev/null || true
	kill "$namespace" 2>/dev/null || true
	wait "$namespace" 2>/dev/null || true
	rm -rf "$client_root" || true
}
trap tidy EXIT
trap 'exit 130' INT TERM
big rm -f redis_ambassador redis >/dev/null 2>&1 || true # of a run that was interrupted
ip link delete cable 2>/dev/null || true

step "Another host, 192.168.152.53, at the end of a cable"
own=$(readlink /proc/self/ns/net)
until [ "$(readlink "/proc/$namespace/ns/net")" != "$own" ]; do kill -0 "$namespace" || fail "no namespace"; done
ip link add cable type veth peer name cable netns "$namespace"
ip address add 192.168.152.52/24 dev cable
ip link set cable up
nsenter -t "$namespace" -n sh -ec 'ip link set lo up
	ip address add 192.168.152.53/24 dev cable
	ip link set cable up'
"$top/images/build" "$top/images/busybox" "$top/images/ambassador"
CORACLE_ROOT=$client_root "$top/images/build" "$top/images/busybox" "$top/images/ambassador"

step "The server, and an ambassador that publishes what it links to"
show big run -d -name redis -expose 6379 busybox \
	sh -c 'echo PONG >/ping; exec busybox httpd -f -p 6379 -h /'
eventually listens big redis || fail "the server does not listen"
show big run -d -link redis:redis -name redis_ambassador -p 6379:6379 ambassador
eventually listens big redis_ambassador || fail "the ambassador does not listen"
show big logs redis_ambassador

step "On the other host, an ambassador that knows where that is"
show client run -d -name redis_ambassador -expose 6379 \
	-e REDIS_PORT_6379_TCP=tcp://192.168.152.52:6379 ambassador
eventually listens client redis_ambassador || fail "the ambassador does not listen"

step "The consumer there links to its ambassador, as it would to the server"
# Quoted for the container's shell.
ask='wget -qO- http://$REDIS_PORT_6379_TCP_ADDR:$REDIS_PORT_6379_TCP_PORT/ping'
show client run -rm -link redis_ambassador:redis busybox sh -c "env | grep ^REDIS_PORT= ; $ask" ||
	fail "the consumer had no answer"
[ "$(client run -rm -link redis_ambassador:redis busybox sh -c "$ask")" = PONG ] || fail "no answer from the server"
