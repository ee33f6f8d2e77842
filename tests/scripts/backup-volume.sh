#!/bin/sh
# Backs up and restores the volumes of a container.
#   backup-volume.sh backup  CONTAINER PATH ARCHIVE
#   backup-volume.sh restore CONTAINER PATH ARCHIVE
set -e

action=$1
container=$2
path=$3
archive=$4

dir=$(cd "$(dirname "$archive")" && pwd)
file=$(basename "$archive")

case "$action" in
backup)
	docker run --rm --volumes-from "$container":ro -v "$dir":/backup busybox \
		tar czf "/backup/$file" -C / "${path#/}"
	;;
restore)
	docker run --rm --volumes-from "$container" -v "$dir":/backup:ro busybox \
		sh -c "rm -rf $path/* && tar xzf /backup/$file -C /"
	;;
*)
	echo "Usage: $0 backup|restore CONTAINER PATH ARCHIVE" >&2
	exit 1
	;;
esac
