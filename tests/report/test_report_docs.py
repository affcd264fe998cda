"""docs/report.md says what the code does: its rules, thresholds, functions and keys."""

import re
from pathlib import Path

import numpy as np
import pytest
from made_runs import answers, pocket_steps

from plaudit import intervals
from plaudit.audit import health, health_rl
from plaudit.evaluation import calibration, frontier, statistics

TEXT = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
RULE = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.M)


def section(title):
    return re.split(r"^## ", TEXT.split(f"## {title}", 1)[1], maxsplit=1, flags=re.M)[0]


def test_the_rules_are_those_of_the_code_in_its_order():
    named = [name for name, _ in RULE.findall(section("Warning signs"))]
    assert sorted(named) == sorted(rule.__name__ for rule in health.RULES)


@pytest.mark.parametrize(
    ("rule", "thresholds"),
    [
        ("kl_too_high", (health_rl.KL_WARNING, health_rl.KL_SERIOUS)),
        ("kl_negative", (-health_rl.NEGATIVE_KL,)),
        ("entropy_collapse", (health_rl.ENTROPY_SHARE,)),
        ("length_runaway", (health_rl.LENGTH_GROWTH, health_rl.FINISHED)),
        ("answers_cut", (health.MOSTLY_FINISHED,)),
        ("clip_fraction_too_hot", (health_rl.CLIP_FRACTION,)),
        ("gold_falls_while_proxy_rises", (health_rl.GOLD_FALL_WARNING, health_rl.GOLD_FALL_SERIOUS)),
        ("sampler_disagrees", (health_rl.LOG_PROB_GAP,)),
        ("first_minibatch_moved", (health_rl.FIRST_APPROX_KL,)),
        ("groups_teach_nothing", (health.ZERO_VARIANCE,)),
        ("scores_clipped", (health.CLIPPED,)),
        ("likelihood_displacement", (health.FALLEN,)),
    ],
)
def test_the_thresholds_are_those_of_the_code(rule, thresholds):
    said = dict(RULE.findall(section("Warning signs")))[rule]
    numbers = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", said)]
    assert set(thresholds) <= set(numbers)


def test_every_function_it_names_exists():
    modules = {
        "statistics": statistics,
        "calibration": calibration,
        "frontier": frontier,
        "intervals": intervals,
    }
    named = re.findall(
        r"`(statistics|calibration|frontier|intervals)\.(\w+)\(", section("How the numbers are made")
    )
    assert len(named) == 7
    for module, name in named:
        assert callable(getattr(modules[module], name))


def test_every_key_of_an_answer_and_of_a_step_is_documented():
    documented = set(re.findall(r"`(\w+)`", section("What it reads")))
    for entry in answers(np.random.default_rng(0))[0]["ppo"]:
        assert entry in documented
    for fact in pocket_steps()["ppo"]:
        assert fact in documented
