"""``--dry-run``: the resolved config, the graph, and what each step will cost, without training anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from plaudit.advice.costs import GPU, Speed, cpu, duration, seconds
from plaudit.config import Config
from plaudit.config.graph import Graph, Node
from plaudit.config.resolve import graph_of
from plaudit.pipeline.context import Context
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.defaults import with_defaults
from plaudit.pipeline.machine import computing
from plaudit.pipeline.sizes import adapters_of, computed_in, fixed_bytes_of, other_bytes_of
from plaudit.pipeline.stages import Plan, is_done
from plaudit.pipeline.work import Work
from plaudit.registry import resolve
from plaudit.runs import RunFolder
from plaudit.runtime import compute_config
from plaudit.training.cost_model import Footprint, config_of, parameters_of
from plaudit.training.memory import choose, counted, need

UNKNOWN = "size unknown until its config is there (a hub name is not fetched by a dry run)"


@dataclass(frozen=True)
class StepEstimate:
    """What a step will take: its work in words, the micro-batch, and seconds and bytes where they can be counted."""

    words: str
    parameters: int
    batch: str = "–"
    seconds: float | None = None
    bytes: float | None = None
    fits: bool = True


def planned(config: Config, folder: RunFolder) -> dict[str, StepEstimate]:
    """The estimates of all steps of a recipe, as ``--dry-run`` prints them."""
    config, _ = with_defaults(config)
    graph = graph_of(config)
    with computing(config, folder) as (resolved, runtime):
        context = Context(config, graph, folder, materials_of(config), runtime)
        return {node.name: estimate(node, context, resolved) for node in graph.nodes.values()}


def speed_of(resolved: Mapping[str, Any]) -> Speed:
    return GPU if resolved["device"] == "cuda" else cpu(resolved["threads"], resolved["precision"])


def estimate(node: Node, context: Context, resolved: Mapping[str, Any]) -> StepEstimate:
    """What one step will take."""
    architecture = config_of(context.source_of(node.name) or context.config.policy)
    parameters = parameters_of(architecture) if architecture is not None else 0
    work = resolve(node.kind.cost)(node, context) if node.kind.cost else Work("")
    if not parameters:
        return StepEstimate(work.words, 0)
    lora = adapters_of(node, context)
    fused = compute_config().fused_layers and resolved["device"] == "cpu" and lora is None
    batch, size, fits = _room(work, architecture, resolved, fused, lora)
    computed = computed_in(architecture, parameters, work.share)
    time = seconds(work.amount, computed, speed_of(resolved), adapters=lora is not None)
    return StepEstimate(work.words, parameters, batch, time or None, size, fits)


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
    total = 0.0
    for node in context.graph.nodes.values():
        found = estimate(node, context, resolved)
        if node.policy is not None:
            known = f"{found.parameters / 1e6:.2f} M parameters" if found.parameters else UNKNOWN
            sizes[node.name] = f"{node.name}: {known}"
        state = "done" if is_done(folder, node.name, keys[node.name]) else "to do"
        total += (found.seconds or 0.0) if state == "to do" else 0.0
        memory = "–" if found.bytes is None else f"{found.bytes / 2**30:.2f} GiB"
        memory += "" if found.fits else " (too much)"
        time = duration(found.seconds) if found.seconds else "–"
        table.add_row(node.name, state, found.words, found.batch, memory, time)
    console.print(table)
    for line in sizes.values():
        console.print(line, markup=False)
    if total:
        name = speed_of(resolved).name
        console.print(f"time: about {duration(total)} on {name}, when the machine is idle", markup=False)


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
    if (judge := getattr(node.settings, "judge", None)) is not None:
        parts.append(f"judged by {judge.judge}")
    return " · ".join(parts) or node.kind.summary.rstrip(".").lower()


def _room(
    work: Work, architecture: Any, resolved: Mapping[str, Any], fused: bool, lora: Any
) -> tuple[str, float, bool]:
    """The micro-batch that the planner would choose, the bytes that the step then takes, and whether they fit."""
    text = architecture.get_text_config()
    fixed, beside = fixed_bytes_of(architecture, work, lora), other_bytes_of(architecture, work)
    if not work.trained:
        return "–", fixed + beside, True
    rank = 0 if lora is None else lora.rank
    kept = counted(architecture, resolved["precision"], work.usual, fused=fused, rank=rank)
    kept = Footprint(*(work.trained * value for value in astuple(kept)))
    shape = {"layers": text.num_hidden_layers, "vocabulary": text.vocab_size, "share": work.share}
    again = compute_config().checkpointing
    limit = resolved["memory_gib"] * 2**30
    if work.budget is not None:
        budget, computed_again, fits = work.budget, bool(again), True
    else:
        fit = choose(limit, work.longest, kept, fixed=fixed, checkpointing=again, **shape)
        budget, computed_again, fits = fit.token_budget, fit.checkpointing, fit.bytes <= limit
    # A micro-batch has no more slots than the step that it is a part of.
    size = need(kept, fixed=fixed, checkpointing=computed_again, **shape).total(min(budget, work.step))
    words = f"{budget} tokens" + (", checkpointed" if computed_again and work.budget is None else "")
    return words, size + beside, fits
