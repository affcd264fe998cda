"""What a run works on: texts, demonstrations, preferences and prompts, from the pocket world or files.

Everything is a pure function of the config and the files, computed when first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from plaudit.config import Config, Source
from plaudit.data.records import Demonstration, Labelled, Preference, Prompt, Rated
from plaudit.errors import UserError

# What each role is made of; every other kind of record in a file is converted or refused by the reader.
KINDS = {
    "corpus": "text",
    "demonstrations": "demonstrations",
    "votes": "preferences",
    "preferences": "preferences",
    "labels": "labels",
    "prompts": "prompts",
}


class Materials:
    """The records of a run. ``gold`` and ``raters`` exist only where the truth is known.

    ``tell`` gets a line for all that reading a file left out or had to interpret.
    """

    kind = "real"
    gold: Any = None
    raters: Any = None
    world: Any = None

    def __init__(self, config: Config, tell: Callable[[str], None] = lambda line: None) -> None:
        self.config = config
        self.tell = tell

    def files(self, *roles: str) -> list[Path]:
        """The files that these roles read, for the keys of the stages."""
        sources = self.config.data_sources()
        return [Path(path) for role in roles for path in sources.get(role, [])]

    @property
    def corpus(self) -> Sequence[str]:
        raise NotImplementedError

    @property
    def demonstrations(self) -> tuple[Sequence[Demonstration], Sequence[Demonstration]]:
        """For training and held out."""
        raise NotImplementedError

    @property
    def votes(self) -> tuple[Sequence[Preference], Sequence[Preference]]:
        raise NotImplementedError

    @property
    def prompts(self) -> Sequence[Prompt]:
        raise NotImplementedError

    @property
    def validation_prompts(self) -> Sequence[Prompt]:
        raise NotImplementedError

    @property
    def test_prompts(self) -> Sequence[Prompt]:
        raise NotImplementedError


class PocketMaterials(Materials):
    """The pocket world at the run's seed."""

    kind = "pocket"

    def __init__(self, config: Config, tell: Callable[[str], None] = lambda line: None) -> None:
        super().__init__(config, tell)
        from plaudit.feedback.simulated import SimulatedRaters
        from plaudit.pocket import Gold, World

        assert config.world is not None
        self.settings = config.world
        self.world = World(config.seed)
        self.gold = Gold()
        if config.rank is not None:
            self.raters = SimulatedRaters(
                self.gold, noise=config.rank.noise, biased=config.rank.biased, seed=config.seed
            )

    @cached_property
    def corpus(self) -> Sequence[str]:
        return self.world.corpus(self.settings.documents)

    @cached_property
    def demonstrations(self) -> tuple[Sequence[Demonstration], Sequence[Demonstration]]:
        records = self.world.demonstrations(self.settings.demonstrations)
        held = max(1, len(records) // 50)
        return records[held:], records[:held]

    @cached_property
    def verdicts(self) -> Sequence[Demonstration]:
        return self.world.verdicts(self.settings.verdicts)

    @cached_property
    def votes(self) -> tuple[Sequence[Preference], Sequence[Preference]]:
        records = self.world.votes(self.settings.votes)
        held = max(1, len(records) // 50)
        return records[held:], records[:held]

    @cached_property
    def prompts(self) -> Sequence[Prompt]:
        return self.world.prompts("train", self.settings.train_prompts)

    @cached_property
    def validation_prompts(self) -> Sequence[Prompt]:
        return self.world.prompts("validation", self.settings.validation_prompts)

    @cached_property
    def test_prompts(self) -> Sequence[Prompt]:
        return self.world.prompts("test", self.settings.test_prompts)


class FileMaterials(Materials):
    """Records read from files or hub data sets, split by prompt.

    The three parts of the preferences (training, held-out, judge) share no prompt, and no evaluation
    prompt appears among the demonstrations' prompts.
    """

    def _read(self, role: str) -> list[Any]:
        from plaudit.data.mixture import mix
        from plaudit.data.readers import read
        from plaudit.data.report import ReadReport

        sources: Sequence[Source] = getattr(self.config.data, role)
        groups = []
        for source in sources:
            path = self.config.locate(source)
            if source.convert:
                from plaudit.data.convert import converted

                report = ReadReport(path, f"converted by {source.convert}")
                records = list(converted(source.convert, path, report, kind=KINDS[role]))[: source.limit]
            else:
                found = read(
                    path,
                    kind=KINDS[role],
                    limit=source.limit,
                    fields=source.fields,
                    labels=source.labels,
                    max_dropped=self.config.data.max_dropped,
                )
                records, report = found.records, found.report
            for line in report.lines():
                self.tell(line)
            groups.append((records, source.weight))
        return list(mix(groups, seed=self.config.seed))

    def _split(self, records: Sequence[Any], share: float, salt: str = "") -> tuple[list[Any], list[Any]]:
        from plaudit.data.splits import split

        return split(records, validation=share, seed=self.config.seed, salt=salt)

    @cached_property
    def corpus(self) -> Sequence[str]:
        texts = self._read("corpus")
        return [t if isinstance(t, str) else t.text for t in texts]

    @cached_property
    def demonstrations(self) -> tuple[Sequence[Demonstration], Sequence[Demonstration]]:
        records = [r for r in self._read("demonstrations") if isinstance(r, Demonstration)]
        return self._split(records, self.config.data.validation)

    @cached_property
    def votes(self) -> tuple[Sequence[Preference], Sequence[Preference]]:
        return self._split(_preferences(self._read("votes")), self.config.data.validation)

    @cached_property
    def _preferences(self) -> tuple[list[Preference], list[Preference], list[Preference]]:
        from plaudit.data.readers import join_pairs

        records = join_pairs(_preferences(self._read("preferences")))
        train, held = self._split(records, self.config.data.preference_validation)
        if self.config.evaluate is None or self.config.evaluate.judge is None:
            return train, held, []
        train, judge = self._split(train, self.config.data.judge_share, salt="judge")
        return train, held, judge

    @property
    def preferences(self) -> tuple[Sequence[Preference], Sequence[Preference]]:
        return self._preferences[:2]

    @cached_property
    def labels(self) -> tuple[Sequence[Any], Sequence[Any]]:
        """Thumbs and ratings of single answers, for training and held out."""
        records = [r for r in self._read("labels") if not isinstance(r, Demonstration | Prompt)]
        return self._split(records, self.config.data.preference_validation)

    @property
    def judge_preferences(self) -> Sequence[Preference]:
        """Preferences that only the proxy judge learns from."""
        return self._preferences[2]

    @cached_property
    def _prompts(self) -> tuple[list[Prompt], list[Prompt]]:
        records = self._read("prompts")
        if not records:
            train, held, _ = self._preferences
            records = [r.prompt for r in (*train, *held)]
        prompts = {p.id: p for p in (r if isinstance(r, Prompt) else r.prompt for r in records)}
        seen = {r.prompt.id for r in self.demonstrations[0]} if self.config.data.demonstrations else set()
        if self.config.data.preferences:
            train, held, judge = self._preferences
            seen |= {r.prompt.id for r in (*train, *judge)}
            fresh = [p for p in prompts.values() if p.id not in seen]
            return [p for p in prompts.values() if p.id in seen], fresh
        return self._split(list(prompts.values()), self.config.data.validation)

    @property
    def prompts(self) -> Sequence[Prompt]:
        return self._prompts[0]

    @cached_property
    def validation_prompts(self) -> Sequence[Prompt]:
        return self._prompts[1][: len(self._prompts[1]) // 3]

    @cached_property
    def test_prompts(self) -> Sequence[Prompt]:
        return self._prompts[1][len(self._prompts[1]) // 3 :]


def _preferences(records: Sequence[Any]) -> list[Preference]:
    """Preferences among the records; ratings and labels cannot rank a prompt's answers by themselves."""
    return [r for r in records if not isinstance(r, Labelled | Rated | Demonstration | Prompt)]


def materials_of(config: Config, tell: Callable[[str], None] = lambda line: None) -> Materials:
    """The pocket world where the recipe has one, else files."""
    if config.world is not None:
        return PocketMaterials(config, tell)
    if not config.data_sources():
        raise UserError(
            f"recipe {config.name!r} names neither a world nor data",
            remedy="add `world: {}` for the pocket world, or data.demonstrations and data.preferences",
        )
    return FileMaterials(config, tell)
