"""An LRU cache of rendered text, bounded by its size in memory."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable


class RenderCache:
    """``make(text)``, kept under a hash of the text. Of several threads that ask at once one makes it.

    Least recently used results go first, once all of them are larger than ``most`` bytes.
    """

    def __init__(self, make: Callable[[str], str], most: int) -> None:
        self._make, self._most = make, most
        self._found: OrderedDict[bytes, str] = OrderedDict()
        self._size = 0
        self._making: dict[bytes, threading.Event] = {}
        self._lock = threading.Lock()

    def __call__(self, text: str) -> str:
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        while True:
            with self._lock:
                if key in self._found:
                    self._found.move_to_end(key)
                    return self._found[key]
                other = self._making.get(key)
                if other is None:
                    mine = self._making[key] = threading.Event()
                    break
            other.wait()
        try:
            made = self._make(text)
            self._keep(key, made)
            return made
        finally:
            with self._lock:
                del self._making[key]
            mine.set()

    def _keep(self, key: bytes, made: str) -> None:
        with self._lock:
            self._found[key] = made
            self._size += sys.getsizeof(made)
            while self._size > self._most:
                _, gone = self._found.popitem(last=False)
                self._size -= sys.getsizeof(gone)
