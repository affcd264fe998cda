"""README and docs: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import reference
import yaml
from command_line import run

import plaudit
from plaudit.cli import command, verbs
from plaudit.config import validate
from plaudit.config.resolve import graph_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in FENCE.findall(page.read_text("utf-8")) if language in languages]


def names(pages):
    return [page.relative_to(ROOT).as_posix() for page in pages]


def test_the_python_of_the_python_page_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "python.md"
    found = blocks(page, "python")
    assert len(found) >= 8
    exec(compile("\n".join(found), str(page), "exec"), {})
    assert capsys.readouterr().out.endswith("18 answers\n")


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (snippet,) = blocks(ROOT / "README.md", "python")
    exec(compile(snippet, "README.md", "exec"), {})


def test_the_recipe_of_the_readme_is_valid():
    recipe, people = map(yaml.safe_load, blocks(ROOT / "README.md", "yaml"))
    config = validate(recipe, "README.md")
    assert list(config.steps) == ["sft", "reward", "ppo"] and config.evaluate.proxy
    assert graph_of(config).places == {"base": "base", "start": "sft", "end": "ppo"}
    config = validate(recipe | {"data": recipe["data"] | people["data"]}, "README.md")
    assert config.data.preferences[0].path == "project://projects/prompts"


def test_the_targets_of_the_readme_are_those_of_the_makefile():
    named = re.findall(r"^make (\S+)", "\n".join(blocks(ROOT / "README.md", "")), re.M)
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert named == ["demo", "test"] and set(named) <= set(phony[1].split())


def test_every_public_name_is_there_and_on_the_python_page():
    table = (ROOT / "docs" / "python.md").read_text("utf-8").split("## Names", 1)[1]
    assert sorted(re.findall(r"`(\w+)`", table)) == plaudit.__all__
    for name in plaudit.__all__:
        assert getattr(plaudit, name) is not None
    with pytest.raises(AttributeError, match="frobnicate"):
        _ = plaudit.frobnicate


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_command_of_a_page_exists_with_its_options(page):
    lines = [line for text in blocks(page, "", "bash", "sh") for line in text.splitlines()]
    text = page.read_text("utf-8")
    for line in [*lines, *re.findall(r"`(plaudit [^`]+)`", text)]:
        words = line.removeprefix("$ ").split("#")[0].split()
        if words[:1] != ["plaudit"] or len(words) < 2 or words[1].startswith("-") or words[1].isupper():
            continue
        assert words[1] in verbs(), line
        made = command(words[1])
        while words[2:3] and words[2] in getattr(made, "commands", ()):
            made = made.commands[words.pop(2)]
        known = {option for parameter in made.params for option in parameter.opts} | {"--help"}
        assert {w.split("=")[0] for w in words if w.startswith("--")} <= known, line


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_link_of_a_page_leads_somewhere(page):
    for target, place in re.findall(
        r"(?<!!)\[[^\]]*\]\(([^)#\s]*)#?([^)\s]*)[^)]*\)", FENCE.sub("", page.read_text("utf-8"))
    ):
        if not re.match(r"\w+:", target):
            there = page.parent / target if target else page
            assert there.exists(), target
            assert not place or place in places(there), f"{target}#{place}"


def places(page: Path) -> set[str]:
    """The names under which GitHub shows the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}


def test_the_index_links_every_page():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", index))
    assert linked == {page.name for page in PAGES if page.parent.name == "docs"} - {"index.md"}


def test_the_reference_of_the_command_line_is_what_help_says(capsys):
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert page == reference.text(), "stale: make docs"
    for name in ("demo", "ppo", "data"):
        assert run(name, "--help") == 0
        assert capsys.readouterr().out.strip() in page
