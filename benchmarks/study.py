"""Tables over seeds for docs/pocket.md and docs/audit.md, one study by name; resumable.

    python benchmarks/study.py NAME [--seeds 10 11 12] [--out benchmarks/.work/studies] [--table] [--quick]

Every run is a folder, every finished one a line of ``NAME.jsonl`` there with the commit, the command and the machine;
what is done is not done again. The table is written to ``NAME.md``; with ``--table`` it is made of what is there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import audit_studies
import bar_study
from studies import STUDIES, Row

from plaudit.intervals import LEVEL, t_quantile

STUDIES |= audit_studies.STUDIES | bar_study.STUDIES
HERE = Path(__file__).parent
FOLDER = HERE / ".work" / "studies"


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=HERE, capture_output=True, text=True, check=True
        ).stdout.strip()

    changed = git("status", "--porcelain", "src", "benchmarks")
    return git("rev-parse", "--short", "HEAD") + ("-changed" if changed else "")


def table(name: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Means over seeds, with each seed's own value where there are several; where and by what they were made."""
    study = STUDIES[name]
    groups: dict[tuple[str, ...], list[Row]] = {}
    for line in lines:
        for row in line["rows"]:
            groups.setdefault(tuple(str(row[k]) for k in study.by), []).append(row)
    shown = [c for c in study.columns if any(r.get(c) is not None for rows in groups.values() for r in rows)]
    out = [f"| {' | '.join([*study.by, *shown])} |", f"|{'---|' * (len(study.by) + len(shown))}"]
    for group, rows in groups.items():
        cells = [
            _cell([r[c] for r in rows if r.get(c) is not None], study.columns[c], study.intervals)
            for c in shown
        ]
        out.append(f"| {' | '.join([*group, *cells])} |")
    if study.note is not None:
        out.append("\n" + study.note([row for rows in groups.values() for row in rows]))
    seeds = ", ".join(str(line["seed"]) for line in lines)
    made = sorted({f"{line['commit']} on {line['machine']}" for line in lines})
    out.append(f"\nSeeds {seeds}: `python benchmarks/study.py {name}`, commit {'; '.join(made)}.")
    return "\n".join(out) + "\n"


def _cell(values: Sequence[float], form: str, interval: bool) -> str:
    """The mean and each seed's value; with ``interval`` also half of Student's interval of the mean."""
    if not values:
        return "–"
    mean = format(statistics.fmean(values), form)
    if len(values) < 2:
        return mean
    if interval:
        half = t_quantile(len(values), LEVEL) * statistics.stdev(values) / math.sqrt(len(values))
        mean += f" ± {format(half, form)}"
    return f"{mean} ({' / '.join(format(v, form) for v in values)})"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=STUDIES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument(
        "--table", action="store_true", help="make the table of what is there, and run nothing"
    )
    parser.add_argument(
        "--quick", action="store_true", help="runs of a few seconds: that it works, not what it shows"
    )
    chosen = parser.parse_args(words)
    if chosen.quick:
        os.environ["PLAUDIT_QUICK_STUDY"] = "1"
        chosen.out = chosen.out / "quick"
    chosen.out.mkdir(parents=True, exist_ok=True)
    record = chosen.out / f"{chosen.name}.jsonl"
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    for seed in [] if chosen.table else chosen.seeds:
        if any(line["seed"] == seed for line in lines):
            print(f"{chosen.name}, seed {seed}: done before")
            continue
        # All studies of a seed share its folder: the demo is run once, and each adds its own runs.
        rows = STUDIES[chosen.name].measure(seed, chosen.out / f"seed-{seed}")
        line = {"seed": seed, "commit": commit(), "machine": machine(), "command": sys.argv, "rows": rows}
        with record.open("a") as file:
            file.write(json.dumps(line) + "\n")
        lines.append(line)
    if not lines:
        sys.exit(f"{record} holds nothing yet")
    text = table(chosen.name, sorted(lines, key=lambda line: int(line["seed"])))
    (chosen.out / f"{chosen.name}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
