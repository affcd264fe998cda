"""Warning signs of methods that learn from judgements directly, or from groups of samples."""

from __future__ import annotations

import numpy as np

from plaudit.audit import health
from plaudit.audit.findings import Watched
from plaudit.audit.health import examine


def seen(rows, step="dpo"):
    return Watched.of(rows, {}, step)


def direct_rows(chosen, rejected, *, prefix="eval/"):
    return [
        {"step": 10 * i, f"{prefix}logps/chosen": a, f"{prefix}logps/rejected": b}
        for i, (a, b) in enumerate(zip(chosen, rejected))
    ]


def test_displacement_is_said_where_both_fall_and_only_there():
    both = health.likelihood_displacement(seen(direct_rows([-40, -45, -52], [-42, -60, -80])))
    assert both is not None and "−12" in both.evidence and "−38" in both.evidence
    assert health.likelihood_displacement(seen(direct_rows([-40, -38, -35], [-42, -60, -80]))) is None
    # Within noise, or losers rising too: something else, not displacement.
    assert health.likelihood_displacement(seen(direct_rows([-40, -40.2], [-42, -60]))) is None
    training = direct_rows([-40, -45, -52], [-42, -60, -80], prefix="")
    assert health.likelihood_displacement(seen(training)) is not None


def test_displacement_is_read_from_implicit_rewards_where_log_probs_were_seen_once():
    rows = [{"step": 5, "eval/rewards/chosen": -0.8, "eval/rewards/rejected": -2.0}]
    assert "implicit reward" in health.likelihood_displacement(seen(rows)).evidence
    rows[0]["eval/rewards/chosen"] = 0.1
    assert health.likelihood_displacement(seen(rows)) is None


def test_groups_without_spread_are_explained():
    rows = [{"step": i, "group/zero_variance": v} for i, v in enumerate(np.linspace(0.1, 0.9, 12))]
    found = health.groups_teach_nothing(seen(rows, "grpo"))
    assert found is not None and "%" in found.evidence
    assert health.groups_teach_nothing(seen(rows[:4], "grpo")) is None


def test_a_clip_that_makes_scores_equal_is_named_with_its_remedy():
    rows = [{"step": i, "group/zero_variance": 0.9, "reward/clipped": 0.6} for i in range(12)]
    found = {f.rule: f for f in examine([seen(rows, "grpo")])}
    groups, clipped = found["groups_teach_nothing"], found["scores_clipped"]
    assert "cut 60.0%" in groups.evidence
    assert "set steps.grpo.reward_clip to null" in groups.action.lower()
    assert "steps.grpo.reward_clip" in groups.settings
    assert "60% of the scores" in clipped.evidence
    assert "steps.grpo.reward_clip" in clipped.action and "null" in clipped.action
    idle = [{**row, "reward/clipped": 0.0} for row in rows]
    found = {f.rule: f for f in examine([seen(idle, "grpo")])}
    assert "scores_clipped" not in found and "reward_clip" not in str(found["groups_teach_nothing"])


def test_findings_name_the_section_that_the_reader_has():
    rows = [{"step": i, "objective/kl": 2.0 * i} for i in range(1, 12)]
    found = examine([seen(rows, "rloo")])
    assert any("steps.rloo.kl.coefficient" in f.action for f in found)
    assert not any("ppo." in f.action or "PPO" in f.sentence for f in found)
