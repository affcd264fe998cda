"""The API's documentation page, from its OpenAPI description and the access rule of each route."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from markupsafe import Markup

from plaudit.web.access import Access
from plaudit.web.api import ROUTERS
from plaudit.web.rendering import to_html

TITLES = {
    "signing in": "Signing in, and one's account",
    "labeling": "Labeling",
    "guidelines": "Guidelines",
    "project": "The project and its rules",
    "items": "Items",
    "people": "People",
    "results": "Results",
}


@dataclass(frozen=True, slots=True)
class FieldDoc:
    """A parameter or a field: name, type, whether it is required, description."""

    name: str
    kind: str
    required: bool
    words: str


@dataclass(frozen=True, slots=True)
class Operation:
    anchor: str
    method: str
    path: str
    summary: str
    who: str
    scope: str | None
    parameters: tuple[FieldDoc, ...]
    body: str
    body_fields: tuple[FieldDoc, ...]
    status: str
    answer: str
    answer_fields: tuple[FieldDoc, ...]
    curl: str


@dataclass(frozen=True, slots=True)
class OperationGroup:
    name: str
    title: str
    operations: tuple[Operation, ...]


def described(app: FastAPI) -> tuple[Markup, list[OperationGroup]]:
    """What the API is, and its operations by group."""
    schema = app.openapi()
    schemas = schema.get("components", {}).get("schemas", {})
    groups: dict[str, list[Operation]] = {}
    for path, methods in schema["paths"].items():
        for method, said in methods.items():
            tag = (said.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_operation(method.upper(), path, said, schemas))
    made = [
        OperationGroup(n.replace(" ", "-"), TITLES.get(n, n.capitalize()), tuple(o))
        for n, o in groups.items()
    ]
    return Markup(to_html(schema["info"].get("description", ""))), made


def _operation(method: str, path: str, said: dict[str, Any], schemas: dict[str, Any]) -> Operation:
    access = guards().get((method, path))
    body = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    status, answer = _answer(said)
    role = access.role if access else None
    who = "anyone" if access is None else f"{role} or above" if role in ("labeler", "reviewer") else role
    return Operation(
        anchor=f"{method.lower()}{path.replace('/', '-').replace('{', '').replace('}', '')}",
        method=method,
        path=path,
        summary=str(said.get("description") or said.get("summary") or ""),
        who=who or "anyone signed in",
        scope=access.scope if access else "",
        parameters=tuple(
            FieldDoc(
                p["name"], _kind(p.get("schema", {})), p.get("required", False), p.get("description", "")
            )
            for p in said.get("parameters", [])
        ),
        body=_kind(body) if body else "",
        body_fields=_fields(body, schemas),
        status=status,
        answer=_kind(answer) if answer else "",
        answer_fields=_fields(answer, schemas),
        curl=_curl(method, path, body, schemas),
    )


@cache
def guards() -> dict[tuple[str, str], Access]:
    """Who is let in, by method and path."""
    found = {}
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute):
                accesses = [d.call for d in route.dependant.dependencies if isinstance(d.call, Access)]
                for method in (route.methods or ()) if accesses else ():
                    found[method, route.path] = accesses[0]
    return found


def _answer(said: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    status = next((s for s in said["responses"] if s.startswith("2")), "200")
    return status, said["responses"].get(status, {}).get("content", {}).get("application/json", {}).get(
        "schema"
    )


def _kind(schema: dict[str, Any]) -> str:
    """A type in few words: integer, list of Person, text or nothing."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(s) for s in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(json.dumps(v) for v in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    names = {"string": "text", "null": "nothing", "boolean": "true or false"}
    kind = str(schema.get("type", "anything"))
    return names.get(kind, kind) + _limits(schema)


def _limits(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low:,g} to {high:,g}"
    longest = schema.get("maxLength")
    return f", at most {longest:,} characters" if longest else ""


def _fields(schema: dict[str, Any] | None, schemas: dict[str, Any]) -> tuple[FieldDoc, ...]:
    """The fields of the schema, or of what it is a list of."""
    named = _named(schema, schemas)
    required = named.get("required", [])
    return tuple(
        FieldDoc(name, _kind(s), name in required, str(s.get("description", "")))
        for name, s in named.get("properties", {}).items()
    )


def _named(schema: dict[str, Any] | None, schemas: dict[str, Any]) -> dict[str, Any]:
    if not schema:
        return {}
    if schema.get("type") == "array":
        schema = schema.get("items", {})
    found: dict[str, Any] = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    return found


def _curl(method: str, path: str, body: dict[str, Any] | None, schemas: dict[str, Any]) -> str:
    where = path.replace("{project}", "PROJECT").replace("{", "").replace("}", "")
    lines = [f'curl -H "Authorization: Bearer $TOKEN" HOST{where}']
    if method != "GET":
        lines[0] = lines[0].replace("curl ", f"curl -X {method} ", 1)
    if body is not None:
        example = {p.name: _example(p.kind) for p in _fields(body, schemas) if p.required}
        lines.append(f"  -H 'Content-Type: application/json' -d '{json.dumps(example)}'")
    return " \\\n".join(lines)


def _example(kind: str) -> Any:
    if kind.startswith(("integer", "number")):
        return 1
    if kind.startswith("true"):
        return True
    if kind.startswith("list"):
        return []
    if kind.startswith('"'):
        return json.loads(kind.split(" or ")[0])
    return {} if kind.startswith("object") else "…"
