"""Checks on every request (Host, Origin, size, JSON) and security headers of every response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from plaudit.web.app_state import SAFE, AppState
from plaudit.web.request_body import MOST_BODY

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Nothing may run, load or frame but what this server itself sends; no inline script, no inline style.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types plaudit",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class Security:
    """ASGI middleware around everything else: checks Host and Origin, sets the response headers."""

    def __init__(self, app: Any, server: AppState) -> None:
        self.app = app
        self.server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def secured(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if self.server.secure:
                    headers["strict-transport-security"] = "max-age=31536000"
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, secured)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not self.server.knows_host(headers.get("host", "")):
            return _refused(421, "wrong_host", "this server is not reached by that name")
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            # PostgreSQL cannot even be asked for it.
            return _refused(400, "bad_address", "the address holds a character that no name has")
        if scope["method"] in SAFE:
            return None
        if headers.get("sec-fetch-site", "same-origin") != "same-origin" or not self._own_origin(headers):
            return _refused(403, "cross_origin", "the request comes from another site")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 12) or int(length) > MOST_BODY:
            return _refused(413, "too_large", "the request is too large")
        has_body = length != "0" or "transfer-encoding" in headers
        if has_body and headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            # A form of another site can be sent without asking first; JSON cannot.
            return _refused(415, "not_json", "send application/json")
        return None

    def _own_origin(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        # No browser: those send it with every change.
        return origin is None or self.server.is_own_origin(origin, headers.get("host", ""))


def _refused(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
