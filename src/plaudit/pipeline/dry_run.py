"""``--dry-run``: the resolved config, the plan, and what it will cost, without training anything."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plaudit.config import Config, Ppo, Reward, Scratch, Training
from plaudit.pipeline.materials import FileMaterials, PocketMaterials
from plaudit.pipeline.stages import Plan, is_done
from plaudit.runs import RunFolder
from plaudit.training.fit import total_steps

CHARACTERS_PER_TOKEN = 4  # English under a byte-level BPE; only estimates hang on it
ADAMW_BYTES = 16  # weight, gradient and two moments in fp32
ACTIVATION_BYTES = (
    4 * 34
)  # per token, layer and hidden unit, kept for the backward pass (Korthikanti et al. 2022)


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
    shape = _shape(config)
    keys = plan.keys()
    rate = _flops_per_second(shape["hidden"]) if shape else None
    table = Table(title=f"plan → {folder.path}", title_justify="left")
    for column in ("stage", "state", "work", "memory", "time"):
        table.add_column(column, justify="left" if column in ("stage", "state", "work") else "right")
    for spec in plan.stages:
        state = "done" if is_done(folder, spec.name, keys[spec.name]) else "to do"
        work, tokens, copies, budget = _work(spec.name, config, context)
        memory = _memory(shape, copies, budget) if shape else None
        seconds = 6 * shape["parameters"] * tokens / rate if shape and rate and tokens else None
        table.add_row(
            spec.name,
            state,
            work,
            f"{memory / 2**30:.2f} GiB" if memory else "–",
            _duration(seconds) if seconds else "–",
        )
    console.print(table)
    if shape:
        console.print(f"policy: {shape['parameters'] / 1e6:.2f} M parameters")
    else:
        console.print(
            "policy: size unknown until its config is there (a hub name is not fetched by a dry run)"
        )
    console.print(
        "Time counts 6 · parameters · tokens at this machine's measured matrix rate; expect 2–4 × that."
    )


def _shape(config: Config) -> dict[str, int] | None:
    """Size of the policy, from a few numbers or from the config file of a local model."""
    policy = config.policy
    if isinstance(policy, Scratch):
        intermediate = policy.intermediate or 4 * policy.hidden
        kv = (policy.kv_heads or policy.heads) / policy.heads
        layer = policy.hidden**2 * (2 + 2 * kv) + 3 * policy.hidden * intermediate
        parameters = int(policy.layers * layer + policy.vocabulary * policy.hidden)
        return {
            "parameters": parameters,
            "hidden": policy.hidden,
            "layers": policy.layers,
            "vocabulary": policy.vocabulary,
        }
    if not (Path(policy.path) / "config.json").exists():
        return None
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    found = AutoConfig.from_pretrained(policy.path, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(found)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "hidden": found.hidden_size,
        "layers": found.num_hidden_layers,
        "vocabulary": found.vocab_size,
    }


def _memory(shape: Mapping[str, int], copies: tuple[int, int], budget: int) -> float:
    trained, frozen = copies
    weights = shape["parameters"] * (ADAMW_BYTES * trained + 4 * frozen)
    activations = budget * shape["layers"] * shape["hidden"] * ACTIVATION_BYTES
    logits = 3 * 4 * budget * shape["vocabulary"]
    return weights + (activations + logits if trained else budget * shape["hidden"] * 64)


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


def _work(stage: str, config: Config, context: Any) -> tuple[str, float, tuple[int, int], int]:
    """In words, in tokens of forward and backward, trained and frozen copies, and the token budget."""
    counts = _counts(config, context)
    section: Any = getattr(config, stage, None)
    if stage == "votes":
        section = config.reward.votes if config.reward else None
    if stage == "judge":
        section = config.evaluate.judge if config.evaluate else None
    if stage in counts and isinstance(section, Training | Reward):
        items, tokens = counts[stage]
        if not items:
            return "counted when the data is there", 0, (1, 0), section.token_budget
        steps = total_steps(section, items)
        epochs = steps * section.batch_size / items
        return (
            f"{items} items, {steps} steps of {section.batch_size}",
            tokens * epochs,
            (1, 0),
            section.token_budget,
        )
    if stage == "ppo" and isinstance(section, Ppo):
        episodes = section.iterations * section.prompts_per_iteration * section.samples_per_prompt
        longest = min(config.data.max_length, section.max_new_tokens + 32)
        tokens = episodes * longest * (2 * section.epochs + 1.5)
        return f"{section.iterations} iterations, {episodes} episodes", tokens, (2, 2), section.token_budget
    if stage == "rank" and config.rank:
        rows = config.rank.prompts * config.rank.high
        return f"{rows} rollouts", rows * config.rank.max_new_tokens / 3, (0, 1), 8192
    if stage == "evaluate" and config.evaluate:
        rows = config.evaluate.prompts * 5
        return f"{rows} answers", rows * config.evaluate.max_new_tokens / 3, (0, 3), 8192
    return "", 0, (0, 1), 8192


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
        }
    assert isinstance(materials, FileMaterials)
    found: dict[str, tuple[int, float]] = {}
    for stage, role in (
        ("pretrain", "corpus"),
        ("sft", "demonstrations"),
        ("votes", "votes"),
        ("reward", "preferences"),
        ("judge", "preferences"),
    ):
        paths = materials.files(role)
        if not paths or not all(p.exists() for p in paths):
            found[stage] = (0, 0)
            continue
        if role == "corpus":
            texts = materials.corpus
            found[stage] = (len(texts), sum(map(len, texts)) / CHARACTERS_PER_TOKEN)
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
