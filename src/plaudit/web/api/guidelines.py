"""The guidelines of a project: read, publish, acknowledge."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.errors import Invalid, NotFound
from plaudit.feedback.store.judgement_form import Plain
from plaudit.feedback.store.locks import lock_project
from plaudit.feedback.store.projects import LONGEST_GUIDELINE, publish
from plaudit.feedback.store.schema import Guideline, Member, Project
from plaudit.web.access import Access, Asker
from plaudit.web.rendering import to_html
from plaudit.web.request_body import Guarded, takes

router = APIRouter(prefix="/api/projects/{project}", tags=["guidelines"], route_class=Guarded)
Labeler = Annotated[Asker, Depends(Access("labeler", "label"))]
Owner = Annotated[Asker, Depends(Access("owner", "manage"))]
MOST_GUIDELINE = 2**20  # bytes: a character takes up to six as an escape
Version = Annotated[int, Query(ge=0, le=2**31 - 1)]


class Published(BaseModel):
    version: int
    note: str = Field(description="what changed")
    published: float


class Text(Published):
    markdown: str
    html: str
    read: bool = Field(description="whether the asker has read this version, or a later one")


class GuidelineIn(BaseModel):
    markdown: Plain
    note: Plain = Field("", max_length=500)


class GuidelineDraft(BaseModel):
    markdown: Plain = Field(max_length=LONGEST_GUIDELINE)


class Preview(BaseModel):
    html: str


class Seen(BaseModel):
    version: int = Field(ge=0)


@router.get("/guidelines")
def get_guidelines(asker: Labeler, version: Version | None = None) -> Text:
    """The current guidelines, or the requested version."""
    wanted = asker.the_project().guideline_version if version is None else version

    def work(db: Db) -> Text:
        found = db.get(Guideline, (asker.the_project().id, wanted))
        if found is None:
            raise NotFound("version of the guidelines")
        return Text(
            version=found.version,
            note=found.note,
            published=found.published,
            markdown=found.markdown,
            html=to_html(found.markdown),
            read=asker.the_member().guideline_seen >= found.version,
        )

    return asker.server.database.read(work)


@router.get("/guidelines/versions")
def get_versions(asker: Labeler) -> list[Published]:
    """All versions, the newest first."""

    def work(db: Db) -> list[Published]:
        mine = select(Guideline).where(Guideline.project_id == asker.the_project().id)
        return [
            Published(version=g.version, note=g.note, published=g.published)
            for g in db.scalars(mine.order_by(Guideline.version.desc()))
        ]

    return asker.server.database.read(work)


@router.post("/guidelines/seen", status_code=204)
def post_seen(body: Seen, asker: Labeler) -> None:
    """Say that one has read a version of the guidelines."""

    def work(db: Db) -> None:
        project = db.get_one(Project, asker.the_project().id)
        if body.version > project.guideline_version:
            raise Invalid("unknown_guideline", "there is no such version of the guidelines")
        member = db.get_one(Member, asker.the_member().id)
        member.guideline_seen = max(member.guideline_seen, body.version)

    asker.server.database.write(work)


@router.post("/guidelines/preview")
@takes(MOST_GUIDELINE)
def post_preview(body: GuidelineDraft, asker: Owner) -> Preview:
    """A draft as labelers would see it. Nothing is kept."""
    return Preview(html=to_html(body.markdown))


@router.post("/guidelines", status_code=201)
@takes(MOST_GUIDELINE)
def post_guidelines(body: GuidelineIn, asker: Owner) -> Published:
    """Publish a new version. Judgements keep the version under which they were made."""

    def work(db: Db) -> Published:
        project = lock_project(db, asker.the_project().id)
        made = publish(db, project, body.markdown, change=body.note, by=asker.user, now=asker.now)
        asker.note(db, "published guidelines", target=str(made.version))
        return Published(version=made.version, note=made.note, published=made.published)

    return asker.server.database.write(work)
