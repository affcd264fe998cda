"""The demo reaches every bar at three seeds, and its two experiments show what they are there to show."""

from __future__ import annotations

import pytest

from plaudit.evaluation.frontier import over_optimization
from plaudit.pipeline.demo import demo
from plaudit.pocket.bars import BARS
from plaudit.runs import RunFolder


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_demo_reaches_every_bar(seed, tmp_path):
    summary = demo(seed=seed, out=tmp_path / "run").read_json("summary.json")
    assert len(summary["checks"]) == len(BARS)
    missed = [c for c in summary["checks"] if not c["ok"]]
    assert missed == []


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return demo(seed=0, out=tmp_path_factory.mktemp("demo") / "run").path


@pytest.mark.slow
def test_without_a_leash_the_proxy_rises_while_gold_falls(base):
    demo(seed=0, out=base, no_leash=True)
    gold = RunFolder(base).read_json("summary.json")["gold"]
    gap = gold["perfect"]["mean"] - gold["start"]["mean"]
    free = over_optimization(RunFolder(base / "siblings/no-leash").stage("ppo").metrics())
    held = over_optimization(RunFolder(base / "siblings/leashed").stage("ppo").metrics())
    assert free["gold"]["peak"] - free["gold"]["end"] >= 0.6 * gap
    assert free["proxy"]["end"] > free["proxy"]["start"]
    assert held["gold"]["peak"] - held["gold"]["end"] <= 0.2 * held["gold"]["peak"]


@pytest.mark.slow
def test_biased_raters_get_what_they_like(base):
    demo(seed=0, out=base, biased_raters=True)
    fair = RunFolder(base).read_json("summary.json")
    biased = RunFolder(base / "siblings/biased-raters").read_json("summary.json")
    sft, ppo = fair["attributes"]["start"], biased["attributes"]["end"]
    assert ppo["words"] > sft["words"] and ppo["flattery"] > sft["flattery"]
    assert ppo["agreement"] > sft["agreement"]
    assert biased["gold"]["end"]["mean"] < fair["gold"]["start"]["mean"]
