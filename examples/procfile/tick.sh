#!/usr/bin/env bash
# A process without a port: logs the time once a minute until it is told to stop.
trap 'echo "${DYNO:-nowhere} stopped"; exit 0' TERM
while true; do
    echo "${DYNO:-nowhere}: $(date -u +%H:%M)"
    sleep 60 &
    wait $!
done
