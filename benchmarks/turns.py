"""One side of ``run.py --against``: a row of the ``ours.py`` in TREE, which stops after every turn.

    python turns.py TREE ROW --model … --threads 1

Each line read is a number of steps; the answer is a line with the seconds that each of them took. The row itself is
the tree's own code. ``ours.py`` reads the clock once before its first step and once after every step,
so a clock of ours sees every step.
"""

from __future__ import annotations

import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

PROTOCOL = sys.stdout


class Clock:
    """The module ``time`` as a row sees it; a reading at the end of a turn waits for the next turn."""

    def __init__(self) -> None:
        self.left = 0
        self.steps: list[float] | None = None
        self.before = 0.0

    def perf_counter(self) -> float:
        now = time.perf_counter()
        if self.steps is not None:
            self.steps.append(now - self.before)
            self.left -= 1
        if self.left == 0:
            print(json.dumps(self.steps or []), file=PROTOCOL, flush=True)
            line = sys.stdin.readline()
            if not line:
                raise SystemExit
            self.left, self.steps = int(line), []
        self.before = time.perf_counter()
        return self.before


def main() -> None:
    tree, row, *options = sys.argv[1:]
    sys.path[:0] = [str(Path(tree) / "src"), str(Path(tree) / "benchmarks")]
    import ours
    import work

    import plaudit

    for module in (ours, plaudit, work):
        assert Path(str(module.__file__)).is_relative_to(tree), f"{module.__file__} is not in {tree}"
    work.FOLDER = Path(__file__).parent / ".work"  # models and examples are the same on both sides
    words: Any = getattr(ours, "Words", None)
    if words is not None and "room" not in inspect.signature(words.prompt).parameters:
        # In some commits the loop asks the renderer for it, and their own benchmark does not know it.
        plain = words.prompt
        words.prompt = lambda self, messages, *, room=0: plain(self, messages)
    sys.stdout = sys.stderr
    ours.time = Clock()  # type: ignore[assignment]
    sys.argv = ["ours.py", row, *options, "--seconds", "1e9"]
    ours.main()


if __name__ == "__main__":
    main()
