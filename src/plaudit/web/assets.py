"""Style sheets, scripts and images, served from memory under a content hash."""

from __future__ import annotations

import functools
import hashlib
import mimetypes
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from plaudit.feedback.store.errors import NotFound
from plaudit.web.rendering import highlighting

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@functools.cache
def files() -> dict[str, bytes]:
    """Every asset by name."""
    found = {p.relative_to(FOLDER).as_posix(): p.read_bytes() for p in FOLDER.rglob("*") if p.is_file()}
    return found | {"code.css": highlighting().encode()}


@functools.cache
def version() -> str:
    """A hash of all assets: one for all, so that modules can import each other by relative names."""
    made = hashlib.sha256()
    for name, content in sorted(files().items()):
        made.update(name.encode() + b"\x00" + content + b"\x00")
    return made.hexdigest()[:12]


def address(name: str) -> str:
    """Where the asset is served. KeyError for one that does not exist, so that no page names it."""
    if name not in files():
        raise KeyError(name)
    return f"/static/{version()}/{name}"


@router.get("/static/{_version}/{name:path}")
async def get_asset(_version: str, name: str) -> Response:
    """An asset. A page of an earlier version gets the current one."""
    content = files().get(name)
    if content is None:
        raise NotFound("file")
    kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    cached = FOREVER if _version == version() else "no-store"
    return Response(content, media_type=kind, headers={"cache-control": cached})
