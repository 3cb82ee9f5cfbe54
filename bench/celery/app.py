"""The door: keeps a request in Redis as a Celery task and answers 202; tells of a job's state."""

import uuid

from flask import Flask, Response, request
from tasks import generate, redis, result_key

app = Flask(__name__)
# A prompt of 1 MiB can be twice as long once it is escaped.
app.config["MAX_CONTENT_LENGTH"] = 3 * 1024 * 1024


@app.post("/api/generate")
def submit():
    body = request.get_json()
    if not body.get("prompt") or not body.get("callback_url"):
        return {"error": "prompt and callback_url required"}, 400
    job_id = str(uuid.uuid4())
    generate.apply_async(
        (
            body["prompt"],
            body.get("model", "claude-sonnet-5-5"),
            body.get("max_tokens", 4096),
            body["callback_url"],
        ),
        task_id=job_id,
    )
    return {"job_id": job_id, "status": "queued"}, 202


@app.get("/api/jobs/<uuid:job_id>")
def status(job_id):
    result = redis.get(result_key(job_id))
    if result:
        return Response(result, mimetype="application/json")
    # As Celery's own PENDING: a job not yet finished can't be told from one never seen.
    return {"job_id": str(job_id), "status": "queued"}


@app.get("/healthz")
def health():
    redis.ping()
    return {"status": "ok"}
