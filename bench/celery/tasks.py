"""Celery tasks: one calls the provider, another delivers the webhook, so that a failing
receiver is tried again without another call of the provider."""

import hashlib
import hmac
import json
import os
import time

import anthropic
import httpx2
from celery import Celery, Task
from celery.signals import worker_ready
from redis import Redis

REDIS_URL = f"redis://127.0.0.1:{os.environ['BENCH_REDIS_PORT']}/0"
STREAM = os.environ.get("BENCH_STREAM") == "1"
SECRET = os.environ.get("BENCH_SECRET", "").encode()
RESULT_TTL = 24 * 3600
DEAD_LETTERS = 5000

app = Celery("tasks", broker=REDIS_URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    # Queues of their own: a webhook never waits behind a backlog of prompts.
    task_routes={"tasks.generate": "ai", "tasks.deliver": "webhooks"},
    # Results have keys of their own with a TTL. Celery's result backend would subscribe the
    # door to a channel for every job.
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_redirect_stdouts=False,
)

# The pool of tasks bounds the connections; a second bound could only make tasks wait.
UNBOUNDED = {"max_connections": None, "max_keepalive_connections": None}
# The queue retries; were the SDK to do so too, three attempts would be nine calls.
provider = anthropic.Anthropic(
    api_key="bench",
    base_url=os.environ.get("BENCH_PROVIDER_URL"),
    max_retries=0,
    http_client=anthropic.DefaultHttpxClient(limits=httpx2.Limits(**UNBOUNDED)),
)
receivers = httpx2.Client(timeout=10, limits=httpx2.Limits(**UNBOUNDED))
redis = Redis.from_url(REDIS_URL)

PASSING = (anthropic.APIConnectionError, anthropic.RateLimitError, anthropic.InternalServerError)


class ReceiverFailed(Exception):
    """The receiver's answer may be a better one next time."""


class Generate(Task):
    """A task that tells the receiver, and keeps a dead letter, when it fails for good."""

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        letter = json.dumps({"job_id": task_id, "args": args, "error": str(exc)})
        with redis.pipeline() as pipe:
            pipe.lpush("dead-letters", letter).ltrim("dead-letters", 0, DEAD_LETTERS - 1).execute()
        finish(task_id, args[-1], "failed", error=str(exc))


@app.task(bind=True, base=Generate, autoretry_for=PASSING, max_retries=2, retry_backoff=5, retry_jitter=False)
def generate(self, prompt, model, max_tokens, callback_url):
    start = time.monotonic()
    message = call(model=model, max_tokens=max_tokens, messages=[{"role": "user", "content": prompt}])
    finish(
        self.request.id,
        callback_url,
        "completed",
        result="".join(block.text for block in message.content if block.type == "text"),
        model=message.model,
        usage=message.usage.model_dump(exclude_none=True),
        duration_ms=round((time.monotonic() - start) * 1000),
    )


def call(**request):
    if not STREAM:
        return provider.messages.create(**request)
    with provider.messages.stream(**request) as stream:
        return stream.get_final_message()


def finish(job_id, callback_url, status, **outcome):
    """Keeps the result before its webhook is queued."""
    body = json.dumps({"type": f"job.{status}", "job_id": job_id, "status": status, **outcome})
    redis.set(result_key(job_id), body, ex=RESULT_TTL)
    deliver.delay(job_id, callback_url)


def result_key(job_id):
    return f"result:{job_id}"


@app.task(autoretry_for=(httpx2.TransportError, ReceiverFailed), max_retries=7, retry_backoff=True)
def deliver(job_id, callback_url):
    body = redis.get(result_key(job_id))
    response = receivers.post(
        callback_url,
        content=body,
        headers={
            "Content-Type": "application/json",
            "X-Webhook-Signature": "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest(),
        },
    )
    if response.status_code in (408, 409, 429) or response.is_server_error:
        raise ReceiverFailed(f"receiver answered {response.status_code}")
    response.raise_for_status()


@worker_ready.connect
def tell_ready(**_):
    print("ready", flush=True)
