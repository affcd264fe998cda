"""Who one is: sessions, links, tokens and roles, and the ways in which people would take more than they were given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from web.security.site import Site, Visitor

from plaudit.feedback.store.people import SESSION_SECONDS

DAY = 86_400
PASSWORD = "correct horse battery"


@pytest.fixture
def demo(site: Site) -> Site:
    site.project("demo")
    site.project("other")
    site.member("demo", "Olga", "owner")
    site.member("demo", "Rita", "reviewer")
    site.member("demo", "Lena", "labeler")
    site.member("other", "Stan", "owner")
    return site


def signed_in(site: Site, answer: Any) -> Visitor:
    """The visitor that an answer's cookie makes."""
    assert answer.status_code in (200, 201), answer.text
    value = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    return site.with_cookie(value)


def is_in(visitor: Visitor) -> bool:
    return visitor.get("/api/me").status_code == 200


def person(site: Site, name: str, slug: str = "demo") -> str:
    """A person's id in a project, as its owner reads it."""
    boss = site.browser({"demo": "Olga", "other": "Stan"}[slug])
    return next(p["id"] for p in boss.get(f"/api/projects/{slug}/people").json() if p["name"] == name)


# Sessions


def test_a_cookie_that_the_browser_brought_is_never_adopted(demo: Site) -> None:
    """Fixation: whoever planted the cookie would be signed in with it."""
    planted = demo.with_cookie("planted-by-somebody-else-1234567890123456789012345")
    answer = planted.post("/api/links/enter", {"token": demo.link(user="Lena")})
    now = signed_in(demo, answer)
    assert now.cookie != planted.cookie
    assert is_in(now) and not is_in(planted)


def test_signing_in_ends_the_session_that_the_browser_had(demo: Site) -> None:
    before = demo.browser("Olga")
    now = signed_in(demo, before.post("/api/links/enter", {"token": demo.link(user="Lena")}))
    assert now.get("/api/me").json()["name"] == "Lena"
    assert not is_in(before)


def test_signing_out_ends_the_session_on_the_server(demo: Site) -> None:
    here, there = demo.browser("Lena"), demo.browser("Lena")
    assert here.post("/api/sign-out").status_code == 204
    assert not is_in(here) and is_in(there)


def test_signing_out_everywhere(demo: Site) -> None:
    here, there, other = demo.browser("Lena"), demo.browser("Lena"), demo.browser("Olga")
    assert here.post("/api/sign-out?everywhere=true").status_code == 204
    assert (is_in(here), is_in(there), is_in(other)) == (False, False, True)


def test_a_session_ends_by_itself(demo: Site) -> None:
    lena = demo.browser("Lena")
    demo.now += SESSION_SECONDS - 1
    assert is_in(lena)
    demo.now += 2
    assert not is_in(lena)


def test_a_new_password_ends_all_else(demo: Site) -> None:
    here, there = demo.browser("Lena"), demo.browser("Lena")
    link = demo.link(user="Lena")
    assert here.post("/api/me/password", {"password": PASSWORD}).status_code == 204
    assert (is_in(here), is_in(there)) == (True, False)
    assert demo.nobody.post("/api/links/enter", {"token": link}).status_code == 404


def test_a_password_is_changed_with_the_old_one_only(demo: Site) -> None:
    lena = demo.browser("Lena")
    lena.post("/api/me/password", {"password": PASSWORD})
    for old in (None, "", "wrong", PASSWORD.upper()):
        answer = lena.post("/api/me/password", {"password": "another password", "old": old})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_password")
    answer = lena.post("/api/me/password", {"password": "another password", "old": PASSWORD})
    assert answer.status_code == 204
    assert demo.nobody.post("/api/sign-in", {"name": "Lena", "password": PASSWORD}).status_code == 401


def test_old_passwords_cannot_be_guessed_from_an_open_browser(demo: Site) -> None:
    lena = demo.browser("Lena")
    lena.post("/api/me/password", {"password": PASSWORD})
    statuses = [
        lena.post("/api/me/password", {"password": "another password", "old": f"guess {i}"}).status_code
        for i in range(7)
    ]
    assert statuses == [403] * 5 + [429] * 2


def test_a_closed_account_is_out_at_once(demo: Site) -> None:
    lena, program = demo.browser("Lena"), demo.program("Lena", "label")
    link = demo.link(user="Lena")
    demo.disable_user("Lena")
    assert not is_in(lena) and not is_in(program)
    assert demo.nobody.post("/api/links/enter", {"token": link}).status_code == 401


# Links


def test_a_one_time_link_is_used_once_by_twenty_at_a_time(demo: Site) -> None:
    token = demo.link(user="Lena")
    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(lambda _: demo.server and enter(demo, token), range(20)))
    assert sorted(got) == [200] + [404] * 19


def enter(site: Site, token: str) -> int:
    return int(site.nobody.post("/api/links/enter", {"token": token}).status_code)


def test_an_invitation_is_used_as_often_as_it_says(demo: Site) -> None:
    token = demo.link(project="demo", role="labeler", max_uses=3)

    def join(i: int) -> int:
        return int(demo.nobody.post("/api/links/join", {"token": token, "name": f"New {i}"}).status_code)

    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(join, range(12)))
    assert sorted(got) == [201] * 3 + [404] * 9
    people = demo.browser("Olga").get("/api/projects/demo/people").json()
    assert len([p for p in people if p["name"].startswith("New")]) == 3
    assert len({p["pseudonym"] for p in people}) == len(people)


def test_a_link_ends_with_its_time(demo: Site) -> None:
    login, invite = demo.link(user="Lena", days=1), demo.link(project="demo", role="labeler", days=1)
    demo.now += DAY + 1
    for path, body in (
        ("look", {"token": login}),
        ("enter", {"token": login}),
        ("join", {"token": invite, "name": "N"}),
    ):
        assert demo.nobody.post(f"/api/links/{path}", body).status_code == 404


def test_a_revoked_invitation_is_dead_and_no_longer_listed(demo: Site) -> None:
    olga = demo.browser("Olga")
    made = olga.post("/api/projects/demo/invitations", {"max_uses": 5}).json()
    token = made["path"].partition("#")[2]
    assert olga.delete(f"/api/projects/demo/invitations/{made['id']}").status_code == 204
    assert demo.nobody.post("/api/links/join", {"token": token, "name": "N"}).status_code == 404
    assert olga.get("/api/projects/demo/invitations").json() == []


def test_looking_uses_nothing_up_and_tells_no_more_than_needed(demo: Site) -> None:
    token = demo.link(project="demo", role="reviewer")
    for _ in range(3):
        landing = demo.nobody.post("/api/links/look", {"token": token}).json()
        assert landing == {"kind": "invite", "name": None, "project": "Demo", "role": "reviewer"}
    assert demo.nobody.post("/api/links/join", {"token": token, "name": "N"}).status_code == 201


def test_links_do_not_do_each_others_work(demo: Site) -> None:
    """And a refused use is no use: the link still does its own."""
    login, invite = demo.link(user="Lena"), demo.link(project="demo", role="labeler")
    assert demo.nobody.post("/api/links/join", {"token": login, "name": "N"}).status_code == 422
    assert demo.browser("Stan").post("/api/links/accept", {"token": login}).status_code == 422
    assert demo.nobody.post("/api/links/enter", {"token": invite}).status_code == 422
    assert enter(demo, login) == 200
    assert demo.nobody.post("/api/links/join", {"token": invite, "name": "N"}).status_code == 201


def test_joining_under_somebodys_name_takes_nothing_of_theirs(demo: Site) -> None:
    token = demo.link(project="demo", role="labeler", max_uses=9)
    for name in ("Olga", "OLGA", " olga ", "Ｏlga", "O\u200blga", "Olga\u202e", "o\u00adlga"):
        answer = demo.nobody.post("/api/links/join", {"token": token, "name": name})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "name_taken"), ascii(name)
        assert "set-cookie" not in answer.headers


# Tokens


def test_no_secret_is_in_the_database(demo: Site, file: Path) -> None:
    """Neither in its tables nor in what is left over in its files."""
    lena = demo.browser("Lena")
    lena.post("/api/me/password", {"password": PASSWORD})
    made = lena.post("/api/me/tokens", {"name": "mine", "scopes": ["label"]}).json()
    olga = demo.browser("Olga")
    invitation = olga.post("/api/projects/demo/invitations", {}).json()["path"].partition("#")[2]
    link = olga.post(f"/api/projects/demo/people/{person(demo, 'Lena')}/sign-in-link").json()["path"]
    secrets = [lena.cookie, lena.csrf, made["token"], invitation, link.partition("#")[2], PASSWORD]
    held = b"".join(path.read_bytes() for path in file.parent.glob(file.name + "*"))
    assert made["name"].encode() in held
    for secret in secrets:
        assert len(secret) > 20
        assert secret.encode() not in held
        assert secret[-20:].encode() not in held
    assert demo.server.secret not in held and demo.server.secret.hex().encode() not in held


def test_a_token_is_shown_once(demo: Site) -> None:
    lena = demo.browser("Lena")
    made = lena.post("/api/me/tokens", {"name": "mine", "scopes": ["label", "label"]}).json()
    assert made["scopes"] == ["label"]
    listed = lena.get("/api/me/tokens")
    assert made["token"] not in listed.text
    assert listed.json() == [made | {"token": None}]


def test_a_token_ends_when_it_is_revoked_or_old(demo: Site) -> None:
    lena = demo.browser("Lena")
    made = lena.post("/api/me/tokens", {"name": "mine", "scopes": ["label"], "days": 1}).json()
    program = Visitor(demo, token=made["token"])
    assert is_in(program)
    assert lena.delete(f"/api/me/tokens/{made['id']}").status_code == 204
    assert not is_in(program)
    other = demo.program("Lena", "label", days=1)
    demo.now += DAY + 1
    assert not is_in(other)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "bearer null",
        "Basic TGVuYTp4",
        "Token {t}",
        "{t}",
        "Bearer {t}x",
        "Bearer {c}",
    ],
)
def test_only_a_whole_token_counts(demo: Site, header: str) -> None:
    """And a session's cookie is no token; a wrong token is not made up for by a cookie."""
    lena, program = demo.browser("Lena"), demo.program("Lena", "label")
    sent = header.replace("{t}", program.token).replace("{c}", lena.cookie)
    assert lena.get("/api/me", headers={"authorization": sent}).status_code == 401


def test_a_token_needs_known_scopes(demo: Site) -> None:
    lena = demo.browser("Lena")
    for scopes in ([], ["all"], ["label", "admin"], ["LABEL"], [""]):
        assert lena.post("/api/me/tokens", {"name": "x", "scopes": scopes}).status_code == 422


def test_secrets_are_256_random_bits(demo: Site) -> None:
    made = {demo.link(user="Lena").removeprefix("plaudit_l_") for _ in range(50)}
    assert len(made) == 50
    assert all(len(token) == 43 for token in made)  # base64 of 32 bytes
    for place in range(42):
        assert len({token[place] for token in made}) > 10


# Taking more than was given


def test_a_labeler_or_reviewer_gives_nobody_a_part(demo: Site) -> None:
    mine = person(demo, "Lena")
    for name in ("Lena", "Rita"):
        visitor = demo.browser(name)
        assert visitor.post("/api/projects/demo/invitations", {"role": "owner"}).status_code == 403
        assert visitor.patch(f"/api/projects/demo/people/{mine}", {"role": "owner"}).status_code == 403
        assert visitor.post(f"/api/projects/demo/people/{mine}/sign-in-link").status_code == 403


def test_the_role_is_the_invitations_not_the_guests(demo: Site) -> None:
    token = demo.link(project="demo", role="labeler", max_uses=9)
    wished = ({"role": "owner"}, {"project": "other", "role": "owner"}, {"kind": "login"})
    for i, more in enumerate(wished):
        answer = demo.nobody.post("/api/links/join", {"token": token, "name": f"Eve {i}", **more})
        mine = answer.json()["projects"]
        assert [(p["slug"], p["role"]) for p in mine] == [("demo", "labeler")]


@pytest.mark.parametrize("role", ["admin", "OWNER", "", None, 0, ["owner"]])
def test_there_are_three_roles(demo: Site, role: Any) -> None:
    olga = demo.browser("Olga")
    assert olga.post("/api/projects/demo/invitations", {"role": role}).status_code == 422
    if role is not None:
        answer = olga.patch(f"/api/projects/demo/people/{person(demo, 'Lena')}", {"role": role})
        assert answer.status_code == 422


def test_an_invitation_never_lowers_and_never_revives(demo: Site) -> None:
    olga = demo.browser("Olga")
    assert (
        olga.post("/api/links/accept", {"token": demo.link(project="demo", role="labeler")}).status_code
        == 200
    )
    assert olga.get("/api/me").json()["projects"][0]["role"] == "owner"
    lena = demo.browser("Lena")
    olga.patch(f"/api/projects/demo/people/{person(demo, 'Lena')}", {"disabled": True})
    token = demo.link(project="demo", role="owner")
    assert lena.post("/api/links/accept", {"token": token}).status_code == 403
    assert lena.get("/p/demo").status_code == 404


def test_a_project_keeps_an_owner(demo: Site) -> None:
    olga, mine = demo.browser("Olga"), person(demo, "Olga")
    for change in ({"role": "labeler"}, {"disabled": True}, {"role": "owner", "disabled": True}):
        answer = olga.patch(f"/api/projects/demo/people/{mine}", change)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "last_owner")
    rita = person(demo, "Rita")
    assert (
        olga.patch(f"/api/projects/demo/people/{rita}", {"role": "owner", "disabled": True}).status_code
        == 200
    )
    # An owner whose part has ended is none who could keep it, and may lose the role.
    assert olga.patch(f"/api/projects/demo/people/{mine}", {"role": "labeler"}).status_code == 409
    assert olga.patch(f"/api/projects/demo/people/{rita}", {"role": "labeler"}).status_code == 200


def test_two_owners_who_remove_each_other_leave_one(demo: Site) -> None:
    demo.member("demo", "Oleg", "owner")
    olga, oleg = demo.browser("Olga"), demo.browser("Oleg")
    ids = {"Olga": person(demo, "Olga"), "Oleg": person(demo, "Oleg")}
    jobs = [(olga, ids["Oleg"]), (oleg, ids["Olga"])] * 4
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda j: j[0].patch(f"/api/projects/demo/people/{j[1]}", {"role": "labeler"}), jobs))
    members = [r for r in demo.rows()["members"] if r["role"] == "owner" and r["pseudonym"]]
    owners = [m for m in members if m["id"] in ids.values()]
    assert len(owners) == 1


def test_an_owner_who_is_removed_does_not_come_back_by_an_own_invitation(demo: Site) -> None:
    demo.member("demo", "Oleg", "owner")
    oleg, olga = demo.browser("Oleg"), demo.browser("Olga")
    kept = oleg.post("/api/projects/demo/invitations", {"role": "owner", "max_uses": 9, "days": 300}).json()
    way_in = oleg.post(f"/api/projects/demo/people/{person(demo, 'Lena')}/sign-in-link").json()
    others = olga.post("/api/projects/demo/invitations", {}).json()
    assert (
        olga.patch(f"/api/projects/demo/people/{person(demo, 'Oleg')}", {"disabled": True}).status_code == 200
    )
    token = kept["path"].partition("#")[2]
    assert demo.nobody.post("/api/links/join", {"token": token, "name": "Back"}).status_code == 404
    assert enter(demo, way_in["path"].partition("#")[2]) == 404
    assert [i["id"] for i in olga.get("/api/projects/demo/invitations").json()] == [others["id"]]


# Links that sign somebody else in


def test_a_sign_in_link_is_for_those_without_a_part_elsewhere(demo: Site) -> None:
    demo.member("other", "Lena", "labeler")
    olga = demo.browser("Olga")
    answer = olga.post(f"/api/projects/demo/people/{person(demo, 'Lena')}/sign-in-link")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_yours")


def test_an_owner_is_not_signed_in_by_another(demo: Site) -> None:
    demo.member("demo", "Oleg", "owner")
    olga = demo.browser("Olga")
    assert olga.post(f"/api/projects/demo/people/{person(demo, 'Oleg')}/sign-in-link").status_code == 403
    assert olga.post(f"/api/projects/demo/people/{person(demo, 'Olga')}/sign-in-link").status_code == 201


def test_whoever_joins_a_second_project_is_out_of_the_first_owners_reach(demo: Site) -> None:
    """The owner made a link, and used another, while that was allowed; neither opens the other project."""
    olga, lena = demo.browser("Olga"), demo.browser("Lena")
    target = f"/api/projects/demo/people/{person(demo, 'Lena')}/sign-in-link"
    first = olga.post(target).json()["path"].partition("#")[2]
    as_lena = signed_in(demo, demo.nobody.post("/api/links/enter", {"token": first}))
    lena = demo.browser("Lena")
    second = olga.post(target).json()["path"].partition("#")[2]
    lena, as_lena = demo.browser("Lena"), demo.browser("Lena")
    assert (
        lena.post("/api/links/accept", {"token": demo.link(project="other", role="owner")}).status_code == 200
    )
    assert is_in(lena)
    assert not is_in(as_lena)
    assert enter(demo, second) == 404


def test_a_sign_in_link_ends_what_was_before(demo: Site) -> None:
    """It is made for somebody who lost their way in, or whose way in is in wrong hands."""
    olga, lena, old = demo.browser("Olga"), demo.browser("Lena"), demo.link(user="Lena")
    made = olga.post(f"/api/projects/demo/people/{person(demo, 'Lena')}/sign-in-link").json()["path"]
    assert not is_in(lena)
    assert enter(demo, old) == 404
    assert enter(demo, made.partition("#")[2]) == 200


def test_what_people_do_to_people_is_in_the_log(demo: Site) -> None:
    olga = demo.browser("Olga")
    olga.post("/api/projects/demo/invitations", {"role": "reviewer"})
    olga.patch(f"/api/projects/demo/people/{person(demo, 'Lena')}", {"role": "reviewer"})
    olga.post(f"/api/projects/demo/people/{person(demo, 'Lena')}/sign-in-link")
    log = olga.get("/api/projects/demo/audit").json()
    assert [e["action"] for e in log] == ["made sign-in link", "changed person", "invited"]
    assert {e["who"] for e in log} == {"Olga"}
    assert "plaudit_" not in str(log)


def test_a_token_makes_no_owners(demo: Site) -> None:
    """Whoever it makes an owner could make links and sign in by them: a program must not become a person."""
    olga, program = demo.browser("Olga"), demo.program("Olga", "manage")
    lena, otto = person(demo, "Lena"), demo.member("demo", "Otto", "owner")
    for change in (
        {"role": "owner"},
        {"role": "owner", "disabled": False},
        {"role": "owner", "disabled": True},
    ):
        before = demo.rows()
        answer = program.patch(f"/api/projects/demo/people/{lena}", change)
        if change.get("disabled"):
            assert answer.status_code == 200, "nobody's part that has ended is an owner's"
            enabled = program.patch(f"/api/projects/demo/people/{lena}", {"disabled": False})
            assert enabled.status_code == 403
            assert olga.patch(f"/api/projects/demo/people/{lena}", {"role": "labeler"}).status_code == 200
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "browser_only")
            assert demo.rows() == before
    # Neither anew, nor by a link; what is no promotion is a program's to do.
    demo.disable_member(otto)
    assert program.patch(f"/api/projects/demo/people/{otto}", {"disabled": False}).status_code == 403
    assert program.post("/api/projects/demo/invitations", {"role": "owner"}).status_code == 403
    assert program.patch(
        f"/api/projects/demo/people/{lena}", {"role": "reviewer", "disabled": False}
    ).is_success
    assert olga.patch(f"/api/projects/demo/people/{lena}", {"role": "owner"}).json()["role"] == "owner"
    assert program.patch(f"/api/projects/demo/people/{lena}", {"role": "owner"}).is_success, (
        "an owner stays one"
    )
