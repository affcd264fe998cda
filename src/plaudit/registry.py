"""What exists: methods, steps, judges, worlds, readers, detectors …, as plain descriptions. Free of torch.

Whatever lists methods or steps asks here; no other module holds such a list. A description names code as
``module:name``, which is imported when it is used. Those of plaudit itself are found through ``BUILT_IN``, those of
other packages through entry points (``plaudit.methods``, ``.steps``, ``.judges``, ``.worlds``, ``.readers``,
``.detectors``).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from plaudit.errors import UserError, suggest

if TYPE_CHECKING:
    from pydantic import BaseModel

Gives = Literal["policy", "reward model", "preferences", "demonstrations", "numbers"]
Need = Literal["text", "demonstrations", "preferences", "labels", "prompts", "reward", "reference"]
Starts = Literal["policy", "reward model"]
# Code of one's own or of plaudit: ``module:name``, imported when it is used, or the object itself.
Code: TypeAlias = str | Callable[..., Any]
Settings: TypeAlias = "str | type[BaseModel]"
Tone = Literal["base", "sft", "reward", "trained", "muted"]

# Modules that describe what plaudit itself brings; each registers when it is imported.
BUILT_IN = (
    "plaudit.methods.descriptors",
    "plaudit.pipeline.steps.descriptors",
    "plaudit.judges.descriptors",
    "plaudit.feedback.descriptors",
    "plaudit.pocket.descriptors",
    "plaudit.audit.detectors.descriptors",
)


@dataclass(frozen=True)
class ModelDefaults:
    """Defaults for pretrained models: ``settings``, those that differ for large ones (``large``), and their source.

    What counts as tiny or large, and the factor for adapters: ``config.pretrained``.
    """

    settings: Mapping[str, Any]
    source: str
    large: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepKind:
    """One kind of step of a recipe.

    ``settings`` is the class of its section and ``run`` its code ``(context, step, stage) -> outcome``, both as
    ``module:name`` (or the object itself). ``gives`` names what later steps may take from it. ``data`` is the role
    that it learns from, ``starts`` what it starts from, ``rewarded`` whether it asks for a reward to train on,
    ``scored`` whether it may ask one for other ends. ``code`` are the
    modules that decide its numbers, for the versions that stand beside its key. ``cost`` is ``(step, context) ->
    Work``; ``check`` is ``(settings, world) -> None`` and raises before anything is loaded. ``preference`` marks
    steps that learn from judgements or rewards: the first of them begins at `start`. ``pretrained`` are its defaults
    where it starts from a pretrained model.
    """

    name: str
    title: str
    summary: str
    settings: Settings
    run: Code
    gives: tuple[Gives, ...] = ()
    data: str | None = None
    starts: Starts | None = None
    rewarded: bool = False
    scored: bool = False
    judged: bool = False
    preference: bool = False
    tone: Tone = "muted"
    code: tuple[str, ...] = ()
    cost: Code | None = None
    check: Code | None = None
    pretrained: ModelDefaults | None = None


@dataclass(frozen=True)
class Method(StepKind):
    """A kind of step that trains a model, and what is known of it.

    ``needs`` is what it learns from, ``models`` those in memory while it does, ``function`` its Python function,
    ``page`` its page in docs/methods, ``when`` its use in a phrase, ``imitates`` whether its loss holds SFT.
    ``grid`` is the setting that trades reward for KL with two values of it, ``variants`` names of the method with some
    settings, ``compared`` whether `plaudit compare` takes it by default.
    ``fit`` is ``(situation) -> (score, reason)`` for `plaudit advise`.
    """

    needs: tuple[Need, ...] = ()
    online: bool = False
    models: tuple[str, ...] = ("policy",)
    function: str = ""
    paper: str = ""
    when: str = ""
    page: str = ""
    imitates: bool = False
    grid: tuple[str, tuple[Any, ...]] | None = None
    variants: Mapping[str, Variant] = field(default_factory=dict)
    compared: bool = False
    fit: Code | None = None

    @property
    def verb(self) -> str:
        """The command that runs it."""
        return self.name.replace("_", "-")

    @property
    def trains_policy(self) -> bool:
        """Whether it improves a policy by judgements or a reward: what a comparison compares."""
        return self.preference and "policy" in self.gives

    @property
    def facts(self) -> str:
        """Needs, models in memory and paper, one sentence each."""
        answers = "the policy's own, sampled while it trains" if self.online else "those of the data"
        return f"Needs {_listed(self.needs)}. Answers: {answers}. In memory: {_listed(self.models)}." + (
            f" {self.paper}." if self.paper else ""
        )


@dataclass(frozen=True)
class Variant:
    """A method under another name: some settings, the title, and the grid where it differs."""

    title: str
    sets: tuple[str, ...]
    grid: tuple[str, tuple[Any, ...]] | None = None
    compared: bool = False


@dataclass(frozen=True)
class JudgeKind:
    """One kind of judge: ``scheme`` begins its spec (``scheme:rest``).

    ``make`` is ``(rest, options, context) -> Judge`` as ``module:name``; ``options`` its class of settings, None where
    it has none; ``check`` an optional ``(rest, options) -> None`` that raises before anything is loaded. A ``gated``
    judge is held against people's rankings before its labels train anything, unless its options say ``gate: off``. One
    that ``grades`` can score a single answer, as a reward in RL. ``resolved`` is ``rest -> rest`` in the one spelling
    that all spellings of the same model have.
    ``reviser`` is ``(rest, options, context, settings) -> Reviser`` where it can write revisions; ``check_reviser`` is
    ``(settings, world) -> None`` in the place of ``check`` where it revises.
    """

    scheme: str
    summary: str
    make: Code
    options: Settings | None = None
    check: Code | None = None
    form: str = ""
    gated: bool = False
    grades: bool = False
    resolved: Code | None = None
    reviser: Code | None = None
    check_reviser: Code | None = None
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.scheme)


@dataclass(frozen=True)
class WorldKind:
    """A world that makes its own records: ``settings`` its section, ``make`` is ``(settings, seed) -> SyntheticWorld``.

    ``roles`` are the kinds of records by role, ``judge`` the judge that ranks where a step names none, ``bars`` is
    ``(summary) -> checks``, ``attributes`` the ``display.attributes.Vocabulary`` of what it measures, ``detectors``
    what audits of its runs watch beside the registered detectors.
    """

    name: str
    summary: str
    settings: Settings
    make: Code
    roles: Mapping[str, str]
    judge: str | None = None
    bars: Code | None = None
    attributes: object = None
    detectors: tuple[DetectorKind, ...] = ()


@dataclass(frozen=True)
class ReaderKind:
    """A converter of a data set's own layout: ``convert`` is a ``plaudit.data.readers.convert.Converter``."""

    name: str
    summary: str
    convert: object


@dataclass(frozen=True)
class SourceKind:
    """Records behind an address ``name://rest``: ``rows`` is ``(address) -> Iterable[Mapping]``, rows as in JSONL."""

    name: str
    summary: str
    rows: Any


@dataclass(frozen=True)
class TaskKind:
    """A kind of labeling task: what a labeler is asked, for items of how many answers, and the form that asks it.

    ``strength`` says whether it can be asked how much better an answer is.
    """

    name: str
    title: str
    least: int
    most: int
    strength: bool = False


@dataclass(frozen=True)
class DetectorKind:
    """A property of answers whose change an audit watches.

    ``measure`` is ``(prompt: str, response: Response) -> float``, or with ``across`` ``(prompt, responses) -> float``
    over the samples of one prompt. ``unit``: a share of answers (0 or 1 each), a ``ratio`` (the measure is a log), or
    a plain number. ``least`` is the smallest change worth a suspicion (of a ratio: .1 is 10 %), ``suspect`` the
    direction that is one. ``plant`` is ``(prompt, text, random) -> str | Response``: an answer with the property, to
    measure the detector's power at ``dose``, the share of answers that get it; ``planted`` says it where a share does
    not.
    """

    name: str
    title: str
    measure: Code
    unit: Literal["share", "ratio", "number"] = "share"
    least: float = 0.05
    suspect: Literal["more", "less", "either"] = "more"
    across: bool = False
    plant: Code | None = None
    dose: float = 0.2
    planted: str = ""


D = TypeVar("D", StepKind, Method, JudgeKind, WorldKind, ReaderKind, SourceKind, TaskKind, DetectorKind)


class Registry(Generic[D]):
    """Descriptions by name, in the order of registration."""

    def __init__(self, what: str, group: str | None) -> None:
        self.what = what
        self.group = group
        self._known: dict[str, D] = {}

    def register(self, *described: D) -> None:
        """Add descriptions; UserError where a name is taken by another one."""
        for one in described:
            before = self._known.get(one.name)
            if before is not None and before != one:
                raise UserError(f"two {self.what}s are called {one.name!r}", remedy="rename one of them")
            self._known[one.name] = one

    def __getitem__(self, name: str) -> D:
        """The description of that name; UserError with the likeliest name where there is none."""
        known = self._all()
        if name not in known:
            raise UserError(
                f"there is no {self.what} {name!r}",
                remedy=suggest(name, known) or f"{self.what}s: {', '.join(sorted(known))}",
            )
        return known[name]

    def get(self, name: str) -> D | None:
        return self._all().get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def values(self) -> list[D]:
        return list(self._all().values())

    def items(self) -> list[tuple[str, D]]:
        return list(self._all().items())

    def _all(self) -> dict[str, D]:
        load()
        return self._known


# The steps that a recipe gets by its section `evaluate`: they stand under these names in every run.
EVALUATE, PROXY = "evaluate", "proxy"

METHODS: Registry[Method] = Registry("method", "plaudit.methods")
STEPS: Registry[StepKind] = Registry("kind of step", "plaudit.steps")
JUDGES: Registry[JudgeKind] = Registry("judge", "plaudit.judges")
WORLDS: Registry[WorldKind] = Registry("world", "plaudit.worlds")
READERS: Registry[ReaderKind] = Registry("converter", "plaudit.readers")
SOURCES: Registry[SourceKind] = Registry("source", None)
TASKS: Registry[TaskKind] = Registry("kind of task", "plaudit.tasks")
DETECTORS: Registry[DetectorKind] = Registry("detector", "plaudit.detectors")
REGISTRIES = (METHODS, STEPS, JUDGES, WORLDS, READERS, SOURCES, TASKS, DETECTORS)

_state = {"loading": False, "loaded": False}


def method(*described: Method) -> None:
    """Register methods: each is a kind of step too."""
    METHODS.register(*described)
    STEPS.register(*described)


def load() -> None:
    """Register what plaudit brings and what installed packages add; once a process."""
    if _state["loading"] or _state["loaded"]:
        return
    _state["loading"] = True
    try:
        for module in BUILT_IN:
            importlib.import_module(module)
        for registry in REGISTRIES:
            for point in entry_points(group=registry.group or ""):
                _add(registry, point)
        _state["loaded"] = True
    finally:
        _state["loading"] = False


def _add(registry: Any, point: Any) -> None:
    try:
        found = point.load()
    except Exception as error:
        raise UserError(
            f"the entry point {point.name!r} of {registry.group} cannot be loaded: {error!r}",
            remedy=f"fix or remove the package that brings {point.value}",
        ) from error
    for one in found if isinstance(found, list | tuple) else (found,):
        if isinstance(one, Method):
            method(one)
        else:
            registry.register(one)


def resolve(reference: Any, what: str = "name") -> Any:
    """The object behind ``module:name``; anything but text stands for itself.

    The current folder is searched too. UserError where the module is missing or broken, or has no such name.
    """
    if not isinstance(reference, str):
        return reference
    module_name, separator, name = reference.partition(":")
    if not separator or not module_name or not name:
        raise UserError(f"{what} {reference!r} is not of the form module:name")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(
                f"{what} {reference!r}: {module_name} imports {error.name}, which is not installed",
                remedy=f"install {error.name}, or take the import out of {module_name}",
            ) from None
        raise UserError(
            f"{what} {reference!r}: {error}", remedy="run from the folder that holds the module"
        ) from None
    except (Exception, SystemExit) as error:  # a script's own exit would end plaudit without a word
        raise UserError(
            f"{what} {reference!r}: importing {module_name} failed: {error!r}",
            remedy=f'fix it until `python -c "import {module_name}"` succeeds',
        ) from error
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise UserError(f"{what} {reference!r}: {module_name} has no {name!r}")
    return found


def call(reference: Any, *arguments: Any, **options: Any) -> Any:
    """Resolve and call."""
    function: Callable[..., Any] = resolve(reference)
    return function(*arguments, **options)


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
