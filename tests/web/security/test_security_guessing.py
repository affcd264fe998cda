"""Passwords are guessed slowly, whatever way the name is written; nothing tells which names there are."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from web.security.site import Site

from plaudit.feedback.store import passwords, people
from plaudit.feedback.store.errors import Busy
from plaudit.feedback.store.login_throttle import FREE_TRIES
from plaudit.web.api import auth
from plaudit.web.app_state import place_of
from plaudit.web.password_hashing import PLACES_OF_ONE, Hashing

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
    passwords._unknown.cache_clear()
    monkeypatch.setattr(passwords, "_hasher", lambda: made)
    yield made
    passwords._unknown.cache_clear()


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
    for _ in range(8):
        refused = attempt(known, "Ann")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_attempts")
        waits.append(int(refused.headers["retry-after"]))
        known.now += waits[-1] + 1
        assert attempt(known, "Ann").status_code == 401
    # Twice as long each time, a quarter of an hour at most.
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


def test_while_it_is_slowed_down_not_even_the_right_password_counts(known: Site, hasher: Counting) -> None:
    """Otherwise guessing went on at full speed: a guess would be known by being let in."""
    for _ in range(5):
        attempt(known, "Ann")
    checked = len(hasher.checked)
    assert attempt(known, "Ann", PASSWORD).status_code == 429
    assert len(hasher.checked) == checked
    known.now += 31
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


@pytest.fixture
def slow(known: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Nobody's hash is done before ``site.let_go``; what is being tested meanwhile."""
    tested, going = [], threading.Event()
    monkeypatch.setattr(known, "let_go", going.set, raising=False)

    def wait(stored: str | None, password: str) -> bool:
        tested.append(password)
        assert going.wait(20)
        return False

    monkeypatch.setattr(auth, "password_matches", wait)
    yield tested
    going.set()


def at_once(site: Site, count: int, name: str, let_go_after: int) -> list[Any]:
    """The answers to so many guesses at the same time; hashing goes on when ``let_go_after`` have been answered."""
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda i=i: answers.append(attempt(site, name.format(i), f"guess {i}")))
        for i in range(count)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 20
    while len(answers) < let_go_after and time.monotonic() < until:
        time.sleep(0.005)
    site.let_go()
    for thread in threads:
        thread.join()
    return answers


def test_of_sixty_guesses_at_once_no_more_than_the_free_ones_are_tested(known: Site, slow: list[str]) -> None:
    answers = at_once(known, 60, "Ann", 55)
    assert len(slow) == FREE_TRIES
    assert Counter(a.status_code for a in answers)[401] == FREE_TRIES
    assert {a.status_code for a in answers} <= {401, 429, 503}


def test_a_crowd_at_the_door_is_sent_away_and_nobody_inside_waits(known: Site, slow: list[str]) -> None:
    """While all hashers are held, others are told to come back, and everything else is served."""
    known.project("demo")
    known.member("demo", "Lena", "labeler")
    lena = known.browser("Lena")
    inside: list[int] = []

    def look() -> None:
        while len(inside) < 3:
            inside.append(lena.get("/api/me").status_code)

    looking = threading.Thread(target=look)
    looking.start()
    answers = at_once(known, 30, "stranger {}", 30 - PLACES_OF_ONE)
    looking.join()
    away = [a for a in answers if a.status_code == 503]
    assert len(away) == 30 - PLACES_OF_ONE and inside == [200] * 3
    assert {(a.json()["error"]["code"], a.headers["retry-after"]) for a in away} == {("busy", "2")}
    assert len(slow) == PLACES_OF_ONE, "who had a place is answered after all"
    assert attempt(known, "afterwards").status_code == 401, "and the places are free again"


def test_no_more_than_a_few_passwords_are_hashed_at_a_time() -> None:
    """Each takes 64 MiB; anyone may ask for one."""
    now, most, lock = 0, 0, threading.Lock()

    def hash_() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1

    async def ask(hashing: Hashing, address: str) -> str:
        try:
            async with hashing.place(address) as hashed:
                await hashed(hash_)
        except Busy:
            return "busy"
        return "done"

    async def crowd() -> list[str]:
        hashing = Hashing(hashers=2, places=8, places_of_one=5)
        return await asyncio.gather(*(ask(hashing, "one" if i < 9 else "another") for i in range(15)))

    said = asyncio.run(crowd())
    assert most == 2
    assert said == ["done"] * 5 + ["busy"] * 4 + ["done"] * 3 + ["busy"] * 3


def test_a_household_of_ipv6_addresses_counts_as_one() -> None:
    assert place_of("2001:db8:1:2:3:4:5:6") == place_of("2001:db8:1:2::9") != place_of("2001:db8:1:3::9")
    assert place_of("::ffff:192.0.2.7") == place_of("192.0.2.7") != place_of("192.0.2.8")
    assert place_of("fe80::1%eth0") == place_of("fe80::2") and place_of("testclient") == "testclient"


def test_passwords_are_kept_with_argon2id() -> None:
    stored = passwords.hash_password(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.hash_password(PASSWORD) != stored
    assert passwords.password_matches(stored, PASSWORD) and not passwords.password_matches(
        stored, PASSWORD + " "
    )


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
