"""plaudit against TRL on the same work, alternating, row by row; resumable.

    python benchmarks/run.py [--rows sft reward …] [--pairs 5] [--seconds 15] [--threads 1]
    python benchmarks/run.py --against COMMIT [--rows sft dpo …] [--pairs 9] [--seconds 4]

Every finished measurement is a line of ``benchmarks/.work/measured.jsonl`` and is not made again; the table is
written to ``benchmarks/.work/table.md``. The first start makes the peer's environment from peer-requirements.txt.

With ``--against`` this working tree is measured against another commit of plaudit, without the peer; results are in
``against.jsonl`` and ``against.md`` there. The exit status is 1 where the interval of a row's ratio of speeds does not
lie above .97.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import against
from matrix_rate import matrix_rate
from work import FOLDER, HERE, prepare

MEASURED = FOLDER / "measured.jsonl"
# The same on both sides: freed memory is kept, because fresh pages cost more than the arithmetic on them.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "34359738368", "MALLOC_TOP_PAD_": "268435456"}


@dataclass(frozen=True)
class Row:
    """A job, the precision of each side, and whether the peer is measured beside it.

    ``allocator``: "kept" gives both sides the same malloc settings; "default" leaves them out, as a user has it
    who installs either side: plaudit then sets its own, as `plaudit run` does.
    """

    job: str
    model: str = "5M-4096"
    precision: str = "fp32"
    peer_precision: str | None = None
    peer: bool = True
    allocator: str = "kept"


ROWS = {
    "sft": Row("sft"),
    "reward": Row("reward"),
    "reward-k4": Row("reward-k4"),
    "ppo": Row("ppo"),
    "dpo": Row("dpo"),
    "dpo-precomputed": Row("dpo-precomputed"),
    "ipo": Row("ipo"),
    "orpo": Row("orpo"),
    "simpo": Row("simpo"),
    "cpo": Row("cpo"),
    "kto": Row("kto"),
    "kto-live": Row("kto-live"),
    "grpo": Row("grpo"),
    "rloo": Row("rloo"),
    "online-dpo": Row("online-dpo"),
    "sampling-64x1": Row("sampling-64x1"),
    "sampling-8x8": Row("sampling-8x8"),
    "sft-as-installed": Row("sft", allocator="default"),
    "reward-as-installed": Row("reward", allocator="default"),
    "ppo-as-installed": Row("ppo", allocator="default"),
    "sft-bf16": Row("sft", precision="bf16"),
    "dpo-bf16": Row("dpo", precision="bf16"),
    "ppo-bf16": Row("ppo", precision="bf16", peer_precision="fp32"),
    "sampling-8x8-bf16": Row("sampling-8x8", precision="bf16"),
    "sft-vocabulary-32k": Row("sft", model="5M-32000"),
    "sft-27M": Row("sft", model="27M-4096", peer=False),
    "sft-batch32": Row("sft-batch32", peer=False),
    "grpo-g4": Row("grpo-g4", peer=False),
    "grpo-g16": Row("grpo-g16", peer=False),
    "reward-k2-of-4": Row("reward-k2-of-4", peer=False),
    "reward-k3-of-4": Row("reward-k3-of-4", peer=False),
}


def peer_python() -> Path:
    """The peer's own environment, made once."""
    folder = HERE / ".peer"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print("setting up the peer's environment (minutes, once)", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        lines = (HERE / "peer-requirements.txt").read_text().split()
        pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, lines[0]], check=True)  # torch by itself, so that nothing pulls another build
        subprocess.run([*pip, *lines], check=True)
        (folder / "ready").touch()
    return python


def environment_of(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}


def measure(side: str, row: Row, seconds: float, threads: int) -> dict[str, Any]:
    precision = row.peer_precision or row.precision if side == "peer" else row.precision
    command = [str(peer_python()) if side == "peer" else sys.executable, str(HERE / f"{side}.py"), row.job]
    command += ["--model", str(FOLDER / row.model), "--precision", precision]
    command += ["--seconds", str(seconds), "--threads", str(threads)]
    environment = environment_of(threads)
    if row.allocator == "kept":
        environment |= MALLOC
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def recorded() -> list[dict[str, Any]]:
    if not MEASURED.exists():
        return []
    return [json.loads(line) for line in MEASURED.read_text().splitlines() if line.endswith("}")]


def table(threads: int) -> str:
    """Medians; the ratio is of samples a second, over alternating pairs."""
    lines = [
        "| row | pairs | plaudit /s | TRL /s | ratio (least–most) | useful GFLOP/s | of the matrix rate | "
        "peak MB plaudit / TRL |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found = [m for m in recorded() if m["threads"] == threads]
    for name, row in ROWS.items():
        ours = {m["pair"]: m for m in found if m["row"] == name and m["side"] == "ours"}
        peer = {m["pair"]: m for m in found if m["row"] == name and m["side"] == "peer"}
        if not ours:
            continue

        def middle(side: dict[int, dict[str, Any]], key: str) -> float:
            return statistics.median(m[key] for m in side.values())

        ratios = [ours[p]["samples"] / peer[p]["samples"] for p in ours if p in peer]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–"
        work = 2 if name.startswith("sampling") else 6
        rate = work * middle(ours, "weights") * middle(ours, "tokens") / 1e9
        share = rate / statistics.median(m["matrix"][row.precision] for m in ours.values())
        arithmetic = ("–", "–") if row.job == "ppo" else (f"{rate:.0f}", f"{share:.0%}")
        theirs = (f"{middle(peer, 'samples'):.2f}", f"{middle(peer, 'peak_mb'):.0f}") if peer else ("–", "–")
        lines.append(
            f"| {name} | {len(ratios) or len(ours)} | {middle(ours, 'samples'):.2f} | {theirs[0]} | {ratio} | "
            f"{arithmetic[0]} | {arithmetic[1]} | {middle(ours, 'peak_mb'):.0f} / {theirs[1]} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="all; with --against five of them")
    parser.add_argument("--pairs", type=int, help="5; with --against 9")
    parser.add_argument("--seconds", type=float, help="of a measurement: 15; with --against 4")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ours-only", action="store_true", help="leave the peer out")
    parser.add_argument("--against", metavar="COMMIT", help="measure this working tree against a commit")
    parser.add_argument(
        "--starts", type=int, default=3, help="of processes, over which --against spreads its pairs"
    )
    given = parser.parse_args()
    prepare()
    if given.against:
        settings = against.Settings(
            given.against,
            {n: (ROWS[n].job, ROWS[n].model, ROWS[n].precision) for n in given.rows or against.ROWS},
            given.pairs or 9,
            given.starts,
            given.seconds or 4.0,
            given.threads,
        )
        sys.exit(against.compare(settings, environment_of(given.threads) | MALLOC))
    rows, pairs, seconds = given.rows or list(ROWS), given.pairs or 5, given.seconds or 15.0
    done = {(m["row"], m["side"], m["pair"], m["threads"]) for m in recorded()}
    for name in rows:
        row = ROWS[name]
        sides = ["ours", "peer"] if row.peer and not given.ours_only else ["ours"]
        for pair in range(pairs):
            # Who begins changes from pair to pair, so that a drift of the machine favors no one.
            for side in sides if pair % 2 == 0 else sides[::-1]:
                if (name, side, pair, given.threads) in done:
                    continue
                entry = {"row": name, "side": side, "pair": pair, "threads": given.threads, "at": time.time()}
                if side == "ours":
                    entry["matrix"] = matrix_rate(given.threads)
                entry |= measure(side, row, seconds, given.threads)
                with MEASURED.open("a") as file:
                    file.write(json.dumps(entry) + "\n")
                print(f"{name} {side} {pair + 1}/{pairs}: {entry['samples']:.2f}/s", flush=True)
        (FOLDER / "table.md").write_text(table(given.threads))
    print(table(given.threads))


if __name__ == "__main__":
    main()
