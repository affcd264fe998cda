"""The situation that advice is for: data, people, a scoring function, the wanted quality, the machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from plaudit.errors import UserError, suggest
from plaudit.runs.sizes import size_in_name, size_of

Quality = Literal["draft", "good", "best"]
# What a user may name under --have.
HAVE: Mapping[str, str] = {
    "text": "raw text",
    "demonstrations": "good answers, written down",
    "pairs": "pairs of answers, one preferred",
    "rankings": "rankings of three answers or more",
    "thumbs": "single answers with a thumb or a rating",
    "prompts": "prompts without answers",
    "function": "a Python function that scores an answer",
    "reward_model": "a trained reward model",
    "people": "people who can judge answers",
}
# Bytes a parameter: trained in fp32 with AdamW; frozen in fp32, and below adapters in bf16, where embeddings and norms
# stay fp32 (an eighth of a model of 8 billion parameters).
TRAINED, FROZEN, HALVED = 16.0, 4.0, 2.3
# Fewer pairs than this leave a reward model little better than chance (measured: docs/benchmarks.md).
FEW = 3000


@dataclass
class Situation:
    """``have`` names of ``HAVE``; ``counts`` and ``facts`` what the files say; ``parameters`` of the model."""

    have: set[str] = field(default_factory=set)
    quality: Quality = "good"
    parameters: float = 0.5e9
    memory: float | None = None
    model: str | None = None
    files: dict[str, list[Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tokens: float = 0.0
    agreement: float | None = None

    def __post_init__(self) -> None:
        for name in sorted(self.have - set(HAVE)):
            raise UserError(
                f"--have {name!r} is not known",
                remedy=suggest(name, HAVE) or f"known: {', '.join(HAVE)}",
            )

    @property
    def preferences(self) -> int:
        return self.counts.get("pairs", 0) + self.counts.get("rankings", 0)

    def feeds(self) -> set[str]:
        """Needs of the methods' table that this situation meets, some through another stage."""
        met = set()
        if "text" in self.have:
            met.add("text")
        if "demonstrations" in self.have:
            met |= {"demonstrations", "prompts"}
        if self.have & {"pairs", "rankings"}:
            # A ranking also gives single labels, prompts, and a reward once a model is fitted to it.
            met |= {"preferences", "labels", "prompts", "reward"}
        if "thumbs" in self.have:
            met |= {"labels", "prompts"}
        if "prompts" in self.have:
            met.add("prompts")
        if self.have & {"function", "reward_model"}:
            met.add("reward")
        return met | {"reference"}

    def gib(self, models: Sequence[str], *, adapters: bool = False, halved: bool = False) -> float:
        """GiB of weights, gradients and optimizer states for these models in memory, activations not counted.

        ``halved``: the base below adapters is in bfloat16.
        """
        trained = {"policy", "critic"}
        total = 0.0
        for name in models:
            if adapters:
                # A frozen base with small adapters; the reference is the same model, adapter off.
                total += 0.0 if name == "reference" else HALVED if halved else FROZEN
            else:
                total += TRAINED if name in trained else FROZEN
        return total * self.parameters / 2**30

    def needs_adapters(self, models: Sequence[str]) -> bool:
        """Whether these models fit the memory with adapters alone."""
        return self.memory is not None and self.gib(models) > self.memory


def describe_situation(
    paths: Sequence[str],
    have: Sequence[str] = (),
    *,
    quality: Quality = "good",
    model: str | None = None,
    parameters: float | None = None,
    memory: float | None = None,
    fields: Mapping[str, str] | None = None,
    labels: Mapping[Any, str] | None = None,
) -> Situation:
    """The situation that data files show, with what the user says on top. UserError for unreadable files."""
    from plaudit.data.baselines import agreement
    from plaudit.data.readers.read import read
    from plaudit.data.records import Comparisons, Demonstration, Labeled, Prompt, Ranking, Rated

    size = _parameters(model, parameters)
    found = Situation(set(have), quality, memory=memory, model=model)
    judged: list[Any] = []
    for path in paths:
        records = read(path, fields=fields, labels=labels).records
        said = {"fields": dict(fields or {}), "labels": dict(labels or {})}
        source = (
            {"path": str(path), **{k: v for k, v in said.items() if v}} if any(said.values()) else str(path)
        )
        kinds: dict[str, list[Any]] = {
            "demonstrations": [r for r in records if isinstance(r, Demonstration)],
            "pairs": [r for r in records if isinstance(r, Ranking | Comparisons) and len(r.responses) == 2],
            "rankings": [r for r in records if isinstance(r, Ranking | Comparisons) and len(r.responses) > 2],
            "thumbs": [r for r in records if isinstance(r, Labeled | Rated)],
            "prompts": [r for r in records if isinstance(r, Prompt)],
            "text": [r for r in records if isinstance(r, str)],
        }
        for kind, own in kinds.items():
            if own:
                found.have.add(kind)
                found.counts[kind] = found.counts.get(kind, 0) + len(own)
                found.files.setdefault(kind, []).append(source)
        judged += kinds["pairs"] + kinds["rankings"]
        found.tokens += sum(map(_characters, records)) / 4
    if judged:
        people = agreement(judged)
        found.agreement = people.share
    found.parameters = size or found.parameters
    return found


def _characters(record: Any) -> int:
    if isinstance(record, str):
        return len(record)
    prompt = getattr(record, "prompt", record)
    answers = getattr(record, "responses", None) or ([record.response] if hasattr(record, "response") else [])
    asked = sum(len(m.content) for m in prompt.messages)
    return len(answers) * asked + sum(len(a.text) for a in answers) if answers else asked


def _parameters(model: str | None, said: float | None) -> float | None:
    """How many parameters there are: of the model, by its config or its name, and as ``said`` where that is unknown."""
    if said is not None and not 0 < said < math.inf:
        raise UserError(f"{said:g} is no number of parameters", remedy="write --parameters 0.5B or 124M")
    known = size_of(model) if model is not None else None
    if said is None:
        if model is not None and known is None:
            raise UserError(
                f"how large the model {model} is, neither a config on this machine nor its name says",
                remedy="check the name, or say it: --parameters 0.5B",
            )
        return known
    # A name may be wrong of its model, a config is not.
    if known is not None and known != size_in_name(str(model)) and abs(said - known) > 0.1 * known:
        raise UserError(
            f"the model {model} has {known / 1e9:.3g} billion parameters, not {said / 1e9:.3g}",
            remedy="leave --parameters out, or --model",
        )
    return said
