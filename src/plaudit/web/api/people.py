"""The people of a project: members, roles, invitations, sign-in links."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/projects/{project}", tags=["people"])
