#!/usr/bin/env bash
# Replaces a container by one of a newer image.
set -o errexit -o nounset -o pipefail

APP_NAME="${1:?which application?}"
IMAGE="${2:?which image?}"
PORT="${3:-8080}"

CONTAINER_ID=$(docker ps -aqf "name=^${APP_NAME}$")
if [[ -n "$CONTAINER_ID" ]]; then
  OLD_IMAGE=$(docker inspect --format '{{.Image}}' "$CONTAINER_ID")
  NEW_IMAGE=$(docker inspect --type=image --format '{{.Id}}' "$IMAGE")
  if [[ "$OLD_IMAGE" == "$NEW_IMAGE" && "$(docker inspect -f '{{.State.Status}}' "$APP_NAME")" == "running" ]]; then
    echo "$APP_NAME is up to date"
    exit 0
  fi
  docker stop --time 1 "$APP_NAME" > /dev/null || true
  docker rm "$APP_NAME" > /dev/null || true
fi

docker run \
  --detach \
  --name "$APP_NAME" \
  --restart unless-stopped \
  --publish "127.0.0.1:${PORT}:80" \
  --log-opt max-size=10m --log-opt max-file=3 \
  --env-file <(printf 'APP_NAME=%s\n' "$APP_NAME") \
  --pull missing \
  "$IMAGE" > /dev/null

docker ps --filter "name=$APP_NAME" --format "table {{.Names}}\t{{.Image}}\t{{.Ports}}"
