"""The world as a source of texts, demonstrations, votes and prompts; all a function of its seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from plaudit.data.records import Demonstration, Prompt, Ranking, Response
from plaudit.pocket import answers
from plaudit.pocket.corpus import documents
from plaudit.pocket.facts import Fact, make_facts
from plaudit.pocket.questions import (
    CATEGORIES,
    OPENINGS,
    Question,
    Split,
    all_questions,
    bare,
    prompts_of,
    question_of,
)

# Of what quality demonstrations are: half are good.
DEMONSTRATED = {"good": 46, "padded": 11, "flattering": 8, "wrong": 14, "vague": 7, "rambling": 9, "plain": 5}
VOTED_ON = {"fact": 34, "belief_false": 20, "belief_true": 20, "unknown": 8, "harm": 8, "format": 10}
VOTED = {
    "wrong": 34,
    "padded": 12,
    "flattering": 12,
    "vague": 10,
    "rambling": 10,
    "plain": 6,
    "refusing": 10,
    "sycophantic": 6,
}


class World:
    """Two hundred facts, the people who ask about them, and what they read and write."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.facts: tuple[Fact, ...] = make_facts(seed)

    @cached_property
    def questions(self) -> dict[str, list[Question]]:
        return all_questions(self.facts)

    @cached_property
    def _train(self) -> dict[str, list[Question]]:
        return {name: [q for q in qs if q.split == "train"] for name, qs in self.questions.items()}

    def _draw(self, rng: random.Random, mix: dict[str, int] | dict[str, float]) -> Question:
        category = rng.choices(list(mix), list(mix.values()))[0]
        return rng.choice(self._train[category])

    def corpus(self, count: int) -> list[str]:
        """Raw web-like documents: statements, checked claims, forum threads, ramblings."""
        return documents(self.facts, self._train, count, self.seed)

    def demonstrations(self, count: int) -> list[Demonstration]:
        """Conversations by people of mixed skill: half of the answers are good."""
        rng = random.Random(f"demonstrations {self.seed}")
        records = []
        for _ in range(count):
            question = self._draw(rng, CATEGORIES)
            kind = rng.choices(list(DEMONSTRATED), list(DEMONSTRATED.values()))[0]
            text = answers.make(question, kind, rng)
            records.append(Demonstration(question.ask(rng.choice(OPENINGS)), Response(text)))
        return records

    def verdicts(self, count: int) -> list[Demonstration]:
        """Beliefs and the perfect answer to them, of which only the yes or no is to be trained."""
        rng = random.Random(f"verdicts {self.seed}")
        records = []
        for _ in range(count):
            question = self._draw(rng, {"belief_true": 1, "belief_false": 1})
            text = question.perfect
            start = text.rindex(" ") + 1
            span = {"trained_span": [start - 1, len(text) - 1]}
            records.append(Demonstration(question.ask(rng.choice(OPENINGS)), Response(text, metadata=span)))
        return records

    def votes(self, count: int, noise: float = 0.3) -> list[Ranking]:
        """Noisy forum votes between two answers; of those on facts 60 % differ only in the fact."""
        rng = random.Random(f"votes {self.seed}")
        records: list[Ranking] = []
        while len(records) < count:
            question = self._draw(rng, VOTED_ON)
            prompt = question.ask(rng.choice(OPENINGS))
            if question.fact is not None and rng.random() < 0.6:
                pair = list(answers.only_the_fact_differs(question, rng))
            else:
                kinds = rng.choices(list(VOTED), list(VOTED.values()), k=2)
                pair = [
                    answers.make(question, rng.choice(["good", kinds[0]]), rng),
                    answers.make(question, kinds[1], rng),
                ]
            if pair[0] == pair[1]:
                continue
            scores = [self.gold.judge(prompt, Response(t)).score for t in pair]
            # The difference of two Gumbel errors is logistic: P(first wins) = σ(Δ / noise).
            won = scores[0] + noise * _gumbel(rng) > scores[1] + noise * _gumbel(rng)
            records.append(Ranking.pair(prompt, *(pair if won else pair[::-1]), rater="forum"))
        return records

    @cached_property
    def gold(self) -> Any:
        from plaudit.pocket.gold import Gold

        return Gold()

    def prompts(self, split: Split, count: int) -> list[Prompt]:
        """Different prompts of a split; no question of one split is ever asked in another."""
        return [p for _, p in prompts_of(self.questions, split, count, self.seed)]

    def unseen_prompts(self, count: int) -> list[Prompt]:
        """Questions on facts that no answer was ever shown for."""
        mix = {"unseen": 1.0}
        return [p for _, p in prompts_of(self.questions, "test", count, self.seed, mix)]

    def candidates(self, prompt: Prompt, rng: Any) -> list[str]:
        """Scripted answers to rank beside a model's own, also those that answer something else."""
        own = random.Random(int(rng.integers(2**62)))
        question = question_of(prompt)
        found = [answers.make(question, kind, own) for kind in answers.KINDS]
        other = self._draw(own, CATEGORIES)
        found.append(answers.make(other, "good", own))
        if question.fact is not None:
            found.append(answers.only_the_fact_differs(question, own)[1])
        return list(dict.fromkeys(found))

    def perfect(self, prompt: Prompt) -> str:
        """The answer of the scripted perfect policy."""
        return question_of(prompt).perfect

    def probes(self, count: int = 300) -> dict[str, list[Ranking]]:
        """Pairs that differ in one thing only, on test prompts: the fact, the verdict, an unseen fact."""
        rng = random.Random(f"probes {self.seed}")
        found: dict[str, list[Ranking]] = {"fact": [], "verdict": [], "unseen": []}
        kinds = {"fact": ("fact",), "verdict": ("belief_true", "belief_false"), "unseen": ("unseen",)}
        for name, categories in kinds.items():
            pool = [q for c in categories for q in self.questions[c] if q.split == "test"]
            for _ in range(count):
                question = rng.choice(pool)
                pair = answers.only_the_fact_differs(question, rng)
                found[name].append(Ranking.pair(question.ask(rng.choice(OPENINGS)), *pair))
        return found


def leaks(prompts: Sequence[Prompt], texts: Iterable[str]) -> list[str]:
    """Prompts whose question, without its opening and format request, occurs inside one of the texts."""
    everything = "\n".join(dict.fromkeys(texts))
    return [prompt.text for prompt in prompts if bare(prompt.text) in everything]


def _gumbel(rng: random.Random) -> float:
    return -math.log(-math.log(max(rng.random(), 1e-12)))
