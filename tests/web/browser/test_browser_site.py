"""Signing in and out, links, the account."""

from __future__ import annotations

import re

import httpx2
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select
from web.browser.desk import PASSWORD, Desk, pair, ready

from plaudit.feedback.store.account_tables import ApiToken, Session, User
from plaudit.feedback.store.schema import Member


def fill_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_sign_in_with_a_password(desk: Desk) -> None:
    desk.expect("401")
    desk.user("Ann", PASSWORD)
    desk.project(pair())
    page = desk.open(None, f"/p/{desk.slug}/history")
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    fill_in(page, desk.names["Ann"], "a wrong password")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    # Capitals and spaces of the name do not matter.
    desk.site.ahead += 60
    fill_in(page, f" {desk.names['Ann'].upper()} ", PASSWORD)
    expect(page.get_by_role("heading", name="My judgements")).to_be_visible()
    expect(page).to_have_url(re.compile(f"/p/{desk.slug}/history$"))


@pytest.mark.parametrize(
    "next_", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_next_leads_nowhere_else(desk: Desk, next_: str) -> None:
    desk.user("Ann", PASSWORD)
    desk.project(pair())
    page = desk.open(None, f"/sign-in?next={next_}")
    fill_in(page, desk.names["Ann"], PASSWORD)
    ready(page)
    expect(page).to_have_url(f"{desk.site.address}/p/{desk.slug}")


def test_a_link_signs_in_once(desk: Desk) -> None:
    desk.expect("404")
    desk.project(pair())
    link = desk.link("Ann")
    page = desk.open(None, link)
    page.get_by_role("button", name=f"Sign in as {desk.names['Ann']}").click()
    ready(page)
    other = desk.open(None, link)
    expect(other.get_by_role("heading", name="This link does not work")).to_be_visible()
    expect(other).to_have_url(f"{desk.site.address}/enter")
    # Another link, opened over the page of the first one.
    other.evaluate("address => location.assign(address)", desk.link("Ann"))
    expect(other.get_by_role("button", name="Sign in as")).to_be_visible()
    expect(other).to_have_url(f"{desk.site.address}/enter")
    other.goto("/sign-in")
    other.goto("/enter")
    expect(other.get_by_role("heading", name="A link is missing")).to_be_visible()


def test_joins_with_an_invitation(desk: Desk) -> None:
    desk.expect("400", "401", "409", "422")
    desk.project(pair())
    page = desk.open(None, desk.link())
    expect(page.get_by_text("You are invited to “Helpful answers” as a labeler.")).to_be_visible()
    expect(page).to_have_url(f"{desk.site.address}/enter")
    page.get_by_label("Your name").fill(desk.names["Ann"])
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("alert")).to_contain_text("That name is taken")
    name = f"Cleo {desk.slug}"
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Join").click()
    ready(page)

    def work(db: object, project: object) -> list[str]:
        query = select(User.name, Member.role, User.password_hash).join(Member, Member.user_id == User.id)
        return [tuple(r) for r in db.execute(query.where(Member.project_id == project.id, User.name == name))]

    [(_, role, hashed)] = desk.change(work)
    assert role == "labeler" and hashed


def test_joins_as_who_one_is(desk: Desk) -> None:
    desk.project(pair(), people={"Bo": "owner"})
    invitation = desk.link(role="reviewer")
    desk.user("Ann")
    page = desk.open("Ann", invitation)
    page.get_by_role("button", name=f"Join as {desk.names['Ann']}").click()
    expect(page).to_have_url(re.compile(f"/p/{desk.slug}"))
    assert desk.member("Ann").role == "reviewer"


def test_sets_a_password(desk: Desk) -> None:
    desk.expect("400", "403", "422")
    desk.project(pair())
    page = desk.open(path="/account")
    expect(page.get_by_role("heading", name="Set a password")).to_be_visible()
    page.get_by_label("New password").fill("short")
    page.get_by_role("button", name="Save the password").click()
    expect(page.get_by_role("alert")).to_contain_text("at least")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Save the password").click()
    expect(page.locator(".toast")).to_contain_text("Your password is set")
    page.reload()
    page.get_by_label("Old password").fill("not it at all")
    page.get_by_label("New password").fill("another password")
    page.get_by_role("button", name="Save the password").click()
    expect(page.get_by_role("alert")).to_contain_text("The old password is wrong")
    other = desk.open(None, "/sign-in")
    fill_in(other, desk.names["Ann"], PASSWORD)
    ready(other)


def test_tokens(desk: Desk) -> None:
    desk.project(pair())
    page = desk.open(path="/account")
    expect(page.get_by_text("You have no tokens.")).to_be_visible()
    page.get_by_label("What is it for?").fill("a script")
    page.get_by_label("label", exact=True).check()
    page.get_by_role("button", name="Make it").click()
    secret = page.locator("#new-token code")
    expect(secret).to_be_focused()
    token = secret.text_content()
    me = f"{desk.site.address}/api/me"
    headers = {"authorization": f"Bearer {token}"}
    assert httpx2.get(me, headers=headers).json()["name"] == desk.names["Ann"]
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("You have no tokens.")).to_be_visible()
    assert httpx2.get(me, headers=headers).status_code == 401
    mine = select(ApiToken).where(ApiToken.user_id == desk.users["Ann"])
    [kept] = desk.change(lambda db, _: list(db.scalars(mine)))
    assert kept.scopes == ["label"] and kept.revoked_at


def test_what_one_is_willing_to_see(desk: Desk) -> None:
    desk.project(pair(sensitivity=1))
    page = desk.open()
    expect(page.get_by_role("heading", name="Nothing is left for you")).to_be_visible()
    page.goto("/account")
    with page.expect_response("**/my/sensitivity"):
        page.get_by_role("radio", name="Mildly sensitive").check()
    assert desk.member().max_sensitivity == 1
    page.goto(f"/p/{desk.slug}")
    expect(ready(page).get_by_text("Sensitivity 1")).to_be_visible()


def test_signs_out(desk: Desk) -> None:
    desk.project(pair())
    page = ready(desk.open())
    page.keyboard.press("1")
    expect(page.locator(".saved")).to_have_text("Draft saved")
    menu = page.locator(".menu summary")
    menu.click()
    page.keyboard.press("Escape")
    expect(page.locator(".menu ul")).to_be_hidden()
    expect(menu).to_be_focused()
    menu.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{desk.site.address}/sign-in")
    # Nothing of the work stays in the browser of who goes.
    assert page.evaluate("Object.keys(localStorage).filter(k => k.includes('draft'))") == []
    page.goto(f"/p/{desk.slug}")
    expect(page).to_have_url(re.compile("/sign-in"))
    assert desk.drafts()[0]["side"] == -2


def test_signs_out_everywhere(desk: Desk) -> None:
    desk.project(pair())
    here, there = desk.open(path="/account"), ready(desk.open())
    here.get_by_role("button", name="Sign out everywhere").click()
    here.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    expect(here).to_have_url(f"{desk.site.address}/sign-in")
    there.goto("/account")
    expect(there).to_have_url(re.compile("/sign-in"))
    live = select(Session).where(Session.user_id == desk.users["Ann"], Session.revoked_at.is_(None))
    assert not desk.change(lambda db, _: list(db.scalars(live)))


def test_home_shows_all_projects(desk: Desk) -> None:
    desk.project(pair())
    desk.project(pair())
    page = desk.open(path="/")
    expect(page.get_by_role("heading", name="Your projects")).to_be_visible()
    expect(page.locator("a.project")).to_have_count(2)
    page.locator(f'a.project[href="/p/{desk.slug}"]').click()
    ready(page)


def test_an_error_page_leads_home(desk: Desk) -> None:
    desk.expect("404", "403")
    desk.project(pair())
    page = desk.open(path="/p/no-such-project")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    page.goto(f"/p/{desk.slug}/settings")
    expect(page.get_by_role("heading", name="This is not open to you")).to_be_visible()
    page.get_by_role("link", name="To your projects").click()
    ready(page)
