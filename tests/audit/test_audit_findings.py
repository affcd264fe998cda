"""findings.json: what rules and verdict say of a run, as data that everything else reads."""

import json
import re
from html import unescape

import numpy as np
import pytest
from made_runs import graph, interval, ppo_rows, small_run, write_run

from plaudit.audit.health import RULES
from plaudit.audit.run import read_run
from plaudit.audit.verdict import verdict
from plaudit.audit.write import NAME, audit, findings, watched, write_findings
from plaudit.report.build import render

SUPERVISED = {
    "pretrain": {"kind": "pretrain", "on": ("corpus",)},
    "sft": {"kind": "sft", "start": "pretrain", "on": ("demonstrations",)},
}
RANKED = {
    "rank": {"kind": "rank", "start": "sft", "on": ("prompts",)},
    "reward": {"kind": "reward", "start": "sft", "on": ("rank",)},
}


def ppo(start):
    return {"kind": "ppo", "start": start, "on": ("prompts",), "rewards": ("step:reward",)}


def two_ppo_steps():
    return graph(**SUPERVISED, **RANKED, ppo_1=ppo("sft"), ppo_2=ppo("ppo-1"))


def free(rng):
    """A PPO run without a KL penalty: reward hacking, a high KL, growing answers."""
    return ppo_rows(iterations=14, penalty=False, rng=rng)


@pytest.fixture
def hacked(tmp_path):
    run = write_run(tmp_path / "run", siblings=())
    metrics = run / "stages" / "ppo" / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(row) + "\n" for row in free(np.random.default_rng(0))))
    return run


def test_a_healthy_run_has_a_verdict_and_no_findings(tmp_path):
    run = write_run(tmp_path / "run", siblings=())
    written = write_findings(run)
    assert json.loads((run / NAME).read_text()) == written == audit(read_run(run))
    assert written["schema"] == 1 and written["findings"] == []
    assert written["rules"] == [rule.__name__ for rule in RULES]
    assert written["verdict"]["headline"] == verdict(read_run(run)).headline
    assert {"label": "Keeps the format", "before": "63%", "after": "89%"} in written["verdict"]["better"]


def test_every_finding_holds_what_a_reader_needs(hacked):
    written = json.loads(json.dumps(write_findings(hacked)))["findings"]
    assert {"gold_falls_while_proxy_rises", "kl_too_high", "length_runaway"} <= {f["rule"] for f in written}
    for found in written:
        assert set(found) == {
            "rule", "severity", "sentence", "evidence", "action", "settings", "step", "numbers"
        }  # fmt: skip
        assert found["step"] == "ppo" and all(s in found["action"] for s in found["settings"])
    assert [f["severity"] for f in written] == sorted(
        (f["severity"] for f in written), key=["serious", "warning", "note"].index
    )


def test_the_numbers_of_a_finding_are_those_of_its_evidence(hacked):
    found = {f["rule"]: f for f in write_findings(hacked)["findings"]}
    for finding in found.values():
        assert finding["numbers"], finding["rule"]
        said = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", finding["evidence"].replace("−", ""))]
        for name, value in finding["numbers"].items():
            shown = [abs(value), 100 * abs(value)]
            assert any(abs(a - b) <= 0.051 or round(a) == b for a in shown for b in said), (finding, name)
    assert found["kl_too_high"]["numbers"]["end"] > 15


def test_the_report_shows_the_findings_that_are_written(hacked):
    written = write_findings(hacked)
    page = unescape(render(hacked))
    for found in written["findings"]:
        assert found["sentence"] in page and found["evidence"] in page and found["action"] in page
    shown = page.split('id="answers"')[0].count('class="next"')
    assert shown == len(written["findings"]) > 2
    for sentence in [
        written["verdict"]["headline"],
        *written["verdict"]["lead"],
        *written["verdict"]["caveats"],
    ]:
        assert sentence in page


def test_writing_findings_touches_nothing_else_and_gives_the_same_bytes_again(hacked):
    before = {p: p.read_bytes() for p in hacked.rglob("*") if p.is_file()}
    write_findings(hacked)
    first = (hacked / NAME).read_bytes()
    write_findings(hacked)
    assert {p: p.read_bytes() for p in hacked.rglob("*") if p.is_file()} == {**before, hacked / NAME: first}


def test_each_of_two_ppo_steps_is_looked_at_and_advised_by_its_own_settings(tmp_path):
    rows = {"ppo-1": free(np.random.default_rng(1))}
    run = read_run(small_run(tmp_path / "run", two_ppo_steps(), rows=rows))
    assert [seen.step for seen in watched(run)] == ["ppo-1", "ppo-2"]
    found = findings(run)
    assert "kl_too_high" in {f.rule for f in found} and {f.step for f in found} == {"ppo-1"}
    for finding in found:
        assert "steps.ppo-2." not in finding.action and "steps.ppo." not in finding.action
    high = next(f for f in found if f.rule == "kl_too_high")
    assert "steps.ppo-1.kl.coefficient" in high.action and "steps.ppo-1.kl.coefficient" in high.settings


def test_what_concerns_the_whole_run_or_a_reward_model_is_said_once(tmp_path):
    path = small_run(tmp_path / "run", two_ppo_steps())
    summary = json.loads((path / "summary.json").read_text())
    summary["reward_models"]["reward"] |= {"accuracy": 0.5, "low": 0.45, "longer_wins": 0.6}
    best = {"temperature": 0.3, "start": interval(0.9, 0.1), "end": interval(0.5, 0.1)}
    summary |= {"best_temperature": best, "stopped": {"ppo-1": "objective/kl 9.1 is above kl_max 8"}}
    (path / "summary.json").write_text(json.dumps(summary))
    found = {(f.rule, f.step) for f in findings(read_run(path))}
    assert found == {
        ("reward_model_no_better_than_longer", "reward"),
        ("sharpening_only", "ppo-2"),
        ("stopped_early", "ppo-1"),
    }


def test_every_reward_model_is_held_against_length_not_only_the_last(tmp_path):
    steps = graph(
        **SUPERVISED,
        **RANKED,
        reward_2={"kind": "reward", "start": "sft", "on": ("rank",)},
        ppo=ppo("sft"),
    )
    path = small_run(tmp_path / "run", steps)
    summary = json.loads((path / "summary.json").read_text())
    summary["reward_models"]["reward"] |= {"accuracy": 0.5, "low": 0.45, "longer_wins": 0.6}
    (path / "summary.json").write_text(json.dumps(summary))
    assert [(f.rule, f.step) for f in findings(read_run(path))] == [
        ("reward_model_no_better_than_longer", "reward")
    ]


def test_the_report_names_the_step_of_a_finding_where_there_are_several(tmp_path):
    rows = {"ppo-1": free(np.random.default_rng(1))}
    page = render(small_run(tmp_path / "run", two_ppo_steps(), rows=rows)).split('id="answers"')[0]
    assert '<span class="tag step">PPO 1</span>' in page and '<span class="tag step">PPO 2</span>' not in page


def test_a_step_that_another_package_described_is_looked_at_all_the_same(tmp_path):
    steps = two_ppo_steps()
    steps["ppo-2"] |= {"kind": "unknown_here", "title": "Mine"}
    run = read_run(small_run(tmp_path / "run", steps, rows={"ppo-2": free(np.random.default_rng(1))}))
    assert {f.step for f in findings(run)} == {"ppo-2"}


def test_a_run_without_steps_or_evaluation_has_findings_of_what_there_is(tmp_path):
    path = small_run(tmp_path / "run", two_ppo_steps(), evaluated=False)
    assert "not been evaluated" in audit(read_run(path))["verdict"]["headline"]
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "run.json").write_text('{"steps": {}, "places": {}}')
    assert audit(read_run(tmp_path / "bare"))["findings"] == []
