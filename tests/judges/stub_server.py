"""An OpenAI-compatible server of one planted judge that can fail in all the ways that real ones do.

`python stub_server.py --log FILE --faults 0.2 --kind top|text|exact` prints its port. Its judge knows how good an
answer is from the number in it (`quality 0.3`), and adds a bias to whatever stands first.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# `kind="one"` lists the likeliest token alone.
FAULTS = ("429", "500", "truncated", "hang", "wrong model", "no log-probs", "html")
MODEL = "planted-1"


class Stub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        *,
        log=None,
        faults=0.0,
        kind="top",
        bias=0.0,
        seed=0,
        usage=True,
        hang=3.0,
        key=None,
        status=None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.log, self.faults, self.kind, self.bias, self.usage = log, faults, kind, bias, usage
        self.hang, self.key, self.model = hang, key, MODEL
        self.status, self.delay = status, 0.0  # the status of every reply but that of the probe
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.received: list[str] = []
        self.told: list[dict] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def start(self) -> Stub:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def note(self, text: str) -> None:
        with self.lock:
            self.received.append(text)
            if self.log:
                with Path(self.log).open("a") as file:
                    file.write(text + "\n")


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def log_message(self, *args) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        stub = self.server
        if self.path.endswith("/tokenize"):
            if stub.kind != "exact":
                return self._send(404, b"{}")
            return self._send(200, json.dumps({"tokens": [sum(body["prompt"].encode())]}).encode())
        if stub.key and self.headers.get("authorization") != f"Bearer {stub.key}":
            return self._send(401, f'{{"error": "bad key {self.headers.get("authorization")}"}}'.encode())
        text = body["messages"][-1]["content"]
        with stub.lock:
            fault = stub.random.choice(FAULTS) if stub.random.random() < stub.faults else None
        stub.note(text[-400:].replace("\n", " "))
        with stub.lock:
            stub.told.append(body)
        time.sleep(stub.delay)
        if stub.status and "letter A" not in text:
            return self._send(stub.status, b"{}")
        if "filtered" in text:
            return self._send(400, b'{"error": "content filter"}')
        reply = self._reply(body, text, wrong=fault == "wrong model", bare=fault == "no log-probs")
        data = json.dumps(reply).encode()
        if fault == "429":
            return self._send(429, b"{}", retry="0.05")
        if fault == "500":
            return self._send(500, b"oops")
        if fault == "truncated":
            data = data[: len(data) // 2]
        if fault == "hang":
            time.sleep(stub.hang)
        if fault == "html":
            data = b"<html><body>gateway</body></html>"
        self._send(200, data)

    def _reply(self, body, text, *, wrong=False, bare=False) -> dict:
        stub = self.server
        first = p_first(text, stub.bias)
        chosen = "A" if first >= 0.5 else "B"
        if "letter A" in text:
            first, chosen = 0.9, "A"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": chosen}}
        if body.get("logprobs") and stub.kind != "text" and not bare:
            listed = top(first, stub)
            if stub.kind == "one":
                listed = [{"token": chosen, "logprob": -0.1}]
            choice["logprobs"] = {"content": [{"token": chosen, "logprob": -0.1, "top_logprobs": listed}]}
        found = {"id": "x", "model": "another" if wrong else stub.model, "choices": [choice]}
        if stub.usage:
            found["usage"] = {"prompt_tokens": 100, "completion_tokens": 1}
        return found

    def _send(self, status, data, retry=None) -> None:
        try:
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            if retry:
                self.send_header("retry-after", retry)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # the client has gone


def quality(text: str) -> float:
    found = re.search(r"quality (-?[\d.]+)", text)
    return float(found[1]) if found else 0.0


def p_first(text: str, bias: float) -> float:
    parts = re.findall(r"<\w+ answer [AB]>\n(.*?)\n</", text, re.DOTALL)
    if len(parts) != 2:
        return 0.5
    return 1 / (1 + math.exp(-(quality(parts[0]) - quality(parts[1]) + bias)))


def top(first: float, stub: Stub) -> list[dict]:
    """Variants of both labels in a random order, one absent token as vLLM writes it, and a stranger."""
    entries = [
        ("A", first * 0.8 * 0.95),
        (" A", first * 0.2 * 0.95),
        ("B", (1 - first) * 0.95),
        ("The", 0.04),
    ]
    found = [{"token": t, "bytes": list(t.encode()), "logprob": math.log(max(p, 1e-12))} for t, p in entries]
    found.append({"token": "zzz", "bytes": None, "logprob": -9999.0})
    if stub.kind == "exact":
        found.append({"token": "Q", "bytes": [81], "logprob": -20.0})
    with stub.lock:
        stub.random.shuffle(found)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--log")
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--kind", default="top")
    parser.add_argument("--hang", type=float, default=1.5)
    given = parser.parse_args()
    server = Stub(log=given.log, faults=given.faults, kind=given.kind, hang=given.hang)
    print(server.server_address[1], flush=True)
    server.serve_forever()
