"""What leaves as a file: no formula for a spreadsheet, no header in a name, one record a line."""
# ruff: noqa: E501  (tables of attacks are read by their rows)

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest
from web.security.payloads import PAYLOADS
from web.security.site import Site, judge

from plaudit.feedback.quality.tables import Table, TableColumn
from plaudit.feedback.store.projects import NewAnswer, NewItem, slug_of
from plaudit.web.statistics import to_csv

RUN = "cmd|' /C calc'!A0"
FORMULAS = [
    f"={RUN}", f"+{RUN}", f"-{RUN}", f"@{RUN}", f"\t={RUN}", f"\r={RUN}", f"\n={RUN}", f" ={RUN}", f"   @{RUN}",
    f"\u00a0={RUN}", f"\u3000={RUN}", f"\u2003+{RUN}", f"\ufeff={RUN}", f"\u200b={RUN}", f"\u202e={RUN}",
    f"\u2060-{RUN}", f"\x0b={RUN}", f"\x1f={RUN}", f"\x00={RUN}", f"＝{RUN}", f"＋{RUN}", f"－{RUN}", f"＠{RUN}",
    f"\u3000＝{RUN}", f"﹦{RUN}", f"﹢{RUN}", f"﹣{RUN}", f"﹫{RUN}", f"\u00ad={RUN}", "\tx", "\rx", "\nx",
    '=HYPERLINK("https://evil.example","x")', "=1+1;=2", "@SUM(1)", "-2+3", "+1", "\u2028=1", "\u180e=1",
]  # fmt: skip
HARMLESS = ["a=b", "policy-final", "base 8b", "3 - 2", "ünïcode", "'quoted", "", "a@b.example", "x\ty"]


def table(*values: Any) -> Table:
    return Table("t", "T", (TableColumn("name", "N", "text", ""),), tuple({"name": v} for v in values))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text(text: str) -> None:
    cell = list(csv.reader(io.StringIO(to_csv(table(text)), newline="")))[1][0]
    assert cell == f"'{text}"


def test_what_is_no_formula_stays_as_it_is() -> None:
    cells = [row[0] for row in list(csv.reader(io.StringIO(to_csv(table(*HARMLESS)), newline="")))[1:]]
    assert cells == HARMLESS


def test_a_cell_does_not_end_at_a_semicolon() -> None:
    """Where a spreadsheet parts cells at semicolons, quotes keep ``a;=1`` one cell."""
    assert to_csv(table("a;=1+1")).splitlines()[1] == '"a;=1+1"'
    assert list(csv.reader(io.StringIO(to_csv(table('a";=1', "b\n=2")), newline="")))[1:] == [
        ['a";=1'],
        ["b\n=2"],
    ]


def test_numbers_stay_numbers() -> None:
    assert to_csv(table(-0.5, 3, None)).splitlines()[1:] == ["-0.5", "3", '""']


@pytest.fixture
def judged(site: Site) -> Site:
    site.project("demo", overlap=1)
    site.member("demo", "Olga", "owner")
    site.member("demo", "Lena", "labeler")
    models = [f.replace("\x00", "") for f in FORMULAS]
    site.items(
        "demo",
        [
            NewItem(
                ({"role": "user", "content": f"{i} {m}"},),
                (NewAnswer(f"a {m}", model=m), NewAnswer(f"b {m}", model=f"={i}")),
            )
            for i, m in enumerate(models)
        ],
    )
    lena = site.browser("Lena")
    for i in range(len(models)):
        judge(lena, "demo", f"export-{i:05}", rationale=f"{models[i]} {PAYLOADS[i]}\u2028\u0085\nnext line")
    return site


def test_every_table_is_safe_to_open(judged: Site) -> None:
    olga = judged.browser("Olga")
    tables = olga.get("/api/projects/demo/quality").json()
    texts = 0
    for name in tables:
        answer = olga.get(f"/api/projects/demo/quality/{name}.csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == f'attachment; filename="demo-{name}.csv"'
        for row in csv.reader(io.StringIO(answer.text, newline="")):
            for cell in row:
                texts += cell.startswith("'")
                first = re.sub(r"^[\s\ufeff\u200b\u202e\u2060\u00ad\x00-\x1f\u180e]+", "", cell)[:1]
                if first in set("=+@＝＋＠－﹦﹢﹣﹫") or (
                    first == "-" and not re.fullmatch(r"-[\d.e-]+", cell)
                ):
                    raise AssertionError((name, cell))
    assert texts >= len(FORMULAS), "no table names the models: nothing was tested"


def test_the_export_is_one_record_a_line(judged: Site) -> None:
    answer = judged.browser("Olga").get("/api/projects/demo/export.jsonl")
    assert answer.headers["content-type"] == "application/jsonl; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="demo.jsonl"'
    lines = answer.content.decode().removesuffix("\n").split("\n")
    records = [json.loads(line) for line in lines]
    assert len(records) == len(FORMULAS)
    assert all(r["metadata"]["rationale"].endswith("next line") for r in records)


@pytest.mark.parametrize(
    "name",
    ['a"; filename="b.exe', "a\r\nset-cookie: x=y", "../../etc/passwd", "a/b\\c", "\u202egnp", "", "..", "a b", "ü" * 90, "a\x00b", "%0d%0a"],
)  # fmt: skip
def test_a_projects_name_has_nothing_that_a_header_or_path_could_mind(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?-?", slug_of(name))
