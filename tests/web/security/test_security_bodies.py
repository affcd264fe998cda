"""Who may not send a body has none of it read; who may keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from web.security.site import HERE, HOST, Site, Visitor, pair

from plaudit.feedback.store.errors import Invalid
from plaudit.web import json_rows, request_body
from plaudit.web.api import items
from plaudit.web.json_rows import import_of, rested
from plaudit.web.request_body import MOST_BODY, MOST_SMALL

ROOT = "/api/projects/demo"


@pytest.fixture
def demo(site: Site) -> Site:
    site.project("demo")
    for name, role in (("Olga", "owner"), ("Rita", "reviewer"), ("Lena", "labeler")):
        site.member("demo", name, role)
    return site


def status_and_bytes_read(site: Site, visitor: Visitor, path: str, stated: int | None) -> tuple[int, int]:
    """The answer to a body of 1 MiB pieces that goes on until someone stops reading, and how much of it was read."""
    headers = {"host": HOST, "origin": HERE, "content-type": "application/json"}
    headers["x-csrf-token"] = visitor.csrf
    if visitor.token:
        headers["authorization"] = f"Bearer {visitor.token}"
    elif visitor.cookie:
        headers["cookie"] = f"{site.server.cookie}={visitor.cookie}"
    if stated is not None:
        headers["content-length"] = str(stated)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "server": ("x", 1),
        "client": ("192.0.2.1", 1), "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    read, status = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 2**20
        return {"type": "http.request", "body": b" " * 2**20, "more_body": read < 2 * MOST_BODY}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    asyncio.run(site.client.app(scope, receive, send))
    return status, read


@pytest.mark.parametrize("stated", [None, 60 * 2**20])
def test_a_body_is_not_read_before_it_is_known_that_its_sender_may_send_it(
    demo: Site, stated: int | None
) -> None:
    path = f"{ROOT}/items"
    refused = [
        (demo.nobody, 401),
        (demo.browser("Stan"), 404),
        (demo.browser("Lena"), 403),
        (demo.browser("Rita"), 403),
        (demo.program("Lena", "label"), 403),
        (demo.program("Olga", "label", "review", "export"), 403),
        (Visitor(demo, cookie=demo.browser("Olga").cookie, csrf="forged"), 403),
    ]
    for visitor, status in refused:
        assert status_and_bytes_read(demo, visitor, path, stated) == (status, 0)


def test_of_a_body_beyond_the_limit_of_its_route_no_more_than_the_limit_is_read(demo: Site) -> None:
    olga = demo.browser("Olga")
    for path, most in (
        (f"{ROOT}/items", MOST_BODY),
        (f"{ROOT}/guidelines", 2**20),
        (f"{ROOT}/invitations", MOST_SMALL),
        ("/api/sign-in", 2**14),
    ):
        assert status_and_bytes_read(demo, olga, path, most + 1) == (413, 0)
        status, read = status_and_bytes_read(demo, olga, path, None)
        assert status == 413 and most < read <= most + 2**20
    assert status_and_bytes_read(demo, olga, f"{ROOT}/claim", None) == (200, 0), (
        "what is not asked for is not read"
    )


def test_guidelines_of_the_greatest_length_are_taken_in_any_script(demo: Site) -> None:
    sent = json.dumps({"markdown": "字" * 100_000})
    olga = demo.browser("Olga")
    answer = olga.post(f"{ROOT}/guidelines", content=sent, headers={"content-type": "application/json"})
    assert len(sent) > MOST_SMALL and answer.status_code == 201


def test_a_body_is_parsed_by_another_thread_than_the_one_that_serves(
    demo: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed_by, read_by = [], []
    real = request_body._parsed, request_body._kept
    monkeypatch.setattr(
        request_body, "_parsed", lambda *a: (parsed_by.append(threading.get_ident()), real[0](*a))[1]
    )
    monkeypatch.setattr(
        request_body, "_kept", lambda *a: (read_by.append(threading.get_ident()), real[1](*a))[1]
    )
    row = {"prompt": "p", "responses": ["a", "b"]}
    assert demo.browser("Olga").post(f"{ROOT}/items", {"items": [row]}).json()["added"] == 1
    assert len(parsed_by) == len(read_by) == 1 and parsed_by != read_by


def test_an_import_is_written_some_rows_at_a_time(demo: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between them others write: here a labeler's row, counted by who writes when."""
    sizes = []
    original = demo.database.write

    def write(function: Any, *args: Any, **more: Any) -> Any:
        if function is items._add:
            sizes.append(len(args[1]))
        return original(function, *args, **more)

    monkeypatch.setattr(demo.database, "write", write)
    given = [{"prompt": f"p{i}", "responses": ["a", "b"]} for i in range(250)]
    olga = demo.browser("Olga")
    for added, known in ((250, 0), (0, 250)):
        answer = olga.post(f"{ROOT}/items", {"items": given})
        assert answer.json() == {"added": added, "known": known, "notes": []}
    assert sizes == [100, 100, 50] * 2
    long = [pair(f"q{i}", "x" * 300_000, "y") for i in range(4)]
    assert [len(some) for some in items.batches(long)] == [2, 2]


def test_a_long_computation_rests_so_that_others_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rests = [0.0], []
    monkeypatch.setattr(json_rows.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(json_rows.time, "sleep", rests.append)
    for _ in rested(range(100)):
        clock[0] += json_rows.WORK / 2
    assert 30 <= len(rests) <= 50 and set(rests) == {json_rows.REST}


# Reading piece by piece is reading


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@hypothesis.given(
    st.dictionaries(st.sampled_from(["items", "purpose", "source", "é"]), JSON | st.lists(JSON, max_size=9))
    | JSON,
    st.sampled_from([None, 0, 3]),
    st.booleans(),
    st.integers(1, 40),
)
@hypothesis.settings(deadline=None, max_examples=25, database=None)
def test_what_is_read_in_pieces_is_what_is_read_at_once(
    value: Any, indent: Any, ascii_: bool, piece: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "PIECE", piece)
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_)
        assert import_of(io.BytesIO(text.encode())) == value
        for cut in range(1, len(text.rstrip()), 7):
            if isinstance(value, dict | list):
                with pytest.raises(ValueError):
                    import_of(io.BytesIO(text.encode()[:cut]))


@pytest.mark.parametrize(
    "text", ['{"items": [1.5e+300, -1e-5, 12, -0.5e1]}', '{"items":[1],"items":[2, {"a": 3}]}']
)
def test_numbers_and_repeated_names_are_as_the_standard_parser_has_them(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for piece in range(1, 12):
        monkeypatch.setattr(json_rows, "PIECE", piece)
        assert import_of(io.BytesIO(text.encode())) == json.loads(text)


BROKEN = [
    '{"items": [1 2]}',
    '{"items": [1,]}',
    '{"items": [1]} x',
    '{"items" [1]}',
    "{1: 2}",
    '{"a": 1 "b": 2}',
    "{",
    "",
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_json_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        import_of(io.BytesIO(text.encode()))


def test_a_row_and_the_rows_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MOST_ROWS", 3)
    monkeypatch.setattr(json_rows, "MOST_ROW", 50)
    monkeypatch.setattr(json_rows, "PIECE", 8)
    with pytest.raises(Invalid, match="fewer rows"):
        import_of(io.BytesIO(b'{"items": [1, 2, 3, 4]}'))
    file = io.BytesIO(b'{"items": [{"a": "' + b"x" * 10_000 + b'"}]}')
    with pytest.raises(json.JSONDecodeError, match="longer than 50 characters"):
        import_of(file)
    assert file.tell() < 300, "no more is read than it takes to know"
