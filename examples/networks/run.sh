#!/bin/sh
# A web server and a database on a network of their own, which find each other by name, on the
# command line alone. What it says is checked: the first thing that is not as it should be ends it
# with exit 1, after tidying up.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

is_up() { # is_up NAME COUNT: waits until it has said so that many times
	for try in $(seq 100); do
		[ "$(coracle logs "$1" | grep -c '^up$')" != "$2" ] || return 0
		sleep 0.1
	done
	return 1
}
remove() {
	coracle rm -f web db visitor >/dev/null 2>&1 || true
	coracle network rm -f front back >/dev/null 2>&1 || true
}
page() { coracle exec "$1" timeout 2 wget -qO- "$2" 2>/dev/null; }

[ "$(id -u)" = 0 ] || fail "containers need root: sudo $0"
remove # of a run that was interrupted
trap remove EXIT
trap 'exit 130' INT TERM
coracle inspect --type image busybox >/dev/null 2>&1 || "$top/images/build" "$top/images/busybox"

step "Two networks: the one behind leads nowhere"
show network create front
show network create --internal back
show network ls --filter type=custom

step "A database behind, and a web server on both, which asks it by name"
show run -d --name db --net back --net-alias database busybox \
	sh -c 'mkdir /w; echo "12 ships" >/w/count; httpd -p 5432 -h /w && echo up; exec sleep 1000000'
is_up db 1 || fail "the database does not start"
show run -d --name web --net front --net back busybox sh -c '
	mkdir -p /w/cgi-bin
	printf "#!/bin/sh\necho; wget -qO- http://database:5432/count\n" >/w/cgi-bin/ships
	chmod +x /w/cgi-bin/ships
	httpd -p 80 -h /w && echo up; exec sleep 1000000'
is_up web 1 || fail "the web server does not start"

step "A visitor in front sees the web server, not the database"
show run -d --name visitor --net front busybox sleep 1000000
show exec visitor wget -qO- http://web/cgi-bin/ships
[ "$(page visitor http://web/cgi-bin/ships)" = "12 ships" ] || fail "no answer from web"
! page visitor http://database:5432/count || fail "the database is seen from outside"

step "Until it is put on its network"
show network connect back visitor
[ "$(page visitor http://database:5432/count)" = "12 ships" ] || fail "no answer from the database"
show network disconnect back visitor
! page visitor http://database:5432/count || fail "the database is still seen"

step "The database comes back at another address, and is found"
coracle stop -t 0 db >/dev/null
show network connect back visitor # takes the address that is free now
show start db
is_up db 2 || fail "the database does not start again"
show inspect -f '{{.NetworkSettings.Networks.back.IPAddress}}' db
[ "$(page visitor http://web/cgi-bin/ships)" = "12 ships" ] || fail "the database is lost"
