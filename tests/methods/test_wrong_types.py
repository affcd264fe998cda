"""Arguments of another type than a function takes are named, with the way to make the right ones."""

from __future__ import annotations

import pytest
from toy import demonstrations, rankings, toy_policy

import plaudit
from plaudit.config import Ppo
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


def a_path_as_a_policy_with_settings():
    plaudit.ppo("runs/sft", REWARD, [], Ppo())


def a_transformers_model_for_grpo():
    plaudit.grpo(POLICY.model, REWARD, [plaudit.Prompt.user("a")])


def a_policy_as_a_reward_model():
    plaudit.reward_model(POLICY, rankings())


def a_path_as_a_reward_model():
    plaudit.reward_model("runs/sft", rankings())


def a_dict_as_settings():
    plaudit.sft(POLICY, demonstrations(), {"lr": 1e-5})


def settings_of_another_method():
    plaudit.dpo(POLICY, rankings(), Ppo())


def settings_of_another_online_method():
    plaudit.grpo(POLICY, REWARD, [plaudit.Prompt.user("a")], Ppo())


def rows_as_messages():
    plaudit.Prompt([{"role": "user", "content": "a"}])


def texts_as_a_demonstration():
    plaudit.Demonstration("q", "a")


def a_text_as_an_answer():
    plaudit.Labeled(plaudit.Prompt.user("q"), "a", good=True)


def rows_as_a_conversation():
    plaudit.sample("a-model", [{"role": "user", "content": "a"}])


WRONG = {
    a_path_as_a_policy_with_settings: ["ppo trains a Policy, and was given a str"],
    a_transformers_model_for_grpo: ["grpo trains a Policy", "plaudit.Policy(model, tokenizer)"],
    a_policy_as_a_reward_model: ["given a Policy", "plaudit.RewardModel.from_policy(policy)"],
    a_path_as_a_reward_model: ["given a str", "RewardModel.from_policy(plaudit.load_policy(PATH))"],
    a_dict_as_settings: ["given a dict", "plaudit.Sft(**settings)"],
    settings_of_another_method: ["settings of the type Dpo", "given a Ppo", "plaudit.Dpo(…)"],
    settings_of_another_online_method: ["settings of the type Grpo", "given a Ppo"],
    rows_as_messages: ["given a dict", "Message.of(row)"],
    texts_as_a_demonstration: ["holds a Prompt, and was given a str", "Prompt.user(TEXT)"],
    a_text_as_an_answer: ["a Labeled holds a Response", "Response(TEXT)"],
    rows_as_a_conversation: ["given a dict", "Message.of(row)"],
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
