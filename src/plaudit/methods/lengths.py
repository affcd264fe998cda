"""The length contract: the input of a model is checked against max_length and its positions before step 0.

What does not fit loses its oldest turns or is dropped; both are counted, said where training starts, and recorded.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.errors import Problem, UserError
from plaudit.methods.starting import announce
from plaudit.models.positions import fewest_positions
from plaudit.runs import Stage
from plaudit.runtime import Runtime

T = TypeVar("T")
TOO_LONG = "dropped: too long"


def bounded(renderer: Renderer, *models: Any, positions: int | None = None) -> Renderer:
    """A renderer whose ``max_length`` is no longer than the positions of these models; it counts with the given one."""
    limits = [renderer.max_length, fewest_positions(*models), positions]
    own = copy.copy(renderer)
    own.max_length = min((n for n in limits if n is not None), default=None)
    return own


def fitting(
    renderer: Renderer,
    records: Sequence[Any],
    render: Callable[[Renderer, Sequence[Any]], list[T]],
    stage: Stage | None,
    runtime: Runtime | None,
    label: str,
    *,
    what: str = "records",
    room: int = 0,
) -> list[T]:
    """What ``render`` makes of the records, with a sentence on what was shortened or dropped.

    Raises UserError with the lengths where nothing is left.
    """
    before = Counter(renderer.counts)
    try:
        made = render(renderer, records)
    except UserError as error:
        if not (Counter(renderer.counts) - before)[TOO_LONG]:
            raise
        raise _too_long(error, renderer, records, render, room) from None
    counts = Counter(renderer.counts) - before
    if words := _lost(counts, renderer, room):
        words = f"{label}: {counts['kept']} of {len(records)} {what} are used; {words}"
        if stage is not None:
            announce(stage, runtime, "lengths", words, limit=renderer.max_length, room=room, **_plain(counts))
    return made


def foreseen(
    renderer: Renderer,
    records: Sequence[Any],
    render: Callable[[Renderer, Sequence[Any]], list[Any]],
    label: str,
    *,
    what: str = "records",
    room: int = 0,
) -> str:
    """The sentence that ``fitting`` will say of these records, before any model is there; empty where all fit.

    UserError where none is left, with the lengths where all are too long.
    """
    before = Counter(renderer.counts)
    render(renderer, records)
    counts = Counter(renderer.counts) - before
    if records and counts[TOO_LONG] >= len(records):
        error = UserError(f"{label}: all {len(records)} {what} are too long")
        raise _too_long(error, renderer, records, render, room)
    if records and not counts["kept"]:
        raise renderer.nothing_left(f"{label}: none of {len(records)} {what} can be used")
    words = _lost(counts, renderer, room)
    return f"{label}: {counts['kept']} of {len(records)} {what} will be used; {words}" if words else ""


def fitting_prompts(
    renderer: Renderer,
    prompts: Sequence[Prompt],
    room: int,
    stage: Stage | None,
    runtime: Runtime | None,
    label: str,
) -> list[Prompt]:
    """The prompts that leave room for ``room`` new tokens; UserError where none does."""

    def render(renderer: Renderer, records: Sequence[Prompt]) -> list[Prompt]:
        kept = renderer.prompts(records, room=room)[0]
        if not kept and len(records):
            raise UserError(f"{label}: none of {len(records)} prompts can be answered")
        return kept

    return fitting(renderer, prompts, render, stage, runtime, label, what="prompts", room=room)


def _lost(counts: Counter[str], renderer: Renderer, room: int) -> str:
    """What was dropped, shortened or left out, as the end of a sentence; empty where nothing was."""
    parts = []
    if counts["shortened"]:
        parts.append(f"{counts['shortened']} without their oldest turns")
    parts += [f"{n} {name}" for name, n in sorted(counts.items()) if name not in ("kept", "shortened")]
    limit = f" (max_length {_limit(renderer, room)})" if counts["shortened"] or counts[TOO_LONG] else ""
    return ", ".join(parts) + limit if parts else ""


def _limit(renderer: Renderer, room: int) -> str:
    words = f"{renderer.max_length} tokens"
    if room:
        words += f", {room} of them for the answer"
    if renderer.max_prompt_length is not None:
        words += f"; max_prompt_length {renderer.max_prompt_length}"
    return words


def _plain(counts: Counter[str]) -> dict[str, int]:
    return {re.sub(r"\W+", "_", name): count for name, count in counts.items() if count}


def _too_long(
    error: UserError,
    renderer: Renderer,
    records: Sequence[Any],
    render: Callable[[Renderer, Sequence[Any]], list[T]],
    room: int,
) -> UserError:
    """The error with the limit and the shortest record, measured without a limit."""
    shortest = _shortest(renderer, records, render)
    needs = "" if shortest is None else f", and the shortest needs {shortest + room}"
    answer = f" + {room} of max_new_tokens" if room else ""
    problem = Problem(
        f"the limit is {_limit(renderer, room)}{needs}"
        + (f" ({shortest}{answer})" if room and shortest is not None else ""),
        remedy=("lower max_new_tokens, " if room else "")
        + "shorten the data, or raise data.max_length where the model has more positions",
    )
    return UserError(error.message, problems=[*error.problems, problem], remedy=error.remedy)


def _shortest(
    renderer: Renderer, records: Sequence[Any], render: Callable[[Renderer, Sequence[Any]], list[T]]
) -> int | None:
    """Tokens of the shortest record as it is; None where they cannot be rendered."""
    limits, counts = (renderer.max_length, renderer.max_prompt_length), Counter(renderer.counts)
    renderer.max_length = renderer.max_prompt_length = None
    try:
        if records and isinstance(records[0], Prompt):
            return min((len(ids) for ids in renderer.prompts(records)[1]), default=None)
        return min((item.longest for item in render(renderer, records)), default=None)  # type: ignore[attr-defined]
    except UserError:
        return None
    finally:
        renderer.max_length, renderer.max_prompt_length = limits
        renderer.counts.clear()
        renderer.counts.update(counts)
