#!/bin/sh
# A container through a working day: limits, its log in small files, a look at what it does, files in
# and out, another name, more memory, a pause. What it says is checked: the first thing that is not
# as it should be ends it with exit 1, after tidying up.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

same() { # same WHAT EXPECTED COMMAND...
	what=$1 expected=$2
	shift 2
	found=$("$@")
	[ "$found" = "$expected" ] || fail "$what is \"$found\", not \"$expected\""
}
tidy() {
	coracle rm -f worker clerk >/dev/null 2>&1 || true
	rm -rf "$files"
}

[ "$(id -u)" = 0 ] || fail "containers need root: sudo $0"
files=$(mktemp -d)
trap tidy EXIT
trap 'exit 130' INT TERM
coracle rm -f worker clerk >/dev/null 2>&1 || true # of a run that was interrupted
coracle inspect --type image busybox >/dev/null 2>&1 || "$top/images/build" "$top/images/busybox"
start=$(date +%s)

step "A worker with little: no capability, no new privileges, a root it cannot write, 64 MB, 20 processes"
show run -d --name worker --cap-drop ALL --security-opt no-new-privileges --read-only --tmpfs /desk \
	-m 64m --pids-limit 20 --log-opt max-size=20k --log-opt max-file=3 busybox \
	sh -c 'seq 5000 | sed "s/.*/line & of many/"; mkfifo /desk/end; read x </desk/end; exit 3'
show exec worker grep -E 'CapEff|NoNewPrivs' /proc/1/status
same "the capabilities" "CapEff:	0000000000000000" coracle exec worker grep CapEff /proc/1/status
! coracle exec worker touch /file 2>/dev/null || fail "its root can be written"

step "Its log: three files of at most 20 kB, read as one"
# Everything it had to say is there once the last line is.
timeout 30 "$CORACLE_BIN" ${CORACLE_ROOT:+--root "$CORACLE_ROOT"} logs -f worker | grep -q -m 1 '^line 5000 of many$' || fail "the log has no end"
show logs --tail 2 worker
[ "$(coracle logs worker | wc -l)" -lt 5000 ] || fail "nothing of the log was left out"

step "Files in and out"
echo "12 ships" >"$files/order"
show cp "$files/order" worker:/desk/order
show exec worker sh -c 'tr a-z A-Z </desk/order >/desk/answer'
show cp worker:/desk/answer "$files/"
same "the answer" "12 SHIPS" cat "$files/answer"

step "Another name, more memory, while it runs"
show rename worker clerk
show update -m 96m --memory-swap -1 --pids-limit 40 clerk
same "the limit" 100663296 coracle inspect -f '{{.HostConfig.Memory}}' clerk

step "Paused, it does nothing and is there"
show pause clerk
show ps --filter status=paused --format 'table {{.Names}}\t{{.Status}}'
same "the state" paused coracle inspect -f '{{.State.Status}}' clerk
show unpause clerk

step "What it uses, and what it runs"
show stats --no-stream clerk
show top clerk -o pid,args

step "It ends, and what happened is told"
coracle exec clerk sh -c 'echo end >/desk/end'
same "its exit code" 3 coracle wait clerk
show events --since "$start" --until "$(($(date +%s) + 1))" --filter container=clerk \
	--format '{{.Action}} {{.Actor.Attributes.name}}'
