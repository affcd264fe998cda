"""Recipes whose steps stand at top level are refused, with the same recipe in today's form to paste."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.config.text import text_of
from plaudit.errors import UserError
from plaudit.registry import STEPS

VERDICT = "verdict"
# What a reward model of votes shares with the one of rankings that starts from it.
SHAPE = ("backbone", "pooling", "members", "lora", "length_normalised")


def older_form(raw: Mapping[str, Any], origin: str) -> None:
    """Raise UserError with the ``steps:`` text where a recipe is of the older form."""
    flat = [key for key in raw if key == VERDICT or (key in STEPS and key != "evaluate")]
    evaluate = raw.get("evaluate")
    before = evaluate.get("judge") if isinstance(evaluate, Mapping) else None
    judged = isinstance(before, Mapping) and "judge" not in before  # settings of a proxy, no spec
    if not flat and not judged:
        return
    what = f"{', '.join(flat)} at top level" if flat else "evaluate.judge"
    text = text_of(converted(raw))
    gone = "; the pocket world has no verdicts any more, they are left out" if VERDICT in raw else ""
    raise UserError(
        f"{origin} is a recipe of an older form ({what}): a recipe is a graph of named steps now{gone}",
        remedy="write it as this:\n\n" + "\n".join(f"    {line}" for line in text.splitlines()),
    )


def converted(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with its sections as steps, in the order in which they used to run."""
    flat = {k: v for k, v in raw.items() if k in STEPS and k != "evaluate" and v is not None}
    # The pocket world has no verdicts any more: beliefs are answered by the statement.
    made = {k: v for k, v in raw.items() if v is not None and k not in STEPS and k != VERDICT}
    if isinstance(world := made.get("world"), Mapping):
        made["world"] = {k: v for k, v in world.items() if k not in ("verdicts", "kept_verdicts")}
    if isinstance(policy := made.get("policy"), Mapping):
        made["policy"] = {k: v for k, v in policy.items() if k != "source"}
    steps: dict[str, Any] = dict(made.pop("steps", None) or {})
    for name in sorted(flat, key=_place):
        section = _section(flat[name])
        if name == "rank":
            section = _rank(section)
        elif "reward model" in STEPS[name].gives:
            section = _reward(section, steps)
        steps[name] = section
    made["steps"] = steps
    if "evaluate" in raw:
        made["evaluate"] = _evaluate(raw["evaluate"])
    return made


def _place(name: str) -> tuple[int, str]:
    kind = STEPS[name]
    if kind.preference:
        return 5, name
    if "reward model" in kind.gives:
        return 4, name
    return (3 if kind.judged else 0 if kind.starts is None else 2), name


def _section(value: Any) -> dict[str, Any]:
    found = {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else {}
    if "steps" in found:
        found["max_steps"] = found.pop("steps")
    return found


def _reward(section: dict[str, Any], steps: dict[str, Any]) -> dict[str, Any]:
    backbone = section.pop("backbone", None)
    if isinstance(backbone, str) and backbone != "policy":
        section = {"from": "base", **section}
    elif isinstance(backbone, Mapping):
        section["backbone"] = {k: v for k, v in backbone.items() if k != "source"}
    votes = section.pop("votes", None)
    if votes is not None:
        shape = {k: section[k] for k in (*SHAPE, "from") if k in section}
        steps["votes"] = {"kind": "reward", "on": "votes", **shape, **_section(votes)}
        section = {"from": "votes", **{k: v for k, v in section.items() if k != "from"}}
    return section


def _rank(section: dict[str, Any]) -> dict[str, Any]:
    by = {"judge": "pocket:raters", "noise": section.pop("noise", 0.3)}
    if section.pop("biased", False):
        by |= {"length": 0.06, "flattery": 1.0, "agreement": 1.2, "list": 0.4}
    answers = [section.pop("low", 4), section.pop("high", 9)]
    return {"by": by, "answers": answers, "scripted_share": section.pop("scripted_share", 0.35), **section}


def _evaluate(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    before = value.get("judge")
    if not isinstance(before, Mapping) or "judge" in before:
        return value
    made = {k: v for k, v in value.items() if k != "judge"}
    return {**made, "proxy": _section(before)}
