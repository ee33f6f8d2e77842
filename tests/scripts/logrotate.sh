#!/bin/bash
# Keeps what a container has said beside it, and has its program open its files anew.
#   logrotate.sh CONTAINER [KEEP]
set -e
container=$1
keep=${2:-3}

logfile=$(docker inspect --format='{{.LogPath}}' "$container")
test -f "$logfile"

for ((i = keep - 1; i > 0; i--)); do
	[ ! -e "$container.log.$i.gz" ] || mv "$container.log.$i.gz" "$container.log.$((i + 1)).gz"
done
docker logs "$container" 2>&1 | gzip -c >"$container.log.1.gz"

# our own log, as logrotate's copytruncate does it
: >"$logfile"

docker kill --signal=HUP "$container" >/dev/null
