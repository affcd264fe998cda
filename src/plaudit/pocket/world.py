"""The world as a source of texts, demonstrations, votes and prompts; all a function of its seed."""

from __future__ import annotations

import random
from functools import cached_property
from typing import Any

from plaudit.data.records import Demonstration, Prompt, Ranking
from plaudit.pocket import answers, corpus, teaching
from plaudit.pocket.facts import Fact, make_facts
from plaudit.pocket.gold import Gold
from plaudit.pocket.questions import (
    CATEGORIES,
    Question,
    Split,
    draw_prompts,
    every_question,
    of_split,
    question_of,
)


class World:
    """Two hundred facts, the people who ask about them, and what they read, write and prefer.

    Everything that trains a model is about questions of the training split; no question of another split
    occurs in it in any wording around it.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.facts: tuple[Fact, ...] = make_facts(seed)

    @cached_property
    def _questions(self) -> dict[Split, dict[str, list[Question]]]:
        every = every_question(self.facts)
        splits: tuple[Split, ...] = ("train", "validation", "test")
        return {split: of_split(every, split) for split in splits}

    @property
    def _train(self) -> dict[str, list[Question]]:
        return self._questions["train"]

    def corpus(self, count: int) -> list[str]:
        """Raw web-like documents of about 30 words: facts, fact checks, forum threads, diaries."""
        return corpus.documents(self.facts, self._train, count, self.seed)

    def demonstrations(self, count: int) -> list[Demonstration]:
        """Conversations by people of mixed skill; about half of the answers are good."""
        return teaching.demonstrations(self._train, count, self.seed)

    def verdicts(self, count: int) -> list[Demonstration]:
        """Beliefs with the perfect answer, whose ``trained_span`` covers the verdict alone."""
        return teaching.verdicts(self._train, count, self.seed)

    def votes(self, count: int, noise: float = 0.3) -> list[Ranking]:
        """Noisy forum votes between two answers."""
        gold = Gold(self)
        return teaching.votes(
            self._train, lambda prompt, answer: gold.judge(prompt, answer).score, count, self.seed, noise
        )

    def prompts(self, split: Split, count: int) -> list[Prompt]:
        """Different prompts of a split, in the categories' shares; ValueError where there are too few."""
        return draw_prompts(self._questions[split], CATEGORIES, count, f"prompts {split} {self.seed}")

    def unseen_prompts(self, count: int) -> list[Prompt]:
        """Test questions on facts that no demonstration, vote or ranking touches."""
        return draw_prompts(self._questions["test"], {"unseen": 1.0}, count, f"unseen {self.seed}")

    def candidates(self, prompt: Prompt, rng: Any) -> list[str]:
        """Scripted answers to rank beside a model's own, among them those to something else.

        Without over-refusals, answers to other prompts and swapped facts among what is ranked, a reward
        model cannot tell them from good answers, and the policy finds them. ``rng``: a NumPy generator.
        """
        own = random.Random(int(rng.integers(2**62)))
        _, other = teaching.draw(self._train, CATEGORIES, own)
        return teaching.candidates(question_of(prompt), question_of(other), own)

    def perfect(self, prompt: Prompt) -> str:
        """The answer of the scripted perfect policy."""
        return answers.perfect(question_of(prompt))

    def probes(self, count: int = 300) -> dict[str, list[Ranking]]:
        """Noiseless pairs on test prompts that differ in one thing: the fact, the verdict, an unseen fact."""
        return teaching.probes(self._questions["test"], count, self.seed)
