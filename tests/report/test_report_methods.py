"""Reports of methods other than PPO: named as what they are, with their own curves and warning signs."""

from __future__ import annotations

import json

import pytest
from made_runs import step, write_run

from plaudit.audit.run import read_run
from plaudit.audit.verdict import verdict
from plaudit.registry import METHODS
from plaudit.report.build import render
from plaudit.report.curves import direct_charts


def renamed(run, method):
    """A made run whose last policy was trained by a step of another method."""
    name = method.replace("_", "-")

    def own(value):
        """Every ``ppo`` that stands for the step, as key or as value, under the new name."""
        if isinstance(value, dict):
            return {own(k): own(v) for k, v in value.items()}
        if isinstance(value, list):
            return [own(v) for v in value]
        return name if value == "ppo" else value

    record = json.loads((run / "run.json").read_text())
    before = record["steps"].pop("ppo")
    record = own(record)
    taken = {"start": before["from"], "on": tuple(before["on"]), "rewards": tuple(before["rewards"])}
    record["steps"] = {**record["steps"], name: step(name, method, **taken)}
    record["config"]["steps"] = {name: {"kind": method, "beta": 0.1}}
    (run / "run.json").write_text(json.dumps(record))
    summary = own(json.loads((run / "summary.json").read_text()))
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "stages" / "ppo").rename(run / "stages" / name)
    samples = run / "stages" / "evaluate" / "samples.jsonl"
    rows = [own(json.loads(line)) for line in samples.read_text().splitlines()]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


@pytest.mark.parametrize("method", [m for m, facts in METHODS.items() if facts.trains_policy and m != "ppo"])
def test_a_report_speaks_of_the_method_that_ran(method, tmp_path):
    run = renamed(write_run(tmp_path / "run", siblings=()), method)
    page = render(run)
    body = page.split("<main>")[1].split('id="glossary"')[0]
    assert f"{METHODS[method].title} closed 50%" in body
    assert "PPO" not in body and "ppo" not in body


def test_a_verdict_compares_the_trained_policy_under_its_own_name(tmp_path):
    found = verdict(read_run(renamed(write_run(tmp_path / "run", siblings=()), "kto")))
    assert found.headline.startswith("KTO closed")
    assert any("KTO wins" in sentence for sentence in found.lead)


def direct_rows(chosen, rejected, *, prefix="eval/"):
    return [
        {"step": 10 * i, f"{prefix}logps/chosen": a, f"{prefix}logps/rejected": b}
        for i, (a, b) in enumerate(zip(chosen, rejected))
    ]


def test_chosen_and_rejected_are_drawn_apart():
    rows = direct_rows([-40, -41], [-42, -50], prefix="")
    rows += [{"step": 20, "rewards/chosen": 0.1, "rewards/rejected": -0.3, "rewards/accuracy": 0.7}]
    charts = {chart.title: chart for chart in direct_charts(rows)}
    assert [s.label for s in charts["Log-probs of the answers"].series] == ["preferred", "rejected"]
    assert "Implicit rewards" in charts and "Implicit reward accuracy" in charts
    assert direct_charts([{"step": 1, "loss": 2.0}]) == []
