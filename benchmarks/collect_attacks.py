"""The labeling server while somebody does what nobody should: what labelers beside them wait, and what it costs.

    python benchmarks/collect_attacks.py [--only body|import|guesses|slow|table]

`benchmarks/collect.py` measures all of it too.

A server as `plaudit collect` starts it, on SQLite. Ten labelers, in a process of their own, ask for their item and
send heartbeats; then

- body: one of them sends 60 MB of JSON to the route that adds items, which only owners may;
- import: the owner adds 20,000 items, 60 MB, which is lawful;
- guesses: 60 wrong passwords for one name at once, and then 80 for as many names;
- slow: 1,500 connections send half a request (a third each: nothing, half the headers, half a body) and then nothing;
- table: an item whose answers are tables of 3 kB that would become 500 columns × 500 rows is given out.

The 99th percentile of the others' requests is told beside what it was before, and the growth of the server's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import multiprocessing
import os
import platform
import re
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "web" / "load")]

import httpx2 as httpx  # noqa: E402
from crowd import SLUG, Person, prepare  # noqa: E402
from serving import Served  # noqa: E402
from sqlalchemy import select  # noqa: E402

from plaudit.feedback.project_location import DATABASE, secret_in  # noqa: E402
from plaudit.feedback.store.database import Database  # noqa: E402
from plaudit.feedback.store.migrate import upgrade  # noqa: E402
from plaudit.feedback.store.passwords import hash_password  # noqa: E402
from plaudit.feedback.store.people import People, add_member, add_user  # noqa: E402
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items  # noqa: E402
from plaudit.feedback.store.schema import Project  # noqa: E402

ROOT = f"/api/projects/{SLUG}"
PASSWORD = "correct horse battery"
PACE = 0.3  # seconds between two requests of a labeler
QUIET = 5.0  # seconds that are measured before


@dataclass
class Waits:
    """Seconds that requests took, by the time at which they began."""

    all: list[tuple[float, float]] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def told(self, since: float, until: float) -> str:
        found = sorted(s for at, s in self.all if at + s >= since and at <= until)
        if not found:
            return "none"
        cells = [found[min(len(found) - 1, int(q * len(found)))] for q in (0.5, 0.99)]
        median, p99, worst = (f"{1000 * s:.0f}" for s in (*cells, found[-1]))
        return f"{len(found)} requests, ms: {median} median, {p99} p99, {worst} worst"


@dataclass
class Place:
    """A server that runs, and who is signed in."""

    served: Served
    database: Database
    labelers: list[Person]
    owner: Person
    waits: Waits = field(default_factory=Waits)

    def headers(self, person: Person) -> dict[str, str]:
        return {"cookie": f"{self.served.cookie}={person.cookie}", "x-csrf-token": person.csrf}

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.served.address, timeout=120, **more)

    def memory(self, name: str) -> float:
        """MB of the server: VmRSS now, VmHWM the most since it was set back."""
        text = Path(f"/proc/{self.served.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", text)[1]) / 1000

    def forget_peak(self) -> None:
        Path(f"/proc/{self.served.process.pid}/clear_refs").write_text("5")

    def cpu(self) -> float:
        parts = Path(f"/proc/{self.served.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def add_people(db: Any, keeper: People) -> Person:
    now = time.time()
    project = db.scalars(select(Project).where(Project.slug == SLUG)).one()
    owner = add_user(db, "Owner", now=now)
    add_member(db, project, owner, "owner", now=now)
    add_user(db, "Ann", now=now, password_hash=hash_password(PASSWORD))
    token = keeper.start_session(db, owner, now=now)
    return Person(token, keeper.csrf(token))


@contextmanager
def place(people: int = 12) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = Database(f"sqlite:///{folder / DATABASE}")
        upgrade(database)
        secret = secret_in(folder)
        labelers = prepare(database, secret, people=people, items=400, overlap=2)
        owner = database.write(add_people, People(secret))
        served = Served(folder, None, 1, extra=["--name", SLUG])
        served.start()
        try:
            yield Place(served, database, labelers, owner)
        finally:
            served.stop()
            database.close()


def labelers(address: str, people: list[dict[str, str]], ready: Any, over: Any, told: Any) -> None:
    """Ask and beat as those people until it is over; then tell all waits."""
    waits, all_ = Waits(), threading.Barrier(len(people), ready.set)

    def work(headers: dict[str, str]) -> None:
        with httpx.Client(base_url=address, timeout=120, headers=headers) as client:
            task = client.post(f"{ROOT}/claim", json={}).json()["task"]["assignment"]
            all_.wait()
            while not over.is_set():
                for path, body in (("claim", {}), (f"assignments/{task}/heartbeat", {"active_ms": 1})):
                    began = time.perf_counter()
                    try:
                        status = str(client.post(f"{ROOT}/{path}", json=body).status_code)
                    except httpx.TransportError as error:
                        status = type(error).__name__
                    waits.all.append((began, time.perf_counter() - began))
                    if status != "200":
                        waits.failed[status] += 1
                    over.wait(PACE)

    threads = [threading.Thread(target=work, args=(headers,)) for headers in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.put(waits)


@contextmanager
def at_work(where: Place, count: int = 10) -> Iterator[None]:
    """So many labelers work until the block ends, in a process that nothing else slows down."""
    processes = multiprocessing.get_context("spawn")
    ready, over, told = processes.Event(), processes.Event(), processes.Queue()
    people = [where.headers(p) for p in where.labelers[:count]]
    crowd = processes.Process(target=labelers, args=(where.served.address, people, ready, over, told))
    crowd.start()
    ready.wait(120)
    try:
        yield
    finally:
        over.set()
        where.waits = told.get(timeout=120)
        crowd.join()


def measured(name: str, attack: Callable[[Place], str]) -> None:
    """What the labelers wait before and during the attack, and what the server takes for it."""
    with place() as where:
        with at_work(where):
            quiet, began, ended, said, spent, grown = during(where, attack)
        waits = where.waits
    print(f"## {name}\n\n{said}\n")
    print(f"- others before: {waits.told(quiet, began)}")
    print(f"- others meanwhile: {waits.told(began, ended)}")
    if waits.failed:
        print(f"- others' requests that failed: {dict(waits.failed)}")
    print(
        f"- server: {ended - began:.1f} s, {spent:.1f} s of CPU with the others' work; "
        f"memory at most +{grown:.0f} MB\n"
    )
    sys.stdout.flush()


def during(where: Place, attack: Callable[[Place], str]) -> tuple[float, float, float, str, float, float]:
    """When all was quiet, when the attack began and ended, what it says, and what it took: seconds of CPU and MB."""
    time.sleep(QUIET)
    quiet = time.perf_counter()
    time.sleep(QUIET)
    before, cpu = where.memory("VmRSS"), where.cpu()
    where.forget_peak()
    began = time.perf_counter()
    said = attack(where)
    ended = time.perf_counter()
    spent, grown = where.cpu() - cpu, where.memory("VmHWM") - before
    time.sleep(0.5)
    return quiet, began, ended, said, spent, grown


@functools.cache
def rows(count: int = 20_000, size: int = 60 * 10**6) -> bytes:
    """An import of so many items and bytes."""
    answer = size // count // 2 - 60
    made = (
        {
            "prompt": f"question {i}",
            "responses": [f"{i} " + "word " * (answer // 5), f"{i} " + "text " * (answer // 5)],
        }
        for i in range(count)
    )
    return b'{"items": [' + b",".join(json.dumps(row).encode() for row in made) + b"]}"


JSON = {"content-type": "application/json"}


def body(where: Place) -> str:
    with where.client(headers=where.headers(where.labelers[-1]) | JSON) as client:
        answer = client.post(f"{ROOT}/items", content=rows())
    return f"A labeler sent {len(rows()) / 10**6:.0f} MB: {answer.status_code} ({answer.json()['error']['code']})."


def lawful(where: Place) -> str:
    with where.client(headers=where.headers(where.owner) | JSON) as client:
        answer = client.post(f"{ROOT}/items", content=rows())
    return f"The owner sent {len(rows()) / 10**6:.0f} MB: {answer.status_code}, {answer.json()['added']} items added."


def at_once(where: Place, names: list[str]) -> Counter[int]:
    """The answers to so many wrong passwords at the same time."""

    async def all_() -> Counter[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=where.served.address, timeout=120, limits=limits) as client:
            bodies = [{"name": name, "password": "a wrong one"} for name in names]
            answers = await asyncio.gather(*(client.post("/api/sign-in", json=body) for body in bodies))
        return Counter(answer.status_code for answer in answers)

    return asyncio.run(all_())


def guesses(where: Place) -> str:
    one = at_once(where, ["Ann"] * 60)
    many = at_once(where, [f"stranger {i}" for i in range(80)])
    words = "{} tested (401), {} refused (429), {} sent away (503)"
    told = [words.format(*(c[s] for s in (401, 429, 503))) for c in (one, many)]
    return f"60 guesses at one name: {told[0]}. 80 names: {told[1]}."


HALVES = (
    b"",
    b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ",
    b"POST /api/sign-in HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
    b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{",
)


def slow(where: Place, count: int = 1500) -> str:
    lines = []
    for i in range(count):
        line = socket.create_connection(("127.0.0.1", where.served.port))
        half = HALVES[i % len(HALVES)]
        line.sendall(half % where.served.port if b"%d" in half else half)
        line.setblocking(False)
        lines.append(line)
    began, open_ = time.perf_counter(), set(lines)
    while open_ and time.perf_counter() - began < 60:
        time.sleep(0.25)
        open_ -= {line for line in open_ if is_closed(line)}
    took = time.perf_counter() - began
    for line in lines:
        line.close()
    return (
        f"{count} half-sent requests: {count - len(open_)} closed, the last {took:.1f} s after all were sent."
    )


def is_closed(line: socket.socket) -> bool:
    try:
        return line.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def table(where: Place) -> str:
    grid = "|a" * 500 + "|\n" + "|-" * 500 + "|\n" + "|\n" * 500
    answers = tuple(NewAnswer(f"{i}\n\n{grid}") for i in range(9))
    prompt = ({"role": "user", "content": "A table?"},)
    item = NewItem(prompt, answers, purpose="calibration", accepted=((tuple(range(9)),),))

    def add(db: Any) -> None:
        add_items(db, db.scalars(select(Project).where(Project.slug == SLUG)).one(), [item], now=time.time())

    where.database.write(add)
    sizes = []
    for person in where.labelers[-2:]:
        with where.client(headers=where.headers(person)) as client:
            answer = client.post(f"{ROOT}/claim", json={})
        assert answer.json()["task"]["training"]
        sizes.append(len(answer.content))
    return f"Two labelers were given nine tables of {len(grid)} characters: {sizes[0] / 1000:.0f} kB of page each."


ATTACKS = {"body": body, "import": lawful, "guesses": guesses, "slow": slow, "table": table}


def attacks(names: Sequence[str] = tuple(ATTACKS)) -> None:
    """Measure and tell one after the other, each at a server of its own."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    python = platform.python_version()
    print(f"{platform.machine()}, {os.cpu_count()} cores (load average {load}), Python {python}\n")
    for name in names:
        measured(name, ATTACKS[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=ATTACKS)
    chosen = parser.parse_args()
    attacks((chosen.only,) if chosen.only else tuple(ATTACKS))


if __name__ == "__main__":
    main()
