"""People at a project's labeling server, through its HTTP API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import select

from plaudit.data.records import Message, Prompt, Response
from plaudit.feedback.project_location import opened, read_secret
from plaudit.feedback.project_setup import database_url, only_project
from plaudit.feedback.store.account_tables import User
from plaudit.feedback.store.people import add_member, add_user
from plaudit.feedback.store.projects import named_project
from plaudit.feedback.store.schema import Member
from plaudit.web.app import create_app
from plaudit.web.app_state import AppState
from plaudit.web.rendering import to_html

Groups = list[list[str]]


def as_shown(task: dict[str, Any]) -> Groups:
    """The first answer on the page is the best."""
    return [[a["key"]] for a in task["answers"]]


class Labelers:
    """People signed in to a project's server, which is closed again behind them; ``ranked`` is how they rank."""

    def __init__(
        self, folder: Path, names: list[str], ranked: Callable[[dict[str, Any]], Groups] = as_shown
    ) -> None:
        self.folder, self.names, self.ranked = folder, names, ranked
        self.seen: list[dict] = []

    def judge(self, *counts: int, **said) -> None:
        """So many items by each of them."""
        with opened(database_url(self.folder, None)) as database:
            server = AppState(database, read_secret(self.folder / "secret.key"))
            app = create_app(server)
            for name, count in zip(self.names, counts):
                client, place = self._enter(server, app, name)
                for _ in range(count):
                    task = client.post(f"{place}/claim", json={}).json()["task"]
                    self.seen.append(task)
                    key = f"{name}-{task['assignment']}"
                    done = client.post(
                        f"{place}/assignments/{task['assignment']}/submit",
                        json={"groups": self.ranked(task), "active_ms": 1, **said},
                        headers={"idempotency-key": key},
                    )
                    assert done.is_success, done.text

    def _enter(self, server: AppState, app, name: str) -> tuple[TestClient, str]:
        def work(db):
            project = named_project(db, only_project(db))
            found = next((m for m in project_members(db, project) if m.name == name), None)
            if found is None:
                found = add_user(db, name, now=0)
                add_member(db, project, found, "labeler", now=0)
            return server.people.make_link(db, now=server.clock(), user=found)[1]

        client = TestClient(app, base_url="http://localhost")
        me = client.post("/api/links/enter", json={"token": server.database.write(work)}).json()
        client.headers["x-csrf-token"] = me["csrf"]
        return client, f"/api/projects/{me['projects'][0]['slug']}"


def project_members(db, project):
    return db.scalars(
        select(User).join(Member, Member.user_id == User.id).where(Member.project_id == project.id)
    )


def ranked_by(judge: Any, items: Path) -> Callable[[dict[str, Any]], Groups]:
    """How a judge of the pocket world would rank what the page shows of the items in a step's ``items.jsonl``."""
    known = {}
    for row in map(json.loads, items.read_text().splitlines()):
        prompt = Prompt(tuple(Message(**m) for m in row["prompt"]), metadata=row["metadata"])
        answers = {to_html(r["text"]): Response(r["text"], r["finished"]) for r in row["responses"]}
        known[_place([m["content"] for m in row["prompt"]], answers)] = prompt, answers

    def ranked(task: dict[str, Any]) -> Groups:
        shown = [a["html"] for a in task["answers"]]
        prompt, answers = known[_shown_place([t["html"] for t in task["prompt"]], shown)]
        found = judge.judge(prompt, [answers[html] for html in shown])
        return [[task["answers"][i]["key"] for i in group] for group in found.groups]

    return ranked


def _place(turns: list[str], answers: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    return _shown_place([to_html(t) for t in turns], answers)


def _shown_place(turns: list[str], answers: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    return tuple(turns), frozenset(answers)
