#!/bin/sh
# The demo of `make run`: two services under cox in one container, shown alive, stopped, gone.
#
# It uses nothing but the command line. What it says is checked: the first thing that is not as it
# should be ends it with exit 1, after tidying up.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
export CORACLE_BIN="${CORACLE_BIN:-$top/dist/coracle}" COX_BIN="${COX_BIN:-$top/dist/cox}"
name=demo

coracle() { ${limit:+timeout "$limit"} "$CORACLE_BIN" ${CORACLE_ROOT:+--root "$CORACLE_ROOT"} "$@"; }
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { # show ARGUMENTS: the command as one would type it, then what it prints
	echo "\$ coracle $*"
	coracle "$@"
}
fail() {
	echo "demo: $1" >&2
	exit 1
}
said() { # said COUNT TEXT: waits until that many lines of the log hold it
	[ "$(limit=30 coracle logs -f "$name" 2>/dev/null | grep -m "$1" "$2" | wc -l)" = "$1" ]
}
[ -t 1 ] || step() { printf '\n%s\n' "$*"; }

[ "$(id -u)" = 0 ] || fail "containers need root: sudo make run"

# Everything of the kernel's that a container could leave behind, one thing a line. The bridge
# stays for the next container; so do the empty groups that hold containers and monitors.
traces() {
	sed 's/^/mount /' /proc/self/mountinfo
	for link in /sys/class/net/*; do echo "link ${link##*/}"; done | grep -v ' coracle0$'
	find /sys/fs/cgroup -type d -path '*coracle*' 2>/dev/null | grep -vE '/coracle(/monitors)?$' | sed 's/^/cgroup /'
	for exe in /proc/[0-9]*/exe; do
		case $(readlink "$exe" 2>/dev/null) in
		"$CORACLE_BIN"* | /coracle* | /sbin/cox*) echo "process ${exe%/exe}" ;;
		esac
	done
}

coracle rm -f "$name" >/dev/null 2>&1 || true # of a demo that was interrupted
before=$(traces)
trap 'coracle rm -f "$name" >/dev/null 2>&1 || true' EXIT
trap 'exit 130' INT TERM

step "Images from recipes: busybox, cox on top, and the demo's services on top of that"
"$top/images/build" "$top/images/busybox" "$top/images/cox" "$here"
show images

step "A container with two services under cox"
show run -d --name "$name" demo
address=$(coracle inspect "$name" | sed -n 's/.*"IPAddress": *"\([0-9.]*\)".*/\1/p' | head -n1)
[ -n "$address" ] || fail "the container has no address"
said 1 'web: started' || fail "the web server does not start"

step "Its web page, over its network address"
echo "GET http://$address/"
page=
# bash can speak TCP, and every Debian has it. The server said that it starts; it listens a moment
# later.
for try in 1 2 3 4 5 6 7 8 9 10; do
	page=$(bash -c 'exec 3<>"/dev/tcp/$0/80" && printf "GET / HTTP/1.0\r\n\r\n" >&3 && cat <&3' "$address" 2>/dev/null |
		sed '1,/^\r*$/d') && [ -n "$page" ] && break
	sleep 0.1
done
[ -n "$page" ] || fail "no answer from http://$address/"
echo "$page"

step "What runs"
show ps
show top "$name"
show exec "$name" svstat /etc/services/web /etc/services/ticker

step "Killing the web server with -9"
old=$(coracle exec "$name" svstat /etc/services/web | sed -n 's/.*(pid \([0-9]*\)).*/\1/p')
# Both moments are lines of the container's log, each with its own time.
coracle exec "$name" sh -c "echo 'demo: kill -9 $old' >/proc/1/fd/1; kill -9 $old"
said 2 'web: started' || fail "the web server is not started again"
coracle logs -t "$name" 2>/dev/null | awk '
	function ms(stamp,    part) { # the milliseconds of its day
		split(stamp, part, /[T:Z]/)
		return ((part[2] * 60 + part[3]) * 60 + part[4]) * 1000
	}
	/demo: kill/ { killed = ms($1) }
	/web: started/ { started = ms($1); pid = $NF }
	END { printf "web is back as pid %s, %.1f ms after it was killed\n", pid, started - killed }'
show exec "$name" svstat /etc/services/web
new=$(coracle exec "$name" svstat /etc/services/web | sed -n 's/.*(pid \([0-9]*\)).*/\1/p')
[ -n "$new" ] && [ "$new" != "$old" ] || fail "the web server was not restarted"

step "The log"
show logs --tail 5 "$name"

step "A clean stop"
show stop "$name"
show wait "$name"
code=$(coracle wait "$name")
[ "$code" = 0 ] || fail "the exit code is $code"
show ps -a
show rm "$name"

step "Nothing is left behind"
# The kernel takes a link away a moment after its namespace has closed; nobody waits for that but us.
tries=50
while after=$(traces) && [ "$before" != "$after" ] && [ $tries -gt 0 ]; do
	sleep 0.1
	tries=$((tries - 1))
done
if [ "$before" != "$after" ]; then
	echo "$before" >"${TMPDIR:-/tmp}/coracle-demo.before"
	echo "$after" | diff "${TMPDIR:-/tmp}/coracle-demo.before" - >&2 || true
	rm -f "${TMPDIR:-/tmp}/coracle-demo.before"
	fail "the lines above are new"
fi
echo "mounts, links, control groups and processes are as before; the images and the bridge coracle0 stay."
echo "Next: $CORACLE_BIN run --rm -it busybox"
