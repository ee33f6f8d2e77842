#!/bin/bash
# Waits until the port of a container answers, from outside.
#   wait-for-port.sh CONTAINER PORT [SECONDS]
CONTAINER=$1
PORT=$2
TIMEOUT=${3:-30}

ADDRESS=$(docker port "$CONTAINER" "$PORT" | head -n1 | sed 's/0\.0\.0\.0/127.0.0.1/')
[ -n "$ADDRESS" ] || exit 1
HOST=${ADDRESS%:*}
HOST_PORT=${ADDRESS##*:}

END=$((SECONDS + TIMEOUT))
until (exec 3<>"/dev/tcp/$HOST/$HOST_PORT") 2>/dev/null; do
	if [ "$(docker inspect -f '{{.State.Running}}' "$CONTAINER")" != "true" ]; then
		echo "$CONTAINER has ended with $(docker inspect -f '{{.State.ExitCode}}' "$CONTAINER")" >&2
		exit 1
	fi
	if [ $SECONDS -ge $END ]; then
		echo "timeout waiting for $CONTAINER:$PORT" >&2
		exit 1
	fi
	sleep 0.1
done
echo "$HOST:$HOST_PORT"
