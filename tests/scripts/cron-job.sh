#!/bin/bash
# A job for cron that runs in a container, once at a time, and mails what it says if it fails.
#   cron-job.sh NAME IMAGE COMMAND...
name=$1
image=$2
shift 2
cidfile=$PWD/$name.cid
log=$PWD/$name.log

if [ -e "$cidfile" ]; then
	cid=$(cat "$cidfile")
	if [ "$(docker inspect --format='{{.State.Running}}' "$cid" 2>/dev/null)" = "true" ]; then
		echo "$name: still running as ${cid:0:12}" >&2
		exit 75
	fi
	docker rm -v "$cid" >/dev/null 2>&1
	rm -f "$cidfile"
fi

docker run -d --cidfile="$cidfile" -m 64m -c 256 -e JOB="$name" "$image" "$@" >/dev/null || exit
cid=$(cat "$cidfile")
[ -z "$BACKGROUND" ] || exit 0
status=$(docker wait "$cid")
docker logs "$cid" >"$log" 2>&1
docker rm -v "$cid" >/dev/null && rm -f "$cidfile"

if [ "$status" -ne 0 ]; then
	echo "$name failed with $status:"
	cat "$log"
fi
exit "$status"
