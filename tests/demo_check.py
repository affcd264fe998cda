"""Run the demo at one seed into a fresh folder and hold it to every bar; exit 1 where one is missed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from plaudit.pipeline.summary import BARS
from plaudit.runs import RunFolder

MOST_SECONDS = 360


def main() -> int:
    seed = sys.argv[1] if len(sys.argv) > 1 else "0"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        subprocess.run([sys.executable, "-m", "plaudit", "demo", "--seed", seed, "--out", str(out)], check=True)
        summary = RunFolder(out).read_json("summary.json")
        size = (out / "report.html").stat().st_size
    checks = {c["name"]: c for c in summary["checks"]}
    missed = 0
    for name, _, comparison, bar in BARS:
        check = checks.get(name)
        ok = check is not None and check["ok"]
        missed += not ok
        value = f"{check['value']:.3f}" if check else "missing"
        print(f"{'ok  ' if ok else 'MISS'} {name}: {value} ({comparison} {bar})")
    seconds = sum(summary["seconds"].values())
    print(f"report of {size / 1024:.0f} kB; {seconds:.0f} s of stages (aim {MOST_SECONDS} s on two idle cores)")
    print(f"{len(BARS) - missed} passed, {missed} failed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
