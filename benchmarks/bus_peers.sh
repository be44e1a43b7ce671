#!/bin/sh
# Makes a throw-away virtual environment with the queues that bus.py compares swarmd with.
#
#   sh benchmarks/bus_peers.sh [FOLDER]      (default: $TMPDIR/swarmd-bus-peers, outside of the tree)
#   python benchmarks/bus.py --peers FOLDER
#
# The servers come from the system. On Debian and Ubuntu:
#   apt-get install redis-server nats-server postgresql e2fsprogs util-linux
# Their services need not run: the benchmark starts its own, on unix sockets or the loopback address,
# with data folders of their own, and ends them. What is missing is left out and said to be.
set -eu

folder=${1:-${TMPDIR:-/tmp}/swarmd-bus-peers}
python=${PYTHON:-python3}

"$python" -m venv "$folder"
# One at a time: a peer that cannot be installed does not take the others along.
for package in huey persist-queue litequeue 'celery[redis]' rq 'dramatiq[redis]' \
    'procrastinate' 'psycopg[binary,pool]' dbos nats-py; do
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$package" ||
        echo "bus_peers: $package could not be installed" >&2
done
for server in redis-server nats-server; do
    command -v "$server" >/dev/null || echo "bus_peers: $server is missing (apt-get install $server)" >&2
done
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ||
    echo "bus_peers: PostgreSQL is missing (apt-get install postgresql)" >&2
echo "$folder"
