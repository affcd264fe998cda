"""A project's settings as a form (settings_form.yaml): what each one does, and what the literature found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from plaudit.web.api.project import AuditEntry


@dataclass(frozen=True, slots=True)
class Rule:
    """A field of the form. ``kind``: check, choice, number, percent, minutes or text."""

    name: str
    kind: str
    label: str
    help: str
    least: float = 0
    most: float = 0
    choices: Sequence[Sequence[str]] = ()
    unit: str = ""


@dataclass(frozen=True, slots=True)
class FormSection:
    name: str
    title: str
    lead: str
    rules: tuple[Rule, ...]


_TEXTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
SECTIONS = tuple(
    FormSection(**{**section, "rules": tuple(Rule(**rule) for rule in section["rules"])})
    for section in _TEXTS["sections"]
)
STATES: Mapping[str, Sequence[str]] = _TEXTS["states"]
FIRST_GUIDELINE: str = _TEXTS["first_guideline"]


@dataclass(frozen=True, slots=True)
class Changed:
    """A line of the audit log in words."""

    when: float
    who: str
    what: str
    detail: str


def changed(entry: AuditEntry) -> Changed:
    detail = ", ".join(f"{name.replace('_', ' ')}: {_short(value)}" for name, value in entry.detail.items())
    return Changed(entry.when, entry.who or "the server", f"{entry.action} {entry.target}".strip(), detail)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {_short(v)}" for k, v in value.items())
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "…"
