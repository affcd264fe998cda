"""Reports of methods other than PPO: named as what they are, with their own curves and warning signs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_runs import pocket_summary, write_run
from plaudit.methods_table import METHODS

from plaudit.audit.health import examine
from plaudit.audit.run import Run, StageRecord, method_of
from plaudit.audit.verdict import verdict
from plaudit.display.formatting import stage_name
from plaudit.report import health_direct
from plaudit.report.build import render
from plaudit.report.curves import direct_charts


def renamed(run, method):
    """A made run whose last policy was trained by another method."""
    record = json.loads((run / "run.json").read_text())
    record["config"] = {k: v for k, v in record["config"].items() if k != "ppo"} | {method: {"beta": 0.1}}
    (run / "run.json").write_text(json.dumps(record))
    summary = json.loads((run / "summary.json").read_text())
    for key in ("gold", "attributes", "length", "proxy", "best_temperature", "seconds"):
        if isinstance(summary.get(key), dict):
            summary[key] = {method if k == "ppo" else k: v for k, v in summary[key].items()}
    summary["win_rate"] = {k.replace("ppo_", f"{method}_"): v for k, v in summary["win_rate"].items()}
    summary.pop("checks", None)  # the demo's bars are PPO's
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "stages" / "ppo").rename(run / "stages" / method)
    samples = run / "stages" / "evaluate" / "samples.jsonl"
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    rows = [{method if k == "ppo" else k: v for k, v in row.items()} for row in rows]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


@pytest.mark.parametrize("method", [m for m, facts in METHODS.items() if facts.trains_policy and m != "ppo"])
def test_a_report_speaks_of_the_method_that_ran(method, tmp_path):
    run = renamed(write_run(tmp_path / "run", siblings=()), method)
    page = render(run)
    body = page.split("<main>")[1].split('id="glossary"')[0]
    assert f"{stage_name(method)} closed 70%" in body
    assert "PPO" not in body.replace("kl.coefficient", "")


def test_the_method_of_a_run_without_one_is_ppo():
    assert method_of({}) == method_of({"config": {"dpo": None}}) == "ppo"
    assert method_of({"config": {"dpo": {}, "ppo": None}}) == "dpo"


def test_a_verdict_compares_the_trained_policy_under_its_own_name():
    summary = pocket_summary(np.random.default_rng(0))
    summary["gold"]["kto"] = summary["gold"].pop("ppo")
    summary["win_rate"]["kto_vs_sft"] = summary["win_rate"].pop("ppo_vs_sft")
    stages = {name: StageRecord(name, {}, [], []) for name in ("sft", "kto", "evaluate")}
    found = verdict(Run.of({"config": {"kto": {}}}, summary, stages))
    assert found.headline.startswith("KTO closed")
    assert any("KTO wins" in sentence for sentence in found.lead)


def direct_rows(chosen, rejected, *, prefix="eval/"):
    return [
        {"step": 10 * i, f"{prefix}logps/chosen": a, f"{prefix}logps/rejected": b}
        for i, (a, b) in enumerate(zip(chosen, rejected))
    ]


def test_displacement_is_said_where_both_fall_and_only_there():
    both = health_direct.likelihood_displacement(direct_rows([-40, -45, -52], [-42, -60, -80]), {})
    assert both is not None and "−12" in both.evidence and "−38" in both.evidence
    assert health_direct.likelihood_displacement(direct_rows([-40, -38, -35], [-42, -60, -80]), {}) is None
    # Within noise, or losers rising too: something else, not displacement.
    assert health_direct.likelihood_displacement(direct_rows([-40, -40.2], [-42, -60]), {}) is None
    training = direct_rows([-40, -45, -52], [-42, -60, -80], prefix="")
    assert health_direct.likelihood_displacement(training, {}) is not None


def test_displacement_is_read_from_implicit_rewards_where_log_probs_were_seen_once():
    rows = [{"step": 5, "eval/rewards/chosen": -0.8, "eval/rewards/rejected": -2.0}]
    assert "implicit reward" in health_direct.likelihood_displacement(rows, {}).evidence
    rows[0]["eval/rewards/chosen"] = 0.1
    assert health_direct.likelihood_displacement(rows, {}) is None


def test_groups_without_spread_are_explained():
    rows = [{"step": i, "group/zero_variance": v} for i, v in enumerate(np.linspace(0.1, 0.9, 12))]
    found = health_direct.groups_teach_nothing(rows, {})
    assert found is not None and "%" in found.evidence
    assert health_direct.groups_teach_nothing(rows[:4], {}) is None


def test_a_clip_that_makes_scores_equal_is_named_with_its_remedy():
    rows = [{"step": i, "group/zero_variance": 0.9, "reward/clipped": 0.6} for i in range(12)]
    found = {f.rule: f for f in examine(rows, {}, "grpo", "GRPO")}
    groups, clipped = found["groups_teach_nothing"], found["scores_clipped"]
    assert "grpo.reward_clip cut 60.0%" in groups.evidence and "grpo.reward_clip" in groups.action
    assert "grpo.reward_clip cut 60%" in clipped.evidence and "null" in clipped.action
    idle = [{**row, "reward/clipped": 0.0} for row in rows]
    found = {f.rule: f for f in examine(idle, {}, "grpo", "GRPO")}
    assert "scores_clipped" not in found and "reward_clip" not in str(found["groups_teach_nothing"])


def test_findings_name_the_section_that_the_reader_has():
    rows = [{"step": i, "objective/kl": 2.0 * i} for i in range(1, 12)]
    found = examine(rows, {}, "rloo", "RLOO")
    assert any("rloo.kl.coefficient" in f.action for f in found)
    assert not any("ppo." in f.action or "PPO" in f.sentence for f in found)


def test_chosen_and_rejected_are_drawn_apart():
    rows = direct_rows([-40, -41], [-42, -50], prefix="")
    rows += [{"step": 20, "rewards/chosen": 0.1, "rewards/rejected": -0.3, "rewards/accuracy": 0.7}]
    charts = {chart.title: chart for chart in direct_charts(rows)}
    assert [s.label for s in charts["Log-probs of the answers"].series] == ["preferred", "rejected"]
    assert "Implicit rewards" in charts and "Implicit reward accuracy" in charts
    assert direct_charts([{"step": 1, "loss": 2.0}]) == []
