"""Prints the request that has a document summarised: request.py FILE CALLBACK_URL."""

import json
import sys
from pathlib import Path

file, callback_url = sys.argv[1:]
text = " ".join(Path(file).read_text(encoding="utf-8").split())
request = {
    # So small a model does best when the question comes last, and says the same
    # again and again unless it is kept from it.
    "prompt": f"{text}\n\nWhat is this text about? Answer in two sentences.",
    "max_tokens": 160,
    "params": {"temperature": 0, "frequency_penalty": 0.1, "stop": ["\n\n"]},
    "callback_url": callback_url,
    "metadata": {"document": Path(file).name},
}
print(json.dumps(request))
