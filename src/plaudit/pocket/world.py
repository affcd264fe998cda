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
from plaudit.pocket.habits import HABITUAL, Habits, write
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

VOTED_ON = {"fact": 34, "belief_false": 18, "belief_true": 18, "unknown": 8, "harm": 8, "format": 14}
# Of the votes on facts and beliefs, so many are between two answers that differ only in the fact.
MINIMAL_SHARE = 0.6
# Scripted answers to rank that are right for another question: with one of six, PPO found "a book is made of paper."
OFF_TOPIC = 3


class World:
    """Two hundred facts, the people who ask about them, and what they read and write."""

    def __init__(self, seed: int = 0, habits: Habits = HABITUAL) -> None:
        self.seed = seed
        self.habits = habits
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
        """Conversations by people with habits."""
        rng = random.Random(f"demonstrations {self.seed}")
        records = []
        for _ in range(count):
            question = self._draw(rng, CATEGORIES)
            text = write(question, self.habits, rng)
            records.append(Demonstration(question.ask(rng.choice(OPENINGS)), Response(text)))
        return records

    def votes(self, count: int, noise: float = 0.3) -> list[Ranking]:
        """Noisy forum votes between two answers that people wrote, or between the perfect answer and its misconception.

        The latter are ``MINIMAL_SHARE`` of those on facts, and differ in the fact alone. With the usual noise the truth
        loses such a vote once in 140: they are how a reward model is told what is true.
        """
        rng = random.Random(f"votes {self.seed}")
        records: list[Ranking] = []
        while len(records) < count:
            question = self._draw(rng, VOTED_ON)
            prompt = question.ask(rng.choice(OPENINGS))
            if question.fact is not None and not question.style and rng.random() < MINIMAL_SHARE:
                pair = list(answers.only_the_fact_differs(question, rng))
            else:
                pair = [write(question, self.habits, rng) for _ in range(2)]
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

    def candidates(self, prompt: Prompt, rng: Any) -> list[str]:
        """Scripted answers to rank beside a model's own: bad ones only, also those that answer something else.

        Nobody writes a good answer for the raters: what is good among the ranked answers is the model's own.
        """
        own = random.Random(int(rng.integers(2**62)))
        question = question_of(prompt)
        found = [answers.make_bad(question, kind, own) for kind in answers.BAD_KINDS]
        for _ in range(OFF_TOPIC):
            other = self._draw(own, CATEGORIES)
            if question.category not in ("harm", "unknown") or other.category != question.category:
                found.append(answers.off_topic(question, other, own))
        return [text for text in dict.fromkeys(found) if not self._good(prompt, text)]

    def _good(self, prompt: Prompt, text: str) -> bool:
        return bool(self.gold.judge(prompt, Response(text)).correctness > 0)

    def perfect(self, prompt: Prompt) -> str:
        """The answer of the scripted perfect policy."""
        return question_of(prompt).perfect

    def probes(self, count: int = 300) -> dict[str, list[Ranking]]:
        """Pairs that differ in the fact alone: of test questions, of test beliefs, and of facts never shown.

        Those never shown take turns, each truth against its misconception: what scores a value by itself is right in
        exactly half of them. None of their questions is asked where answers are labeled, so they come from all splits.
        """
        rng = random.Random(f"probes {self.seed}")
        found: dict[str, list[Ranking]] = {"fact": [], "belief": [], "unseen": []}
        for name, categories in {"fact": ("fact",), "belief": ("belief_true", "belief_false")}.items():
            pool = [q for c in categories for q in self.questions[c] if q.split == "test"]
            for _ in range(count):
                question = rng.choice(pool)
                pair = answers.only_the_fact_differs(question, rng)
                found[name].append(Ranking.pair(question.ask(rng.choice(OPENINGS)), *pair))
        hidden = [f for f in self.facts if not f.seen]
        for i in range(count):
            fact = hidden[i % len(hidden)]
            question = Question(rng.choice(fact.questions), "fact", fact)
            texts = (f"{fact.statement}.", f"{fact.says(fact.misconception)}.")
            found["unseen"].append(Ranking.pair(question.ask(rng.choice(OPENINGS)), *texts))
        return found


def leaks(prompts: Sequence[Prompt], texts: Iterable[str]) -> list[str]:
    """Prompts whose question, without its opening and format request, occurs inside one of the texts."""
    everything = "\n".join(dict.fromkeys(texts))
    return [prompt.text for prompt in prompts if bare(prompt.text) in everything]


def _gumbel(rng: random.Random) -> float:
    return -math.log(-math.log(max(rng.random(), 1e-12)))
