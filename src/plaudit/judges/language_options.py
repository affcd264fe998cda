"""Settings of language-model judges, checked before anything is loaded, and the judges made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from plaudit.config.base import Positive
from plaudit.config.text import home
from plaudit.errors import UserError
from plaudit.judges.language import LanguageJudge, Manner
from plaudit.judges.made_of import of_model
from plaudit.judges.options import GatedOptions, options_of
from plaudit.judges.rubrics import Rubric, read_rubric
from plaudit.registry import JUDGES, call

Rate = Annotated[float, Field(gt=0)]


class LanguageOptions(GatedOptions):
    """How a language model judges.

    ``form``: pairs, grades from 1 to ``scale``, a ``rubric`` file, or one yes/no. ``join``: the mean log-odds of both
    orders over ``temperature``, the paper's mean probability, or hard votes. ``constitution``: a file of principles
    (``plaudit`` names ours), one drawn per comparison.
    """

    form: Literal["pairwise", "pointwise", "rubric", "yes_no"] = "pairwise"
    join: Literal["log_odds", "mean", "hard"] = "log_odds"
    temperature: float = Field(1.0, gt=0)
    constitution: str | None = None
    rubric: Path | None = None
    reason: bool = False
    clamp: float = Field(0.4, gt=0, lt=0.5)
    scale: int = Field(10, ge=2, le=10)
    seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> LanguageOptions:
        if self.form == "rubric" and self.rubric is None:
            raise ValueError("form rubric needs rubric: FILE")
        if self.rubric is not None and self.form != "rubric":
            raise ValueError(f"a rubric is for form rubric, not {self.form}")
        if self.reason and self.form != "pairwise":
            raise ValueError(f"reason is for form pairwise, not {self.form}")
        return self

    @model_validator(mode="after")
    def _acts(self) -> LanguageOptions:
        """Each option that is given has something to act on."""
        acting = {
            "join": (self.form == "pairwise", "form pairwise"),
            "temperature": (
                self.form != "pointwise" and self.join != "hard",
                "log-odds, which this form has not",
            ),
            "constitution": (
                self.form != "rubric",
                "other forms than rubric, whose criteria are the principles",
            ),
            "clamp": (self.reason, "reason: true"),
            "scale": (self.form == "pointwise", "form pointwise"),
        }
        for name, (acts, what) in acting.items():
            if name in self.model_fields_set and not acts:
                raise ValueError(f"{name} is for {what}: leave it out")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The user's own files that decide what is asked: a change of their content is another judge."""
        own = [p for p in (self.rubric, self.constitution) if p]
        return tuple(path for path in (home(p) for p in own) if path.is_file())

    def manner(self) -> Manner:
        """The manner of asking; reads the rubric and the constitution."""
        from plaudit.judges.constitution import read_constitution
        from plaudit.judges.principles import DEFAULT

        own = read_constitution(self.constitution) if self.constitution is not None else None
        return Manner(
            self.form,
            self.join,
            self.temperature,
            own.principles if own else DEFAULT,
            read_rubric(home(self.rubric)) if self.rubric else Rubric(),
            self.reason,
            self.clamp,
            self.scale,
            self.seed,
            f"{own.name} {own.version}" if own else "",
        )


class RemoteOptions(LanguageOptions):
    """And how a server is asked. ``key_env`` names the environment variable that holds the key.

    Grades end at 9: where a server's digits are tokens of their own, the first token of 10 is that of 1.
    Prices are per million tokens in your own currency; ``max_cost`` ends the work with exit code 3 when it is spent.
    """

    scale: int = Field(9, ge=2, le=9)
    key_env: str | None = None
    concurrency: Positive = 8
    timeout: Rate = 120.0
    attempts: Positive = 8
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    price_prompt: float | None = Field(None, ge=0)
    price_completion: float | None = Field(None, ge=0)
    price_cached: float | None = Field(None, ge=0)
    max_cost: Rate | None = None

    @model_validator(mode="after")
    def _prices(self) -> RemoteOptions:
        if (self.price_prompt is None) != (self.price_completion is None):
            raise ValueError("price_prompt and price_completion go together")
        if self.max_cost is not None and self.price_prompt is None:
            raise ValueError("max_cost needs price_prompt and price_completion")
        return self


def check_local(rest: str, options: Mapping[str, Any], world: Any, models: Sequence[str]) -> None:
    """A policy that is saved, and options that fit."""
    from plaudit.runs.locate import locate

    options_of("local", options).manner()
    if not rest:
        raise UserError("local: names no model", remedy="write local:FOLDER or local:RUN@step")
    locate(rest)


def check_remote(rest: str, options: Mapping[str, Any], world: Any, models: Sequence[str]) -> None:
    """An address with a model's name behind #, a key that is there, and options that fit."""
    given: RemoteOptions = options_of("http", options)
    given.manner()
    address_of("http:" + rest, given.key_env).key()


def address_of(spec: str, key_env: str | None) -> Any:
    """``http(s)://host/v1#model`` as an ``Address``; UserError for anything else, and for keys in the address."""
    from plaudit.generation.endpoint.transport import Address

    url, _, model = spec.partition("#")
    parts = urlsplit(url)
    if parts.username or parts.password or re.search(r"(api[_-]?key|token)=", parts.query, re.IGNORECASE):
        raise UserError(
            f"the address of {parts.hostname} holds a key",
            remedy="put the key into an environment variable and name it: ?key_env=NAME",
        )
    if not parts.hostname or not model:
        raise UserError(f"{spec!r} names no server and model", remedy="write http(s)://host/v1#model")
    if key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key_env):
        raise UserError("key_env is the name of an environment variable, not the key itself")
    return Address(url.rstrip("/"), model, key_env)


def make_local(rest: str, options: Mapping[str, Any], context: Any) -> LanguageJudge:
    """The judge of ``local:FOLDER`` or ``local:RUN@step``."""
    from plaudit.generation.chat import LocalChatModel
    from plaudit.generation.local_labels import LocalLabels
    from plaudit.generation.verdict_text import WrittenLabels
    from plaudit.runs.locate import locate

    given: LanguageOptions = options_of("local", options)
    name, located = f"local:{rest}", locate(rest)
    source = located.source
    if given.reason:
        # One rank asks it alone: the others do not know the questions.
        chat = LocalChatModel(name, source, runtime=context.runtime.alone())
        return LanguageJudge(WrittenLabels(chat), given.manner(), made_of=of_model(located.folder))
    labels = LocalLabels(name, source, runtime=context.runtime)
    return LanguageJudge(labels, given.manner(), made_of=of_model(located.folder))


def make_http(rest: str, options: Mapping[str, Any], context: Any) -> LanguageJudge:
    return _make_remote("http:" + rest, options, context)


def make_https(rest: str, options: Mapping[str, Any], context: Any) -> LanguageJudge:
    return _make_remote("https:" + rest, options, context)


def _make_remote(spec: str, options: Mapping[str, Any], context: Any) -> LanguageJudge:
    """The judge behind an address; what it said and cost lies in ``context.judge_folder(spec)``."""
    given: RemoteOptions = options_of("http", options)
    manner = given.manner()
    return LanguageJudge(remote_model(spec, given, context.judge_folder(spec)), manner)


def check_revision(settings: Any, world: Any) -> None:
    """A constitution that can be read, and a model that can write; UserError with the first that is not so."""
    from plaudit.judges.constitution import read_constitution

    spec, kind = settings.by, JUDGES.get(settings.by.scheme)
    if kind is None or kind.reviser is None:
        writers = ", ".join(j.form for j in JUDGES.values() if j.reviser is not None)
        raise UserError(f"{spec.judge} writes no revisions", remedy=f"one of {writers}")
    if kind.check_reviser is not None:
        call(kind.check_reviser, settings, world)
    elif kind.check is not None:
        refuse_judging(spec.options)
        call(kind.check, spec.rest, spec.options, world, ())
    read_constitution(settings.constitution)


def refuse_judging(options: Mapping[str, Any]) -> None:
    """UserError with the options of judging among those of a model that writes: they would act on nothing."""
    idle = sorted(set(options) & set(LanguageOptions.model_fields))
    if idle:
        raise UserError(
            f"{', '.join(idle)}: an option of a judge acts on nothing where a model writes",
            remedy="leave it out; the step's own constitution and temperature are keys beside by",
        )


def local_reviser(rest: str, options: Mapping[str, Any], context: Any, settings: Any) -> Any:
    """The model of ``local:…`` as one that criticizes and revises."""
    from plaudit.generation.chat import LocalChatModel
    from plaudit.runs.locate import locate

    options_of("local", options)
    model = LocalChatModel(f"local:{rest}", locate(rest).source, runtime=context.runtime)
    return _reviser(model, settings)


def http_reviser(rest: str, options: Mapping[str, Any], context: Any, settings: Any) -> Any:
    return _remote_reviser("http:" + rest, options, context, settings)


def https_reviser(rest: str, options: Mapping[str, Any], context: Any, settings: Any) -> Any:
    return _remote_reviser("https:" + rest, options, context, settings)


def _remote_reviser(spec: str, options: Mapping[str, Any], context: Any, settings: Any) -> Any:
    given: RemoteOptions = options_of("http", options)
    return _reviser(remote_model(spec, given, context.judge_folder(spec)), settings)


def _reviser(model: Any, settings: Any) -> Any:
    from plaudit.judges.constitution import read_constitution
    from plaudit.judges.revision import ChatReviser

    examples = read_constitution(settings.constitution).examples
    return ChatReviser(
        model, examples, temperature=settings.temperature, max_new_tokens=settings.max_new_tokens
    )


def remote_model(spec: str, given: RemoteOptions, folder: Path | None) -> Any:
    """The model behind an address, with limits, prices, ledger and cache as the options say."""
    from plaudit.generation.endpoint.ledger import Ledger, Prices
    from plaudit.generation.endpoint.remote import RemoteModel
    from plaudit.generation.endpoint.transport import Transport

    prices = None
    if given.price_prompt is not None and given.price_completion is not None:
        prices = Prices(given.price_prompt, given.price_completion, given.price_cached)
    ledger = Ledger(folder / "ledger.jsonl" if folder else None, prices=prices, max_cost=given.max_cost)
    transport = Transport(
        address_of(spec, given.key_env),
        ledger,
        timeout=given.timeout,
        attempts=given.attempts,
        requests_per_minute=given.requests_per_minute,
        tokens_per_minute=given.tokens_per_minute,
    )
    return RemoteModel(spec, transport, folder=folder, concurrency=given.concurrency)


def folder_name(spec: str) -> str:
    """A file name for a judge's spec: readable, and different for different specs."""
    import hashlib

    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", spec).strip("-")[:60]
    return f"{plain}-{hashlib.sha256(spec.encode()).hexdigest()[:8]}"
