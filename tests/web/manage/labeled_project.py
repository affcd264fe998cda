"""A project that made-up labelers have worked on for a week, through the store itself, with a clock of its own."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from plaudit.feedback.store.account_tables import User
from plaudit.feedback.store.claiming import Nothing, claim
from plaudit.feedback.store.judgement_form import LETTERS, JudgementForm
from plaudit.feedback.store.people import add_member, add_user
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project, publish
from plaudit.feedback.store.schema import Assignment, Item, Member, Project
from plaudit.feedback.store.settings import Settings
from plaudit.feedback.store.submission import skip, submit

DAY = 86_400
# What the models are worth; a name that a page must escape is among them.
MODELS = {
    "policy-final": 1.1,
    "policy-sft": 0.35,
    "base-8b <em>raw</em>": -0.6,
    "reference": 0.1,
}
TEXT = "the answer names a river town and a bridge that people cross on their way to work each morning"
WORDS = TEXT.split()
GUIDELINE = """# How to judge

1. Read the *whole* prompt.
2. Prefer answers that are **right**, then those that are short.

Ties are welcome when two answers are as good as each other.
"""


@dataclass(frozen=True)
class Habits:
    """How a made-up labeler judges: noise, pull to the first answer, pull to length, seconds an answer."""

    noise: float
    first: float
    length: float
    pace: float


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def items(count: int, rng: random.Random) -> list[NewItem]:
    made = []
    for i in range(count):
        k = 2 if i % 2 else 2 + i % 3
        models = rng.sample(list(MODELS), k)
        answers = tuple(
            NewAnswer(" ".join(rng.choices(WORDS, k=rng.randint(12, 70))) + f" ({i}, {n}).", model=m)
            for n, m in enumerate(models)
        )
        made.append(NewItem((user(f"Question {i}: where would you build the bridge, and why?"),), answers))
    known: dict[str, int] = {"gold": 6, "calibration": 3}
    for purpose, number in known.items():
        for i in range(number):
            right = rng.randrange(2)
            answers = tuple(
                NewAnswer(f"{'Right' if n == right else 'Wrong'} for {purpose} {i}: " + " ".join(WORDS[:8]))
                for n in (0, 1)
            )
            made.append(
                NewItem(
                    (user(f"{purpose.capitalize()} question {i}: what is {i} and {i}?"),),
                    answers,
                    purpose=purpose,
                    accepted=(((right,), (1 - right,)),),
                    rationale="The other one cannot add.",
                )
            )
    made.append(
        NewItem((user("Tell me of an accident."),), (NewAnswer("No."), NewAnswer("Yes.")), sensitivity=2)
    )
    return made


def build(
    db: Session, *, slug: str, now: float, count: int = 70, labelers: int = 12, seed: int = 1
) -> tuple[Project, dict[str, User]]:
    """The project and its people by name. ``labelers`` 0: nobody has come yet."""
    rng = random.Random(seed)
    settings = Settings(
        attributes=["helpful", "honest"], overlap=3, gold_share=0.12, repeat_share=0.1, repeat_after=3
    )
    start = now - 7 * DAY
    project = create_project(db, slug, title="Helpful answers", settings=settings, now=start)
    people = {name: add_user(db, name, now=start) for name in ("Olga", "Rita", "Lea")}
    for who, role in zip(people.values(), ("owner", "reviewer", "labeler")):
        add_member(db, project, who, role, now=start)
    if not count:
        return project, people
    publish(db, project, GUIDELINE, by=people["Olga"], now=start)
    add_items(db, project, items(count, rng), now=start)
    for n in range(labelers):
        someone = add_user(db, f"Labeler {n + 1}", now=start)
        member = add_member(db, project, someone, "labeler", now=start)
        member.guideline_seen = 1
        db.flush()
        _work(db, project, member, rng, start + n * 3600)
    return project, people


def _work(db: Session, project: Project, member: Member, rng: random.Random, start: float) -> None:
    """One labeler's week: a few sittings, each on another day."""
    habits = Habits(rng.uniform(0.3, 1.1), rng.uniform(0, 0.5), rng.uniform(0, 0.9), rng.uniform(6, 20))
    for sitting in range(rng.randint(2, 4)):
        clock = start + sitting * rng.uniform(1.2, 1.8) * DAY
        for _ in range(rng.randint(4, 11)):
            held = claim(db, member.id, now=clock, rng=rng)
            if isinstance(held, Nothing):
                return
            if held.purpose == "work" and rng.random() < 0.04:
                skip(
                    db, member, held.id, reason=rng.choice(("knowledge", "too_long")), note="", now=clock + 9
                )
                continue
            item = db.get_one(Item, held.item_id)
            seconds = sum(rng.lognormvariate(math.log(habits.pace), 0.5) for _ in item.answers)
            clock += seconds + rng.uniform(2, 30)
            verdict = judge(item, held, habits, rng, seconds)
            submit(db, member, held.id, verdict=verdict, key=f"key-{held.id}", now=clock)


def judge(item: Item, held: Assignment, habits: Habits, rng: random.Random, seconds: float) -> JudgementForm:
    """What the labeler says: worth, length and place, through noise; near ones are tied."""
    letters = LETTERS[: len(held.order)]
    seen: dict[str, float] = {}
    for place, (letter, position) in enumerate(zip(letters, held.order)):
        answer = item.answers[position]
        worth = MODELS.get(answer.model or "", 1.5 if answer.text.startswith("Right") else -1.5)
        length = habits.length * math.log(len(answer.text.split()) / 30)
        seen[letter] = worth + length + habits.first * (place == 0) + rng.gauss(0, habits.noise)
    common: dict[str, Any] = {
        "active_ms": int(1000 * seconds),
        "guideline_version": 1,
        "attributes": {
            name: {letter: _on_scale(value + rng.gauss(0, 0.8)) for letter, value in seen.items()}
            for name in ("helpful", "honest")
        },
    }
    if rng.random() < 0.02:
        return JudgementForm(not_rankable=True, **common)
    groups: list[list[str]] = []
    for letter in sorted(seen, key=lambda one: -seen[one]):
        if groups and seen[groups[-1][0]] - seen[letter] < 0.15:
            groups[-1].append(letter)
        else:
            groups.append([letter])
    pair = len(letters) == 2 and len(groups) == 2
    strength = min(4, 1 + int(abs(seen["A"] - seen["B"]) / 0.7)) if pair else None
    why = "The first is <b>right</b>." if rng.random() < 0.2 else ""
    untouched = [g for group in groups for g in group] == list(letters) and len(groups) == len(letters)
    return JudgementForm(groups=groups, strength=strength, rationale=why, untouched=untouched, **common)


def _on_scale(value: float) -> int:
    return max(1, min(5, round(3 + value)))
