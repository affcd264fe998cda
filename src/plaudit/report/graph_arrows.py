"""Edges of a run's graph: which step used which other's output, with this run's numbers, also as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plaudit.audit.run import Run, dig
from plaudit.display.formatting import clean, count, duration, finite, nats, number, percent

MODEL, RECORDS, REWARD, JUDGE = "model", "records", "reward", "judge"
STEP = "step:"
# What a step that makes records counts of them.
COUNTED = ("rankings", "demonstrations", "records")


@dataclass(frozen=True)
class Arrow:
    """An input of one step from another; ``label`` is a number of it, or empty."""

    source: str
    target: str
    kind: str
    label: str = ""


def drawn_steps(run: Run) -> list[str]:
    """The steps of the picture in the order of work: all but the evaluation, which looks at every one."""
    return [n for n, s in run.steps.items() if "numbers" not in s["gives"]]


def arrows_of(run: Run, name: str) -> list[Arrow]:
    """One arrow for every step that this one took something from, in the order of its inputs."""
    step = run.steps[name]
    rewards = [r.removeprefix(STEP) for r in step["rewards"] if r.startswith(STEP)]
    found = []
    for source in step["inputs"]:
        if source == step["from"]:
            arrow = Arrow(source, name, MODEL, _kl(run, name, source))
        elif source in step["on"]:
            arrow = Arrow(source, name, RECORDS, _counted(run, source))
        elif source in rewards:
            arrow = Arrow(source, name, REWARD, _right(run, source))
        else:
            arrow = Arrow(source, name, JUDGE, _right(run, source))
        found.append(arrow)
    return found


def _kl(run: Run, name: str, source: str) -> str:
    measured = run.mapping("kl", "by_step", name)
    exact = finite(measured.get("exact"))
    if exact is None or measured.get("from") != source:
        return ""
    return f"KL {nats(exact)}"


def _counted(run: Run, source: str) -> str:
    record: Mapping[str, object] = run.stages[source].record if source in run.stages else {}
    return next((f"{count(v)} {key}" for key in COUNTED if (v := finite(record.get(key)))), "")


def _right(run: Run, source: str) -> str:
    accuracy = finite(run.get("reward_models", source, "accuracy"))
    return "" if accuracy is None else f"{percent(accuracy)} right"


def note(run: Run, name: str) -> str:
    """The text under a step's title: its gold score, its accuracy, its duration."""
    gold, accuracy = (
        finite(v) for v in (run.get("gold", name, "mean"), run.get("reward_models", name, "accuracy"))
    )
    seconds = finite(dig(run.summary, "seconds", name))
    parts = [
        f"gold {number(gold)}" if gold is not None else "",
        f"accuracy {percent(accuracy)}" if accuracy is not None else "",
        duration(seconds) if seconds is not None else "",
    ]
    return " · ".join(filter(None, parts))


def in_words(run: Run, name: str) -> str:
    """One step, its numbers, and everything that it took."""
    taken = [_arrow_in_words(run, a) for a in arrows_of(run, name)]
    data = [s for s in run.steps[name]["on"] if s not in run.steps[name]["inputs"]]
    taken += [f"data: {clean(', '.join(data))}"] if data else []
    said = note(run, name)
    return run.step_title(name) + (f" [{said}]" if said else "") + (f" ← {'; '.join(taken)}" if taken else "")


def _arrow_in_words(run: Run, arrow: Arrow) -> str:
    return f"{arrow.kind} of {run.step_title(arrow.source)}" + (f" ({arrow.label})" if arrow.label else "")
