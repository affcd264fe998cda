"""Routes of the management pages. They only show; every change goes through the API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import Session as Db

from plaudit.feedback.exporting import PURPOSES
from plaudit.feedback.store.errors import Forbidden, SignInNeeded
from plaudit.feedback.store.people import ROLES
from plaudit.feedback.store.projects import LONGEST_GUIDELINE
from plaudit.feedback.store.schema import Guideline
from plaudit.feedback.store.settings import KNOWN_ATTRIBUTES, Settings
from plaudit.feedback.store.submission import SKIP_REASONS
from plaudit.web.access import Access, Asker
from plaudit.web.api.item_models import FullItem, ItemPage
from plaudit.web.api.items import full_item, item_page, look_at
from plaudit.web.api.people import invitations_of, people_of
from plaudit.web.api.project import audit_of
from plaudit.web.api.results import statistics_of
from plaudit.web.manage import apidocs, items, settings_form
from plaudit.web.manage.dashboard import dashboard, has_open_work
from plaudit.web.rendering import to_html
from plaudit.web.templating import page

router = APIRouter(include_in_schema=False)
Reviewer = Annotated[Asker, Depends(Access("reviewer", None))]
Owner = Annotated[Asker, Depends(Access("owner", None))]
PAGE = 50
AUDIT = 50


@router.get("/p/{project}/dashboard")
def get_dashboard(request: Request, asker: Reviewer, models: bool = False) -> Response:
    """How far and how good. ``models``: name them also to someone who still has items to judge."""
    project = asker.the_project()
    tables = statistics_of(request).tables(asker.server, project.id)

    def work(db: Db) -> dict[str, Any]:
        blind = has_open_work(db, project.id, asker.the_member())
        shown = dashboard(db, project, tables, now=asker.now, open_models=models or not blind)
        return {**shown, "blind": blind}

    return page(
        request,
        "manage/dashboard.html",
        asker=asker,
        project=project,
        now=asker.now,
        troubles=asker.server.troubles.lately(asker.now) if asker.is_at_least("owner") else [],
        **asker.server.database.read(work),
    )


@router.get("/p/{project}/items")
def get_items(
    request: Request,
    asker: Reviewer,
    purpose: Literal["", "work", "gold", "calibration"] = "",
    state: Literal["", "open", "retired"] = "",
    search: str = "",
    at: int = 0,
) -> Response:
    """The items that a filter leaves, a page at a time."""
    project, at = asker.the_project(), max(0, at)

    def work(db: Db) -> tuple[ItemPage, dict[str, int]]:
        some = item_page(db, project.id, purpose or None, state or None, search, at, PAGE)
        return some, items.counts(db, project.id)

    found, counts = asker.server.database.read(work)
    chosen = {"purpose": purpose, "state": state, "search": search}
    return page(
        request,
        "manage/items.html",
        asker=asker,
        project=project,
        found=found,
        counts=counts,
        chosen=chosen,
        at=at,
        before=items.address(chosen, at - PAGE) if at > 0 else None,
        after=items.address(chosen, at + PAGE) if at + PAGE < found.total else None,
        may_change=asker.is_at_least("owner"),
    )


@router.get("/p/{project}/items/{item}")
def get_item(request: Request, asker: Reviewer, item: str) -> Response:
    """One item with all its judgements; a message instead where that would unblind a labeler."""
    project = asker.the_project()

    def work(db: Db) -> FullItem:
        return full_item(db, asker, item)

    try:
        found = look_at(asker, item, work)
    except Forbidden as refused:
        if refused.code != "blind":
            raise
        return page(request, "manage/blind.html", status=403, asker=asker, project=project, item=item)
    return page(
        request,
        "manage/item.html",
        asker=asker,
        project=project,
        item=found,
        reasons=SKIP_REASONS,
        blanks=items.BLANKS,
        said=[items.told(j) for j in found.judgements],
        accepted="\n".join(items.in_words(ranking) for ranking in found.accepted),
        may_change=asker.is_at_least("owner"),
    )


@router.get("/p/{project}/people")
def get_people(request: Request, asker: Owner) -> Response:
    """Members and invitations."""
    project = asker.the_project()
    people, invitations = asker.server.database.read(
        lambda db: (people_of(db, project.id), invitations_of(db, project.id, asker.now))
    )
    return page(
        request,
        "manage/people.html",
        asker=asker,
        project=project,
        people=people,
        invitations=invitations,
        roles=ROLES,
        me=asker.the_member().id,
    )


@router.get("/p/{project}/settings")
def get_settings(request: Request, asker: Owner) -> Response:
    """Rules, attributes, guidelines, state, export and what was changed."""
    project = asker.the_project()

    def work(db: Db) -> dict[str, Any]:
        mine = select(Guideline).where(Guideline.project_id == project.id)
        return {
            "versions": list(db.scalars(mine.order_by(Guideline.version.desc()))),
            "audit": [settings_form.changed(e) for e in audit_of(db, project.id, limit=AUDIT)],
        }

    found = asker.server.database.read(work)
    newest: Guideline | None = found["versions"][0] if found["versions"] else None
    return page(
        request,
        "manage/settings.html",
        asker=asker,
        project=project,
        settings=Settings.model_validate(project.settings),
        sections=settings_form.SECTIONS,
        known_attributes=KNOWN_ATTRIBUTES.values(),
        states=settings_form.STATES,
        purposes=PURPOSES,
        guideline=newest.markdown if newest else settings_form.FIRST_GUIDELINE,
        guideline_html=to_html(newest.markdown) if newest else "",
        longest_guideline=LONGEST_GUIDELINE,
        **found,
    )


@router.get("/api/docs")
def get_docs(request: Request) -> Response:
    """The API in words. Open to all, as its schema is."""
    try:
        asker = Access(None, None)(request)
    except SignInNeeded:
        asker = None
    about, groups = apidocs.described(request.app)
    return page(
        request, "manage/api.html", asker=asker, about=about, groups=groups, host=str(request.base_url)
    )
