"""Finding stop strings without decoding every row at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class StopStrings:
    """Finds the rows whose last token completed one of ``stop``.

    Only tokens that could hold the last character of a stop string lead to a row being decoded, and
    then only its tail.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        self.tokenizer, self.stop = tokenizer, tuple(stop)
        # A token holds at least one byte; one token more, since decoding may strip the first one's space.
        self.tail = max(len(s.encode()) for s in self.stop) + 1
        self._may_end: dict[int, bool] = {}

    def completed(
        self, last: np.ndarray, ids: np.ndarray, count: np.ndarray, among: np.ndarray
    ) -> np.ndarray:
        """Bool [B]: the rows ``among`` whose text now contains a stop string.

        ``last`` [B] newest tokens, ``ids`` [≥ B, T] all tokens, of which row b has ``count[b]``.
        """
        result = np.zeros(len(last), dtype=bool)
        rows = [int(b) for b in np.flatnonzero(among) if self._ends_one(int(last[b]))]
        if rows:
            tails = [ids[b, max(0, count[b] - self.tail) : count[b]].tolist() for b in rows]
            texts = self.tokenizer.batch_decode(tails, skip_special_tokens=False)
            result[rows] = [any(s in text for s in self.stop) for text in texts]
        return result

    def _ends_one(self, token: int) -> bool:
        known = self._may_end.get(token)
        if known is None:
            text = self.tokenizer.decode([token], skip_special_tokens=False)
            # A lone token may lose its leading space, and a part of a character shows as U+FFFD.
            known = "�" in text or any(s[-1].isspace() or s[-1] in text for s in self.stop)
            self._may_end[token] = known
        return known
