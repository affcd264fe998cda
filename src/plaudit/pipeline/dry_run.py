"""``--dry-run``: the resolved config, the plan, and what it will cost, without training anything."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from plaudit.config import PAIRWISE, Config, Kto, Online, Ppo, Referenced, Reward, Training
from plaudit.models.compute import compute
from plaudit.pipeline.materials import FileMaterials, PocketMaterials
from plaudit.pipeline.stages import Plan, is_done
from plaudit.runs import RunFolder
from plaudit.training.fit import total_steps
from plaudit.training.memory import choose, counted, need
from plaudit.training.probe import Footprint, config_of, parameters_of

CHARACTERS_PER_TOKEN = 4  # English under a byte-level BPE; only estimates hang on it


def describe(
    plan: Plan, config: Config, context: Any, folder: RunFolder, resolved: Mapping[str, Any], console: Any
) -> None:
    """Print config, plan, memory and time."""
    from rich.table import Table

    console.print("resolved config", style="bold")
    console.print(json.dumps(json.loads(config.model_dump_json()), indent=2), markup=False, soft_wrap=True)
    console.print(
        f"threads {resolved['threads']} ({resolved['threads_reason']}), device {resolved['device']}"
    )
    console.print(f"precision {resolved['precision']} ({resolved['precision_reason']})")
    console.print(f"memory limit {resolved['memory_gib']:.2f} GiB")
    architecture = config_of(config.policy)
    parameters = parameters_of(architecture) if architecture is not None else 0
    rate = _flops_per_second(architecture.get_text_config().hidden_size) if architecture is not None else 0.0
    fused = config.fused and resolved["device"] == "cpu" and getattr(config.policy, "lora", None) is None
    keys = plan.keys()
    table = Table(title=f"plan → {folder.path}", title_justify="left")
    for column in ("stage", "state", "work", "micro-batch", "memory", "time"):
        left = column in ("stage", "state", "work")
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    for spec in plan.stages:
        state = "done" if is_done(folder, spec.name, keys[spec.name]) else "to do"
        work = _work(spec.name, config, context)
        batch, memory = _room(work, architecture, parameters, resolved, fused) if architecture else ("–", "–")
        seconds = 6 * parameters * work.tokens / rate if rate else 0
        table.add_row(spec.name, state, work.words, batch, memory, _duration(seconds) if seconds else "–")
    console.print(table)
    if architecture is not None:
        console.print(f"policy: {parameters / 1e6:.2f} M parameters")
    else:
        console.print(
            "policy: size unknown until its config is there (a hub name is not fetched by a dry run)"
        )
    console.print(
        "Time counts 6 · parameters · tokens at this machine's measured fp32 matrix rate; expect 1.5–4 × that."
    )


@dataclass(frozen=True)
class Work:
    """What a stage does: in words, in tokens of forward and backward, and the models that it holds.

    ``longest`` tokens of one item and ``usual`` tokens of a sequence; ``budget`` where the recipe sets one.
    """

    words: str
    tokens: float = 0.0
    trained: int = 0
    frozen: int = 1
    longest: int = 1
    usual: int = 64
    share: float = 1.0
    budget: int | None = None


def _room(
    work: Work, architecture: Any, parameters: int, resolved: Mapping[str, Any], fused: bool
) -> tuple[str, str]:
    """The micro-batch that the planner would choose, and the memory that the stage then takes."""
    text = architecture.get_text_config()
    fixed = parameters * (16.0 * work.trained + 4.0 * work.frozen)
    if not work.trained:
        return "–", _gib(fixed)
    kept = counted(architecture, resolved["precision"], work.usual, fused=fused)
    kept = Footprint(*(work.trained * value for value in astuple(kept)))
    shape = {"layers": text.num_hidden_layers, "vocabulary": text.vocab_size, "share": work.share}
    again = compute().checkpointing
    if work.budget is not None:
        size = need(kept, fixed=fixed, checkpointing=bool(again), **shape)
        return f"{work.budget} tokens", _gib(size.total(work.budget))
    limit = resolved["memory_gib"] * 2**30
    fit = choose(limit, work.longest, kept, fixed=fixed, checkpointing=again, **shape)
    words = f"{fit.token_budget} tokens" + (", checkpointed" if fit.checkpointing else "")
    return words, _gib(fit.bytes) + ("" if fit.bytes <= limit else " (too much)")


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def _flops_per_second(hidden: int) -> float:
    """fp32 matrix rate at the run's width, measured in a few tens of milliseconds."""
    import torch

    a, b = torch.randn(2048, hidden), torch.randn(hidden, 4 * hidden)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 2048 * hidden * 4 * hidden / best


def _work(stage: str, config: Config, context: Any) -> Work:
    counts = _counts(config, context)
    section: Any = getattr(config, stage, None)
    if stage == "votes":
        section = config.reward.votes if config.reward else None
    if stage == "judge":
        section = config.evaluate.judge if config.evaluate else None
    longest = config.data.max_length
    if stage in counts and isinstance(section, Training | Reward):
        items, tokens = counts[stage]
        if not items:
            return Work("counted when the data is there", trained=1, frozen=0, longest=longest)
        steps = total_steps(section, items)
        epochs = steps * section.batch_size / items
        ranked = stage in ("votes", "reward", "judge")
        # A live reference is a copy and one more forward pass; a precomputed one is neither.
        reference = section.reference if isinstance(section, Referenced) else None
        referenced, live = reference is not None, reference == "live"
        passes = (1 + live / 3) + (1 / 3 if isinstance(section, Kto) else 0)
        words = f"{items} items, {steps} steps of {section.batch_size}"
        if referenced:
            words += f", reference {reference}"
        return Work(
            words,
            tokens * (epochs * passes + (1 / 3 if referenced and not live else 0)),
            trained=1,
            frozen=int(live),
            longest=longest * (2 if ranked else 1),
            usual=min(longest, max(8, round(tokens / items))),
            share=0.0 if ranked else 1.0,
            budget=section.token_budget,
        )
    if isinstance(section, Online):
        critic = isinstance(section, Ppo)
        episodes = section.iterations * section.prompts_per_iteration * section.samples_per_prompt
        usual = min(longest, section.max_new_tokens + 32)
        return Work(
            f"{section.iterations} iterations, {episodes} episodes",
            episodes * usual * ((1 + critic) * section.epochs + 1.5),
            trained=1 + critic,
            frozen=2,
            longest=longest + section.max_new_tokens * section.samples_per_prompt,
            usual=usual,
            share=section.max_new_tokens / usual,
            budget=section.token_budget,
        )
    if stage == "rank" and config.rank:
        rows = config.rank.prompts * config.rank.high
        return Work(f"{rows} rollouts", rows * config.rank.max_new_tokens / 3)
    if stage == "evaluate" and config.evaluate:
        rows = config.evaluate.prompts * 5
        return Work(f"{rows} answers", rows * config.evaluate.max_new_tokens / 3, frozen=3)
    return Work("")


def _counts(config: Config, context: Any) -> dict[str, tuple[int, float]]:
    """Items and tokens by stage; local files are read, hub names are not fetched."""
    materials = context.materials
    if isinstance(materials, PocketMaterials):
        w, r = materials.settings, config.rank
        ranked = int(r.prompts * (1 - r.validation)) if r else 0
        k = (r.low + r.high) / 2 if r else 0
        return {
            "pretrain": (w.documents, w.documents * 34),
            "verdict": (w.verdicts, w.verdicts * 28),
            "sft": (w.demonstrations, w.demonstrations * 28),
            "votes": (w.votes, w.votes * 56),
            "reward": (ranked, ranked * k * 28),
            **dict.fromkeys(PAIRWISE, (ranked, ranked * k * 28)),
            "kto": (int(ranked * k), ranked * k * 28),
            **({"rejection": (j.prompts, j.prompts * 28)} if (j := config.rejection) else {}),
        }
    assert isinstance(materials, FileMaterials)
    found: dict[str, tuple[int, float]] = {}
    for stage, role in (
        ("pretrain", "corpus"),
        ("sft", "demonstrations"),
        ("votes", "votes"),
        ("reward", "preferences"),
        ("judge", "preferences"),
        *((name, "preferences") for name in PAIRWISE),
        ("kto", "labels" if config.data.labels else "preferences"),
    ):
        paths = materials.files(role)
        if not paths or not all(p.exists() for p in paths):
            found[stage] = (0, 0)
            continue
        if role == "corpus":
            texts = materials.corpus
            found[stage] = (len(texts), sum(map(len, texts)) / CHARACTERS_PER_TOKEN)
        elif role == "labels":
            size, count = 0, 0
            for record in materials.labels[0]:
                # A ranking among the labels gives one label an answer.
                answers = getattr(record, "responses", None) or (record.response,)
                count += len(answers)
                size += len(answers) * _characters(record.prompt) + sum(len(a.text) for a in answers)
            found[stage] = (count, size / CHARACTERS_PER_TOKEN)
        elif role == "demonstrations":
            records: Sequence[Any] = materials.demonstrations[0]
            found[stage] = (
                len(records),
                sum(_characters(r.prompt) + len(r.response.text) for r in records) / CHARACTERS_PER_TOKEN,
            )
        else:
            records = (
                materials.votes[0]
                if stage == "votes"
                else materials.judge_preferences
                if stage == "judge"
                else materials.preferences[0]
            )
            size = sum(
                len(r.responses) * _characters(r.prompt) + sum(len(a.text) for a in r.responses)
                for r in records
            )
            found[stage] = (len(records), size / CHARACTERS_PER_TOKEN)
    return found


def _characters(prompt: Any) -> int:
    return sum(len(m.content) for m in prompt.messages)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
