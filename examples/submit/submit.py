"""Hands a prompt to Ringback, standard library only, and prints what it answers: the job's id.

    python3 submit.py "What is a webhook?"

RINGBACK_URL       where Ringback is       (http://127.0.0.1:8080)
RINGBACK_API_KEY   only if the server has one
CALLBACK_URL       where the result goes   (http://127.0.0.1:9099/hook)
MODEL              who answers             (claude-sonnet-5-5)
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

env = os.environ.get

# The key makes a repeated submission the same job: one name for this piece of
# work, taken before the first try.
headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
if env("RINGBACK_API_KEY"):
    headers["Authorization"] = "Bearer " + env("RINGBACK_API_KEY")

submission = urllib.request.Request(
    env("RINGBACK_URL", "http://127.0.0.1:8080") + "/api/generate",
    method="POST",
    headers=headers,
    data=json.dumps(
        {
            "prompt": sys.argv[1] if len(sys.argv) > 1 else "What is a webhook?",
            "model": env("MODEL", "claude-sonnet-5-5"),
            "callback_url": env("CALLBACK_URL", "http://127.0.0.1:9099/hook"),
            "metadata": {"from": "python"},
        }
    ).encode(),
)

for left in range(3, -1, -1):
    try:
        with urllib.request.urlopen(submission, timeout=30) as answer:
            print(answer.read().decode().strip())
        break
    except urllib.error.HTTPError as err:
        # 429 and 503 mean "later": nothing was accepted, and the header says when.
        if left == 0 or err.code not in (429, 503):
            sys.exit(f"submit: {err.code}: {err.read().decode().strip()}")
        pause = int(err.headers.get("Retry-After") or 1)
    except OSError as err:  # no connection, or it broke
        if left == 0:
            sys.exit(f"submit: {err}")
        pause = 1
    time.sleep(pause)
