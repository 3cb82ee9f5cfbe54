"""Gunicorn's settings for the door."""

import os

bind = f"127.0.0.1:{os.environ['BENCH_PORT']}"
worker_class = "gthread"
workers = 2
threads = 32
keepalive = 65  # longer than any client keeps an idle connection: they close, never we
loglevel = "warning"


def when_ready(server):
    print("ready", flush=True)
