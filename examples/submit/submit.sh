#!/bin/sh
# Hands a prompt to Ringback with curl and prints what it answers: the job's id.
#
#   sh submit.sh
#
# RINGBACK_URL       where Ringback is       (http://127.0.0.1:8080)
# RINGBACK_API_KEY   only if the server has one
# CALLBACK_URL       where the result goes   (http://127.0.0.1:9099/hook)
# MODEL              who answers             (claude-sonnet-5-5)
# IDEMPOTENCY_KEY    (a new one each time)
set -eu

answer=$(mktemp)
trap 'rm -f "$answer"; exit' EXIT INT TERM

# The key is the caller's name for this piece of work: with the same one, a
# submission whose answer got lost can be sent again, and is still the same job.
# So curl may try again: where nobody listens, and where 429 or 503 mean "later",
# when Retry-After says.
status=0
curl "${RINGBACK_URL:-http://127.0.0.1:8080}/api/generate" \
  --silent --show-error --fail-with-body --output "$answer" \
  --retry 3 --retry-connrefused \
  --header 'Content-Type: application/json' \
  --header "Idempotency-Key: ${IDEMPOTENCY_KEY:-example-$(date +%s)-$$}" \
  ${RINGBACK_API_KEY:+--header "Authorization: Bearer $RINGBACK_API_KEY"} \
  --data @- <<JSON || status=$?
{
  "prompt": "What is a webhook?",
  "model": "${MODEL:-claude-sonnet-5-5}",
  "callback_url": "${CALLBACK_URL:-http://127.0.0.1:9099/hook}",
  "metadata": {"from": "curl"}
}
JSON
cat "$answer"
exit $status
