#!/bin/bash
# Puts a new version beside the running one, waits for it, points the proxy to it and takes the
# old one away.
#   blue-green.sh NAME IMAGE COMMAND...
set -euo pipefail

NAME=$1
IMAGE=$2
shift 2

if docker ps --format '{{.Names}}' | grep -q "^${NAME}-blue$"; then
	OLD=blue NEW=green
else
	OLD=green NEW=blue
fi

docker rm -f "$NAME-$NEW" >/dev/null 2>&1 || true
docker run -d --name "$NAME-$NEW" --label app="$NAME" --label color="$NEW" "$IMAGE" "$@" >/dev/null

IP=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$NAME-$NEW")
for i in $(seq 1 100); do
	if wget -q -O /dev/null "http://$IP:80/"; then
		break
	fi
	if [ "$i" = 100 ]; then
		echo "$NAME-$NEW does not come up" >&2
		docker logs "$NAME-$NEW" >&2
		docker rm -f "$NAME-$NEW"
		exit 1
	fi
	sleep 0.1
done

cat >proxy.conf.new <<EOF
upstream $NAME {
    server $IP:80;  # $NEW
}
EOF
mv proxy.conf.new proxy.conf

if [ -n "$(docker ps -q --filter "name=^/$NAME-$OLD\$")" ]; then
	docker stop -t 1 "$NAME-$OLD" >/dev/null
	docker rm "$NAME-$OLD" >/dev/null
fi
echo "$NAME is $NEW at $IP"
