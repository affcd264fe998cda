"""A project and its items, for those who run it."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/projects/{project}", tags=["project"])
