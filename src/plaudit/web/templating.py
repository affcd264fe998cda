"""Pages from Jinja templates, everything escaped unless it was made safe on purpose."""

from __future__ import annotations

import datetime
import functools
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape

from plaudit.display.formatting import count, number, percent
from plaudit.feedback.store.confusables import marked
from plaudit.web import assets


@functools.cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("plaudit.web", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = assets.address
    made.filters.update(number=number, percent=percent, count=count, moment=moment, day=day, as_is=escape)
    return made


def _shown(value: Any) -> Any:
    """Every text on a page has its turning marks written out, but for what ``as_is`` puts into a form's field."""
    return marked(value) if type(value) is str else value


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """The page. ``asker`` is who looks at it, None on the pages before signing in."""
    values.setdefault("asker", None)
    made = environment().get_template(template).render(path=request.url.path, status=status, **values)
    return HTMLResponse(made, status)


def moment(seconds: float | None) -> str:
    """A time in UTC, to the minute."""
    if seconds is None:
        return "–"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def day(seconds: float | None) -> str:
    return moment(seconds)[:10]
