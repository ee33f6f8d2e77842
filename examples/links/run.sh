#!/bin/sh
# Two containers and a link between them, on the command line alone. What it says is checked: the
# first thing that is not as it should be ends it with exit 1, after tidying up.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

address() { coracle inspect "$1" | sed -n 's/.*"IPAddress": *"\([0-9.]*\)".*/\1/p' | head -n1; }
is_up() { # is_up COUNT: waits until the server has said so that many times
	for try in $(seq 100); do
		[ "$(coracle logs redis | grep -c '^up$')" != "$1" ] || return 0
		sleep 0.1
	done
	return 1
}
remove() { coracle rm -f webapp redis other >/dev/null 2>&1 || true; }

[ "$(id -u)" = 0 ] || fail "containers need root: sudo $0"
remove # of a run that was interrupted
trap remove EXIT
trap 'exit 130' INT TERM
coracle inspect --type image busybox >/dev/null 2>&1 || "$top/images/build" "$top/images/busybox"

step "A server that exposes its port, and publishes none"
show run -d -name redis -expose 6379 -e VERSION=2.8 busybox \
	sh -c 'echo PONG >/ping; busybox httpd -p 6379 -h / && echo up; exec sleep 1000000'
is_up 1 || fail "the server does not start"

step "A container that calls it db"
show run -d -name webapp -link redis:db busybox sleep 1000000
show exec webapp sh -c 'env | grep ^DB_ | sort; grep -w db /etc/hosts'
# Quoted for the container's shell.
show exec webapp sh -c 'wget -qO- http://$DB_PORT_6379_TCP_ADDR:$DB_PORT_6379_TCP_PORT/ping'
[ "$(coracle exec webapp wget -qO- http://db:6379/ping)" = PONG ] || fail "no answer from db"

step "One container, two names"
show ps
show logs webapp/db

step "The server comes back at another address"
old=$(address redis)
coracle stop -t 0 redis >/dev/null
coracle run -d --name other busybox sleep 1000000 >/dev/null # takes the one that is free now
show start redis
is_up 2 || fail "the server does not start again"
new=$(address webapp/db)
echo "redis was $old and is $new"
[ "$new" != "$old" ] || fail "it has the same address"
show exec webapp grep -w db /etc/hosts
[ "$(coracle exec webapp wget -qO- http://db:6379/ping)" = PONG ] || fail "no answer from db"

step "The link goes, the containers stay"
show rm -link webapp/db
! coracle exec webapp grep -w db /etc/hosts || fail "/etc/hosts still knows of db"
show ps
