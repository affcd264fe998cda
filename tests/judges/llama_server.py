"""llama.cpp's own HTTP server (wheel ``xllamacpp``) with the model of a GGUF file.

`python llama_server.py FILE [--context 8192] [--slots 2]` prints its address and serves until it is ended.
"""

from __future__ import annotations

import argparse
import signal

NAME = "smollm2"


def serve(file: str, context: int, slots: int) -> None:
    """One thread that computes, ``slots`` requests side by side, each with ``context`` / ``slots`` tokens of room."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.model_alias = {NAME}
    params.port = 0
    params.n_ctx, params.n_parallel = context, slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_metrics = True
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--slots", type=int, default=2)
    given = parser.parse_args()
    serve(given.file, given.context, given.slots)
