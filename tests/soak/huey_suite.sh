#!/usr/bin/env bash
# huey_suite.sh [MODULE...]: Huey's own tests against guaco.compat.huey.
#
# They come with Huey's source distribution, which is fetched from the package
# index into .cache, as are the packages that they want; neither is kept in
# the repository.  Redis runs privately; PostgreSQL only if HUEY_PG_DSN names
# a database.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/env.sh

cache=$PWD/.cache/huey-suite
mkdir -p "$cache"
version=$("$py" -c 'import guaco.compat.huey as h; print(h.__version__)')
if [ ! -d "$cache/huey-$version" ]; then
    "$py" -m pip download -q --no-binary :all: --no-deps -d "$cache" \
        "huey==$version"
    tar -xzf "$cache/huey-$version.tar.gz" -C "$cache"
fi
if [ ! -x "$cache/venv/bin/python" ]; then
    "$PYTHON" -m venv "$cache/venv"
    "$cache/venv/bin/pip" install -q redis gevent peewee 'psycopg[binary]' \
        cysqlite django flask
fi

work=$(mktemp -d)
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
REDIS_PORT=$("$py" -c 'import socket as s
with s.socket() as x: x.bind(("127.0.0.1", 0)); print(x.getsockname()[1])')
export REDIS_PORT
cd "$work"
redis-server --port "$REDIS_PORT" --save '' --appendonly no \
    --daemonize no >"$work/redis.log" &
server=$!
"$py" - <<'PY'
import os, socket, time
end = time.monotonic() + 10
while time.monotonic() < end:
    try:
        socket.create_connection(("127.0.0.1", int(os.environ["REDIS_PORT"])))
        break
    except OSError:
        time.sleep(0.02)
PY
"$cache/venv/bin/python" "$OLDPWD/tests/soak/huey_suite.py" \
    "$cache/huey-$version" "$@"
