"""A cache on disk of complete answers by the content of their request, so that none is paid for twice."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

from plaudit.runs.logs import append_lines, read_lines


def content_key(**parts: Any) -> str:
    """A hash of everything that an answer depends on: model, template version, principle, order, texts, sampling."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class AnswerCache:
    """Answers by key in an append-only file; ``path`` None keeps them in memory. Only whole answers are put in.

    An answer is on the disk's queue when ``put`` returns, so a kill loses only requests that are under way.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.known: dict[str, Any] = {}
        self.hits = 0
        if path is not None:
            self.known = {row["key"]: row["answer"] for row in read_lines(path) if "key" in row}

    def get(self, key: str) -> Any | None:
        with self.lock:
            answer = self.known.get(key)
            self.hits += answer is not None
            return answer

    def put(self, key: str, answer: Any) -> None:
        with self.lock:
            if key not in self.known:
                self.known[key] = answer
                if self.path is not None:
                    append_lines(self.path, [{"key": key, "answer": answer}])

    def __len__(self) -> int:
        return len(self.known)
