#!/bin/sh
# guard.sh DIR: ends a server and removes its directory once standard input ends.
# The other end of that pipe is held by the process of the tests alone, so it ends
# with that process, however that goes: a time-out, kill -9.
# Each line of it is the id of the server's process now, empty when none runs.
pid=
while read -r line; do pid=$line; done
{
  if [ -n "$pid" ]; then
    pkill -CONT -P "$pid" # they may be frozen
    kill -CONT "$pid"
    kill -QUIT "$pid"
    tries=0
    while kill -0 "$pid" && [ "$((tries += 1))" -le 100 ]; do sleep 0.1; done
    kill -KILL "$pid"
  fi
  # A PostgreSQL that was killed leaves this file, and in it the name of a segment
  # of shared memory, which nobody else would ever free.
  segment=$(sed -n '7s/.* //p' "$1/data/postmaster.pid")
  [ -z "$segment" ] || ipcrm -m "$segment"
} 2>/dev/null
rm -rf "$1"
