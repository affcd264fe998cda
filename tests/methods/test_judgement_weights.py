"""What a judgement says beside its result acts: weights, strengths, several rankings of one prompt."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from toy import direct_case, gradients_of, rankings, reward_case, toy_policy

from plaudit.config import Cpo, Dpo, Orpo, RewardSettings, Simpo, validate
from plaudit.data.readers.record_kinds import join_pairs
from plaudit.data.records import Comparisons, Labeled, Outcome, Prompt, Ranking, Response
from plaudit.errors import UserError
from plaudit.methods import train, train_direct
from plaudit.methods.kto import labels_of
from plaudit.methods.preference_batch import item_weight, preferred_answers, rankings_in
from plaudit.models.reward_model import RewardModel
from plaudit.runs import Stage

WEIGHED = {
    "reward pairs": reward_case,
    "reward plackett_luce": lambda: reward_case("plackett_luce"),
    "dpo": lambda: direct_case(Dpo(nll=0.3)),
    "dpo plackett_luce": lambda: direct_case(Dpo(loss="plackett_luce")),
    "ipo": lambda: direct_case(Dpo(loss="ipo")),
    "simpo": lambda: direct_case(Simpo()),
    "cpo": lambda: direct_case(Cpo()),
    "orpo": lambda: direct_case(Orpo()),
}


def weighing(item, weight: float):
    outcomes = tuple(replace(o, weight=weight) for o in item.payload.outcomes)
    return replace(item, payload=replace(item.payload, outcomes=outcomes))


@pytest.mark.parametrize("case", WEIGHED)
def test_an_item_of_weight_two_is_the_item_twice(case):
    method, items, modules = WEIGHED[case]()
    ones = [weighing(item, 1.0) for item in items[:4]]
    twice = gradients_of(method, [ones[0], *ones], modules)
    heavy = gradients_of(method, [weighing(ones[0], 2.0), *ones[1:]], modules)
    assert heavy[0] == pytest.approx(twice[0], rel=1e-5)
    assert torch.allclose(heavy[1], twice[1], rtol=1e-4, atol=1e-6)
    plain = gradients_of(method, ones, modules)
    assert float((plain[1] - heavy[1]).norm()) > 1e-3 * float(plain[1].norm())


@pytest.mark.parametrize("case", WEIGHED)
def test_an_item_of_weight_zero_is_not_there(case):
    method, items, modules = WEIGHED[case]()
    silent = gradients_of(method, [weighing(items[0], 0.0), *items[1:4]], modules)
    absent = gradients_of(method, items[1:4], modules)
    assert silent[0] == pytest.approx(absent[0], rel=1e-5)
    assert torch.allclose(silent[1], absent[1], rtol=1e-4, atol=1e-6)


def test_an_item_weighs_the_mean_of_its_judgements_weights():
    judged = SimpleNamespace(outcomes=(Outcome(0, 1, 1.0, weight=4.0), Outcome(0, 1, 0.0, weight=1.0)))
    assert item_weight(judged) == 2.5
    assert item_weight(SimpleNamespace(outcomes=())) == 0


def test_labels_made_of_a_ranking_weigh_as_its_judgements():
    prompt = Prompt.user("which")
    pair = Ranking.pair(prompt, "a", "b", weight=3.0)
    assert labels_of([pair]) == [
        Labeled(prompt, Response("a"), True, 3.0),
        Labeled(prompt, Response("b"), False, 3.0),
    ]


def test_data_whose_judgements_all_weigh_nothing_is_refused(tmp_path):
    records = [replace(r, weight=0.0) for r in rankings(4)]
    with pytest.raises(UserError, match="weigh 0"):
        train_direct.simpo(toy_policy(), records, Simpo(max_steps=1), out=tmp_path)


def test_the_reference_answer_of_a_ranking_is_its_best_wherever_it_stands():
    prompt = Prompt.user("which")
    texts = ("worst", "middle", "best")
    ranked = Ranking(prompt, tuple(map(Response, texts)), ((2,), (1,), (0,)))
    lost = Comparisons(prompt, tuple(map(Response, ("loser", "winner"))), (Outcome(0, 1, 0.0),))
    unjudged = Comparisons(prompt, tuple(map(Response, ("x", "y"))), ())
    assert [d.response.text for d in preferred_answers([ranked, lost, unjudged])] == ["best", "winner"]


# -- strengths ---------------------------------------------------------------------------------------


def strong(scale: float):
    """Rankings with strengths of 1 to 4, times a scale."""
    return [replace(r, strength=scale * (1 + i % 4)) for i, r in enumerate(rankings(6))]


@pytest.mark.parametrize("change", [{}, {"margin_scale": 3.0}], ids=str)
def test_a_strength_is_a_share_of_the_largest_whatever_its_unit(change, tmp_path):
    """A margin of m on the reward of the winner: DPO in nats of β·log-ratio, as the loss is written."""
    losses = []
    for name, scale in (("small", 1.0), ("large", 25.0)):
        fitted = train_direct.dpo(
            toy_policy(), strong(scale), Dpo(max_steps=1, use_strength=True, **change), out=tmp_path / name
        )
        losses.append(fitted.metrics["loss/preference"])
    assert losses[0] == losses[1]
    # Before the first step all log-ratios are 0: a pair that is no tie costs log(1 + e^m).
    expected, weight = 0.0, 0.0
    for record in strong(1.0):
        outcomes = record.comparisons().outcomes
        for o in outcomes:
            margin = change.get("margin_scale", 1.0) * o.strength / 4 * (o.result != 0.5)
            expected += record.weight / len(outcomes) * np.log1p(np.exp(margin))
        weight += record.weight
    assert losses[0] == pytest.approx(expected / weight, rel=1e-5)


def test_a_reward_model_says_which_margins_it_uses(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        model = RewardModel.from_policy(toy_policy(), pooling="last", seed=0)
        train.reward_model(model, strong(2.0), RewardSettings(max_steps=1, use_strength=True), out=tmp_path)
    assert "up to 8: their margin is 1 · strength / 8" in caplog.text
    assert [e["largest"] for e in Stage(tmp_path).events() if e["event"] == "margins"] == [8.0]


def test_strengths_that_no_judgement_states_are_missed_aloud(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        train_direct.cpo(toy_policy(), rankings(4), Cpo(max_steps=1, use_strength=True), out=tmp_path)
    assert "none of" in caplog.text and "states a strength" in caplog.text


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"reward": {"margin_scale": 3.0}}, "needs use_strength"),
        ({"simpo": {"margin_scale": 3.0}}, "needs use_strength"),
        ({"reward": {"use_strength": True, "loss": "plackett_luce"}}, "for loss pairs"),
    ],
)
def test_a_margin_that_nothing_would_use_is_refused(section, words):
    with pytest.raises(UserError) as caught:
        validate({"name": "x", "steps": section}, "recipe")
    assert words in str(caught.value)


# -- several rankings of one prompt ---------------------------------------------------------------------


def test_two_raters_of_one_pair_train_by_plackett_luce_as_by_pairs(tmp_path):
    """Two answers have no more than one choice: Plackett–Luce of each judgement is Bradley–Terry of it."""
    records = []
    for i, one in enumerate(rankings(5, 2, 2)):
        other = replace(one, groups=one.groups[::-1] if i % 2 else one.groups, rater="second", weight=2.0)
        records += [one, other]
    joined = join_pairs(records)
    for run in (
        lambda loss, out: train_direct.dpo(
            toy_policy(), joined, Dpo(max_steps=2, loss=loss, lr=0.01), out=out
        ),
        lambda loss, out: train.reward_model(
            RewardModel.from_policy(toy_policy(), pooling="last", seed=0),
            joined,
            RewardSettings(max_steps=2, loss={"sigmoid": "pairs"}.get(loss, loss), lr=0.01),
            out=out,
        ),
    ):
        losses = [
            run(loss, tmp_path / f"{loss}-{i}").metrics["loss"]
            for i, loss in enumerate(("sigmoid", "plackett_luce"))
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_prompts_without_one_ranking_are_said_before_training(tmp_path, caplog):
    pair = Ranking.pair(Prompt.user("which"), "red", "blue")
    joined = join_pairs([pair, replace(pair, groups=((1,), (0,))), *rankings(3)])
    with caplog.at_level(logging.WARNING):
        train_direct.dpo(toy_policy(), joined, Dpo(max_steps=1, loss="plackett_luce"), out=tmp_path)
    assert "1 of 4 prompts have judgements that are not one ranking" in caplog.text


@st.composite
def several(draw):
    """Rankings of some of a prompt's answers each, one after another, and their outcomes in one list."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        answers = draw(st.permutations(range(5)))[: draw(st.integers(2, 5))]
        cuts = draw(st.lists(st.booleans(), min_size=len(answers) - 1, max_size=len(answers) - 1))
        groups = [[answers[0]]]
        for answer, tied in zip(answers[1:], cuts):
            if tied:
                groups[-1].append(answer)
            else:
                groups.append([answer])
        found.append([sorted(group) for group in groups])
    return found


def outcomes_of(groups):
    places = {i: rank for rank, group in enumerate(groups) for i in group}
    names = sorted(places)
    return [
        Outcome(a, b, 0.5 if places[a] == places[b] else float(places[a] < places[b]))
        for n, a in enumerate(names)
        for b in names[n + 1 :]
    ]


@given(several())
@settings(max_examples=60, deadline=None)
def test_what_is_read_as_rankings_says_what_was_judged(rankings_given):
    outcomes = [o for groups in rankings_given for o in outcomes_of(groups)]
    found = rankings_in(outcomes)
    # Every judgement lies in exactly one ranking, with its result.
    said = [(o.left, o.right, o.result) for groups, _ in found for o in outcomes_of(groups)]
    assert sorted(said) == sorted((o.left, o.right, o.result) for o in outcomes)
    sizes = [sum(map(len, groups)) for groups, _ in found]
    assert sum(w * (k - 1) for (_, w), k in zip(found, sizes)) == pytest.approx(1)
    if len(rankings_given) == 1:
        assert [groups for groups, _ in found] == rankings_given


def test_a_soft_result_is_both_orders_by_their_shares():
    assert rankings_in([Outcome(0, 1, 0.75, weight=2.0)]) == [([[0], [1]], 1.5), ([[1], [0]], 0.5)]


def test_judgements_in_a_circle_are_taken_pair_by_pair():
    circle = [Outcome(0, 1, 1.0), Outcome(1, 2, 1.0), Outcome(0, 2, 0.0)]
    assert [groups for groups, _ in rankings_in(circle)] == [[[0], [1]], [[1], [2]], [[2], [0]]]
