"""Receives Ringback's webhooks with Flask: verifies, drops duplicates, answers fast.

WEBHOOK_SECRET=whsec_… PORT=9099 python receiver.py

WEBHOOK_SECRET=NEW,OLD accepts either, while the secret is being replaced.
"""

import json
import os
import sys
import threading

from flask import Flask, request
from standardwebhooks import Webhook
from werkzeug.serving import make_server

secrets = os.environ.get("WEBHOOK_SECRET")
if not secrets:
    print("receiver: set WEBHOOK_SECRET to what `ringback secret` prints", file=sys.stderr)
    sys.exit(2)
# A whsec_ secret is base64; any other is used as its bytes.
webhooks = [Webhook(s if s.startswith("whsec_") else s.encode()) for s in secrets.split(",")]


def verify(body, headers):
    """Return the job, or raise: constant time, five minutes either way."""
    for webhook in webhooks[:-1]:
        try:
            return webhook.verify(body, headers)
        except Exception:  # a header that is not base64 raises another class than a wrong one
            continue
    return webhooks[-1].verify(body, headers)


# Ids of the deliveries that we have. In production: a table with webhook-id as
# its primary key, written in the transaction that keeps the job's result.
seen = set()
seen_lock = threading.Lock()

app = Flask(__name__)
# A 413 ends a delivery: choose a limit that the longest answer fits in.
app.config["MAX_CONTENT_LENGTH"] = 16 * 1024 * 1024


@app.post("/hook")
def hook():
    # The signature is over the raw bytes. What json.dumps(request.get_json()) writes does
    # not verify: it puts spaces after , and : and escapes all that is not ASCII.
    body = request.get_data()
    try:
        job = verify(body, request.headers)
    except Exception as err:
        print(f"receiver: refused: {err}", file=sys.stderr)
        return {"error": "the signature does not verify"}, 401
    with seen_lock:
        if request.headers["webhook-id"] not in seen:
            print(json.dumps({"job_id": job["job_id"], "status": job["status"]}), flush=True)
            seen.add(request.headers["webhook-id"])
    return "", 204  # keep first, then answer; long work comes after that


if __name__ == "__main__":
    # For production: gunicorn receiver:app
    server = make_server("127.0.0.1", int(os.environ.get("PORT", "9099")), app, threaded=True)
    print(f"receiver: listening on http://127.0.0.1:{server.server_port}/hook", file=sys.stderr)
    server.serve_forever()
