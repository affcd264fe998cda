"""A labeling site for a browser: a server on a free port, projects and people made through the store, and pages."""

from __future__ import annotations

import itertools
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect
from sqlalchemy import select

from plaudit.feedback.store.account_tables import User
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.judgement_form import to_letters
from plaudit.feedback.store.passwords import hash_password
from plaudit.feedback.store.people import add_member, add_user
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project, publish, set_state
from plaudit.feedback.store.schema import Assignment, Draft, Judgement, Member, Project, Skip
from plaudit.feedback.store.settings import Settings
from plaudit.web.app import create_app
from plaudit.web.app_state import AppState

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
# The page's own complaints reach the console, where they are collected.
WATCH = """addEventListener("securitypolicyviolation",
  (event) => console.error(`refused by the policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"""
# What is asked stays the same from test to test: neither gold nor repeats come in between.
RULES: dict[str, Any] = {"gold_share": 0.0, "repeat_share": 0.0, "require_reading": False}
PASSWORD = "correct horse battery"
numbers = itertools.count(1)


def question(text: str, *answers: str, **more: Any) -> NewItem:
    """An item with a prompt of one turn."""
    return NewItem(({"role": "user", "content": text},), tuple(NewAnswer(a) for a in answers), **more)


def pair(number: int = 0, **more: Any) -> NewItem:
    return question(
        f"Pair {number}: which river runs through Vienna?", f"The Danube ({number}).", "The Rhine.", **more
    )


def ranking(count: int = 4, number: int = 0, **more: Any) -> NewItem:
    answers = [f"Answer number {i + 1} of item {number}, in a few words." for i in range(count)]
    return question(f"Ranking {number}: why is the sky blue?", *answers, **more)


class Site:
    """A server of the application. ``ahead``: by how many seconds its clock runs before the real one."""

    def __init__(self, file: Path) -> None:
        self.database = Database(f"sqlite:///{file}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.ahead = 0.0
        self.server = AppState(
            self.database, b"a secret of the tests, 32 bytes.", port=self.port, clock=self.now
        )
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def now(self) -> float:
        return time.time() + self.ahead

    def start(self) -> None:
        app = create_app(self.server)
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_level="error", timeout_graceful_shutdown=1
        )
        self.running = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.running.run, daemon=True)
        self.thread.start()
        while not self.running.started:
            assert self.thread.is_alive()
            time.sleep(0.01)

    def stop(self) -> None:
        self.running.should_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()


@dataclass
class Desk:
    """What one test has: a project, people, pages; and what the pages complained of."""

    site: Site
    browser: Browser
    slug: str = ""
    users: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    excepted: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    # Making

    def project(
        self, *items: NewItem, people: dict[str, str] | None = None, guidelines: str = "", **rules: Any
    ) -> str:
        """A project with those items; Ann labels in it unless ``people`` says who does what."""
        self.slug = f"project-{next(numbers)}"

        def work(db: Any) -> None:
            settings = Settings.model_validate(RULES | rules)
            made = create_project(
                db, self.slug, title="Helpful answers", settings=settings, now=self.site.now()
            )
            if guidelines:
                publish(db, made, guidelines, by=None, now=self.site.now())
            add_items(db, made, items, now=self.site.now())

        self.site.database.write(work)
        for name, role in (people or {"Ann": "labeler"}).items():
            self.join(name, role)
        return self.slug

    def user(self, name: str, password: str | None = None) -> str:
        """The id of a person, made if they are new; other tests have another of that name."""
        if name not in self.users:
            self.names[name] = f"{name} {next(numbers)}"
            hashed = hash_password(password) if password else None
            made = self.site.database.write(
                add_user, self.names[name], now=self.site.now(), password_hash=hashed
            )
            self.users[name] = made.id
        return self.users[name]

    def join(self, name: str, role: str = "labeler") -> None:
        user = self.user(name)
        self.change(
            lambda db, project: add_member(db, project, db.get_one(User, user), role, now=self.site.now())
        )

    def change(self, work: Any) -> Any:
        """Run ``work(db, project)`` on the store."""
        return self.site.database.write(
            lambda db: work(db, db.scalars(select(Project).where(Project.slug == self.slug)).one())
        )

    def rule(self, **rules: Any) -> None:
        def work(_: Any, project: Project) -> None:
            project.settings = project.settings | rules

        self.change(work)

    def publish(self, text: str) -> None:
        self.change(lambda db, project: publish(db, project, text, by=None, now=self.site.now()))

    def state(self, state: str) -> None:
        self.change(lambda _, project: set_state(project, state))

    def willing(self, level: int, name: str = "Ann") -> None:
        """Let someone see items up to that sensitivity."""

        def work(db: Any, project: Project) -> None:
            member(db, project, self.users[name]).max_sensitivity = level

        self.change(work)

    def link(self, name: str | None = None, role: str = "labeler") -> str:
        """A one-time link of a person, or an invitation to the project: its address."""

        def work(db: Any, project: Project) -> str:
            whom = (
                {"user": db.get_one(User, self.users[name])} if name else {"project": project, "role": role}
            )
            return self.site.server.people.make_link(db, now=self.site.now(), **whom)[1]

        return f"{self.site.address}/enter#{self.change(work)}"

    # Opening

    def session(self, name: str) -> str:
        """The cookie's value of a new session."""
        return self.site.database.write(
            lambda db: self.site.server.people.start_session(
                db, db.get_one(User, self.users[name]), now=self.site.now()
            )
        )

    def sign_in(self, context: BrowserContext, name: str = "Ann") -> None:
        cookie = {"name": self.site.server.cookie, "value": self.session(name), "url": self.site.address}
        context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Lax"}])  # type: ignore[list-item]

    def context(self, name: str | None = "Ann", **options: Any) -> BrowserContext:
        """A new browser profile, in which ``name`` is signed in."""
        options = {"viewport": {"width": 1280, "height": 800}, "base_url": self.site.address} | options
        made = self.browser.new_context(**options)
        made.add_init_script(WATCH)
        made.on("console", self._heard)
        made.on("weberror", lambda error: self.complaints.append(f"thrown: {error.error}"))
        if name:
            self.sign_in(made, name)
        self.contexts.append(made)
        return made

    def open(self, name: str | None = "Ann", path: str | None = None, **options: Any) -> Page:
        """A page in a new profile: the labeler's, unless ``path`` says which."""
        page = self.context(name, **options).new_page()
        page.goto(f"/p/{self.slug}" if path is None else path)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def expect(self, *patterns: str) -> None:
        """Complaints that this test causes on purpose, as regular expressions."""
        self.excepted += patterns

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        left = [c for c in self.complaints if not any(re.search(p, c) for p in self.excepted)]
        assert not left, left

    # Reading the database

    def judged(self, name: str | None = None) -> list[SimpleNamespace]:
        """All judgements of the project, oldest first, in the letters under which the answers were shown."""

        def work(db: Any, project: Project) -> list[SimpleNamespace]:
            query = (
                select(Judgement, Assignment)
                .join(Assignment, Judgement.assignment_id == Assignment.id)
                .join(Member, Assignment.member_id == Member.id)
                .where(Assignment.project_id == project.id)
                .order_by(Judgement.created, Judgement.revision)
            )
            if name:
                query = query.where(Member.user_id == self.users[name])
            return [_as_shown(judgement, assignment) for judgement, assignment in db.execute(query)]

        return self.change(work)

    def assignments(self) -> list[Assignment]:
        return self._all(Assignment, Assignment.project_id)

    def drafts(self) -> list[dict[str, Any]]:
        query = select(Draft.payload).join(Assignment, Draft.assignment_id == Assignment.id)
        return self.change(lambda db, p: list(db.scalars(query.where(Assignment.project_id == p.id))))

    def skips(self) -> list[tuple[str, str]]:
        query = select(Skip.reason, Skip.note).join(Assignment, Skip.assignment_id == Assignment.id)
        return self.change(
            lambda db, p: [tuple(r) for r in db.execute(query.where(Assignment.project_id == p.id))]
        )

    def member(self, name: str = "Ann") -> Member:
        return self.change(lambda db, project: member(db, project, self.users[name]))

    def _all(self, table: Any, column: Any) -> list[Any]:
        return self.change(lambda db, p: list(db.scalars(select(table).where(column == p.id))))


def member(db: Any, project: Project, user: str) -> Member:
    return db.scalars(select(Member).where(Member.project_id == project.id, Member.user_id == user)).one()


def _as_shown(judgement: Judgement, assignment: Assignment) -> SimpleNamespace:
    columns = {c.name: getattr(judgement, c.name) for c in Judgement.__table__.columns}
    letter = {str(p): "ABCDEFGHI"[i] for i, p in enumerate(assignment.order)} | {"*": "*"}
    return SimpleNamespace(
        **columns
        | {
            "groups": to_letters(judgement.groups, assignment.order),
            "attributes": {
                n: {letter[k]: v for k, v in vs.items()} for n, vs in judgement.attributes.items()
            },
            "surplus": assignment.surplus,
            "item": assignment.item_id,
        }
    )


# What every test looks for on the labeler's page


def ready(page: Page) -> Page:
    """Wait until an item is shown."""
    expect(page.locator("#submit")).to_be_visible()
    return page


def summary(page: Page) -> Any:
    return page.locator("#summary")


def saved(page: Page) -> None:
    """Wait for the receipt."""
    expect(page.locator(".toast", has_text="Saved")).to_be_visible()


def submit(page: Page) -> None:
    """Submit with the button, and wait for the receipt."""
    page.locator("#submit").click()
    saved(page)
