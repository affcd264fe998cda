"""Who comes in, what proves it, and what they may do."""

from __future__ import annotations

import contextlib

import pytest
from making import NOW, all_of, change, count_of, make, stored

from plaudit.feedback.store import people as module
from plaudit.feedback.store.account_tables import ApiToken, Attempt, Link, Session, User
from plaudit.feedback.store.errors import Forbidden, Invalid, NotFound, Refused, SignInNeeded, TooMany
from plaudit.feedback.store.login_throttle import FREE_TRIES, LONGEST_WAIT
from plaudit.feedback.store.passwords import hash_password, password_matches
from plaudit.feedback.store.people import (
    DAY,
    SESSION_SECONDS,
    People,
    add_member,
    add_user,
    clean_name,
    note,
    revoke_sessions,
    user_by_name,
)
from plaudit.feedback.store.schema import Audit, Member, Project

PEOPLE = People(b"k" * 32)


@pytest.fixture
def ann(database):
    return database.write(add_user, "Ann", now=NOW)


def session_of(database, user, now=NOW):
    return database.write(PEOPLE.start_session, user, now=now)


# Sessions


def test_a_session_lasts_until_it_ends(database, ann):
    token = session_of(database, ann)
    assert database.read(PEOPLE.by_session, token, now=NOW + SESSION_SECONDS).user.id == ann.id
    with pytest.raises(SignInNeeded):
        database.read(PEOPLE.by_session, token, now=NOW + SESSION_SECONDS + 1)
    database.write(PEOPLE.end_session, token, now=NOW + 5)
    with pytest.raises(SignInNeeded):
        database.read(PEOPLE.by_session, token, now=NOW + 5)
    assert stored(database, Session, all_of(database, Session)[0].id).revoked_at == NOW + 5


def test_sessions_of_a_person_end_together_but_for_one(database, ann):
    tokens = [session_of(database, ann) for _ in range(3)]
    other = session_of(database, database.write(add_user, "Bob", now=NOW))
    kept = database.read(PEOPLE.by_session, tokens[1], now=NOW).session
    database.write(revoke_sessions, ann.id, now=NOW, but=kept.id)
    for token in (tokens[0], tokens[2]):
        with pytest.raises(SignInNeeded):
            database.read(PEOPLE.by_session, token, now=NOW)
    assert database.read(PEOPLE.by_session, tokens[1], now=NOW).user.id == ann.id
    assert database.read(PEOPLE.by_session, other, now=NOW)


def test_secrets_are_kept_as_keyed_hashes_only(database, ann):
    token = session_of(database, ann)
    _, link = database.write(lambda s: PEOPLE.make_link(s, now=NOW, user=s.get_one(User, ann.id)))
    _, key = database.write(lambda s: PEOPLE.make_token(s, ann, name="x", scopes=["label"], now=NOW))
    rows = str([vars(r) for t in (Session, Link, ApiToken) for r in all_of(database, t)])
    for secret in (token, link, key):
        assert secret not in rows and secret[-20:] not in rows
    # Without the server's secret, a row is of no use.
    with pytest.raises(SignInNeeded):
        database.read(People(b"other" * 8).by_session, token, now=NOW)
    assert len({token, link, key}) == 3
    assert PEOPLE.csrf(token) != PEOPLE.csrf(session_of(database, ann))


def test_a_closed_account_is_out_at_once(database, ann):
    token = session_of(database, ann)
    _, key = database.write(lambda s: PEOPLE.make_token(s, ann, name="x", scopes=["label"], now=NOW))
    change(database, User, ann.id, disabled_at=NOW)
    for enter in (
        lambda: database.read(PEOPLE.by_session, token, now=NOW),
        lambda: database.read(PEOPLE.by_token, key, now=NOW),
        lambda: session_of(database, stored(database, User, ann.id)),
    ):
        with pytest.raises(SignInNeeded, match="closed"):
            enter()


# Links


def test_a_link_is_used_once_however_many_try(database, ann, in_threads):
    _, token = database.write(lambda s: PEOPLE.make_link(s, now=NOW, user=s.get_one(User, ann.id)))

    def use(i):
        try:
            return database.write(PEOPLE.use_link, token, now=NOW).user_id
        except NotFound:
            return None

    got = in_threads(10, use)
    assert sorted(map(str, got)) == sorted([ann.id, *["None"] * 9])
    assert all_of(database, Link)[0].uses == 1


def test_a_link_of_many_uses_has_exactly_so_many(database, in_threads):
    made = make(database)
    _, token = database.write(
        lambda s: PEOPLE.make_link(
            s, now=NOW, project=s.get_one(Project, made.project), role="labeler", max_uses=4
        )
    )

    def join(i):
        def work(session):
            link = PEOPLE.use_link(session, token, now=NOW)
            user = add_user(session, f"person {i}", now=NOW)
            return add_member(
                session, session.get_one(Project, link.project_id), user, link.role, now=NOW
            ).pseudonym

        try:
            return database.write(work)
        except NotFound:
            return "late"

    got = in_threads(10, join)
    assert sorted(got) == [*[f"labeler-{i:03d}" for i in range(2, 6)], *["late"] * 6]
    # Who came too late left nothing behind.
    assert count_of(database, User) == 1 + 4


def test_old_revoked_and_unknown_links_look_alike(database, ann):
    link, token = database.write(lambda s: PEOPLE.make_link(s, now=NOW, user=s.get_one(User, ann.id), days=7))
    assert database.read(PEOPLE.look_at_link, token, now=NOW + 7 * DAY).id == link.id
    messages = set()
    for attempt in (token, "plaudit_l_unknown"):
        with pytest.raises(NotFound) as refused:
            database.write(PEOPLE.use_link, attempt, now=NOW + 7 * DAY + 1)
        messages.add(refused.value.message)
    change(database, Link, link.id, revoked_at=NOW)
    with pytest.raises(NotFound) as refused:
        database.write(PEOPLE.use_link, token, now=NOW)
    assert len(messages | {refused.value.message}) == 1
    with pytest.raises(Invalid, match="roles are"):
        database.write(lambda s: PEOPLE.make_link(s, now=NOW, role="admin"))


# Programs


def test_a_token_does_what_its_scopes_say_until_it_ends(database, ann):
    made, token = database.write(
        lambda s: PEOPLE.make_token(
            s, ann, name=" my  script ", scopes=["review", "label", "label"], now=NOW, days=10
        )
    )
    assert (made.name, made.scopes, made.last4) == ("my script", ["label", "review"], token[-4:])
    who = database.read(PEOPLE.by_token, token, now=NOW + 10 * DAY)
    assert (who.user.id, who.scopes) == (ann.id, frozenset(["label", "review"]))
    with pytest.raises(SignInNeeded):
        database.read(PEOPLE.by_token, token, now=NOW + 10 * DAY + 1)
    change(database, ApiToken, made.id, revoked_at=NOW)
    with pytest.raises(SignInNeeded):
        database.read(PEOPLE.by_token, token, now=NOW)
    for scopes in ([], ["root"], ["label", "root"]):
        with pytest.raises(Invalid, match="scopes are"):
            database.write(lambda s, x=scopes: PEOPLE.make_token(s, ann, name="x", scopes=x, now=NOW))


def test_a_token_without_end_lasts_and_one_that_ended_at_zero_does_not(database, ann):
    made, token = database.write(
        lambda s: PEOPLE.make_token(s, ann, name="x", scopes=["label"], now=NOW, days=None)
    )
    assert database.read(PEOPLE.by_token, token, now=NOW + 10**9).user.id == ann.id
    change(database, ApiToken, made.id, expires=0.0)
    with pytest.raises(SignInNeeded):
        database.read(PEOPLE.by_token, token, now=NOW)


def test_a_browser_session_has_every_scope(database, ann):
    token = session_of(database, ann)
    assert database.read(PEOPLE.by_session, token, now=NOW).scopes == frozenset(module.SCOPES)


# Passwords and guessing


def test_passwords():
    stored_hash = hash_password("correct horse")
    assert stored_hash.startswith("$argon2id$") and "correct" not in stored_hash
    assert password_matches(stored_hash, "correct horse")
    assert not password_matches(stored_hash, "correct horsf")
    assert not password_matches(None, "nobody's password")  # what nobody's hash is made of
    assert not password_matches("no hash at all", "correct horse")
    assert hash_password("correct horse") != stored_hash
    with pytest.raises(Invalid, match="10 characters"):
        hash_password("too short")


def test_guessing_gets_slow_and_is_forgotten(database):
    def guess(now):
        database.write(PEOPLE.reserve, {"name:ann": 1, "address:1": 10}, now=now)

    for i in range(FREE_TRIES):
        guess(NOW + i)
    waits, now = [], NOW + FREE_TRIES - 1
    for _ in range(8):
        for _ in range(2):
            with pytest.raises(TooMany) as refused:
                guess(now)
        waits.append(refused.value.wait)
        now += refused.value.wait
        guess(now)
    assert waits == [30, 60, 120, 240, 480, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]
    # What was refused is not counted. And an address that many share has ten times the patience.
    assert {a.count for a in all_of_attempts(database)} == {FREE_TRIES + 8}
    database.write(PEOPLE.reserve, {"address:1": 10}, now=now)
    with pytest.raises(TooMany, match="minutes"):
        database.write(PEOPLE.reserve, {"address:1": 1}, now=now)
    guess(now + DAY + 1)
    assert {a.count for a in all_of_attempts(database)} == {1}


def all_of_attempts(database):
    return database.read(lambda s: list(s.query(Attempt)))


def test_of_many_tries_at_once_only_the_free_ones_are_let_through(database, in_threads):
    through = []

    def guess(i):
        with contextlib.suppress(TooMany):
            database.write(PEOPLE.reserve, {"name:ann": 1, f"address:{i % 3}": 10}, now=NOW)
            through.append(i)

    in_threads(20, guess)
    assert len(through) == FREE_TRIES
    counts = [a.count for a in all_of_attempts(database)]
    assert sum(counts) == 2 * FREE_TRIES and max(counts) == FREE_TRIES


def test_who_came_in_is_forgiven_and_others_are_not(database):
    for _ in range(3):
        database.write(PEOPLE.reserve, {"name:ann": 1, "address:1": 10}, now=NOW)
    database.write(PEOPLE.reserve, {"name:bob": 1, "address:1": 10}, now=NOW)
    database.write(PEOPLE.forgive, "name:ann", "address:1")
    assert [a.count for a in all_of_attempts(database)] == [1, 1]


def test_what_is_kept_of_tries_names_nobody(database):
    database.write(PEOPLE.reserve, {"name:ann": 1}, now=NOW)
    assert "ann" not in all_of_attempts(database)[0].key


# Names and parts


@pytest.mark.parametrize(
    "name, right",
    [
        ("  Ann \t Lee\n", "Ann Lee"),
        ("Ann\u202eeeL", "AnneeL"),  # a mark that turns the direction of reading
        ("Zoe\u0308", "Zoë"),
        ("a\x00b\u200bc\ud800", "abc"),
        ("x" * 80, "x" * 80),
    ],
)
def test_names_are_cleaned(name, right):
    assert clean_name(name) == right


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "x" * 81])
def test_names_that_are_none(name):
    with pytest.raises(Invalid, match="1 to 80"):
        clean_name(name)


def test_a_name_is_taken_whatever_its_spelling(database, ann):
    for name in ("ann", "ANN", " Ann ", "\uff21nn"):
        with pytest.raises(Refused, match="taken"):
            database.write(add_user, name, now=NOW)
        assert database.read(user_by_name, name).id == ann.id
    assert database.read(user_by_name, "Anna") is None
    # One letter that stands for eighteen.
    with pytest.raises(Invalid):
        database.write(add_user, "\ufdfa" * 80, now=NOW)


def test_people_who_join_at_once_get_a_pseudonym_each(database, in_threads, conflicts):
    made = make(database, members=0)
    users = [database.write(add_user, f"person {i}", now=NOW) for i in range(10)]

    def join(i):
        return database.write(
            lambda s: add_member(s, s.get_one(Project, made.project), users[i], "labeler", now=NOW).pseudonym
        )

    assert sorted(in_threads(10, join)) == [f"labeler-{i:03d}" for i in range(1, 11)]
    assert conflicts == []


def test_a_part_only_rises_and_an_ended_one_stays_ended(database, ann):
    made = make(database, members=0)

    def join(role):
        return database.write(
            lambda s: add_member(s, s.get_one(Project, made.project), s.get_one(User, ann.id), role, now=NOW)
        )

    assert [join(r).role for r in ("labeler", "owner", "reviewer", "labeler")] == ["labeler", *["owner"] * 3]
    [member] = all_of(database, Member)
    change(database, Member, member.id, disabled_at=NOW)
    with pytest.raises(Forbidden):
        join("owner")


def test_the_audit_log_says_who_did_what(database, ann):
    made = make(database)
    database.write(
        lambda s: note(
            s, "paused", now=NOW, by=ann, project=s.get_one(Project, made.project), target="p", why="rest"
        )
    )
    [line] = all_of(database, Audit)
    assert (line.user_id, line.project_id, line.action, line.detail) == (
        ann.id,
        made.project,
        "paused",
        {"why": "rest"},
    )
