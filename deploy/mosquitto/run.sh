#!/bin/sh
# Usage: run.sh CONFIGURATION DIRECTORY
# Runs mosquitto, and lets it read the files that careloop writes into DIRECTORY again whenever they change (SIGHUP).
# For where careloop's API cannot signal the broker, e.g. from another container.
set -eu
every_s=2

state() {
    cat "$1"/passwords "$1"/acl "$1"/revoked.pem "$1"/devices-ca.pem 2>/dev/null | cksum
}

seen=$(state "$2")
mosquitto -c "$1" &
broker=$!
trap 'kill -TERM "$broker" 2>/dev/null || true' TERM INT

# The sleep is waited for, so that a signal to stop is not held up by it.
while sleep "$every_s" & wait $! || true; kill -0 "$broker" 2>/dev/null; do
    now=$(state "$2")
    if [ "$now" != "$seen" ]; then
        seen=$now
        kill -HUP "$broker"
    fi
done
wait "$broker"
