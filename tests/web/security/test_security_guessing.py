"""Passwords are guessed slowly, whatever way the name is written; nothing tells which names there are."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from web.security.site import Site

from plaudit.feedback.store import people

PASSWORD = "correct horse battery"


class Counting:
    """A password hasher that counts, and takes no time."""

    def __init__(self) -> None:
        self.checked: list[tuple[str, str]] = []

    def hash(self, password: str) -> str:
        return f"hash of {password}"

    def verify(self, stored: str, password: str) -> bool:
        from argon2.exceptions import VerifyMismatchError

        self.checked.append((stored, password))
        if stored != f"hash of {password}":
            raise VerifyMismatchError
        return True


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Counting:
    made = Counting()
    people._unknown.cache_clear()
    monkeypatch.setattr(people, "_hasher", lambda: made)
    yield made
    people._unknown.cache_clear()


@pytest.fixture
def known(site: Site, hasher: Counting) -> Site:
    for name in ("Ann", "Bob"):
        assert site.browser(name).post("/api/me/password", {"password": PASSWORD}).status_code == 204
    return site


def attempt(site: Site, name: str, password: str = "wrong") -> Any:
    return site.nobody.post("/api/sign-in", {"name": name, "password": password})


def test_failures_on_one_name_slow_down_the_next(known: Site, hasher: Counting) -> None:
    assert [attempt(known, "Ann").status_code for _ in range(5)] == [401] * 5
    waits = []
    for _ in range(12):
        refused = attempt(known, "Ann")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_attempts")
        waits.append(int(refused.headers["retry-after"]))
        known.now += waits[-1] + 1
        assert attempt(known, "Ann").status_code == 401
    # Twice as long each time, a quarter of an hour at most.
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_while_it_is_slowed_down_not_even_the_right_password_counts(known: Site, hasher: Counting) -> None:
    """Otherwise guessing went on at full speed: a guess would be known by being let in."""
    for _ in range(5):
        attempt(known, "Ann")
    checked = len(hasher.checked)
    assert attempt(known, "Ann", PASSWORD).status_code == 429
    assert len(hasher.checked) == checked
    known.now += 3
    assert attempt(known, "Ann", PASSWORD).status_code == 200


def test_a_link_lets_in_whom_a_guesser_has_locked_out(known: Site) -> None:
    for _ in range(6):
        attempt(known, "Ann")
    assert known.nobody.post("/api/links/enter", {"token": known.link(user="Ann")}).status_code == 200


SPELLINGS = [
    "Ann",
    "ann",
    "ANN",
    " Ann",
    "Ann ",
    "\tann\n",
    "Ａnn",
    "ann\u3000",
    "\u2009ann",
    "ＡＮＮ",
    "  ANN  ",
]


def test_all_spellings_of_a_name_share_its_tries(known: Site) -> None:
    for spelling in SPELLINGS[:5]:
        assert attempt(known, spelling).status_code == 401
    for spelling in SPELLINGS:
        assert attempt(known, spelling).status_code == 429, ascii(spelling)
    assert attempt(known, "Bob", PASSWORD).status_code == 200


def test_failures_from_one_address_slow_down_all_names(known: Site) -> None:
    """One password tried on many names."""
    assert [attempt(known, f"name {i}").status_code for i in range(50)] == [401] * 50
    assert attempt(known, "somebody new").status_code == 429


def test_an_own_account_does_not_wash_an_address_clean(known: Site) -> None:
    for i in range(48):
        attempt(known, f"name {i}")
    attempt(known, "Bob")
    assert attempt(known, "Bob", PASSWORD).status_code == 200
    assert [attempt(known, "Ann").status_code for _ in range(3)] == [401, 401, 429]


def test_somebodys_slips_are_forgotten_when_they_come_in(known: Site) -> None:
    """Also for the address: an office of people who mistype is not locked out."""
    for _ in range(30):
        assert attempt(known, "Ann").status_code == 401
        assert attempt(known, "Ann").status_code == 401
        assert attempt(known, "Ann", PASSWORD).status_code == 200


def test_a_days_rest_begins_anew(known: Site) -> None:
    for _ in range(5):
        attempt(known, "Ann")
    known.now += people.DAY + 1
    assert [attempt(known, "Ann").status_code for _ in range(5)] == [401] + [401] * 4


def test_a_name_that_nobody_has_costs_the_same_and_says_the_same(known: Site, hasher: Counting) -> None:
    known.user("Lin")  # has no password
    attempt(known, "warm-up")
    answers = []
    for name in ("Ann", "nobody at all", "Lin"):
        before = len(hasher.checked)
        answers.append(attempt(known, name))
        assert len(hasher.checked) == before + 1, name
        # Against a whole hash: anything else is refused without the work.
        assert hasher.checked[-1][0].startswith("hash of ")
    assert len({(a.status_code, a.text, tuple(a.headers.items())) for a in answers}) == 1


def test_nobody_signs_in_without_a_password_that_they_set(known: Site) -> None:
    """Not with the empty one, and not with the one that stands in for names that nobody has."""
    known.user("Lin")
    for password in ("", "nobody's password", "None", "password", "plaudit"):
        for name in ("Lin", "nobody at all", "owner", "admin"):
            assert attempt(known, name, password).status_code in (401, 429)
        known.now += 100_000


def test_no_more_than_a_few_passwords_are_hashed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 64 MiB; anyone may ask for one."""
    at_once, most, lock = 0, 0, threading.Lock()

    class Slow:
        def hash(self, _: str) -> str:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            time.sleep(0.02)
            with lock:
                at_once -= 1
            return "x"

    monkeypatch.setattr(people, "_hasher", Slow)
    threads = [threading.Thread(target=people.hash_password, args=("0123456789",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == people.HASHERS


def test_passwords_are_kept_with_argon2id() -> None:
    stored = people.hash_password(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert people.hash_password(PASSWORD) != stored
    assert people.password_matches(stored, PASSWORD) and not people.password_matches(stored, PASSWORD + " ")


@pytest.mark.parametrize("password", ["", "short", "123456789"])
def test_short_passwords_are_refused(site: Site, password: str) -> None:
    site.project("demo")
    assert site.browser("Ann").post("/api/me/password", {"password": password}).status_code == 422
    token = site.link(project="demo", role="labeler")
    if password:
        body = {"token": token, "name": "New", "password": password}
        assert site.nobody.post("/api/links/join", body).status_code == 422


def test_failed_tries_keep_neither_names_nor_addresses(known: Site, file: Any) -> None:
    attempt(known, "a rare name")
    held = b"".join(path.read_bytes() for path in file.parent.glob(file.name + "*"))
    assert b"a rare name" not in held and b"testclient" not in held
