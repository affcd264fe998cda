"""A recipe without an evaluation: trained, and neither summary, findings nor report are written."""

import json

from plaudit.audit.run import read_run
from plaudit.audit.verdict import verdict
from plaudit.pipeline import run as running
from plaudit.report.build import build

WRITTEN = {"summary.json", "findings.json", "report.html"}


def test_a_recipe_without_evaluation_writes_no_report(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "execute", lambda *_, **__: None)  # what a step does is not asked here
    small = ["threads=1", "world.documents=40", "world.test_prompts=8"]
    for evaluate, wanted in (("null", set()), ("{prompts: 4}", WRITTEN)):
        out = tmp_path / evaluate[:2]
        running.run("pocket", [*small, f"evaluate={evaluate}"], out)
        assert {p.name for p in out.iterdir()} & WRITTEN == wanted
        assert json.loads((out / "run.json").read_text())["steps"].keys() >= {"pretrain", "ppo"}


def test_a_page_that_is_asked_for_says_that_the_recipe_has_no_evaluation(tmp_path):
    steps = {"base": {"kind": "base", "title": "Base model", "gives": ["policy"]}}
    record = {"name": "r", "steps": steps, "places": {"base": "base", "start": "base", "end": "base"}}
    # `plaudit report` writes a summary of what the steps recorded, in which nothing is judged.
    recorded = {"name": "r", "seconds": {"base": 1.0}}
    for evaluate, summary, said in (
        (None, recorded, "its recipe has no evaluation"),
        (None, {}, "its recipe has no evaluation"),
        ({}, {}, "not been evaluated"),
    ):
        (tmp_path / "summary.json").write_text(json.dumps(summary))
        (tmp_path / "run.json").write_text(json.dumps({**record, "config": {"evaluate": evaluate}}))
        assert said in verdict(read_run(tmp_path)).headline
        assert said in build(tmp_path).read_text()
