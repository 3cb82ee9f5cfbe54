"""Checks one signed webhook with PyPI's standardwebhooks, both ways: it verifies
the headers, and signs the same. Input: {secrets, id, timestamp, body, signature}
as JSON on stdin; output: what it signs, one signature a secret, as JSON."""

import datetime
import json
import sys

import standardwebhooks.webhooks

v = json.load(sys.stdin.buffer)
moment = datetime.datetime.fromtimestamp(v["timestamp"], tz=datetime.timezone.utc)


class Clock(datetime.datetime):
    """The library's clock, which stands at the moment of signing."""

    @classmethod
    def now(cls, tz=None):
        return moment


standardwebhooks.webhooks.datetime = Clock
headers = {
    "webhook-id": v["id"],
    "webhook-timestamp": str(v["timestamp"]),
    "webhook-signature": v["signature"],
}
signatures = []
for secret in v["secrets"]:
    webhook = standardwebhooks.webhooks.Webhook(secret)
    webhook.verify(v["body"], headers)  # raises if it does not
    signatures.append(webhook.sign(v["id"], moment, v["body"]))
print(json.dumps(signatures))
