"""The demo reaches every bar at three seeds, and its experiments show what they are there to show."""

from __future__ import annotations

import pytest

from plaudit.evaluation.frontier import over_optimization
from plaudit.pipeline.demo import demo
from plaudit.pocket import World
from plaudit.pocket.bars import BARS
from plaudit.pocket.limit import imitation_limit
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


def beside(base, name):
    return RunFolder(base / "siblings" / name)


@pytest.mark.slow
def test_without_a_leash_the_proxy_rises_while_gold_falls(base):
    demo(seed=0, out=base, no_leash=True)
    free = over_optimization(beside(base, "no-leash").stage("ppo").metrics())
    held = over_optimization(beside(base, "leashed").stage("ppo").metrics())
    assert free["gold"]["peak"] - free["gold"]["end"] >= 0.3
    assert free["proxy"]["end"] > free["proxy"]["start"]
    assert held["gold"]["peak"] - held["gold"]["end"] <= 0.15


@pytest.mark.slow
def test_biased_raters_get_what_they_like(base):
    demo(seed=0, out=base, biased_raters=True)
    fair = RunFolder(base).read_json("summary.json")
    biased = beside(base, "biased-raters").read_json("summary.json")
    sft, ppo = fair["attributes"]["start"], biased["attributes"]["end"]
    assert ppo["words"] > sft["words"] and ppo["flattery"] > sft["flattery"]
    assert biased["gold"]["end"]["mean"] <= fair["gold"]["end"]["mean"] - 0.3


@pytest.mark.slow
def test_a_round_that_ranks_hacked_answers_beside_others_repairs_the_hack(base):
    demo(seed=0, out=base, rounds=True)
    found = beside(base, "rounds").read_json("summary.json")
    fair = RunFolder(base).read_json("summary.json")
    assert found["gold"]["ppo-3"]["mean"] >= found["gold"]["ppo"]["mean"]
    assert found["gold"]["ppo-3"]["mean"] >= fair["gold"]["end"]["mean"] - 0.15
    assert found["attributes"]["ppo-3"]["over_refusal"] <= 0.05


@pytest.mark.slow
def test_where_writers_are_skilled_little_is_left_to_gain(base):
    demo(seed=0, out=base, skilled_writers=True)
    best = beside(base, "skilled-writers").read_json("summary.json")["best_temperature"]
    assert best["end"]["mean"] - best["start"]["mean"] <= 0.05


@pytest.mark.slow
def test_a_small_model_with_feedback_beats_a_large_one_without_and_every_imitator(base):
    demo(seed=0, out=base, small_beats_large=True)
    best = beside(base, "small-beats-large").read_json("summary.json")["best_temperature"]
    world = World(0)
    limit = imitation_limit(world, world.prompts("test", 200), writings=300)
    assert best["win_rates"]["sft"]["low"] > 0.5
    assert best["end"]["mean"] > max(best["sft"]["mean"], limit.best)
