"""docs/summary.md: every key that summary.json and findings.json hold is described, and no other."""

import json
import re

import numpy as np
import pytest
from made_runs import graph, placed, ppo_rows, small_run, write_run
from summary_page import TEXT, documented, paths, unmatched

from plaudit.audit.run import read_run
from plaudit.audit.write import audit


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    steps = graph(
        pretrain={"kind": "pretrain"},
        sft={"kind": "sft", "start": "pretrain"},
        rank={"kind": "rank", "start": "sft", "on": ("prompts",)},
        reward_1={"kind": "reward", "start": "sft", "on": ("rank",)},
        ppo_1={"kind": "ppo", "start": "sft", "rewards": ("step:reward-1",)},
        ppo_2={"kind": "ppo", "start": "ppo-1", "rewards": ("step:reward-1",)},
    )
    free = ppo_rows(iterations=14, penalty=False, rng=np.random.default_rng(0))
    found = [
        write_run(root / "pocket", siblings=()),
        write_run(root / "real", kind="real"),
        small_run(root / "unjudged", steps, gold=False),
        small_run(root / "walk", steps, rows={"ppo-1": free}),
    ]
    stopped = json.loads((found[-1] / "summary.json").read_text())
    stopped["stopped"] = {"ppo-1": "objective/kl 9.10 is above kl_max 8"}
    back = {"iteration": 4, "by": "gold", "value": 0.8, "last_iteration": 14, "last": 0.6}
    stopped["rolled_back"] = {"ppo-2": back}
    means = {"reward": {"before": 0.1, "after": 0.9}}
    audit_1 = {"before": "sft", "after": "ppo-1", "prompts": 20, "means": means, "suspected": ["length"]}
    stopped["audits"] = {"audit-1": {**audit_1, "hacks": ["length"]}}
    stopped |= {"shift": None, "shift_reason": "no reward model of this run scores these answers"}
    stopped["unchecked_judges"] = {"rank": "python:mine:judge"}
    agreed = {
        "agreement": {"mean": 0.7, "low": 0.6, "high": 0.8, "n": 90},
        "temperature": 1.2,
        "rankings": 30,
    }
    stopped["evaluator"] = {"spec": "local:judge", "also_taught": False, "gate": agreed, "spent": None}
    stopped["attributes"] |= placed({"sft": {"fact": 0.5, "harm": 0.9}, "ppo-2": {"fact": 0.5, "harm": 0.2}})
    stopped["attributes"] |= {"start": {"fact": 0.5, "harm": 0.9}, "end": {"fact": 0.5, "harm": 0.2}}
    (found[-1] / "summary.json").write_text(json.dumps(stopped))
    first = json.loads((found[1] / "summary.json").read_text())
    first["evaluator"] = {"spec": "local:judge", "also_taught": True, "gate": "off", "spent": None}
    (found[1] / "summary.json").write_text(json.dumps(first))
    return found


def test_every_key_of_a_summary_is_documented_and_every_documented_key_is_one(runs):
    found = {p for run in runs for p in paths(json.loads((run / "summary.json").read_text()))}
    assert len(found) > 200
    unknown, unused = unmatched(found, documented("summary.json"))
    assert not unknown and not unused, (unknown, unused)


def test_every_key_of_the_findings_is_documented_and_every_documented_key_is_one(runs):
    found = {p for run in runs for p in paths(json.loads(json.dumps(audit(read_run(run)))))}
    unknown, unused = unmatched(found, documented("findings.json"))
    assert not unknown and not unused, (unknown, unused)


def test_the_forms_it_names_are_those_that_are_written():
    from plaudit.audit import write
    from plaudit.pipeline import summary

    said = re.findall(r"\| `schema` \| number \| the schema version of this file: (\d+) \|", TEXT)
    assert said == [str(summary.SCHEMA), str(write.SCHEMA)]
    labels = re.search(r"how many (.+) a step learned from", TEXT).group(1)
    assert set(re.findall(r"`(\w+)`", labels)) | {"votes"} == set(summary.LABELS)


def test_the_check_finds_a_key_that_is_missing_on_either_side():
    keys = documented("summary.json")
    assert unmatched({"gold.ppo.mean", "gold.ppo.median"}, keys)[0] == {"gold.ppo.median"}
    assert "seed" in unmatched({"name"}, keys)[1]
