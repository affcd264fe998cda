"""GSM8K (Cobbe et al. 2021): the share of problems whose last number is right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from plaudit.data.readers.public_texts import GSM8K_RESULT
from plaudit.pipeline.suites.policies import (
    answered,
    change,
    change_words,
    left_out_words,
    sampling_of,
    share,
    suite_records,
)
from plaudit.runs import RunFolder

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
ROOM = 256  # tokens for a solution, where the evaluation allows fewer


def score(folder: RunFolder, name: str, path: Path, limit: int | None) -> dict[str, Any]:
    """Greedy answers; one that the length limit cut is wrong unless its result stands in it."""
    problems = suite_records(name, path, "demonstrations")[:limit]
    length = max(ROOM, sampling_of(folder)[1])
    kept, drawn = answered(folder, problems, temperature=0.0, max_new_tokens=length)
    right = {
        step: [result_of(text) == result_of(p.response.text) for (text, _), p in zip(answers, kept)]
        for step, answers in drawn.items()
    }
    return {
        "temperature": 0.0,
        "left_out": len(problems) - len(kept),
        "policies": {
            step: {**share(hits), "cut": sum(not done for _, done in drawn[step]) / len(kept)}
            for step, hits in right.items()
        },
        "change": change(list(right.values())),
    }


def result_of(text: str) -> float | None:
    """The number behind ``####``, or else the last number of a text; None where there is none."""
    _, marked, after = text.rpartition(GSM8K_RESULT)
    found = NUMBER.findall(after if marked else text)
    return float(found[0 if marked else -1].replace(",", "")) if found else None


def lines(suite: str, found: dict[str, Any]) -> list[str]:
    """The share of right results by policy, and the change."""
    out = [f"{suite}: right results, answered greedily{left_out_words(found)}"]
    for step, rate in found["policies"].items():
        out.append(
            f"{step:12} {rate['mean']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}] of {rate['prompts']}"
            + (f" ({rate['cut']:.0%} cut by the length limit)" if rate["cut"] else "")
        )
    return out + ([f"change       {change_words(found['change'])}"] if found["change"] else [])
