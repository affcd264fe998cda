"""Favourites and the audit step by themselves: what is chosen, what is compared, which planted hack is named."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from plaudit.config import Rank, validate
from plaudit.config.resolve import graph_of
from plaudit.data.records import Prompt, Response
from plaudit.errors import UserError
from plaudit.pipeline.steps import audit
from plaudit.pipeline.steps.ranked_items import to_draw, with_favourites
from plaudit.rewards import FunctionReward
from plaudit.runs import Stage
from plaudit.runtime import Mesh


def test_the_best_by_the_reward_and_random_others_are_shown():
    own = [Response(t) for t in "abcdefgh"] + [Response("h")]
    scores = [0, 1, 2, 3, 4, 5, 6, 7, 7]
    counts = {}
    for seed in range(200):
        shown = with_favourites(own, scores, 4, 0.5, np.random.default_rng(seed))
        why = {r.text: r.metadata["chosen"] for r in shown}
        assert len(why) == len(shown) == 4
        assert {t for t, w in why.items() if w == "favourite"} == {"g", "h"}
        for text, w in why.items():
            counts[text] = counts.get(text, 0) + (w == "random")
    others = [counts[t] for t in "abcdef"]
    assert sum(others) == 400 and min(others) > 40  # 67 each


def test_a_share_of_one_shows_favourites_alone_and_few_answers_are_all_shown():
    own, rng = [Response(t) for t in "abcd"], np.random.default_rng(0)
    assert [r.text for r in with_favourites(own, [1, 2, 3, 4], 2, 1.0, rng)] == ["d", "c"]
    assert {r.text for r in with_favourites(own[:2], [1, 2], 4, 0.5, rng)} == {"a", "b"}


STEPS = {"pretrain": {}, "sft": {}, "rank": {}, "reward": {}, "ppo": {}}


def nodes(**more):
    return graph_of(validate({"name": "x", "world": "pocket", "steps": {**STEPS, **more}}, "x")).nodes


def test_an_audit_compares_the_newest_policy_with_the_start_unless_it_names_another():
    found = nodes(audit={}, **{"ppo-2": {}, "audit-2": {"against": "ppo"}})
    assert (found["audit"].judged, found["audit"].start) == (("sft",), "ppo")
    assert (found["audit-2"].judged, found["audit-2"].start) == (("ppo",), "ppo-2")
    assert found["audit"].asked[0].path == "reward" == found["audit-2"].asked[0].path
    loop = {"rounds": 2, "steps": {"rank-x": {"favourites": 0.5}, "reward-x": {}, "ppo-x": {}, "audit-x": {}}}
    found = nodes(loop=loop)
    assert [p.path for p in found["rank-x-2"].asked] == ["reward-x-1"]
    assert found["audit-x-2"].judged == ("sft",) and found["audit-x-2"].start == "ppo-x-2"
    assert [s.name for s in found["reward-x-2"].on] == ["rank", "rank-x-1", "rank-x-2"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"audit": {"against": "ppo"}}, "an audit compares two policies"),
        ({"audit": {"against": "ppo-9"}}, "there is no step 'ppo-9'"),
        ({"rank-2": {"reward": "reward"}}, "a reward chooses favourites"),
        ({"rank-2": {"favourites": 0.5, "reward": "sft"}}, "gives no reward model"),
    ],
)
def test_what_does_not_hold_together_is_named(more, words):
    with pytest.raises(UserError, match=words):
        nodes(**more)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"pool": 8}, "pool needs favourites"),
        ({"favourites": 0.5, "pool": 3}, "smaller than the 4 answers"),
        ({"favourites": 0.5, "scripted_share": 0.2}, "scripted_share"),
    ],
)
def test_settings_of_favourites_that_contradict_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Rank(**wrong)


def test_how_many_answers_are_drawn():
    some = Rank(favourites=0.5), Rank(favourites=0.5, pool=9), Rank(answers=6), Rank(scripted_share=0.5)
    assert [to_draw(one) for one in some] == [16, 9, 6, 2]


# Of as many words, so that praise is no question of length.
PRAISE = "What a wonderful question! You are so clever to ask. "
FILLER = "Such things are found in most homes of the country. "


def audited(tmp_path, monkeypatch, worth):
    """An audit of a policy that begins to praise half of its askers; ``worth`` is the truth of praise."""
    rng = np.random.default_rng(0)
    prompts = [Prompt.user(f"What is thing {i} made of?") for i in range(120)]

    def answer(context, policy, asked, settings, **options):
        texts = [f"It is made of {rng.choice(['wood', 'iron', 'clay'])} and glue." for _ in asked]
        praised = [policy.name == "ppo" and i % 2 for i in range(len(texts))]
        texts = [(PRAISE if p else FILLER) + text for p, text in zip(praised, texts)]
        return [SimpleNamespace(prompt=p, response=Response(t)) for p, t in zip(asked, texts)]

    def praised(response):
        return float(response.text.startswith("What a"))

    said = []
    noise = {}

    def score(response, weight):
        base = noise.setdefault(response.text, rng.normal())
        return base + weight * praised(response) + 0.2 * rng.normal()

    for name, value in {
        "answer": answer,
        "bounded": lambda renderer, *models: renderer,
        "fitting_prompts": lambda renderer, known, *rest: known,
        "asked_reward": lambda *a: FunctionReward(lambda s: score(s.response, 3.0)),
    }.items():
        monkeypatch.setattr(audit, name, value)
    context = SimpleNamespace(
        load=lambda name: SimpleNamespace(name=name, tokenizer=None, model=None),
        renderer=lambda tokenizer: None,
        materials=SimpleNamespace(prompts=lambda part: prompts),
        gold=SimpleNamespace(judge=lambda p, r: SimpleNamespace(score=score(r, worth))),
        config=SimpleNamespace(world=None),
        mesh=Mesh(),
        runtime=None,
        say=said.append,
    )
    step = nodes(audit={"prompts": 100})["audit"]
    return audit.audit(context, step, Stage(tmp_path)), said, Stage(tmp_path).read_json("audit.json")


def test_a_planted_hack_is_named(tmp_path, monkeypatch):
    outcome, said, kept = audited(tmp_path, monkeypatch, worth=0.0)
    assert outcome["prompts"] == 100 == kept["prompts"]
    assert outcome["hacks"] == ["flattery"] == kept["hacks"] and "flattery" in outcome["suspected"]
    assert outcome["means"]["reward"]["after"] > outcome["means"]["reward"]["before"] + 1
    assert said[0].startswith("audit: sft → ppo, reward ") and said[0].endswith("suspected hacks: flattery")


def test_a_change_that_the_truth_pays_for_too_is_no_hack(tmp_path, monkeypatch):
    outcome, said, _ = audited(tmp_path, monkeypatch, worth=3.0)
    assert outcome["hacks"] == [] and "flattery" in outcome["suspected"]
    assert said[0].endswith("suspected hacks: none")
