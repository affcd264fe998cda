"""The server as its users start it, in processes that can be killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


class Served:
    """`plaudit collect` on a database, started again after each kill, always on the same port."""

    def __init__(self, folder: Path, url: str | None, workers: int = 1, *, extra: Sequence[str] = ()) -> None:
        self.folder, self.url, self.workers, self.extra = folder, url, workers, extra
        self.token = ""  # of the owner's link
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cookie(self) -> str:
        return f"plaudit_{self.port}"

    def start(self, *, seconds: float = 60) -> None:
        command = [sys.executable, "-m", "plaudit", "collect", "--project", str(self.folder), *self.extra]
        command += ["--port", str(self.port), "--workers", str(self.workers)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if self.url:
            environment["PLAUDIT_DATABASE"] = self.url
        # A group of its own, so that a kill reaches every worker at once.
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment
        )
        deadline = time.monotonic() + seconds
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/enter#(\S+)", line):
                self.port, self.token = int(found[1]), found[2]
                return
            if time.monotonic() > deadline:
                break
        raise RuntimeError("the server did not start")

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody says goodbye."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
