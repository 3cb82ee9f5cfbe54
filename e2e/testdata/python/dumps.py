"""Writes a body from stdin again, as docs/webhooks.md says: by default, then compactly."""

import json
import sys

job = json.loads(sys.stdin.buffer.read())
print(json.dumps(job))
sys.stdout.flush()
sys.stdout.buffer.write(json.dumps(job, separators=(",", ":"), ensure_ascii=False).encode())
