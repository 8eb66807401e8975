#!/bin/sh
# Asks OSV, a database of known vulnerabilities, about every tested version: audit-dependencies.sh BIN CONSTRAINTS
# Without a network it says so and ends well: `make check` must work offline.
set -u
bin=$1
constraints=$2

if ! "$bin/python" -c "import socket; socket.create_connection(('api.osv.dev', 443), 5).close()" 2> /dev/null; then
    echo "dependency audit: SKIPPED, api.osv.dev cannot be reached; run it again where there is a network"
    exit 0
fi
exec "$bin/pip-audit" --vulnerability-service osv --timeout 20 --progress-spinner off --disable-pip --no-deps \
    --requirement "$constraints"
