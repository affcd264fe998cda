"""Layouts that are known and cannot be used as they are: each with what it holds and the one remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.data.readers.coerce import listed
from plaudit.data.readers.columns import View, normal
from plaudit.data.readers.preferences.answer_columns import BASES


def known_obstacle(view: View) -> tuple[str, str] | None:
    """What a row holds that no shape can take, and what to do; None where nothing is known of it."""
    values = view.values
    if _labels_of_steps(values):
        return (
            "its labels are about the steps of a solution, not about whole answers",
            "plaudit has no method that learns from labels of steps; label whole answers: prompt, response, label",
        )
    column = view.column("response")
    if column and values.get("chosen") is None and _texts(values[column]):
        return (
            f"{column!r} holds several answers to one prompt, and nothing says which is better",
            "write the better one into 'chosen' and the others into 'rejected', or all into 'responses' beside "
            "'ranking'",
        )
    if values.get("responses") is None and (wide := _many_columns(values)):
        return (
            f"{', '.join(map(repr, wide))} hold {len(wide)} answers to one prompt",
            "put them into one column 'responses': [\"…\", …], beside 'ranking', 'ranks' or 'scores'",
        )
    return None


def _texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(v, str) for v in value)


def _labels_of_steps(values: Mapping[str, Any]) -> bool:
    label = values.get("label")
    if isinstance(label, dict) and isinstance(label.get("steps"), list):
        return True
    steps, labels = listed(values.get("completions", values.get("steps"))), listed(values.get("labels"))
    return (
        isinstance(steps, list)
        and isinstance(labels, list)
        and len(steps) == len(labels)
        and all(isinstance(mark, bool | int | float | None) for mark in labels)
    )


def _many_columns(values: Mapping[str, Any]) -> list[str]:
    """Three columns or more that hold an answer each: response_1, response_2, response_3."""
    for base in BASES:
        for tokens in ("abcdefgh", "12345678", "01234567"):
            for form in (f"{base}_{{}}", f"{base}{{}}", f"{base} {{}}"):
                found = [c for t in tokens if isinstance(values.get(c := normal(form.format(t))), str | list)]
                if len(found) > 2:
                    return found
    return []
