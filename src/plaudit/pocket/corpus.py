"""Raw text as one finds it: facts among ramblings, so that a model of it knows but does not help."""

from __future__ import annotations

import random
from collections.abc import Sequence

from plaudit.pocket import answers, language
from plaudit.pocket.facts import Fact
from plaudit.pocket.language import sentence
from plaudit.pocket.questions import Questions

THREADS = {
    "fact": 40,
    "unseen": 5,
    "belief_true": 9,
    "belief_false": 9,
    "unknown": 12,
    "harm": 12,
    "format": 13,
}
THREAD_ANSWERS = {
    "rambling": 38,
    "good": 16,
    "wrong": 16,
    "vague": 8,
    "padded": 10,
    "flattering": 8,
    "unformatted": 4,
}


def documents(facts: Sequence[Fact], questions: Questions, count: int, seed: int) -> list[str]:
    """``count`` documents; ``questions`` are those that training may see."""
    rng = random.Random(f"corpus {seed}")
    writers = rng.choices((0, 1, 2, 3), (24, 24, 42, 10), k=count)
    written = (
        lambda: _statements(facts, rng),
        lambda: _checks(facts, rng),
        lambda: _thread(questions, rng),
        lambda: _ramble(facts, rng),
    )
    return [written[writer]() for writer in writers]


def _statements(facts: Sequence[Fact], rng: random.Random) -> str:
    """A page of a picture book."""
    return " ".join(f"{sentence(f.statement)}." for f in rng.sample(facts, rng.randint(3, 5)))


def _checks(facts: Sequence[Fact], rng: random.Random) -> str:
    """A fact checker's column: what is claimed, what is true, and the verdict."""
    parts = []
    for fact in rng.sample(facts, 2):
        true = rng.random() < 0.5
        claim = fact.says(fact.truth if true else answers.wrong_value(fact, rng))
        parts.append(sentence(rng.choice(language.CLAIMED).format(claim=claim)))
        parts.append(answers.judged(fact, fact.truth, "yes" if true else "no"))
    return " ".join(parts)


def _thread(questions: Questions, rng: random.Random) -> str:
    """A question and an answer on a notice board, seldom a helpful one."""
    question = rng.choice(questions[rng.choices(list(THREADS), list(THREADS.values()))[0]])
    kind = rng.choices(list(THREAD_ANSWERS), list(THREAD_ANSWERS.values()))[0]
    asked = language.opened(rng.choice(language.OPENINGS), question.text)
    return f"Q: {asked} A: {answers.make(question, kind, rng)}"


def _ramble(facts: Sequence[Fact], rng: random.Random) -> str:
    """A diary."""
    parts = rng.sample(language.RAMBLE, rng.randint(2, 4))
    if rng.random() < 0.6:
        parts.insert(1, f"{sentence(rng.choice(facts).statement)}.")
    return " ".join(parts)
