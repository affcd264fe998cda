"""A project's settings as a form: what each one does, and what the literature found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    choices: tuple[tuple[str, str], ...] = ()
    unit: str = ""


@dataclass(frozen=True, slots=True)
class FormSection:
    name: str
    title: str
    lead: str
    rules: tuple[Rule, ...]


SECTIONS = (
    FormSection(
        "asked",
        "What is asked",
        "Beside the ranking. Every question costs time on every item: ask what you will use.",
        (
            Rule(
                "strength",
                "check",
                "How much better, of pairs",
                "Four steps from slightly to much better. Llama 2 and Anthropic's HH asked for it: a reward model can "
                "learn more from clear cases.",
            ),
            Rule(
                "ties",
                "check",
                "Ties",
                "InstructGPT encouraged ties between answers of about the same quality. Without them labelers must "
                "choose even where they see no difference.",
            ),
            Rule(
                "all_bad",
                "check",
                "“All answers are bad”",
                "Says that even the best one is not to be learned from.",
            ),
            Rule(
                "not_rankable",
                "check",
                "“Cannot be ranked”",
                "For items that make no sense. It is kept, and left out of training data.",
            ),
            Rule(
                "confidence",
                "check",
                "How sure they are, 1 to 5",
                "Stiennon et al. asked for it. Leaving out unsure labels did not help their reward models: weigh, do "
                "not delete.",
            ),
            Rule(
                "rationale",
                "choice",
                "Why, in words",
                "Optional by default. Writing takes time; required, it takes it on every item.",
                choices=(("off", "Not asked"), ("optional", "Optional"), ("required", "Required")),
            ),
        ),
    ),
    FormSection(
        "given",
        "How items are given out",
        "Each item is drawn at random and each draw's probability is kept. Orders of answers are rotated.",
        (
            Rule(
                "overlap",
                "number",
                "Labelers per shared item",
                "Two are needed to measure agreement at all; three let a majority form. Lowering it takes nothing "
                "away that is there.",
                1,
                50,
            ),
            Rule(
                "shared",
                "percent",
                "Items that are shared",
                "Stiennon et al. took 10 to 20% of each labeler's items from a shared pool. The others get one "
                "judgement each.",
                0,
                100,
            ),
            Rule(
                "gold_share",
                "percent",
                "Gold among the work",
                "Items whose right ranking you know, not told apart. The default is 5%. Nobody is blocked by it.",
                0,
                50,
            ),
            Rule(
                "repeat_share",
                "percent",
                "Repeats among the work",
                "The same item again, in reverse order: shows how steady labels are, and position bias. The "
                "default is 3%.",
                0,
                50,
            ),
            Rule(
                "repeat_after",
                "number",
                "Judgements before a repeat",
                "Enough in between that nobody answers from memory.",
                1,
                1000,
            ),
            Rule(
                "lease_seconds",
                "number",
                "Seconds that an item is held",
                "Renewed while somebody works on it. Work that comes later is kept all the same.",
                30,
                86_400,
                unit="s",
            ),
            Rule(
                "edit_minutes",
                "number",
                "Minutes in which a judgement can be changed",
                "Every version is kept; the last one counts.",
                0,
                10_080,
                unit="min",
            ),
            Rule(
                "require_reading",
                "check",
                "New guidelines are read first",
                "After you publish a version, each labeler confirms it before the next item.",
            ),
        ),
    ),
    FormSection(
        "care",
        "Care for labelers",
        "People choose for themselves the most sensitive level that they are willing to see; without asking, none.",
        (
            Rule(
                "blur_from",
                "choice",
                "Hidden until one asks to see it",
                "Items of this level and above. Levels are set when items are imported, and on an item's page.",
                choices=(
                    ("1", "Level 1 and above"),
                    ("2", "Level 2 and above"),
                    ("3", "Level 3 only"),
                    ("4", "Nothing is hidden"),
                ),
            ),
            Rule(
                "help_text",
                "text",
                "Where to find someone to talk to",
                "Shown on the labeler's page at any time: a person, an address, a telephone number.",
                most=2000,
            ),
        ),
    ),
)

STATES: Mapping[str, tuple[str, str]] = {
    "open": ("Open", "Labelers get items."),
    "paused": (
        "Paused",
        "Nobody gets a new item. What is on somebody's screen can still be judged and is kept.",
    ),
    "closed": (
        "Closed",
        "As paused, and labelers are told that the project has ended. Nothing is deleted, and it can be opened again.",
    ),
}

FIRST_GUIDELINE = """\
# How to judge

Read the whole prompt, then every answer, before you rank.

1. An answer is better when it does what the person needs.
2. A true answer is better than one that only sounds sure.
3. Length is no merit by itself.

## Ties

Tie answers that are about as good as each other.

## When to skip

Skip what you cannot judge, and what you would rather not read. Skipping costs you nothing.
"""


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
