"""docs/summary.md as paths of keys, for tests that hold what a run wrote against it."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs" / "summary.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([^`]+)` \|([^|]*)\| .+ \|$", re.M)
INTERVAL = ("mean", "low", "high")
PARTS = {
    "interval": INTERVAL,
    "win rate": (*INTERVAL, "wins", "ties", "losses"),
    "KL": ("exact", "low", "high"),
    "change": ("label", "before", "after"),
}


def documented(title):
    """The keys of one section as paths, types spelled out; a word in capitals stands for any name."""
    body = re.split(r"^## ", TEXT.split(f"## {title}", 1)[1], maxsplit=1, flags=re.M)[0]
    summary, _, model = body.partition("A reward model (")
    inner = [key for key, _ in ROW.findall(model)]
    found = []
    for key, kind in ROW.findall(summary):
        parts = inner if kind.strip() == "reward model" else PARTS.get(kind.strip(), ())
        found += [f"{key}.{part}" for part in parts] or [key]
    return found


def paths(value, at=""):
    """Every path to a value that is no mapping; rows of a list are one."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from paths(inner, f"{at}.{key}" if at else key)
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{at}[]")
    elif value not in ({}, []):
        yield at


def pattern(key):
    whole = re.escape(key)
    return re.compile(re.sub(r"\b[A-Z]{2,}\b", r"[\\w-]+(?:\\.\\d+)?", whole))


def unmatched(found, keys):
    """Paths that no documented key describes, and documented keys that nothing has."""
    patterns = {key: pattern(key) for key in keys}
    unknown = {path for path in found if not any(p.fullmatch(path) for p in patterns.values())}
    unused = {key for key, p in patterns.items() if not any(p.fullmatch(path) for path in found)}
    return unknown, unused
