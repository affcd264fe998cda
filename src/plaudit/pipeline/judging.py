"""A judge at work outside a recipe: over a file of answers, or held against people's rankings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.config.sections import JudgeSpec
from plaudit.data.records import Comparisons, Preference, Prompt, Response
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError, suggest
from plaudit.evaluation.judge_gate import Calibration, calibrate, compares_pairs
from plaudit.evaluation.judge_people import merged, said_by_judge
from plaudit.evaluation.judge_probes import probe_items, probe_wins
from plaudit.judges.language_options import (
    LanguageOptions,
    RemoteOptions,
    folder_name,
    refuse_judging,
    remote_model,
)
from plaudit.judges.options import options_of
from plaudit.judges.orders import LEAST_MASS
from plaudit.judges.prompts import VERSION as PROMPTS
from plaudit.judges.work import Item, judge_into
from plaudit.protocols import Judge
from plaudit.registry import JUDGES, call
from plaudit.runs.files import check_folder, write_json

if TYPE_CHECKING:
    from plaudit.judges.constitution import Constitution
    from plaudit.judges.revision import Revision
    from plaudit.runtime import Runtime

RANKINGS = "rankings.jsonl"
REPORT = "calibration.json"


@dataclass(frozen=True)
class Bench:
    """What a judge is given where no recipe runs: a device, and the folder for its cache and ledger."""

    folder: Path
    device: Any = "cpu"
    seed: int = 0
    world: Any = None

    @property
    def runtime(self) -> Runtime:
        """This process alone, on the device."""
        from plaudit.runtime import Runtime

        return Runtime(self.device, seed=self.seed)

    def judge_folder(self, spec: str) -> Path:
        return self.folder

    def has_reward(self, name: str) -> bool:
        return False


@dataclass(frozen=True)
class JudgedFile:
    """What a judge said of a file: the records, where they lie, and its counts and costs."""

    records: list[Preference]
    path: Path
    counts: Mapping[str, int] = field(default_factory=dict)
    spent: Mapping[str, Any] | None = None


def spec_of(text: str) -> JudgeSpec:
    """A spec as on the command line, ``scheme:rest?key=value&…``, checked; UserError for what is wrong with it."""
    try:
        spec = JudgeSpec.model_validate(text)
    except ValueError as error:
        raise UserError(f"the judge {text!r}: {error}") from None
    kind = JUDGES.get(spec.scheme)
    if kind is None:
        known = ", ".join(j.form or f"{j.scheme}:…" for j in JUDGES.values())
        remedy = suggest(spec.scheme, [*JUDGES]) or f"one of {known}"
        raise UserError(f"there is no judge {text!r}", remedy=remedy)
    if kind.check is not None:
        call(kind.check, spec.rest, spec.options, None, ())
    return spec


def identity(judge: Judge, spec: JudgeSpec) -> str:
    """What verdicts are kept by: all that decides them.

    These are the spec with its options, the texts of its manner of asking, and what it is made of: the code of a
    function, or the files of a model (``made_of``).
    """
    manner = getattr(judge, "manner", None)
    asked = [asdict(manner), PROMPTS] if manner is not None else None
    parts = [_deciding(spec), asked, getattr(judge, "made_of", "")]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{shown(spec)} ({digest})"


def shown(spec: JudgeSpec) -> str:
    """The spec as a person writes it, with the options that decide verdicts alone."""
    options = "&".join(f"{k}={v}" for k, v in sorted(_deciding(spec).items()))
    return f"{spec.judge}?{options}" if options else spec.judge


def _deciding(spec: JudgeSpec) -> dict[str, Any]:
    work = {"gate", *set(RemoteOptions.model_fields) - set(LanguageOptions.model_fields)}
    return {k: v for k, v in spec.options.items() if k not in work}


def made(spec: JudgeSpec, bench: Bench) -> Judge:
    """The judge of a checked spec."""
    judge: Judge = call(JUDGES[spec.scheme].make, spec.rest, spec.options, bench)
    return judge


def judge_file(
    source: str | Path,
    spec: str,
    *,
    out: str | Path,
    limit: int | None = None,
    fields: Mapping[str, str] | None = None,
    device: str = "cpu",
) -> JudgedFile:
    """Judge all answers of a file. Verdicts, rankings, cache and ledger lie in ``out``; a second start goes on there.

    The file holds preferences (whose own verdicts are not looked at) or prompts with several answers each. Pairs that
    the judge could not decide are left out of the rankings and counted.
    """
    folder = Path(out)
    check_folder(folder, "the verdicts")
    parsed = spec_of(spec)
    items = read_answers(source, limit=limit, fields=fields)
    judge = made(parsed, Bench(folder, device))
    records = judge_into(folder, judge, items, spec=identity(judge, parsed))
    usable = [r for r in records if r.comparisons().outcomes]
    write_jsonl(usable, folder / RANKINGS)
    return JudgedFile(usable, folder / RANKINGS, counts_of(records), spent_of(judge))


def calibrate_judge(
    source: str | Path,
    spec: str,
    *,
    out: str | Path,
    limit: int | None = None,
    fields: Mapping[str, str] | None = None,
    labels: Mapping[Any, str] | None = None,
    device: str = "cpu",
) -> Calibration:
    """Hold a judge against people's rankings of a file; the figures are kept in ``out`` as ``calibration.json``."""
    from plaudit.data.readers.read import read

    folder = Path(out)
    check_folder(folder, "the verdicts")
    parsed = spec_of(spec)
    records = read(source, kind="preferences", limit=limit, fields=fields, labels=labels).records
    people = merged([r for r in records if not said_by_judge(r)])
    left_out = sum(map(said_by_judge, records))
    if not people:
        raise UserError(
            f"{source} holds no ranking of a person: a judge gave all {left_out}",
            remedy="name rankings that people made",
        )
    judge = made(parsed, Bench(folder, device))
    manner = identity(judge, parsed)
    found = replace(gate(judge, people, folder, manner), left_out=left_out)
    write_json(
        folder / REPORT,
        {"judge": parsed.judge, "identity": manner, "rankings": str(source), **found.as_dict()},
    )
    return found


def gate(judge: Judge, people: Sequence[Comparisons], folder: Path, spec: str) -> Calibration:
    """The calibration of a judge on people's ``merged`` rankings, with its probes; verdicts are kept in ``folder``."""
    items: list[Item] = [(p.prompt, p.responses) for p in people]
    judged = judge_into(folder / "people", judge, items, spec=spec, label="calibrate")
    wins = {
        name: probe_wins(
            judge_into(folder / "probes", judge, probes, spec=spec, label=f"probe: {name} answer")
        )
        for name, probes in probe_items(people).items()
    }
    return calibrate(people, judged, wins)


def chat_model_of(spec: JudgeSpec, bench: Any) -> Any:
    """The model of a spec as one that writes texts (``ChatModel``): ``local:…`` or ``http(s)://…#…``."""
    refuse_judging(spec.options)
    if spec.scheme == "local":
        from plaudit.generation.chat import LocalChatModel
        from plaudit.runs.locate import locate

        return LocalChatModel(f"local:{spec.rest}", locate(spec.rest).source, runtime=bench.runtime)
    if spec.scheme in ("http", "https"):
        return remote_model(spec.judge, options_of("http", spec.options), bench.judge_folder(spec.judge))
    raise UserError(f"{spec.judge} writes no texts", remedy="name local:MODEL or http(s)://host/v1#model")


def try_constitution(
    constitution: Constitution,
    spec: str,
    prompt: str,
    *,
    answer: str | None = None,
    rounds: int = 1,
    seed: int = 0,
) -> tuple[str, list[Revision]]:
    """An answer (the model's own, where none is given) and its revisions, round by round."""
    from plaudit.data.records import Message
    from plaudit.judges.revision import ChatReviser, require_any, revised

    parsed = spec_of(spec)
    model = chat_model_of(parsed, Bench(Path("judgements") / folder_name(parsed.judge)))
    if answer is None:
        (((answer, _),),) = model.draw(
            [[Message("user", prompt)]], temperature=1.0, max_new_tokens=256, seed=seed
        )
    reviser = ChatReviser(model, constitution.examples)
    (found,) = revised(reviser, constitution, [(Prompt.user(prompt), str(answer))], rounds=rounds, seed=seed)
    require_any(reviser, [found])
    return str(answer), found


def read_answers(
    source: str | Path, *, limit: int | None = None, fields: Mapping[str, str] | None = None
) -> list[Item]:
    """The prompts of a file with their answers, verdicts aside; nothing needs to say which answer is better."""
    from plaudit.data.readers.read import read

    try:
        records = read(source, kind="preferences", limit=limit, fields=fields).records
    except UserError:
        if not (items := _unranked(source, limit, fields)):
            raise
        return items
    return [(r.prompt, r.responses) for r in records]


def _unranked(source: str | Path, limit: int | None, fields: Mapping[str, str] | None) -> list[Item]:
    """Prompts beside a list of answers; empty where the file holds something else."""
    from plaudit.data.readers.read import read

    column = (fields or {}).get("responses", "responses")
    own = {field: name for field, name in (fields or {}).items() if field != "responses"}
    try:
        prompts = read(source, kind="prompts", limit=limit, fields=own or None).records
    except UserError:
        return []
    several = [p for p in prompts if _are_texts(p.metadata.get(column))]
    if several and len(several) < len(prompts):
        raise UserError(
            f"{source}: {len(prompts) - len(several)} of {len(prompts)} prompts have no two answers in {column!r}",
            remedy="remove them, or write all answers to a prompt as a list of texts",
        )
    rest = [{k: v for k, v in p.metadata.items() if k != column} for p in several]
    return [
        (replace(p, metadata=more), tuple(map(Response, p.metadata[column])))
        for p, more in zip(several, rest, strict=True)
    ]


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(v, str) for v in value)


def counts_of(records: Sequence[Preference]) -> dict[str, int]:
    """Pairs asked, those without a verdict, and items without any.

    Of pairs without a verdict: those that could not be read, and those with too little probability on the labels.
    """
    pairs: list[Mapping[str, Any]] = []
    in_both_orders = 0
    for record in (r.comparisons() for r in records):
        judge = record.metadata.get("judge", {})
        # A reward model keeps no evidence of pairs: what it decided is what it was asked.
        known = judge.get("pairs") or [{"result": o.result} for o in record.outcomes]
        pairs += known
        in_both_orders += sum("log_odds" in p for p in known) if compares_pairs(judge) else 0
    return {
        "items": len(records),
        "pairs": len(pairs),
        "in both orders": in_both_orders,
        "undecided": sum(p.get("result") is None for p in pairs),
        "unreadable": sum(None in p.get("log_odds", ()) for p in pairs),
        "little mass": sum(any(m is not None and m < LEAST_MASS for m in p.get("mass", ())) for p in pairs),
        "items left out": sum(not r.comparisons().outcomes for r in records),
    }


def spent_of(judge: Any) -> dict[str, Any] | None:
    """Requests, tokens and cost of a judge behind a server, and how many answers came from its cache."""
    model: Any = getattr(judge, "model", None)
    if not hasattr(model, "ledger"):
        return None
    return {**model.ledger.totals.as_dict(), "from_cache": model.cache.hits}
