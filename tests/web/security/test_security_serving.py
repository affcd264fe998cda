"""Nothing is open by default: secrets are made, nobody has a password, and beyond loopback everything must be said."""
# ruff: noqa: E501  (tables of attacks are read by their rows)

from __future__ import annotations

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
from plaudit.feedback.collecting import Wanted, owner_link, prepare
from plaudit.feedback.opening import opened, read_secret, secret_in
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.people import People
from plaudit.web.serving import PORT, Listening, bind


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
            prepare(database, Wanted("demo"))
            assert {mode(p) for p in tmp_path.iterdir()} == {0o600}
    finally:
        os.umask(old)


def test_two_projects_have_nothing_in_common(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'collect.db'}") as database:
        made = [prepare(database, Wanted(slug))[0] for slug in ("one", "two")]
    assert made[0].secret != made[1].secret
    assert all(len(bytes.fromhex(p.secret)) == 32 for p in made)


def test_nobody_has_a_password_and_the_way_in_is_used_once(tmp_path: Path, site: Site) -> None:
    prepare(site.database, Wanted("demo"))
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
    prepare(site.database, Wanted("demo"))
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
