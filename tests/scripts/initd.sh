#!/bin/sh
### BEGIN INIT INFO
# Provides:          app
# Required-Start:    docker
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: an application in a container
### END INIT INFO

NAME=app
DOCKER=docker

running() {
	[ "$($DOCKER inspect -f '{{ .State.Running }}' $NAME 2>/dev/null)" = true ]
}

start() {
	running && { echo "$NAME is already running."; return 0; }
	if $DOCKER ps -a | awk '{ print $NF }' | grep -q "^$NAME$"; then
		$DOCKER start $NAME >/dev/null
	else
		$DOCKER run -d -h $NAME -name $NAME -v /data busybox sh -c 'trap "exit 0" TERM; while :; do date >/data/beat; sleep 1; done' >/dev/null
	fi
	running && echo "$NAME started."
}

stop() {
	running || { echo "$NAME is not running."; return 0; }
	$DOCKER stop -t 5 $NAME >/dev/null && echo "$NAME stopped."
}

case "$1" in
start) start ;;
stop) stop ;;
restart) stop; start ;;
status)
	if running; then
		echo "$NAME is running (pid $($DOCKER inspect --format '{{.State.Pid}}' $NAME))."
	else
		echo "$NAME is stopped, exit code $($DOCKER inspect --format '{{.State.ExitCode}}' $NAME)."
		exit 3
	fi
	;;
*)
	echo "Usage: $0 {start|stop|restart|status}" >&2
	exit 1
	;;
esac
