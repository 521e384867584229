#!/bin/sh
# Counts its visits in the file that the volume holds, and says which machine served it.
count=$(($(cat /data/visits 2>/dev/null || echo 0) + 1))
echo "$count" >/data/visits
printf 'Content-Type: text/plain\r\n\r\n'
echo "Hello from a container on ${NODE}: visit ${count}."
