"""Constitutions: principles in words, by which answers are compared, criticized and revised (Bai et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from plaudit.config.text import Loader, home
from plaudit.errors import Problem, UserError, suggest
from plaudit.judges.principles import Principle

OURS = "plaudit"
BUILT_IN = Path(__file__).parent / "constitutions"
RULE_KEYS = ("name", "prefer", "critique", "revise")


@dataclass(frozen=True)
class ConstitutionRule:
    """One principle: what a comparison prefers, what a critique looks for, and how a revision corrects it."""

    name: str
    prefer: str
    critique: str
    revise: str


@dataclass(frozen=True)
class WorkedExample:
    """One worked case for the critique and the revision: it keeps the point of view of both."""

    prompt: str
    answer: str
    critique: str
    revision: str


@dataclass(frozen=True)
class Constitution:
    """A named, versioned list of rules, with worked examples."""

    name: str
    version: int
    rules: tuple[ConstitutionRule, ...]
    examples: tuple[WorkedExample, ...] = ()

    @property
    def principles(self) -> tuple[Principle, ...]:
        """What comparisons follow."""
        return tuple(Principle(r.name, r.prefer) for r in self.rules)


def read_constitution(source: str) -> Constitution:
    """A constitution that plaudit brings, by name, or a YAML file of one's own.

    ``{name, version, rules: [{name, prefer, critique, revise}], examples: [{prompt, answer, critique, revision}]}``.
    UserError with everything that is wrong at once.
    """
    path = home(source)
    if not path.suffix and not path.exists():
        known = sorted(p.stem for p in BUILT_IN.glob("*.yaml"))
        if source not in known:
            remedy = suggest(source, known) or f"name a .yaml file, or one of: {', '.join(known)}"
            raise UserError(f"there is no constitution {source!r}", remedy=remedy)
        path = BUILT_IN / f"{source}.yaml"
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise UserError(f"the constitution {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"the constitution {path} is no YAML: {error}") from None
    problems = list(_problems(value, str(path)))
    if problems:
        raise UserError(f"the constitution {path} cannot be used", problems=problems)
    return Constitution(
        str(value.get("name", path.stem)),
        value.get("version", 1),
        tuple(ConstitutionRule(**{k: str(rule[k]).strip() for k in RULE_KEYS}) for rule in value["rules"]),
        tuple(
            WorkedExample(**{k: str(v).strip() for k, v in one.items()})
            for one in value.get("examples") or ()
        ),
    )


def _problems(value: Any, file: str) -> Sequence[Problem]:
    if not isinstance(value, Mapping):
        return [Problem("it is not a mapping", file, remedy="begin with name:, version: and rules:")]
    found = []
    for key in set(value) - {"name", "version", "rules", "examples"}:
        found.append(
            Problem(
                f"unknown key {key!r}",
                file,
                remedy=suggest(str(key), ["name", "version", "rules", "examples"]),
            )
        )
    version = value.get("version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        found.append(
            Problem(f"version is {version!r}", file, field="version", remedy="a whole number from 1")
        )
    rules = value.get("rules")
    if not isinstance(rules, list) or not rules:
        found.append(
            Problem(
                "it has no rules",
                file,
                field="rules",
                remedy="list rules with name, prefer, critique, revise",
            )
        )
        rules = []
    found += _entries(rules, RULE_KEYS, "rules", file)
    found += _entries(
        value.get("examples") or [], ("prompt", "answer", "critique", "revision"), "examples", file
    )
    names = [r.get("name") for r in rules if isinstance(r, Mapping)]
    for name in {n for n in names if names.count(n) > 1}:
        found.append(
            Problem(
                f"two rules are called {name!r}", file, field="rules", remedy="rename one: records name rules"
            )
        )
    return found


def _entries(given: Any, keys: Sequence[str], field: str, file: str) -> list[Problem]:
    if not isinstance(given, list):
        return [Problem("this is not a list", file, field=field)]
    found = []
    for i, entry in enumerate(given, start=1):
        place = f"{field}[{i}]"
        if not isinstance(entry, Mapping):
            found.append(Problem(f"{entry!r} is not a mapping", file, field=place, remedy=", ".join(keys)))
            continue
        for key in keys:
            if not isinstance(entry.get(key), str) or not entry[key].strip():
                found.append(Problem(f"{key} is missing or empty", file, field=place))
        for key in set(entry) - set(keys):
            found.append(Problem(f"unknown key {key!r}", file, field=place, remedy=suggest(str(key), keys)))
    return found
