#!/usr/bin/env bash
# bench.sh [NAME [ARGUMENT...]]: the benchmarks, on a release build.
#
# server, queue, loop, static    beside their peers: bench/NAME/run.py
# connections            WebSocket messages and idle connections of gateways
# http_parser            the request parser alone: bench/http/parser.c
# queue_core             the queue without Python: bench/queue/core.c
# queue_redis            the same on a private Redis, its log flushed each second
# conformance            tests/conformance beside the peers: bench/conformance.py
#
# Without an argument all of them run; the arguments go to the program, whose
# head says what the figures are.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh --bench "${PYTHON:-python3}"
. tools/build.sh

release=$PWD/build-release-$tag
build_folder "$release" "-Dpython=$py" -Dbuildtype=release -Dtests=false
use_build "$release"

on_redis() {
    local folder server
    folder=$(mktemp -d)
    ninja --quiet -C "$release" bench/bench_queue_core
    redis-server --port 0 --unixsocket "$folder/redis.sock" --dir "$folder" \
        --appendonly yes --appendfsync everysec --save "" >/dev/null &
    server=$!
    until [ -S "$folder/redis.sock" ]; do sleep 0.05; done
    "$release/bench/bench_queue_core" "redis+unix://$folder/redis.sock" "$@"
    kill "$server"
    wait "$server" || true
    rm -r "$folder"
}

run() {
    local name=$1
    shift
    case $name in
    server | queue | loop | static)
        "$py" "bench/$name/run.py" --python "$tag" "$@" ;;
    connections) "$py" bench/server/connections.py --python "$tag" "$@" ;;
    http_parser | queue_core)
        ninja --quiet -C "$release" "bench/bench_$name"
        "$release/bench/bench_$name" "$@" ;;
    queue_redis) on_redis "$@" ;;
    conformance) "$py" bench/conformance.py --python "$tag" "$@" ;;
    profile)
        ninja --quiet -C "$release" bench/bench_profile
        "$py" bench/profile/run.py --build "$release" "$@" ;;
    *)
        echo "bench: there is no '$name'" >&2
        return 2 ;;
    esac
}

if [ $# != 0 ]; then
    run "$@"
    exit
fi
for name in server connections queue loop profile http_parser queue_core \
    queue_redis; do
    echo "== $name"
    run "$name"
done
