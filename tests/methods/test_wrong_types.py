"""Arguments of another type than a function takes are named, with the way to make the right ones."""

from __future__ import annotations

import pytest
from toy import demonstrations, rankings, toy_policy

import plaudit
from plaudit.errors import UserError

POLICY = toy_policy()
REWARD = plaudit.FunctionReward(len)


def score(sample):
    return 1.0


def rows_as_records():
    plaudit.sft(POLICY, [{"prompt": "a", "response": "b"}])


def a_path_as_records():
    plaudit.dpo(POLICY, "pairs.jsonl")


def rankings_for_sft():
    plaudit.sft(POLICY, rankings())


def demonstrations_for_a_reward_model():
    plaudit.reward_model(plaudit.RewardModel.from_policy(POLICY), demonstrations())


def a_transformers_model():
    plaudit.sft(POLICY.model, demonstrations())


def nothing_as_a_policy():
    plaudit.kto(None, [])


def a_path_as_a_policy():
    plaudit.ppo("runs/sft", REWARD, [])


def a_function_as_a_reward():
    plaudit.grpo(POLICY, score, [plaudit.Prompt.user("a")])


def texts_as_prompts():
    plaudit.rejection(POLICY, REWARD, ["a"])


def a_text_as_messages():
    plaudit.Prompt("hi")


WRONG = {
    rows_as_records: ["record 0 is a dict", "Demonstration(Prompt.user(TEXT)", "plaudit.read(PATH).records"],
    a_path_as_records: ["the text 'pairs.jsonl'", "plaudit.read('pairs.jsonl').records"],
    rankings_for_sft: ["sft takes Demonstration", "record 0 is a Ranking"],
    demonstrations_for_a_reward_model: ["Ranking or Comparisons", "record 0 is a Demonstration"],
    a_transformers_model: ["a LlamaForCausalLM", "plaudit.Policy(model, tokenizer)"],
    nothing_as_a_policy: ["given None", "plaudit.load_policy(PATH)"],
    a_path_as_a_policy: ["ppo trains a Policy, and was given a str"],
    a_function_as_a_reward: ["plaudit.FunctionReward(score)"],
    texts_as_prompts: ["record 0 is a str", "Prompt.user(TEXT)"],
    a_text_as_messages: ["Prompt.user('hi')"],
}


@pytest.mark.parametrize("call", WRONG, ids=lambda call: call.__name__)
def test_what_was_expected_is_named(call):
    with pytest.raises(UserError) as error:
        call()
    assert not [w for w in WRONG[call] if w not in str(error.value)], str(error.value)
