"""The expected results on the pages of docs/methods, from a finished comparison.

`python tests/methods/pages.py runs/compare-pocket` writes them; `make test-slow` checks them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGES = Path(__file__).resolve().parents[2] / "docs" / "methods"
MARK = "<!-- expected -->"
# Methods of a comparison by the page that tells of them.
OF_PAGE = {
    "best-of-n": ("rejection",),
    "cpo": ("cpo",),
    "dpo": ("dpo", "ipo"),
    "grpo": ("grpo",),
    "kto": ("kto",),
    "online-dpo": ("online_dpo",),
    "orpo": ("orpo",),
    "reinforce": ("reinforce",),
    "rloo": ("rloo",),
    "simpo": ("simpo",),
}
ROW = re.compile(r"^\| (\S+) \| ([^|]+) \| ([\d. /−-]+) \| ([\d.]+) \| ([\d.]+) \|", re.M)


def block(found: Mapping[str, Any], methods: tuple[str, ...]) -> str:
    """The table of one page: gold on 800 test prompts at each seed."""
    lines = [
        MARK,
        "",
        "`plaudit compare pocket --seeds 0,1,2` with every method: gold on 800 test prompts at temperature 1, "
        f"SFT's own being {_starts(found)} and a perfect policy's {found['perfect']:.2f}.",
        "",
        "| method | setting | gold at seeds 0 / 1 / 2 | mean | exact KL | seconds | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in found["arms"]:
        if arm["method"] in methods:
            each = [p for p in found["points"] if p["arm"] == arm["arm"]]
            golds = " / ".join(f"{p['value']:.2f}" for p in sorted(each, key=lambda p: p["seed"]))
            lines.append(
                f"| {arm['method']} | {arm['point'].replace('_', ' ')} | {golds} | {arm['value']:.2f} "
                f"| {arm['kl']:.2f} | {arm['seconds']:.0f} | {arm['peak_mb']:.0f} |"
            )
    if "rejection" in methods:
        best = ", ".join(f"n = {p['n']}: {p['value']:.2f} at {p['kl']:.2f}" for p in found["best_of_n"])
        lines += ["", f"Best of n without training, mean gold at its KL bound: {best}."]
    return "\n".join(lines) + "\n"


def _starts(found: Mapping[str, Any]) -> str:
    starts = {p["seed"]: p["start"] for p in found["points"]}
    return " / ".join(f"{starts[seed]:.2f}" for seed in sorted(starts))


def rows(page: str) -> list[tuple[str, str, list[float], float, float]]:
    """What a page claims: method, setting, gold at each seed, mean, KL."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return [
        (m, s.strip(), [float(v.replace("−", "-")) for v in golds.split("/")], float(mean), float(kl))
        for m, s, golds, mean, kl in ROW.findall(text.split(MARK, 1)[1])
    ]


def write(folder: Path) -> None:
    found = json.loads((folder / "compare.json").read_text())
    for page, methods in OF_PAGE.items():
        path = PAGES / f"{page}.md"
        head = path.read_text(encoding="utf-8").split(MARK, 1)[0]
        path.write_text(head + block(found, methods), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
