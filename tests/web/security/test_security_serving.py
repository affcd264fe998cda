"""Nothing is open by default: secrets are made, nobody has a password, and beyond loopback everything must be said."""
# ruff: noqa: E501  (tables of attacks are read by their rows)

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from web.security.site import Site

from plaudit.cli import main
from plaudit.errors import UserError
from plaudit.feedback.backup import backup, restore
from plaudit.feedback.project_location import opened, read_secret, secret_in
from plaudit.feedback.project_setup import ProjectRequest, owner_link, prepare
from plaudit.feedback.server_address import noted, server_address
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.people import People
from plaudit.web import launch
from plaudit.web.connections import Connection
from plaudit.web.launch import PORT, Listening, bind


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def problems(listening: Listening, url: str = "sqlite:///x.db") -> list[str]:
    with pytest.raises(UserError) as error:
        listening.check(url)
    return [p.field or "" for p in error.value.problems]


# Secrets


def test_a_new_secret_is_random_and_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first, second = secret_in(tmp_path), secret_in(tmp_path / "..")
    finally:
        os.umask(old)
    (tmp_path / "../secret.key").unlink()
    assert first != second
    assert len(bytes.fromhex(first.decode())) == 32
    assert mode(tmp_path / "secret.key") == 0o600
    assert secret_in(tmp_path) == first


def test_a_secret_that_is_none_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"changeme", b" " * 64, b"\n" * 99, b"x" * 31):
        (tmp_path / "s").write_bytes(content)
        with pytest.raises(UserError, match="too short"):
            read_secret(tmp_path / "s")
    with pytest.raises(UserError, match="cannot be read"):
        read_secret(tmp_path / "nothing")


def test_a_new_database_is_private_whatever_the_folder(tmp_path: Path) -> None:
    """It holds names, password hashes, and which model wrote what."""
    old = os.umask(0)
    try:
        with opened(f"sqlite:///{tmp_path / 'collect.db'}") as database:
            prepare(database, ProjectRequest("demo"))
            assert {mode(p) for p in tmp_path.iterdir()} == {0o600}
    finally:
        os.umask(old)


def test_two_projects_have_nothing_in_common(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'collect.db'}") as database:
        made = [prepare(database, ProjectRequest(slug))[0] for slug in ("one", "two")]
    assert made[0].secret != made[1].secret
    assert all(len(bytes.fromhex(p.secret)) == 32 for p in made)


def test_nobody_has_a_password_and_the_way_in_is_used_once(tmp_path: Path, site: Site) -> None:
    prepare(site.database, ProjectRequest("demo"))
    people = site.server.people
    _, old = owner_link(site.database, people, "demo")
    who, token = owner_link(site.database, people, "demo")
    assert [u["password_hash"] for u in site.rows()["users"]] == [None]
    import time

    site.now = time.time()
    entered = [site.nobody.post("/api/links/enter", {"token": t}).status_code for t in (old, token, token)]
    assert entered == [404, 200, 404], "an earlier start's unused link ends; a link is used once"
    assert who == "owner"


def test_a_link_of_another_secret_opens_nothing(site: Site) -> None:
    prepare(site.database, ProjectRequest("demo"))
    _, token = owner_link(site.database, People(b"another secret of 32 bytes, longer"), "demo")
    assert site.nobody.post("/api/links/enter", {"token": token}).status_code == 404


# Listening


def test_loopback_needs_nothing() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.7"):
        Listening(host).check("sqlite:///x.db")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.7", "label.example", "", "127.0.0.1.evil.example", "0"]
)
def test_beyond_loopback_all_that_is_missing_is_said_at_once(host: str) -> None:
    assert problems(Listening(host)) == ["--host", "--secret-file", "--origin"]
    assert problems(Listening(host, workers=4)) == ["--host", "--secret-file", "--origin", "--workers"]
    assert problems(Listening(host, origin="https://label.example")) == ["--secret-file"]
    Listening(host, origin="https://label.example", own_secret=True).check("sqlite:///x.db")


@pytest.mark.parametrize(
    "origin",
    ["label.example", "ftp://label.example", "https://", "https://label.example/", "https://label.example/path",
     "https://label.example?x", "https://label.example#x", "https://user@label.example", "javascript:alert(1)",
     "https://[", "https:// label.example", "https://a\nb", "https://label.example\\x", "//label.example", "https://a b"],
)  # fmt: skip
def test_what_is_no_origin(origin: str) -> None:
    assert "--origin" in problems(Listening(origin=origin))


def test_an_origin_without_tls_is_refused() -> None:
    assert problems(Listening(origin="http://label.example")) == ["--origin"]
    assert problems(Listening("0.0.0.0", origin="http://label.example", own_secret=True)) == [
        "--origin",
        "--host",
    ]
    Listening(origin="http://localhost:9000").check("sqlite:///x.db")


def test_half_a_certificate_is_refused(tmp_path: Path) -> None:
    there = tmp_path / "cert.pem"
    there.write_text("x")
    assert problems(Listening(certificate=there)) == ["--tls-cert"]
    assert problems(Listening(key=there)) == ["--tls-cert"]
    assert problems(Listening(certificate=there, key=tmp_path / "none")) == ["--tls-cert"]


def test_several_workers_need_postgresql() -> None:
    assert problems(Listening(workers=2)) == ["--workers"]
    Listening(workers=2).check("postgresql+psycopg://x@/y")


def test_the_command_refuses_with_code_2_before_it_makes_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "p", "responses": ["x", "y"]}) + "\n")
    monkeypatch.setattr("sys.argv", ["plaudit"])
    with pytest.raises(SystemExit) as ended:
        main(["collect", "--responses", "a.jsonl", "--host", "0.0.0.0", "--workers", "3"])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert all(option in told for option in ("--host", "--secret-file", "--origin", "--workers"))
    assert not (tmp_path / "projects").exists()


def test_it_listens_on_loopback_and_on_the_next_free_port() -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        except OSError:
            pass  # somebody else has it: as good
        with bind(Listening()) as first, bind(Listening()) as second:
            ports = [s.getsockname()[1] for s in (first, second)]
            assert first.getsockname()[0] == "127.0.0.1"
            assert PORT < ports[0] < ports[1] <= PORT + 20
            with pytest.raises(UserError, match="cannot be listened on"):
                bind(Listening(port=ports[0]))


# Backups


def test_a_backup_is_private_even_where_somebody_waits_for_it(site: Site, tmp_path: Path) -> None:
    """A file, or a link to one, that stands where it is written is neither filled nor followed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("kept")
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / ".b.jsonl.gz.part").symlink_to(elsewhere)
    backup(site.database, folder / "b.jsonl.gz")
    assert elsewhere.read_text() == "kept"
    assert not (folder / "b.jsonl.gz").is_symlink()
    (folder / ".c.jsonl.gz.part").write_text("x")
    (folder / ".c.jsonl.gz.part").chmod(0o666)
    backup(site.database, folder / "c.jsonl.gz")
    assert mode(folder / "c.jsonl.gz") == mode(folder / "b.jsonl.gz") == 0o600


@pytest.mark.parametrize(
    "lines",
    [
        [[]],
        ["x"],
        [{"kind": "x"}],
        [None],
        [{"kind": "plaudit collect backup", "revision": "0001"}, {"table": "sqlite_master", "row": {}}],
    ],
)
def test_what_is_no_backup_is_said_so(site: Site, tmp_path: Path, lines: list[Any]) -> None:
    path = tmp_path / "b.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(x) + "\n" for x in lines).encode()))
    with pytest.raises(UserError):
        restore(site.database, path)
    assert not any(site.rows().values())


def test_the_secret_is_not_shown(site: Site, tmp_path: Path) -> None:
    """Not in what the server is called, nor in an address with a password."""
    from plaudit.feedback.store.database import shown

    assert "secret of the tests" not in repr(site.server)
    assert "hunter2" not in shown("postgresql://u:hunter2@h/d")
    assert isinstance(site.database, Database)


# Proxies


def test_forwarded_addresses_are_believed_of_named_proxies_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on loopback: anyone on this machine, and every proxy that nobody named, could write what it likes."""
    for proxies, believed in (((), False), (("127.0.0.1",), True), (("10.0.0.0/8",), False)):
        assert client_seen(monkeypatch, Listening(proxies=proxies)) == (
            "203.0.113.9" if believed else "127.0.0.1"
        )


def client_seen(monkeypatch: pytest.MonkeyPatch, listening: Listening) -> str:
    """Who a request from 127.0.0.1 comes from, which says that it was sent on for 203.0.113.9."""
    import uvicorn

    made: list[uvicorn.Config] = []
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: made.append(self.config))
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    monkeypatch.setattr(launch, "application", lambda *_: app)
    monkeypatch.setattr(Connection, "limits", Connection.limits)
    monkeypatch.setattr(Connection, "open", Connection.open)
    with bind(Listening(port=0)) as sock:
        launch.serve(Database("sqlite:///never.db"), b"", listening, sock)
    made[0].load()
    headers = [(b"x-forwarded-for", b"198.51.100.1, 203.0.113.9")]
    scope = {"type": "http", "client": ("127.0.0.1", 1), "scheme": "http", "headers": headers}
    asyncio.run(made[0].loaded_app(scope, None, None))
    return str(seen[0])


def test_what_is_no_proxy_is_refused() -> None:
    for proxy in ("*", "", "proxy.example", "10.0.0.0/99", "1.2.3"):
        assert problems(Listening(proxies=(proxy,))) == ["--proxy"]
    Listening(proxies=("127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32")).check("sqlite:///x.db")


def test_a_proxy_that_nobody_named_is_spoken_of(tmp_path: Path) -> None:
    told = Listening(origin="https://label.example").warnings()
    assert len(told) == 1 and "--proxy" in told[0]
    assert not Listening().warnings()
    assert not Listening(origin="https://label.example", proxies=("127.0.0.1",)).warnings()
    assert not Listening(origin="https://label.example", certificate=tmp_path, key=tmp_path).warnings()


# Where it is


def link(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[str, str]:
    """What `plaudit collect link` prints: the address, and what it says beside."""
    with pytest.raises(SystemExit):
        main(["collect", "link", *more])
    told = capsys.readouterr()
    return told.out.splitlines()[-1].partition(": ")[2].partition("/enter#")[0], told.err


def test_a_link_leads_to_where_the_server_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["plaudit"])
    folder = tmp_path / "projects" / "demo"
    folder.mkdir(parents=True)
    secret_in(folder)
    url = f"sqlite:///{folder / 'collect.db'}"
    with opened(url) as database:
        prepare(database, ProjectRequest("demo"))
    address, told = link(capsys)
    assert address == "http://127.0.0.1:8642" and "--port" in told
    with noted(folder, url, "https://label.example:9000"):
        assert link(capsys) == ("https://label.example:9000", "")
        assert link(capsys, "--port", "9001") == ("http://127.0.0.1:9001", "")
        assert link(capsys, "--origin", "https://other.example")[0] == "https://other.example"
        with noted(folder, url, "http://127.0.0.1:9002"):
            assert link(capsys)[0] == "http://127.0.0.1:9002"
        kept = (
            json.loads((folder / "serving.json").read_text()) if (folder / "serving.json").exists() else None
        )
    assert kept is None and not (folder / "serving.json").exists()
    # Killed: what it noted stays, and is not trusted.
    gone = {"address": "http://127.0.0.1:9003", "process": 2**22 + 1, "database": str(folder / "collect.db")}
    (folder / "serving.json").write_text(json.dumps(gone))
    address, told = link(capsys)
    assert address == "http://127.0.0.1:9003" and "seems not to run" in told
    for broken in ("", "[]", "{}", "\x00"):
        (folder / "serving.json").write_text(broken)
        assert link(capsys)[0] == "http://127.0.0.1:8642"


def test_a_server_of_a_database_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "projects/one").mkdir(parents=True)
    url = "postgresql+psycopg://label:hunter2@db/plaudit"
    with noted(Path("projects/one"), url, "https://label.example"):
        assert server_address(Path(), url).address == "https://label.example"  # type: ignore[union-attr]
        assert server_address(Path(), url + "2") is None
        assert "hunter2" not in Path("projects/one/serving.json").read_text()


def test_the_command_notes_where_it_listens_while_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["plaudit"])
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "p", "responses": ["x", "y"]}) + "\n")
    said = []

    def listen(database: Database, secret: bytes, listening: Listening, sock: socket.socket) -> None:
        capsys.readouterr()
        said.append((sock.getsockname()[1], link(capsys)[0]))

    monkeypatch.setattr(launch, "serve", listen)
    with pytest.raises(SystemExit):
        main(["collect", "--responses", "a.jsonl", "--port", "0"])
    assert said == [(said[0][0], f"http://127.0.0.1:{said[0][0]}")]
    assert not (tmp_path / "projects/a/serving.json").exists()
