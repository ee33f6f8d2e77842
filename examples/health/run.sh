#!/bin/sh
# A web server that is asked whether it still answers, and started again when it does not. What it
# says is checked: the first thing that is not as it should be ends it with exit 1, after tidying up.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

# Waits until it was told COUNT times that the container is so.
await() { # await STATUS COUNT
	coracle events --since 1h --filter container=health-web --filter "event=health_status: $1" \
		--format '{{.Action}}' | head -n "$2" >/dev/null
}
remove() {
	coracle rm -f health-web >/dev/null 2>&1 || true
	coracle rmi health-image >/dev/null 2>&1 || true
}

[ "$(id -u)" = 0 ] || fail "containers need root: sudo $0"
remove # of a run that was interrupted
trap remove EXIT
trap 'exit 130' INT TERM
coracle inspect --type image busybox >/dev/null 2>&1 || "$top/images/build" "$top/images/busybox"

step "An image that says how it is checked"
coracle run --net none --name health-web busybox sh -c 'mkdir /www; echo hello >/www/index.html'
show commit \
	-c 'HEALTHCHECK --interval=100ms --retries=2 CMD wget -qO- http://127.0.0.1/ || exit 1' \
	-c 'CMD ["httpd", "-f", "-h", "/www"]' health-web health-image
coracle rm health-web >/dev/null

step "A container of it, which is to be started again where it fails"
show run -d --net none --name health-web --health-on-failure restart --health-retries 3 health-image
await healthy 1
show ps --filter health=healthy
show healthcheck run health-web
[ "$(coracle inspect -f '{{(index .State.Health.Log 0).Output}}' health-web)" = hello ] || fail "it did not answer"

step "The page is gone: the server runs, and is of no use"
coracle exec health-web mv /www/index.html /www/gone
await unhealthy 1

step "The next life is no better, until somebody puts the page back"
coracle wait health-web >/dev/null 2>&1 || true
until coracle exec health-web mv /www/gone /www/index.html 2>/dev/null; do :; done
await healthy 2
show ps --filter health=healthy
