"""The table of all routes, who may use each, and a world in which every request of it succeeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.routing import iter_route_contexts
from web.security.site import Site, Snapshot, Visitor, pair, verdict

# Who asks, in the order of the columns below. "owner:label" is a program with a token of the owner's, of that scope.
VISITORS = (  # noqa: SIM905 — one list to read beside the columns
    "nobody stranger labeler reviewer owner out closed "
    "owner:label owner:review owner:export owner:manage "
    "labeler:label labeler:review labeler:export labeler:manage"
).split()

# What they get; "ok" is the success of the route. "out" had a part in the project that has ended, "closed" is a person
# whose account has; pages send those who are not signed in to the front door.
KINDS = {
    #            nobody strang label. review owner  out    closed | owner's tokens     | labeler's tokens
    "public":   "ok     ok     ok     ok     ok     ok     ok     ok  ok  ok  ok    ok  ok  ok  ok ",
    "docs":     "ok     ok     ok     ok     ok     ok     ok     403 403 403 403   403 403 403 403",
    "accept":   "401    ok     ok     ok     ok     403    401    403 403 403 403   403 403 403 403",
    "person":   "401    ok     ok     ok     ok     ok     401    403 403 403 403   403 403 403 403",
    "me":       "401    ok     ok     ok     ok     ok     401    ok  403 403 403   ok  403 403 403",
    "label":    "401    404    ok     ok     ok     404    401    ok  403 403 403   ok  403 403 403",
    "review":   "401    404    403    ok     ok     404    401    403 ok  403 403   403 403 403 403",
    "export":   "401    404    403    403    ok     404    401    403 403 ok  403   403 403 403 403",
    "manage":   "401    404    403    403    ok     404    401    403 403 403 ok    403 403 403 403",
    "in person": "401   404    403    403    ok     404    401    403 403 403 403   403 403 403 403",
    "page":     "303    ok     ok     ok     ok     ok     303    403 403 403 403   403 403 403 403",
    "label page": "303  404    ok     ok     ok     404    303    403 403 403 403   403 403 403 403",
    "review page": "303 404    403    ok     ok     404    303    403 403 403 403   403 403 403 403",
    "owner page": "303  404    403    403    ok     404    303    403 403 403 403   403 403 403 403",
}  # fmt: skip
# What each kind declares: the least role, and the scope of a token.
GUARDS = {
    "person": (None, None), "accept": (None, None), "me": (None, "label"), "label": ("labeler", "label"),
    "review": ("reviewer", "review"),
    "export": ("owner", "export"), "manage": ("owner", "manage"), "in person": ("owner", None),
    "page": (None, None), "label page": ("labeler", None), "review page": ("reviewer", None),
    "owner page": ("owner", None),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A route's kind, the request that succeeds, and its answer. ``needs``: what has to be prepared for it."""

    kind: str
    ok: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""
    needs: str = ""


KEY = {"idempotency-key": "matrix-00000001"}
P = "/api/projects/{project}"
A = P + "/assignments/{assignment}"
ROW = {"prompt": "new?", "responses": ["one", "two"]}
TABLE = {
    "GET /api/openapi.json": Case("public"),
    "GET /static/{_version}/{name:path}": Case("public"),
    "POST /api/sign-in": Case("public", body={"name": "Pat", "password": "correct horse"}),
    "POST /api/links/look": Case("public", body={"token": "{login}"}),
    "POST /api/links/enter": Case("public", body={"token": "{login}"}),
    "POST /api/links/join": Case("public", 201, body={"token": "{invite}", "name": "Nina"}),
    "POST /api/links/accept": Case("accept", body={"token": "{invite}"}),
    "POST /api/sign-out": Case("person", 204),
    "GET /api/me": Case("me"),
    "POST /api/me/password": Case("person", 204, body={"password": "correct horse"}),
    "GET /api/me/tokens": Case("person"),
    "POST /api/me/tokens": Case("person", 201, body={"name": "mine", "scopes": ["label"]}),
    "DELETE /api/me/tokens/{token}": Case("person", 204),
    f"POST {P}/claim": Case("label"),
    f"GET {A}": Case("label"),
    f"POST {A}/heartbeat": Case("label", body={"active_ms": 5}),
    f"PUT {A}/draft": Case("label", body={"rev": 0, "payload": {}}),
    f"POST {A}/submit": Case("label", 201, body="{verdict}", headers=KEY),
    f"POST {A}/revise": Case("label", 201, body="{verdict}", headers=KEY, needs="judged"),
    f"POST {A}/skip": Case("label", body={"reason": "unsure"}),
    f"POST {A}/stop-showing": Case("label"),
    f"POST {A}/release": Case("label"),
    f"POST {A}/reveal": Case("label"),
    f"GET {P}/mine": Case("label"),
    f"GET {P}/skip-reasons": Case("label"),
    f"GET {P}/guidelines": Case("label"),
    f"GET {P}/guidelines/versions": Case("label"),
    f"POST {P}/guidelines/seen": Case("label", 204, body={"version": 1}),
    f"POST {P}/guidelines": Case("manage", 201, body={"markdown": "be kind"}),
    f"POST {P}/my/sensitivity": Case("label", body={"level": 1}),
    f"POST {P}/guidelines/preview": Case("manage", body={"markdown": "be kind"}),
    f"PATCH {P}": Case("manage", 204, body={"title": "Another"}),
    f"GET {P}/status": Case("review"),
    f"GET {P}/settings": Case("review"),
    f"PATCH {P}/settings": Case("manage", body={"overlap": 2}),
    f"POST {P}/state": Case("manage", 204, body={"state": "paused"}),
    f"GET {P}/audit": Case("manage"),
    f"GET {P}/items": Case("review"),
    f"GET {P}/items/{{item}}": Case("review"),
    f"POST {P}/items": Case("manage", 201, body={"items": [ROW]}),
    f"PATCH {P}/items/{{item}}": Case("manage", body={"sensitivity": 1}),
    f"GET {P}/people": Case("manage"),
    f"PATCH {P}/people/{{person}}": Case("manage", body={"role": "reviewer"}),
    f"POST {P}/people/{{person}}/sign-in-link": Case("in person", 201),
    f"GET {P}/invitations": Case("manage"),
    f"POST {P}/invitations": Case("in person", 201, body={}),
    f"DELETE {P}/invitations/{{invitation}}": Case("manage", 204),
    f"GET {P}/quality": Case("review"),
    f"GET {P}/quality/{{table}}.csv": Case("review"),
    f"GET {P}/quality/{{table}}.json": Case("review"),
    f"GET {P}/export.jsonl": Case("export"),
    "GET /sign-in": Case("public"),
    "GET /enter": Case("public"),
    "GET /": Case("page"),
    "GET /account": Case("page"),
    "GET /p/{project}": Case("label page"),
    "GET /p/{project}/history": Case("label page"),
    "GET /p/{project}/guidelines": Case("label page"),
    "GET /p/{project}/dashboard": Case("review page"),
    "GET /p/{project}/items": Case("review page"),
    "GET /p/{project}/items/{item}": Case("review page"),
    "GET /p/{project}/people": Case("owner page"),
    "GET /p/{project}/settings": Case("owner page"),
    "GET /api/docs": Case("docs"),
}  # fmt: skip
# Where a page leads on: home goes straight into the only project, where there is one.
LEADS_ON = {"GET /"}


def routes(site: Site) -> dict[str, Any]:
    """Every route that the application has, by method and path."""
    found = {}
    for route in iter_route_contexts(site.client.app.routes):
        for method in (route.methods or set()) - {"HEAD"}:
            found[f"{method} {route.path}"] = route
    return found


@dataclass
class World:
    """A project with a person of every kind, another one beside it, and the ids of what they have."""

    site: Site
    visitors: dict[str, Visitor]
    ids: dict[str, dict[str, str]]  # of each visitor
    other: dict[str, str]  # of the other project
    tasks: dict[str, Any]
    snapshot: Snapshot

    def ask(
        self,
        route: str,
        who: str,
        *,
        other: tuple[str, ...] = (),
        visitor: Visitor | None = None,
        **more: Any,
    ) -> Any:
        """The route's request as ``who`` makes it, with the ids named in ``other`` those of the other project."""
        case = TABLE[route]
        person = who.partition(":")[0]
        ids = self.ids.get(person, self.ids["labeler"]) | {k: self.other[k] for k in other}
        method, path = route.split(" ")
        path = path.replace("{name:path}", "{name}").format(**ids)
        body = case.body
        if body == "{verdict}":
            body = verdict(self.tasks.get(person, self.tasks["labeler"]))
        elif isinstance(body, dict) and str(body.get("token")) in ("{login}", "{invite}"):
            body = body | {"token": ids[body["token"].strip("{}")]}
        sender = visitor or self.visitors[who]
        return sender.ask(
            method, path + case.query, body, headers=case.headers | more.pop("headers", {}), **more
        )

    def prepare(self, route: str, who: str) -> None:
        self.snapshot.restore()
        person = who.partition(":")[0]
        if TABLE[route].needs == "judged" and expected(route, who) < 400:
            done = self.visitors[person].post(
                f"/api/projects/demo/assignments/{self.ids[person]['assignment']}/submit",
                verdict(self.tasks[person]),
                headers={"idempotency-key": "before-the-revision"},
            )
            assert done.status_code == 201, done.text


def make_world(site: Site, file: Path) -> World:
    for slug in ("demo", "other"):
        site.project(slug, edit_minutes=60)
        site.guideline(slug, "# Be kind")
        site.items(slug, [pair(f"{slug} {i}?", f"one {i}", f"two {i}") for i in range(6)])
    for name, role in (("Olga", "owner"), ("Rita", "reviewer"), ("Lena", "labeler"), ("Luis", "labeler")):
        site.member("demo", name, role)
    site.disable_member(site.member("demo", "Otto", "owner"))
    site.member("demo", "Dora", "owner")
    for name, role in (("Stan", "owner"), ("Sven", "labeler")):
        site.member("other", name, role)
    people = {
        "stranger": "Stan", "labeler": "Lena", "reviewer": "Rita", "owner": "Olga", "out": "Otto", "closed": "Dora",
    }  # fmt: skip
    visitors = {"nobody": site.nobody} | {who: site.browser(name) for who, name in people.items()}
    for who, name in (("owner", "Olga"), ("labeler", "Lena")):
        for scope in ("label", "review", "export", "manage"):
            visitors[f"{who}:{scope}"] = site.program(name, scope)
    # Someone with a password, for the front door; hashed before, outside of what is compared.
    pat = site.browser("Pat")
    assert pat.post("/api/me/password", {"password": "correct horse"}).status_code == 204
    tasks = {}
    for who in ("labeler", "reviewer", "owner"):
        tasks[who] = visitors[who].post("/api/projects/demo/claim").json()["task"]
    sven = site.browser("Sven").post("/api/projects/other/claim").json()["task"]
    held = {t["assignment"] for t in tasks.values()}
    ids = {}
    owner, stan = visitors["owner"], visitors["stranger"]
    items = owner.get("/api/projects/demo/items").json()["items"]
    free = next(i["id"] for i in items if not i["taken"])
    luis = next(p["id"] for p in owner.get("/api/projects/demo/people").json() if p["name"] == "Luis")
    invitation = owner.post("/api/projects/demo/invitations", {}).json()["id"]
    common = {
        "project": "demo", "item": free, "person": luis, "invitation": invitation, "table": "project",
        "login": site.link(user="Luis"), "invite": site.link(project="demo", role="labeler", max_uses=9),
        "_version": "now", "name": "app.css",
    }  # fmt: skip
    for who in people:
        token = visitors[who].post("/api/me/tokens", {"name": "old", "scopes": ["label"]}).json()["id"]
        ids[who] = common | {"assignment": tasks.get(who, tasks["labeler"])["assignment"], "token": token}
    ids["nobody"] = ids["labeler"]
    assert len(held) == 3
    other = {
        "project": "other",
        "assignment": sven["assignment"],
        "item": stan.get("/api/projects/other/items").json()["items"][0]["id"],
        "person": stan.get("/api/projects/other/people").json()[0]["id"],
        "invitation": stan.post("/api/projects/other/invitations", {}).json()["id"],
        "token": ids["stranger"]["token"],
    }
    site.disable_user("Dora")
    for visitor in visitors.values():
        visitor.get("/api/me")  # seen just now: nobody's stamp is due
    return World(site, visitors, ids, other, tasks, Snapshot(file))


def expected(route: str, who: str) -> int:
    case = TABLE[route]
    word = KINDS[case.kind].split()[VISITORS.index(who)]
    if word == "ok":
        return 303 if route in LEADS_ON and who != "out" else case.ok
    return int(word)


WITH_IDS = [
    (route, name)
    for route in TABLE
    for name in ("project", "assignment", "item", "person", "invitation", "token")
    if f"{{{name}}}" in route
]
