"""The pocket world as a run sees it: records by role at the run's seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import numpy as np

from plaudit.data.records import Preference, Prompt
from plaudit.pocket.gold import Gold
from plaudit.pocket.habits import SKILLED
from plaudit.pocket.questions import Split, bare
from plaudit.pocket.settings import Pocket
from plaudit.pocket.verifying import verified
from plaudit.pocket.world import World

HELD_OUT = 50  # one record in so many


class PocketWorld:
    """``protocols.SyntheticWorld`` of the pocket world."""

    def __init__(self, settings: Pocket, seed: int) -> None:
        self.settings = settings
        self.inner = World(seed)
        self.gold = Gold()
        self.records = cache(self._records)
        self.prompts = cache(self._prompts)

    def _records(self, role: str) -> tuple[Sequence[Any], Sequence[Any]]:
        s = self.settings
        if role == "corpus":
            return self.inner.corpus(s.documents), ()
        if role == "prompts":
            return self.prompts("train"), ()
        made: list[Any]
        if role == "votes":
            made = self.inner.votes(s.votes)
        elif role == "statements":
            made = list(verified(self.inner.facts, self.records("corpus")[0], s.votes, self.inner.seed))
        elif role == "skilled_demonstrations":
            made = World(self.inner.seed, SKILLED).demonstrations(s.demonstrations)
        else:
            made = self.inner.demonstrations(s.demonstrations)
        held = max(1, len(made) // HELD_OUT)
        return made[held:], made[:held]

    def _prompts(self, part: str) -> Sequence[Prompt]:
        return self.inner.prompts(cast(Split, part), getattr(self.settings, f"{part}_prompts"))

    def perfect(self, prompt: Prompt) -> str:
        return self.inner.perfect(prompt)

    def candidates(self, prompt: Prompt, rng: np.random.Generator) -> list[str]:
        return self.inner.candidates(prompt, rng)

    def held_out_key(self, prompt: Prompt) -> str:
        """The question without its opening: behind another opening it would not be held out."""
        return bare(prompt.text)

    def probes(self) -> Mapping[str, Sequence[Preference]]:
        return self.inner.probes()
