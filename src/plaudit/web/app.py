"""The application: routes behind one security middleware, errors in one form."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from plaudit.errors import UserError
from plaudit.feedback.store.errors import Away, Later, Refused, SignInNeeded
from plaudit.web import assets, pages
from plaudit.web.api import ROUTERS
from plaudit.web.app_state import AppState
from plaudit.web.manage import pages as manage
from plaudit.web.security import Security
from plaudit.web.statistics import Statistics
from plaudit.web.templating import page

ABOUT = """\
Everything the pages do, for programs. A program sends `Authorization: Bearer TOKEN`, with a token that its user \
made under *Account*; a token is limited to its scopes (`label`, `review`, `export`, `manage`) and to what its user \
may do. A browser sends its cookie and, with every change, the header `X-CSRF-Token` that `/api/me` tells.

Errors are `{"error": {"code", "message", "problems": [{"field", "message"}]}}`. Times are Unix seconds."""

log = logging.getLogger("plaudit.web")


class Application(FastAPI):
    """FastAPI behind the security middleware, which also covers responses to unexpected errors."""

    def build_middleware_stack(self) -> Any:
        return Security(super().build_middleware_stack(), self.state.server)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI schema with all path parameters: FastAPI omits those that only ``Access`` reads."""
        if self.openapi_schema is None:
            for path, methods in super().openapi()["paths"].items():
                for said in methods.values():
                    there = said.setdefault("parameters", [])
                    named = {p["name"] for p in there if p["in"] == "path"}
                    there[:0] = [
                        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                        for name in re.findall(r"{(\w+)}", path)
                        if name not in named
                    ]
        return super().openapi()


def create_app(server: AppState) -> FastAPI:
    """The labeling application on a database that has its tables."""
    from plaudit import __version__

    app = Application(
        title="plaudit collect",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.server = server
    app.state.statistics = Statistics()
    for router in (*ROUTERS, pages.router, manage.router, assets.router):
        app.include_router(router)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ValidationError, _invalid)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    return app


def _refused(request: Request, error: Any) -> Response:
    assert isinstance(error, Refused)
    if isinstance(error, SignInNeeded) and not _is_api(request):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(target, safe='')}", 303)
    if isinstance(error, Away):
        server: AppState = request.app.state.server
        server.troubles.note(error, server.clock())
    problems = [{"field": p.field, "message": p.message} for p in error.problems]
    answer = _answer(request, error.status, error.code, error.message, problems)
    if isinstance(error, Later):
        answer.headers["retry-after"] = str(max(1, round(error.wait)))
        if error.status == 503 and request.method == "GET" and not _is_api(request):
            answer.headers["refresh"] = answer.headers["retry-after"]  # the page comes again by itself
    return answer


def _invalid(request: Request, error: Any) -> Response:
    problems = [
        {"field": ".".join(str(p) for p in e["loc"] if p != "body") or None, "message": _plain(e["msg"])}
        for e in error.errors()
    ]
    return _answer(request, 422, "invalid", "invalid request", problems)


def _user_error(request: Request, error: Any) -> Response:
    assert isinstance(error, UserError)
    problems = [{"field": p.field, "message": str(p)} for p in error.problems]
    return _answer(request, 422, "invalid", error.message, problems)


def _http(request: Request, error: Any) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is no such page", 405: "method not allowed"}
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http")
    return _answer(request, error.status_code, code, words.get(error.status_code, str(error.detail)), [])


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %r failed", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, "internal", "internal error; see the server's log", [])


def _answer(
    request: Request, status: int, code: str, message: str, problems: list[dict[str, Any]]
) -> Response:
    if not _is_api(request):
        return page(request, "error.html", status=status, message=message, code=code)
    error: dict[str, Any] = {"code": code, "message": _encodable(message)}
    if problems:
        error["problems"] = [
            {"field": _encodable(p["field"]) if p["field"] else None, "message": _encodable(p["message"])}
            for p in problems
        ]
    return JSONResponse({"error": error}, status)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/static/"))


def _encodable(text: str) -> str:
    """Text that UTF-8 can encode: a message may quote a lone surrogate."""
    return text.encode(errors="replace").decode()


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
