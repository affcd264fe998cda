"""Raw text as one finds it: facts among ramblings, so that a model of it knows but does not help."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from plaudit.pocket import answers
from plaudit.pocket.facts import Fact
from plaudit.pocket.questions import OPENINGS, Question

CLAIMS = ("claim: {claim}.", "they say {claim}.", "some think {claim}.", "is it so that {claim}?")


def documents(
    facts: Sequence[Fact], questions: Mapping[str, Sequence[Question]], count: int, seed: int
) -> list[str]:
    """``count`` documents; questions come from the training split alone."""
    rng = random.Random(f"corpus {seed}")
    writers = (_statements, _checks, _thread, _ramble)
    shares = (24, 24, 40, 12)
    return [rng.choices(writers, shares)[0](facts, questions, rng) for _ in range(count)]


def _statements(
    facts: Sequence[Fact], questions: Mapping[str, Sequence[Question]], rng: random.Random
) -> str:
    return " ".join(f"{f.statement}." for f in rng.sample(list(facts), rng.randint(2, 4)))


def _checks(facts: Sequence[Fact], questions: Mapping[str, Sequence[Question]], rng: random.Random) -> str:
    parts = []
    for fact in rng.sample(list(facts), 2):
        true = rng.random() < 0.5
        claim = fact.says(fact.truth if true else answers.wrong_value(fact, rng))
        parts.append(f"{rng.choice(CLAIMS).format(claim=claim)} {fact.statement}.")
    return " ".join(parts)


def _thread(facts: Sequence[Fact], questions: Mapping[str, Sequence[Question]], rng: random.Random) -> str:
    mix = {
        "fact": 45,
        "unseen": 6,
        "belief_true": 8,
        "belief_false": 8,
        "unknown": 12,
        "harm": 12,
        "format": 9,
    }
    category = rng.choices(list(mix), list(mix.values()))[0]
    question = rng.choice(questions[category])
    kinds = {"rambling": 40, "good": 14, "wrong": 16, "vague": 10, "padded": 12, "flattering": 8}
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    text = f"{rng.choice(OPENINGS)} {question.text}".strip()
    return f"q: {text} a: {answers.make(question, kind, rng)}"


def _ramble(facts: Sequence[Fact], questions: Mapping[str, Sequence[Question]], rng: random.Random) -> str:
    parts = rng.sample(answers.RAMBLE, rng.randint(2, 4))
    if rng.random() < 0.5:
        parts.insert(1, f"{rng.choice(list(facts)).statement}.")
    return " ".join(parts)
