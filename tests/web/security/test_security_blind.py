"""A labeler learns neither which model wrote what, nor which item is known to have a right answer."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update
from web.security.site import NOW, PLAIN_RULES, Site, pair, serving, verdict

from plaudit.feedback.store import claiming, ids, schema
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.projects import NewAnswer, NewItem

ROOT = "/api/projects/demo"
NAMES = ("gpt-unmistakable-7", "zz-unmistakable-small")


class Numbered:
    """Ids, secrets and chances that are the same at every run."""

    def __init__(self) -> None:
        self.count = 0

    def bytes(self, count: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(count, "big")

    def token(self, kind: str) -> str:
        self.count += 1
        return f"plaudit_{kind}_{self.count:043d}"


@contextmanager
def frozen(monkeypatch: pytest.MonkeyPatch, migrated: Path, path: Path) -> Iterator[Site]:
    """A site on which nothing is left to chance."""
    import random

    numbered, rng = Numbered(), random.Random(7)
    monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: int(NOW * 1e9)))
    monkeypatch.setattr(ids, "os", SimpleNamespace(urandom=numbered.bytes))
    monkeypatch.setattr("plaudit.feedback.store.people.new_token", numbered.token)
    monkeypatch.setattr("plaudit.feedback.store.projects.secrets.token_hex", lambda n: "5a" * n)
    monkeypatch.setattr(claiming.random, "SystemRandom", lambda: rng)
    shutil.copy(migrated, path)
    database = Database(f"sqlite:///{path}")
    with serving(database) as site:
        yield site
    database.close()
    monkeypatch.undo()


def items(models: tuple[str | None, str | None], purpose: str = "work", known: int = 2) -> list[NewItem]:
    made = []
    for i in range(6):
        answers = tuple(
            NewAnswer(f"answer {n} to {i}", model=m, info={"also": [m]} if m else {}, finished=bool(i % 3))
            for n, m in enumerate(models)
        )
        gold = i < known
        made.append(
            NewItem(
                ({"role": "user", "content": f"question {i}"},), answers, sensitivity=0,
                purpose=purpose if gold else "work", accepted=(((0,), (1,)),) if gold and purpose != "work" else (),
                source=str(models[0]), info={"made by": models[1]} if models[1] else {},
            )
        )  # fmt: skip
    return made


def everything(site: Site, made: list[NewItem], **rules: Any) -> list[tuple[Any, ...]]:
    """Every answer that a labeler can get while they work through a project, before and after judging."""
    site.project("demo", edit_minutes=60, **rules)
    site.guideline("demo", "# Be kind")
    site.member("demo", "Lena", "labeler")
    site.items("demo", made)
    lena = site.browser("Lena")
    got = [lena.get(p) for p in ("/", "/account", "/api/me", "/api/openapi.json")]
    for i in range(len(made)):
        claimed = lena.post(f"{ROOT}/claim")
        task = claimed.json()["task"]
        assert task, claimed.text
        address = f"{ROOT}/assignments/{task['assignment']}"
        got += [
            claimed,
            lena.get("/p/demo"),
            lena.get(address),
            lena.post(f"{address}/heartbeat", {"active_ms": 1}),
        ]
        got.append(lena.put(f"{address}/draft", {"rev": 0, "payload": {"x": 1}}))
        got.append(lena.post(f"{address}/reveal"))
        site.now += 10
        if i == 4:
            got.append(lena.post(f"{address}/skip", {"reason": "unsure"}))
        else:
            key = {"idempotency-key": f"blind-{i:06}"}
            got.append(lena.post(f"{address}/submit", verdict(task, strength=9), headers=key))
            got.append(lena.post(f"{address}/submit", verdict(task), headers=key))
            got.append(lena.post(f"{address}/submit", verdict(task), headers=key))
            got.append(
                lena.post(f"{address}/submit", verdict(task), headers={"idempotency-key": "another-key"})
            )
            got.append(lena.get(address))
            again = verdict(task) | {"groups": [["B"], ["A"]]}
            got.append(lena.post(f"{address}/revise", again, headers={"idempotency-key": f"revised-{i:04}"}))
    for path in ("mine", "skip-reasons", "guidelines", "guidelines/versions", "items", "quality", "people", "status",
                 "settings", "audit", "export.jsonl", "invitations", "quality/models.csv"):  # fmt: skip
        got.append(lena.get(f"{ROOT}/{path}"))
    for path in ("", "/history", "/guidelines", "/dashboard", "/items", "/people", "/settings"):
        got.append(lena.get(f"/p/demo{path}"))
    return [
        (g.request.method, g.request.url.path, g.status_code, sorted(g.headers.items()), g.content)
        for g in got
    ]


def run(
    monkeypatch: pytest.MonkeyPatch, migrated: Path, path: Path, made: list[NewItem], **rules: Any
) -> list[tuple[Any, ...]]:
    with frozen(monkeypatch, migrated, path) as site:
        return everything(site, made, **rules)


def test_whatever_the_models_are_called_a_labeler_is_sent_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, migrated_sqlite: Path, tmp_path: Path
) -> None:
    runs = [
        run(monkeypatch, migrated_sqlite, tmp_path / f"{i}.db", items(models))
        for i, models in enumerate([NAMES, NAMES[::-1], (None, None), ("a", NAMES[0] * 8)])
    ]
    assert len(runs[0]) > 80
    for other in runs[1:]:
        assert [r[:3] for r in other] == [r[:3] for r in runs[0]]
        assert other == runs[0]
    for answer in runs[0]:
        assert b"unmistakable" not in b"".join(str(part).encode() for part in answer)


def test_the_comparison_would_notice(
    monkeypatch: pytest.MonkeyPatch, migrated_sqlite: Path, tmp_path: Path
) -> None:
    """Another answer text is another run: what is compared does show what a labeler sees."""
    changed = items(NAMES)
    changed[3] = NewItem(changed[3].prompt, (NewAnswer("another"), NewAnswer("answer")))
    first = run(monkeypatch, migrated_sqlite, tmp_path / "1.db", items(NAMES))
    assert run(monkeypatch, migrated_sqlite, tmp_path / "2.db", changed) != first


def kinds(value: Any) -> Any:
    """A JSON value's shape."""
    if isinstance(value, dict):
        return {k: kinds(v) for k, v in value.items()}
    return [kinds(v) for v in value[:1]] if isinstance(value, list) else type(value).__name__


def steps(site: Site, shares: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What a lone labeler is sent with each item, by what the item is in truth."""
    settings = PLAIN_RULES | {"edit_minutes": 60} | shares
    site.project("demo", **settings)
    site.member("demo", "Lena", "labeler")
    right = {"accepted": (((0,), (1,)),), "rationale": "because"}
    site.items("demo", [pair(f"question {i:02}", f"one {i:02}", f"two {i:02}") for i in range(12)])
    site.items(
        "demo",
        [
            pair(f"question {i:02}", f"one {i:02}", f"two {i:02}", purpose="gold", **right)
            for i in range(50, 58)
        ],
    )
    lena = site.browser("Lena")
    found: dict[str, list[dict[str, Any]]] = {}
    for i in range(40):
        claimed = lena.post(f"{ROOT}/claim").json()
        if claimed["task"] is None:
            break
        task = claimed["task"]
        address = f"{ROOT}/assignments/{task['assignment']}"
        done = lena.post(
            f"{address}/submit", verdict(task), headers={"idempotency-key": f"gold-{i:06}"}
        ).json()
        after = lena.get(address).json()
        mine = lena.get(f"{ROOT}/mine").json()[0]
        purpose = next(a["purpose"] for a in site.rows()["assignments"] if a["id"] == task["assignment"])
        found.setdefault(purpose, []).append(
            {"step": i, "claimed": claimed, "done": done, "after": after, "mine": mine}
        )
        site.now += 1
    return found


def test_gold_looks_like_work(site: Site) -> None:
    found = steps(site, {"gold_share": 0.5, "repeat_share": 0})
    assert len(found["work"]) == 12 and found["gold"], "once in 4,000 times chance gives no gold"

    def told(step: dict[str, Any]) -> Any:
        """Everything but the words, the ids and the counts, which have a test of their own."""
        text = repr({k: step[k] for k in ("claimed", "done", "after", "mine")})
        text = re.sub(r"'\w{26}'", "ID", text)
        text = re.sub(r"(question|one|two) \d\d", r"\1", text)
        text = re.sub(r"'(left|today|total|created|when)': [\d.]+", r"\1", text)
        return text.replace("one", "NN").replace("two", "NN")

    shapes = {kind: {told(s) for s in each} for kind, each in found.items()}
    assert shapes["gold"] == shapes["work"]
    assert len(shapes["work"]) == 1
    assert not any("because" in str(s) or s["done"]["feedback"] for s in found["gold"])


def test_counts_do_not_tell_gold_from_work(site: Site) -> None:
    """Each judgement brings the total up by one and what is left down by one, whatever the item was."""
    found = steps(site, {"gold_share": 0.4})
    each = sorted((s for kind in found.values() for s in kind), key=lambda s: s["step"])
    lefts = [s["claimed"]["progress"]["left"] for s in each]
    assert lefts == [20 - i for i in range(len(each))]
    after = [s["done"]["progress"]["left"] for s in each]
    assert after[:-1] == lefts[1:]
    assert after[-1] == 0, "gold is given among work only"
    assert [s["done"]["progress"]["total"] for s in each] == list(range(1, len(each) + 1))


def test_practice_says_that_it_is_practice(site: Site) -> None:
    """The one kind that is known as such, with its answer after the judgement."""
    site.project("demo")
    site.member("demo", "Lena", "labeler")
    right = {"accepted": (((1,), (0,)),), "rationale": "because"}
    site.items("demo", [pair("q", "one", "two", purpose="calibration", **right)])
    lena = site.browser("Lena")
    task = lena.post(f"{ROOT}/claim").json()["task"]
    assert task["training"] and "because" not in str(task)
    address = f"{ROOT}/assignments/{task['assignment']}"
    done = lena.post(f"{address}/submit", verdict(task), headers={"idempotency-key": "practice-1"}).json()
    assert done["feedback"]["rationale"] == "because"


def test_a_reviewer_who_has_to_judge_an_item_does_not_see_it_before(site: Site) -> None:
    site.project("demo")
    site.member("demo", "Rita", "reviewer")
    item = site.items("demo", [pair("q", "one", "two")])[0]
    rita = site.browser("Rita")
    task = rita.post(f"{ROOT}/claim").json()["task"]
    for state in ("leased", "expired", "released"):
        site.database.write(lambda db, s=state: db.execute(update(schema.Assignment).values(state=s)))
        answer = rita.get(f"{ROOT}/items/{item}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "blind"), state
    site.database.write(lambda db: db.execute(update(schema.Assignment).values(state="leased")))
    address = f"{ROOT}/assignments/{task['assignment']}"
    assert (
        rita.post(f"{address}/submit", verdict(task), headers={"idempotency-key": "reviewed"}).status_code
        == 201
    )
    assert rita.get(f"{ROOT}/items/{item}").json()["full_answers"][0]["model"] == "m1"


def test_ids_are_not_counted_up() -> None:
    """What is sent in an id tells when it was made and nothing else: eighty bits of it are random."""
    made = [ids.new_id() for _ in range(200)]
    assert len({i[10:] for i in made}) == 200
