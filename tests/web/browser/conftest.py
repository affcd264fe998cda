"""A browser and a server for each module, a project and fresh profiles for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, FLAGS
from playwright.sync_api import Browser, expect, sync_playwright
from postgresql import migrated_sqlite
from web.browser.desk import Desk, Site

__all__ = ["migrated_sqlite"]

expect.set_options(timeout=20_000)


# Of each module, not of the session: while Playwright runs, this thread has an event loop, and other tests start one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    file = tmp_path_factory.mktemp("site") / "collect.db"
    shutil.copy(migrated_sqlite, file)
    made = Site(file)
    yield made
    made.stop()
    made.database.close()


@pytest.fixture
def desk(site: Site, browser: Browser) -> Iterator[Desk]:
    site.ahead = 0.0
    made = Desk(site, browser)
    yield made
    made.close()
