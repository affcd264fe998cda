"""Fifty people at the labeling server: how long claim and submit take, on SQLite and on PostgreSQL.

    python benchmarks/collect.py [--people 50] [--seconds 120] [--items 2000] [--only sqlite|postgresql|attacks]

Each labeler claims an item, sends a heartbeat half-way, and submits after 3 to 6 seconds. The server is the one that
`plaudit collect` starts (one process on SQLite, four on PostgreSQL), the crowd another process on the same machine.
PostgreSQL is a server of its own with Debian's defaults, fsync included. Then what labelers wait while somebody does
what nobody should: see collect_attacks.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "web" / "load")]

from collect_attacks import attacks  # noqa: E402
from crowd import Log, crowd, faults, prepare  # noqa: E402
from postgresql import running  # noqa: E402
from serving import Served  # noqa: E402

from plaudit.feedback.project_location import DATABASE, secret_in  # noqa: E402
from plaudit.feedback.store.database import Database  # noqa: E402
from plaudit.feedback.store.migrate import upgrade  # noqa: E402


def measure(
    url: str | None, workers: int, people: int, items: int, seconds: float, pace: tuple[float, float]
) -> Log:
    """A crowd at work for ``seconds`` on a fresh database; raises if anything was lost or given twice."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = Database(url or f"sqlite:///{folder / DATABASE}")
        upgrade(database)
        hands = prepare(database, secret_in(folder), people=people, items=items, overlap=2)
        served = Served(folder, url, workers, extra=["--name", "crowd"])
        served.start()
        log = Log()
        try:
            _wait(served, workers)
            asyncio.run(
                crowd(served.address, served.cookie, hands, seconds=seconds, goal=10**9, pace=pace, log=log)
            )
        finally:
            served.stop()
        if found := faults(database, log):
            raise SystemExit(f"faults: {found}")
        database.close()
    return log


def startup(answers: int = 200) -> float:
    """Seconds from `plaudit collect --responses FILE` in an empty folder to the first item in a labeler's hands."""
    import httpx2 as httpx

    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "answers.jsonl"
        rows = ({"prompt": f"question {i}", "responses": ["yes", "no", "perhaps"]} for i in range(answers))
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        served = Served(Path(name) / "project", None, extra=["--responses", str(source)])
        began = time.perf_counter()
        served.start()
        try:
            with httpx.Client(base_url=served.address, timeout=30) as client:
                me = client.post("/api/links/enter", json={"token": served.token}).json()
                place = f"/api/projects/{me['projects'][0]['slug']}"
                page = client.get(f"/p/{me['projects'][0]['slug']}")
                item = client.post(f"{place}/claim", json={}, headers={"x-csrf-token": me["csrf"]}).json()
                assert page.status_code == 200 and item["task"]["answers"]
            return time.perf_counter() - began
        finally:
            served.stop()


def _wait(served: Served, workers: int) -> None:
    """Until every worker has had time to import: the first request to each is no measure of the rest."""
    import httpx2 as httpx

    for _ in range(20 * workers):
        try:
            httpx.get(f"{served.address}/sign-in", timeout=30)
        except httpx.TransportError:
            time.sleep(0.2)
    time.sleep(2 * workers)


def line(name: str, log: Log, seconds: float) -> str:
    cells = [name, f"{len(log.acknowledged)}", f"{len(log.acknowledged) / seconds:.1f}"]
    for kind in ("claim", "submit", "heartbeat"):
        found = sorted(log.seconds[kind])
        cells.append(
            f"{1000 * found[len(found) // 2]:.0f} / {1000 * log.p95(kind):.0f} / {1000 * found[-1]:.0f}"
        )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--pace", type=float, nargs=2, default=(3, 6))
    parser.add_argument("--only", choices=("sqlite", "postgresql", "attacks"))
    chosen = parser.parse_args()
    if chosen.only != "attacks":
        crowds(chosen)
    if chosen.only in (None, "attacks"):
        attacks()


def crowds(chosen: argparse.Namespace) -> None:
    """Start-up, and the crowd at each database."""
    pace = tuple(chosen.pace)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {chosen.people} labelers,"
    )
    print(f"{chosen.items} items, an item every {pace[0]:g} to {pace[1]:g} s each, {chosen.seconds:g} s\n")
    starts = sorted(startup() for _ in range(5))
    print(
        f"from command to first item: {starts[2]:.2f} s (median of five, {starts[0]:.2f} to {starts[-1]:.2f})\n"
    )
    print("| database | judgements | per second | claim, ms: median / p95 / worst | submit | heartbeat |")
    print("|---|---|---|---|---|---|")
    common = (chosen.people, chosen.items, chosen.seconds, pace)
    if chosen.only != "postgresql":
        print(line("SQLite, 1 process", measure(None, 1, *common), chosen.seconds), flush=True)
    if chosen.only != "sqlite":
        with running() as server:
            print(
                line(
                    "PostgreSQL, 4 processes", measure(server.url(server.make()), 4, *common), chosen.seconds
                )
            )


if __name__ == "__main__":
    main()
