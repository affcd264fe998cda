"""The length contract: what reaches a model is measured before step 0, shortened or dropped, counted and said."""

from __future__ import annotations

import logging
import time
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from toy import WORDS, toy_policy

from plaudit.config import (
    Grpo,
    Kto,
    OnlineDpo,
    Ppo,
    Reinforce,
    Rejection,
    RewardSettings,
    Rloo,
    Sft,
    Simpo,
    Training,
)
from plaudit.data.records import Demonstration, Labeled, Message, Prompt, Ranking, Response
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.errors import UserError
from plaudit.methods import train, train_direct, train_online
from plaudit.methods.kto import derangement, shortened_mismatches, with_mismatches
from plaudit.models.policy import build_policy
from plaudit.models.positions import positions_of, positions_of_config
from plaudit.models.reward_model import RewardModel
from plaudit.rewards import FunctionReward, ModelReward, Sample, SumReward, fewest
from plaudit.runs import Stage
from plaudit.training.memory import longest_of

POSITIONS = 64


@pytest.fixture
def policy():
    made = toy_policy()
    return build_policy(made.tokenizer, hidden=16, layers=1, heads=2, max_positions=POSITIONS, seed=0)


def words(count: int) -> str:
    return " ".join(WORDS[i % len(WORDS)] for i in range(count))


def one_long(count: int = 12) -> list[Prompt]:
    """Short prompts, and one in the middle that no answer fits behind."""
    prompts = [Prompt.user(f"{WORDS[i]} {WORDS[-i]}") for i in range(count - 1)]
    return [*prompts[: count // 2], Prompt.user(words(55)), *prompts[count // 2 :]]


def longer_than_all(policy) -> int:
    return max(len(Renderer(policy.tokenizer).prompt(p.messages)) for p in one_long())


LOOP = {"iterations": 2, "prompts_per_iteration": 12, "max_new_tokens": 24, "epochs": 1, "minibatch": 24}
ONLINE = {
    "ppo": Ppo(**LOOP),
    "grpo": Grpo(samples_per_prompt=2, **LOOP),
    "rloo": Rloo(samples_per_prompt=2, **LOOP),
    "reinforce": Reinforce(**LOOP),
    "online_dpo": OnlineDpo(samples_per_prompt=2, **LOOP),
}


@pytest.mark.parametrize("name", ONLINE)
def test_one_long_prompt_is_dropped_before_the_first_iteration(name, policy, tmp_path, caplog):
    assert longer_than_all(policy) + 24 > POSITIONS
    reward = FunctionReward(lambda sample: float(len(sample.ids)))
    with caplog.at_level(logging.WARNING):
        result = getattr(train_online, name)(policy, reward, one_long(), ONLINE[name], out=tmp_path)
    assert result.iterations == 2
    assert f"{name.replace('_', ' ')}: 11 of 12 prompts are used; 1 dropped: too long" in caplog.text
    (event,) = [e for e in Stage(tmp_path).events() if e["event"] == "lengths"]
    assert (event["kept"], event["dropped_too_long"], event["limit"], event["room"]) == (11, 1, POSITIONS, 24)


def test_rejection_drops_the_long_prompt_too(policy, tmp_path, caplog):
    settings_ = Rejection(n=2, max_new_tokens=24, max_steps=1)
    # This policy never stops: the refusal that follows names it.
    with caplog.at_level(logging.WARNING), pytest.raises(UserError, match="none of 22 answers to 11 prompts"):
        train_online.rejection(policy, FunctionReward(lambda s: 0.0), one_long(), settings_, out=tmp_path)
    assert "rejection: 11 of 12 prompts are used" in caplog.text


def test_a_long_conversation_loses_its_oldest_turns_and_is_sampled_so(policy, tmp_path, caplog):
    turns = [Message("user", words(30)), Message("assistant", words(10)), Message("user", "the cat")]
    prompts = [Prompt(tuple(turns)), Prompt.user("a dog")]
    seen = []
    reward = FunctionReward(lambda sample: float(seen.append(len(sample.prompt_ids)) or 0))
    settings_ = Grpo(samples_per_prompt=2, **{**LOOP, "iterations": 1, "prompts_per_iteration": 2})
    with caplog.at_level(logging.WARNING):
        train_online.grpo(policy, reward, prompts, settings_, out=tmp_path)
    assert "2 of 2 prompts are used; 1 without their oldest turns" in caplog.text
    assert max(seen) + 24 <= POSITIONS


def test_where_no_prompt_leaves_room_the_numbers_are_named(policy, tmp_path):
    with pytest.raises(UserError) as caught:
        train_online.grpo(
            policy, FunctionReward(lambda s: 0.0), one_long()[:4], Grpo(max_new_tokens=POSITIONS)
        )
    shortest = min(len(Renderer(policy.tokenizer).prompt(p.messages)) for p in one_long()[:4])
    said = str(caught.value)
    assert f"the limit is {POSITIONS} tokens, {POSITIONS} of them for the answer" in said
    assert f"the shortest needs {shortest + POSITIONS}" in said and "max_new_tokens" in said


def test_a_reward_model_with_fewer_positions_bounds_the_prompts(policy, tmp_path, caplog):
    small = build_policy(policy.tokenizer, hidden=16, layers=1, heads=2, max_positions=40, seed=0)
    model = RewardModel.from_policy(small, pooling="last", seed=0)
    reward = SumReward(
        {
            "model": (ModelReward(model, same_tokenizer=True, normalisation="none"), 1.0),
            "length": (FunctionReward(lambda s: 0.0), 1.0),
        }
    )
    assert fewest([reward]) == 40
    prompts = [Prompt.user("the cat"), Prompt.user(words(14))]
    assert 40 - 24 < len(Renderer(policy.tokenizer).prompt(prompts[1].messages)) <= POSITIONS - 24
    settings_ = Reinforce(**{**LOOP, "iterations": 1, "prompts_per_iteration": 1})
    with caplog.at_level(logging.WARNING):
        train_online.reinforce(policy, reward, prompts, settings_, out=tmp_path)
    assert "1 of 2 prompts are used; 1 dropped: too long (max_length 40 tokens" in caplog.text


@pytest.mark.parametrize("same_tokenizer", [True, False])
def test_a_sample_too_long_for_a_reward_model_is_cut_and_said_not_fatal(same_tokenizer, policy, caplog):
    model = RewardModel.from_policy(policy, pooling="last", seed=0)
    reward = ModelReward(model, same_tokenizer=same_tokenizer, normalisation="none")
    renderer = Renderer(policy.tokenizer)
    samples = []
    for asked, said in ((3, 90), (90, 3), (90, 90), (3, 3)):
        prompt, response = Prompt.user(words(asked)), Response(words(said))
        ids = renderer.response_ids(prompt.messages, response)
        samples.append(
            Sample(prompt, renderer.prompt(prompt.messages), ids, response.text, response.text, "end")
        )
    with caplog.at_level(logging.WARNING):
        scores = reward.score(samples).scores
    assert np.isfinite(scores).all() and reward.cut == 3
    assert caplog.text.count(f"longer than the reward model's {POSITIONS} positions") == 1
    fitting = reward.score(samples[3:]).scores
    assert scores[3] == pytest.approx(fitting[0], abs=1e-5)


OFFLINE = {
    "sft": lambda p, long, out: train.sft(
        p, [Demonstration(Prompt.user("cat"), Response(t)) for t in ("dog", long)], Sft(max_steps=1), out=out
    ),
    "reward": lambda p, long, out: train.reward_model(
        RewardModel.from_policy(p, pooling="last", seed=0),
        [Ranking.pair(Prompt.user("cat"), "dog", t) for t in ("mat", long)],
        RewardSettings(max_steps=1),
        out=out,
    ),
    "simpo": lambda p, long, out: train_direct.simpo(
        p, [Ranking.pair(Prompt.user("cat"), "dog", t) for t in ("mat", long)], Simpo(max_steps=1), out=out
    ),
}


@pytest.mark.parametrize("name", OFFLINE)
def test_records_beyond_the_positions_are_dropped_and_said(name, policy, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        OFFLINE[name](policy, words(90), tmp_path)
    assert (
        f"{name}: 1 of 2 records are used; 1 dropped: too long (max_length {POSITIONS} tokens)" in caplog.text
    )
    with pytest.raises(UserError, match=f"the limit is {POSITIONS} tokens, and the shortest needs"):
        train_direct.simpo(policy, [Ranking.pair(Prompt.user(words(80)), "dog", "mat")], Simpo(max_steps=1))


def test_a_renderer_that_is_handed_in_keeps_its_own_limit_and_counts(policy, tmp_path):
    renderer = Renderer(policy.tokenizer, max_length=500)
    records = [Demonstration(Prompt.user("cat"), Response(t)) for t in ("dog", words(90))]
    train.sft(policy, records, Sft(max_steps=1), renderer=renderer, out=tmp_path)
    assert renderer.max_length == 500
    assert (renderer.counts["kept"], renderer.counts["dropped: too long"]) == (1, 1)


def test_items_made_elsewhere_are_measured_before_step_0(policy, tmp_path):
    items = Renderer(policy.tokenizer).documents([words(90), "short"])
    with pytest.raises(UserError, match=f"1 of 2 items exceed the model's {POSITIONS} positions"):
        train.pretrain(policy, items, Training(max_steps=1), out=tmp_path)


def test_stretched_and_offset_positions_are_counted_as_the_model_counts_them(policy):
    def config(**fields):
        fields = {"model_type": "llama", "pad_token_id": None, "rope_parameters": None} | fields
        return SimpleNamespace(get_text_config=lambda: SimpleNamespace(**fields))

    assert positions_of(policy.model) == POSITIONS
    assert positions_of(RewardModel.from_policy(policy, pooling="last", seed=0)) == POSITIONS
    assert (
        positions_of_config(config(max_position_embeddings=514, model_type="roberta", pad_token_id=1)) == 512
    )
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    assert positions_of_config(config(max_position_embeddings=32, rope_parameters=yarn)) == 128
    assert positions_of_config(config()) is None


# -- KTO's answers to other prompts --------------------------------------------------------------------


def token_item(prompt: int, answer: int, key: str) -> TokenItem:
    return TokenItem(np.ones(prompt, dtype=int), (Segment.of(np.full(answer, 2)),), key)


@given(st.lists(st.sampled_from("aaaaabcd"), min_size=2, max_size=40), st.integers(0, 5))
def test_every_label_gets_an_answer_to_another_prompt(keys, seed):
    if len(set(keys)) < 2:
        with pytest.raises(ValueError):
            derangement(keys, np.random.default_rng(seed))
        return
    partner = derangement(keys, np.random.default_rng(seed))
    assert all(keys[i] != keys[j] for i, j in enumerate(partner))
    assert np.array_equal(partner, derangement(keys, np.random.default_rng(seed)))
    most = Counter(keys).most_common(1)[0][1]
    if most <= len(keys) - most:
        assert sorted(partner) == list(range(len(keys)))


def test_partners_are_drawn_evenly():
    keys = [str(i) for i in range(4)]
    drawn = Counter(int(derangement(keys, np.random.default_rng(seed))[0]) for seed in range(300))
    assert set(drawn) == {1, 2, 3} and min(drawn.values()) > 60


def test_one_dominating_prompt_takes_no_time():
    keys = ["most"] * 49_990 + [str(i) for i in range(10)]
    began = time.process_time()
    derangement(keys, np.random.default_rng(0))
    assert time.process_time() - began < 0.5


def test_mismatched_answers_are_cut_to_the_limit_and_seen_by_the_memory_planner():
    items = [token_item(30, 3, "long prompt"), token_item(2, 31, "long answer")]
    free = with_mismatches(items, seed=0)
    assert max(i.payload.longest for i in free) == 61 and longest_of(free, "packed") == 61
    cut = with_mismatches(items, seed=0, max_length=40)
    assert [len(i.payload.responses[0]) for i in cut] == [10, 3]
    assert shortened_mismatches(cut) == 1 and longest_of(cut, "packed") == 40


def test_kto_stays_within_the_models_positions_and_says_what_it_cut(policy, tmp_path, caplog):
    records = [
        Labeled(Prompt.user(words(26 if i % 2 else 1) + WORDS[i]), Response(words(1 if i % 2 else 26)), i > 3)
        for i in range(8)
    ]
    with caplog.at_level(logging.WARNING):
        train_direct.kto(policy, records, Kto(max_steps=1, batch_size=4), out=tmp_path)
    assert f"are cut to fit {POSITIONS} tokens" in caplog.text
    (event,) = [e for e in Stage(tmp_path).events() if e["event"] == "mismatches"]
    assert 0 < event["shortened"] <= 8


def test_held_out_labels_of_one_prompt_borrow_the_answers_of_training(policy, tmp_path):
    records = [Labeled(Prompt.user(w), Response("red"), i % 2 == 0) for i, w in enumerate(WORDS[:6])]
    alone = [Labeled(Prompt.user("home"), Response(t), True) for t in ("blue", "mat")]
    result = train_direct.kto(policy, records, Kto(max_steps=1, batch_size=4), held_out=alone, out=tmp_path)
    assert np.isfinite(result.evaluation["kto/kl"])


def test_labels_of_one_prompt_alone_are_refused_with_their_number(policy):
    records = [Labeled(Prompt.user("home"), Response(t), True) for t in ("blue", "mat", "cat")]
    with pytest.raises(UserError, match="all 3 labels are of one prompt") as caught:
        train_direct.kto(policy, records, Kto(max_steps=1))
    assert "preference_validation" in str(caught.value)
