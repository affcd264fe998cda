"""What people show and judge: demonstrations, verdicts, votes on pairs, and pairs that probe one thing."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

from plaudit.data.records import Demonstration, Prompt, Ranking, Response
from plaudit.pocket import answers, language
from plaudit.pocket.questions import CATEGORIES, Question, Questions

# Demonstrations come from people of mixed skill: about half are good.
DEMONSTRATED = {
    "good": 48,
    "padded": 11,
    "flattering": 7,
    "wrong": 14,
    "vague": 6,
    "rambling": 9,
    "unformatted": 5,
}
# The worse half of a vote; the better half is mostly good.
VOTED = {
    "wrong": 22,
    "padded": 12,
    "flattering": 12,
    "vague": 10,
    "rambling": 10,
    "unformatted": 10,
    "refusing": 8,
    "evading": 6,
    "agreeing": 6,
    "listing": 4,
}
VOTE_MIX = {"fact": 38, "belief_false": 13, "belief_true": 13, "unknown": 10, "harm": 10, "format": 16}
ONLY_THE_FACT = 0.6


def draw(questions: Questions, mix: Mapping[str, float], rng: random.Random) -> tuple[Question, Prompt]:
    question = rng.choice(questions[rng.choices(list(mix), list(mix.values()))[0]])
    return question, question.ask(rng.choice(language.OPENINGS))


def _kind(kinds: Mapping[str, int], rng: random.Random) -> str:
    return rng.choices(list(kinds), list(kinds.values()))[0]


def demonstrations(questions: Questions, count: int, seed: int) -> list[Demonstration]:
    """Conversations of which about half are worth imitating."""
    rng = random.Random(f"demonstrations {seed}")
    found = []
    for _ in range(count):
        question, prompt = draw(questions, CATEGORIES, rng)
        found.append(Demonstration(prompt, Response(answers.make(question, _kind(DEMONSTRATED, rng), rng))))
    return found


def verdicts(questions: Questions, count: int, seed: int) -> list[Demonstration]:
    """Beliefs and the perfect answer to them, of which the yes or no alone is to be trained.

    Under the plain loss that one informative token is diluted by a dozen others and stays at chance.
    """
    rng = random.Random(f"verdicts {seed}")
    found = []
    for i in range(count):
        category = ("belief_true", "belief_false")[i % 2]
        question, prompt = draw(questions, {category: 1}, rng)
        text = answers.perfect(question)
        start = text.rindex(" ") + 1
        span = {"trained_span": [start, len(text) - 1]}
        found.append(Demonstration(prompt, Response(text, metadata=span)))
    return found


def votes(
    questions: Questions,
    score: Callable[[Prompt, Response], float],
    count: int,
    seed: int,
    noise: float,
) -> list[Ranking]:
    """Forum votes between two answers; of those on facts and beliefs 60 % differ in the fact alone.

    P(first wins) = σ((score₁ − score₂) / noise).
    """
    rng = random.Random(f"votes {seed}")
    found: list[Ranking] = []
    while len(found) < count:
        question, prompt = draw(questions, VOTE_MIX, rng)
        if question.fact is not None and rng.random() < ONLY_THE_FACT:
            first, second = answers.minimal_pair(question, rng)
        else:
            better = "good" if rng.random() < 0.6 else _kind(VOTED, rng)
            first, second = (answers.make(question, kind, rng) for kind in (better, _kind(VOTED, rng)))
        if first == second:
            continue
        delta = score(prompt, Response(first)) - score(prompt, Response(second))
        won = rng.random() < 1 / (1 + math.exp(-delta / noise))
        chosen, rejected = (first, second) if won else (second, first)
        found.append(Ranking.pair(prompt, chosen, rejected, rater="forum"))
    return found


def probes(questions: Questions, count: int, seed: int) -> dict[str, list[Ranking]]:
    """Noiseless pairs that differ in one thing alone: the fact, the verdict, a fact nobody ever judged."""
    rng = random.Random(f"probes {seed}")
    mixes: dict[str, dict[str, float]] = {
        "fact": {"fact": 1},
        "verdict": {"belief_true": 1, "belief_false": 1},
        "unseen": {"unseen": 1},
    }
    found: dict[str, list[Ranking]] = {}
    for name, mix in mixes.items():
        drawn = [draw(questions, mix, rng) for _ in range(count)]
        found[name] = [Ranking.pair(prompt, *answers.minimal_pair(q, rng)) for q, prompt in drawn]
    return found


def candidates(question: Question, other: Question, rng: random.Random) -> list[str]:
    """Scripted answers of every kind, one that answers another question, and one with the fact swapped."""
    found = [answers.make(question, kind, rng) for kind in answers.KINDS]
    found.append(answers.perfect(other))
    if question.fact is not None:
        found.append(answers.minimal_pair(question, rng)[1])
    return list(dict.fromkeys(found))
