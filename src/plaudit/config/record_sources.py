"""Which data roles and earlier steps give the records that a step learns from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from plaudit.config.graph import FEEDS


@dataclass(frozen=True)
class RecordSources:
    """``roles``: the recipe's data roles; ``of_world``: the kinds of records of a made world's roles by role;
    ``before(kind)``: the steps so far that give records of a kind."""

    roles: tuple[str, ...]
    of_world: Mapping[str, str]
    before: Callable[[str], list[str]]

    def _giving(self, need: str) -> list[str]:
        """Data roles and earlier steps that give records of this kind."""
        roles = [
            r
            for r in self.roles
            if self.of_world.get(r, r if r != "corpus" else "text") == need or r in FEEDS[need]
        ]
        return [*roles, *self.before(need)]

    def default(self, need: str) -> list[str]:
        """What a step learns from where its recipe does not say."""
        roles = [r for r in FEEDS[need] if r in self.roles]
        found = [*roles, *self.before(need)]
        # Thumbs are read off rankings where there are none, and prompts off whatever has them.
        if need == "labels" and not found:
            found = self.default("preferences")
        if need == "prompts" and not found:
            found = self.default("preferences") or self.default("demonstrations")
        return found

    def allowed(self, need: str) -> list[str]:
        """What a step may name under ``on``."""
        found = self._giving(need)
        if need == "labels":
            found += self._giving("preferences")
        if need == "prompts":
            found += [*self._giving("preferences"), *self._giving("demonstrations"), *self._giving("labels")]
        if need == "preferences" and "votes" in self.roles:
            found.append("votes")
        return list(dict.fromkeys(found))
