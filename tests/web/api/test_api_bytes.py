"""The bytes of an answer, from the sampler by the page and the export to what is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from web.security.site import Site, judge

from plaudit.data.readers.read import read
from plaudit.data.records import Prompt, Ranking
from plaudit.feedback.sampling import Drawing, draw_answers, drawn_items, voices_of
from plaudit.feedback.store.projects import add_items
from plaudit.feedback.store.schema import Project
from plaudit.generation import chat
from plaudit.web.rendering import blank_of, to_html

ROOT = "/api/projects/demo"
SAID = [
    "",
    " \n\t ",
    "\n\nlate",
    "end  \n",
    "a\r\nb\tc\t",
    "\u00a0\u2028x\u3000",
    "\ufeffé\u200b",
    "*(no answer)*",
]
BLANK = {SAID[0]: "empty", SAID[1]: "white space"}


class Model:
    """A model that says what the test wants."""

    def draw(self, conversations: list[Any], **_: Any) -> list[list[tuple[str, bool]]]:
        return [[(text, True) for text in SAID] for _ in conversations]


@pytest.fixture
def sampled(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A project with one item, whose answers were sampled."""
    monkeypatch.setattr(chat, "LocalChatModel", lambda *_: Model())
    prompts, path = [Prompt.user("q", source="s")], tmp_path / "answers.jsonl"
    made = draw_answers(voices_of(["made/m"]), prompts, Drawing(answers=len(SAID), seed=4), path)
    found = drawn_items(path, prompts, made)
    site.project("demo", strength=False)
    site.member("demo", "Olga", "owner")
    site.member("demo", "Lena", "labeler")

    def work(db: Any) -> None:
        project = db.scalars(select(Project)).one()
        add_items(db, project, found.items, now=site.now, round_=found.round)

    site.database.write(work)
    return site


def exports(site: Site, file: Path, tmp_path: Path) -> list[Ranking]:
    """The one record, as the owner's export and as `project://` give it."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(site.browser("Olga").get(f"{ROOT}/export.jsonl").content)
    return [
        *read(path, kind="preferences").records,
        *read(f"project://sqlite:///{file}", kind="preferences").records,
    ]


def test_what_a_model_says_is_what_is_trained_on(sampled: Site, file: Path, tmp_path: Path) -> None:
    task = judge(sampled.browser("Lena"), "demo")
    assert sorted((a["html"], a["blank"] or "") for a in task["answers"]) == sorted(
        (to_html(text), BLANK.get(text, "")) for text in SAID
    )
    through_http, through_project = exports(sampled, file, tmp_path)
    assert through_http == through_project
    assert [r.text.encode() for r in through_project.responses] == [t.encode() for t in SAID]
    assert through_project.metadata["round"] == {
        "number": 1, "models": ["made/m"], "answers": len(SAID), "temperature": 1.0, "max_new_tokens": 256, "seed": 4,
    }  # fmt: skip
    full = sampled.browser("Olga").get(f"{ROOT}/items/{through_project.metadata['item']}").json()
    assert [(a["text"], a["blank"]) for a in full["full_answers"]] == [(t, BLANK.get(t)) for t in SAID]
    page = sampled.browser("Olga").get(f"/p/demo/items/{through_project.metadata['item']}").text
    assert page.count("The answer is empty.") == 1 and page.count("The answer is white space alone.") == 1


SHAPES = (
    lambda t: {"responses": t},
    lambda t: {"responses": [{"text": x, "model": "m"} for x in t]},
    lambda t: {"responses": [[{"role": "assistant", "content": x}] for x in t]},
    lambda t: {"response_a": t[0], "response_b": t[1]},
    lambda t: {"chosen": t[0], "rejected": t[1]},
    lambda t: {"record": "ranking", "responses": t, "groups": [[i] for i in range(len(t))]},
)


def test_what_a_row_of_any_shape_says_is_what_is_trained_on(site: Site, file: Path) -> None:
    site.project("demo", strength=False)
    site.member("demo", "Olga", "owner")
    site.member("demo", "Lena", "labeler")
    pairs = [SAID[0:2], SAID[2:4]]
    rows = [{"prompt": f"{i} {n}", **f(pair)} for n, f in enumerate(SHAPES) for i, pair in enumerate(pairs)]
    made = site.browser("Olga").post(f"{ROOT}/items", {"items": rows})
    assert made.status_code == 201, made.text
    assert "12 answers are empty or white space: kept, and marked on the page" in made.json()["notes"]
    lena = site.browser("Lena")
    for i in range(len(rows)):
        judge(lena, "demo", f"a-key-of-mine-{i}")
    records = read(f"project://sqlite:///{file}", kind="preferences").records
    assert sorted([r.text for r in record.responses] for record in records) == sorted(pairs * len(SHAPES))


def test_a_table_cannot_say_that_an_answer_is_empty(tmp_path: Path) -> None:
    from plaudit.errors import UserError
    from plaudit.feedback.importing import read_items

    path = tmp_path / "a.csv"
    path.write_text('prompt,response_a,response_b\nq,"",b\nr," a",b\n')
    with pytest.raises(UserError, match="cannot say whether it is missing"):
        read_items(path)
    assert [a.text for a in read_items(path, max_dropped=0.5).items[0].answers] == [" a", "b"]


@pytest.mark.parametrize(
    "text, shown",
    [
        ("", "empty"), (" ", "white space"), ("\r\n\t", "white space"), ("\u3000\u2028", "white space"),
        ("\u200b", "nothing to see"), ("[a]: http://b", "nothing to see"), ("&nbsp;", "nothing to see"),
        ("&#8203;\u2060", "nothing to see"), ("```\n```", "nothing to see"), ("#", "nothing to see"),
        (".", None), ("---", None), ("![](x)", None), ("`x`", None), ("\u202e", None), ("<b>", None), ("&lt;", None),
    ],
)  # fmt: skip
def test_a_page_says_when_it_shows_nothing(text: str, shown: str | None) -> None:
    assert blank_of(text, to_html(text)) == shown


def test_an_empty_answer_is_trained_on_as_the_end_alone(sampled: Site, file: Path) -> None:
    """No word of a placeholder: the answer's tokens are those that end a turn."""
    from toy import toy_policy

    from plaudit.data.rendering.renderer import Renderer

    judge(sampled.browser("Lena"), "demo")
    (record,) = read(f"project://sqlite:///{file}", kind="preferences").records
    policy = toy_policy(0)
    item = Renderer(policy.tokenizer, max_length=200).preference(record)
    assert item is not None
    by_text = {r.text: list(s.ids) for r, s in zip(record.responses, item.responses)}
    assert by_text[""] == by_text["end  \n"][-len(by_text[""]) :], "what ends every answer"
    assert len(by_text[""]) < len(by_text["end  \n"])
