"""The pages: each a template with what it shows at once; all that changes goes through the API."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.passwords import LEAST_PASSWORD
from plaudit.feedback.store.people import SCOPES
from plaudit.feedback.store.schema import Guideline, Member, Project
from plaudit.feedback.store.settings import Settings
from plaudit.feedback.store.submission import SKIP_REASONS
from plaudit.web.access import Access, Asker
from plaudit.web.rendering import to_html
from plaudit.web.templating import page

router = APIRouter(include_in_schema=False)
Anyone = Annotated[Asker, Depends(Access(None, None))]
Labeler = Annotated[Asker, Depends(Access("labeler", None))]


@router.get("/sign-in")
def sign_in(request: Request) -> Response:
    return page(request, "sign_in.html")


@router.get("/enter")
def enter(request: Request) -> Response:
    """The page of one-time links and invitations. The token follows #, which no server or log sees."""
    return page(request, "enter.html", least_password=LEAST_PASSWORD)


@router.get("/")
def home(request: Request, asker: Anyone) -> Response:
    """The projects one has a part in; straight into the only one."""

    def mine(db: Db) -> list[tuple[Project, Member]]:
        rows = db.execute(
            select(Project, Member)
            .join(Member, Member.project_id == Project.id)
            .where(Member.user_id == asker.user.id, Member.disabled_at.is_(None))
            .order_by(Project.created, Project.slug)
        )
        return [(p, m) for p, m in rows]

    projects = asker.server.database.read(mine)
    if len(projects) == 1:
        project, member = projects[0]
        where = "" if member.role == "labeler" else "/dashboard"
        return RedirectResponse(f"/p/{project.slug}{where}", 303)
    return page(request, "home.html", asker=asker, projects=projects)


@router.get("/account")
def account(request: Request, asker: Anyone) -> Response:
    return page(request, "account.html", asker=asker, least_password=LEAST_PASSWORD, scopes=SCOPES)


@router.get("/p/{project}")
def label(request: Request, asker: Labeler) -> Response:
    """The labeler's page."""
    return page(request, "label.html", asker=asker, reasons=SKIP_REASONS, **_rules(asker))


@router.get("/p/{project}/history")
def history(request: Request, asker: Labeler) -> Response:
    return page(request, "history.html", asker=asker, **_rules(asker))


@router.get("/p/{project}/guidelines")
def guidelines(request: Request, asker: Labeler, version: int | None = None) -> Response:
    """The guidelines that hold, or an earlier version of them."""
    versions = asker.server.database.read(_guidelines, asker.the_project().id)
    wanted = version if version is not None else asker.the_project().guideline_version
    shown = next((g for g in versions if g.version == wanted), None)
    return page(
        request,
        "guidelines.html",
        asker=asker,
        versions=versions,
        shown=shown,
        html=to_html(shown.markdown) if shown else "",
        **_rules(asker),
    )


def _guidelines(db: Db, project_id: str) -> list[Guideline]:
    found = select(Guideline).where(Guideline.project_id == project_id).order_by(Guideline.version.desc())
    return list(db.scalars(found))


def _rules(asker: Asker) -> dict[str, Any]:
    project = asker.the_project()
    return {
        "project": project,
        "member": asker.the_member(),
        "settings": Settings.model_validate(project.settings),
    }
