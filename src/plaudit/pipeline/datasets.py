"""What a run works on: records by role, from a made world or from files, split by prompt.

Everything is a pure function of the config and the files, computed when first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from plaudit.config import Config, DataSource
from plaudit.data.records import Demonstration, Labeled, Preference, Prompt, Rated
from plaudit.data.splits import prompt_key
from plaudit.errors import UserError
from plaudit.registry import WORLDS, resolve

# What each role is made of; every other kind of record in a file is converted or refused by the reader.
KINDS = {
    "corpus": "text",
    "demonstrations": "demonstrations",
    "votes": "preferences",
    "preferences": "preferences",
    "labels": "labels",
    "prompts": "prompts",
}
Parts = tuple[Sequence[Any], Sequence[Any]]


class Materials:
    """The records of a run. ``world`` exists only where the truth is known; files come before what it makes.

    The parts of the preferences (training, held out, proxy) share no prompt, and no evaluation prompt appears among
    the demonstrations' prompts. ``tell`` gets a line for all that reading a file left out or had to interpret.
    """

    def __init__(self, config: Config, tell: Callable[[str], None] = lambda line: None) -> None:
        self.config = config
        self.tell = tell
        self.world: Any = None
        if config.world is not None:
            kind = WORLDS[config.world.kind]  # type: ignore[attr-defined]
            self.world = resolve(kind.make)(config.world, config.seed)
        self.sources = config.data_sources()
        self.records = cache(self._records)

    @property
    def kind(self) -> str:
        """The world's name, or ``real``."""
        return self.config.world.kind if self.config.world is not None else "real"  # type: ignore[attr-defined]

    def files(self, *roles: str) -> list[Path]:
        """The files that these roles read, for the keys of the steps."""
        return [Path(path) for role in roles for path in self.sources.get(role, [])]

    def key(self, record: Any) -> str:
        """What a record is split by: its prompt."""
        if self.world is None or isinstance(record, str):
            return prompt_key(record)
        return str(self.world.held_out_key(record if isinstance(record, Prompt) else record.prompt))

    def _records(self, role: str) -> Parts:
        if role not in self.sources:
            found: Parts = self.world.records(role) if self.world is not None else ((), ())
            return found
        if role == "preferences":
            return self._preferences[:2]
        if role == "prompts":
            return self.prompts("train"), ()
        records = self._read(role)
        if role == "corpus":
            return [t if isinstance(t, str) else t.text for t in records], ()
        if role == "demonstrations":
            kept = [r for r in records if isinstance(r, Demonstration)]
            return self._split(kept, self.config.data.validation)
        if role == "votes":
            return self._split(_preferences(records), self.config.data.validation)
        labels = [r for r in records if not isinstance(r, Demonstration | Prompt)]
        return self._split(labels, self.config.data.preference_validation)

    def _read(self, role: str) -> list[Any]:
        from plaudit.data.mixture import mix, weighed
        from plaudit.data.readers.read import read
        from plaudit.data.readers.read_report import ReadReport

        sources: Sequence[DataSource] = getattr(self.config.data, role)
        groups = []
        for source in sources:
            path = self.config.locate(source)
            if source.convert:
                from plaudit.data.readers.convert import converted

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
            # The judgements of a prompt are joined, and copies of them would say nothing more: they weigh more instead.
            joined = role == "preferences"
            weight = source.weight if joined else 1.0
            groups.append(([weighed(r, weight) for r in records], 1.0 if joined else source.weight))
        return list(mix(groups, seed=self.config.seed))

    def _split(self, records: Sequence[Any], share: float, salt: str = "") -> tuple[list[Any], list[Any]]:
        from plaudit.data.splits import split

        return split(records, validation=share, seed=self.config.seed, salt=salt)

    @cached_property
    def _preferences(self) -> tuple[list[Preference], list[Preference], list[Preference]]:
        from plaudit.data.readers.record_kinds import join_pairs

        records = join_pairs(_preferences(self._read("preferences")))
        train, held = self._split(records, self.config.data.preference_validation)
        if self.config.evaluate is None or self.config.evaluate.proxy is None:
            return train, held, []
        train, proxy = self._split(train, self.config.data.judge_share, salt="judge")
        return train, held, proxy

    @property
    def proxy_preferences(self) -> Sequence[Preference]:
        """Preferences that only the proxy judge learns from."""
        return self._preferences[2] if "preferences" in self.sources else ()

    @cached_property
    def _file_prompts(self) -> tuple[list[Prompt], list[Prompt]]:
        records = self._read("prompts") if "prompts" in self.sources else []
        if not records and "preferences" in self.sources:
            train, held, _ = self._preferences
            records = [r.prompt for r in (*train, *held)]
        prompts = {p.id: p for p in (r if isinstance(r, Prompt) else r.prompt for r in records)}
        # Prompts of their own are held out by their own share; those of preferences as the preferences are.
        kept = {p.id for p in self._split(list(prompts.values()), self.config.data.validation)[1]}
        seen = {r.prompt.id for r in self.records("demonstrations")[0]}
        if "preferences" in self.sources:
            train, held, proxy = self._preferences
            seen |= {r.prompt.id for r in (*train, *proxy)}
            kept |= {r.prompt.id for r in held}
        kept -= seen
        fresh = [p for p in prompts.values() if p.id in kept]
        rest = [p for p in prompts.values() if p.id not in kept]
        if "prompts" in self.sources:
            self.tell(f"data.prompts: {len(rest)} of {len(prompts)} to train on, {len(fresh)} held out")
        return rest, fresh

    def prompts(self, part: str) -> Sequence[Prompt]:
        """Prompts of ``train``, ``validation`` or ``test``."""
        if self.world is not None and "prompts" not in self.sources:
            found: Sequence[Prompt] = self.world.prompts(part)
            return found
        train, fresh = self._file_prompts
        third = len(fresh) // 3
        return {"train": train, "validation": fresh[:third], "test": fresh[third:]}[part]


def _preferences(records: Sequence[Any]) -> list[Preference]:
    """Preferences among the records; ratings and labels cannot rank a prompt's answers by themselves."""
    return [r for r in records if not isinstance(r, Labeled | Rated | Demonstration | Prompt)]


def materials_of(config: Config, tell: Callable[[str], None] = lambda line: None) -> Materials:
    """The records of a recipe; UserError where it names neither a world nor data."""
    if config.world is None and not config.data_sources():
        worlds = ", ".join(WORLDS)
        raise UserError(
            f"recipe {config.name!r} names neither a world nor data",
            remedy=f"add data.demonstrations and data.preferences, or a made world: {worlds}",
        )
    return Materials(config, tell)
