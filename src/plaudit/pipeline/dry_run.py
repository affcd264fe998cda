"""``--dry-run``: the resolved config, the graph, and what each step will cost, without training anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from plaudit.advice.costs import GPU, cpu, duration, seconds
from plaudit.config.graph import Graph, Node
from plaudit.pipeline.context import Context
from plaudit.pipeline.sizes import fixed_bytes_of
from plaudit.pipeline.stages import Plan, is_done
from plaudit.pipeline.work import Work
from plaudit.registry import resolve
from plaudit.runtime import compute_config
from plaudit.training.cost_model import Footprint, config_of, parameters_of
from plaudit.training.memory import choose, counted, need

UNKNOWN = "size unknown until its config is there (a hub name is not fetched by a dry run)"


def describe(plan: Plan, context: Context, resolved: Mapping[str, Any], console: Any) -> None:
    """Print config, graph, memory and time."""
    from rich.table import Table

    config, folder = context.config, context.folder
    console.print("resolved config", style="bold")
    console.print(json.dumps(json.loads(config.model_dump_json()), indent=2), markup=False, soft_wrap=True)
    console.print(
        f"threads {resolved['threads']} ({resolved['threads_reason']}), device {resolved['device']}"
    )
    console.print(f"precision {resolved['precision']} ({resolved['precision_reason']})")
    console.print(f"memory limit {resolved['memory_gib']:.2f} GiB")
    console.print("graph", style="bold")
    for line in drawn(context.graph):
        console.print(line, markup=False, soft_wrap=True)
    keys = plan.keys(folder)
    table = Table(title=f"plan → {folder.path}", title_justify="left")
    for column in ("step", "state", "work", "micro-batch", "memory", "time"):
        left = column in ("step", "state", "work")
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    sizes: dict[str, str] = {}
    speed, total = (GPU if resolved["device"] == "cuda" else cpu(resolved["threads"])), 0.0
    for node in context.graph.nodes.values():
        architecture = config_of(context.source_of(node.name) or config.policy)
        parameters = parameters_of(architecture) if architecture is not None else 0
        if node.policy is not None:
            known = f"{parameters / 1e6:.2f} M parameters" if parameters else UNKNOWN
            sizes[node.name] = f"{node.name}: {known}"
        state = "done" if is_done(folder, node.name, keys[node.name]) else "to do"
        work = resolve(node.kind.cost)(node, context) if node.kind.cost else Work("")
        fused = (
            compute_config().fused_layers and resolved["device"] == "cpu" and context.lora(node.name) is None
        )
        batch, memory = (
            _room(work, architecture, resolved, fused, context.lora(node.name))
            if architecture
            else ("–", "–")
        )
        adapters = context.lora(node.name) is not None or getattr(node.settings, "lora", None) is not None
        time = seconds(work.amount, parameters, speed, adapters=adapters) if parameters else 0.0
        total += time if state == "to do" else 0.0
        table.add_row(node.name, state, work.words, batch, memory, duration(time) if time else "–")
    console.print(table)
    for line in sizes.values():
        console.print(line, markup=False)
    if total:
        console.print(
            f"time: about {duration(total)} on {speed.name}, when the machine is idle", markup=False
        )


def drawn(graph: Graph) -> list[str]:
    """The graph as text: a line a step, with what it takes and which place it stands at."""
    places: dict[str, list[str]] = {}
    for place, step in graph.places.items():
        places.setdefault(step, []).append(place)
    width = max(map(len, graph.nodes))
    lines = []
    for name, node in graph.nodes.items():
        mark = f"  = {', '.join(places[name])}" if name in places else ""
        lines.append(f"  {name:<{width}}  {_inputs(node)}{mark}".rstrip())
    return lines


def _inputs(node: Node) -> str:
    parts = []
    if node.start:
        parts.append(f"from {node.start}")
    if node.on:
        named = [s.name if s.weight == 1 else f"{s.name} × {s.weight:g}" for s in node.on]
        parts.append(f"on {', '.join(named)}")
    if node.rewards:
        named = [
            str(p.path or p.source) + (f" × {p.weight:g}" if p.weight != 1 else "") for p in node.rewards
        ]
        parts.append(f"reward {' + '.join(named)}")
    by = getattr(node.settings, "by", None)
    if by is not None:
        parts.append(f"by {by.judge}")
    return " · ".join(parts) or node.kind.summary.rstrip(".").lower()


def _room(
    work: Work, architecture: Any, resolved: Mapping[str, Any], fused: bool, lora: Any
) -> tuple[str, str]:
    """The micro-batch that the planner would choose, and the memory that the stage then takes."""
    text = architecture.get_text_config()
    fixed = fixed_bytes_of(architecture, work, lora)
    if not work.trained:
        return "–", _gib(fixed)
    kept = counted(architecture, resolved["precision"], work.usual, fused=fused)
    kept = Footprint(*(work.trained * value for value in astuple(kept)))
    shape = {"layers": text.num_hidden_layers, "vocabulary": text.vocab_size, "share": work.share}
    again = compute_config().checkpointing
    if work.budget is not None:
        size = need(kept, fixed=fixed, checkpointing=bool(again), **shape)
        return f"{work.budget} tokens", _gib(size.total(work.budget))
    limit = resolved["memory_gib"] * 2**30
    fit = choose(limit, work.longest, kept, fixed=fixed, checkpointing=again, **shape)
    words = f"{fit.token_budget} tokens" + (", checkpointed" if fit.checkpointing else "")
    return words, _gib(fit.bytes) + ("" if fit.bytes <= limit else " (too much)")


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"
