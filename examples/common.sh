# What the scripts of the examples begin with; each sets `here` to its directory.
top=$(cd "$here/../.." && pwd)
export CORACLE_BIN="${CORACLE_BIN:-$top/dist/coracle}"

coracle() { "$CORACLE_BIN" ${CORACLE_ROOT:+--root "$CORACLE_ROOT"} "$@"; }
step() { printf '\n%s\n' "$*"; }
show() { # show ARGUMENTS: the command as one would type it, then what it prints
	echo "\$ coracle $*"
	coracle "$@"
}
fail() {
	echo "${here##*/}: $1" >&2
	exit 1
}
