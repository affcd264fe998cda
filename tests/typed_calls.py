"""What mypy says of calls of the public API: `make lint` checks this file, nobody runs it.

A call that is wrong in one argument bears ``# type: ignore``; mypy's ``warn_unused_ignores`` makes it an error where
the argument would be accepted. Calls without one must pass. ``tests/test_public_api.py`` checks that no argument is
left out.
"""

# ruff: noqa: F821
from typing import assert_type

import plaudit

policy: plaudit.Policy
judge: plaudit.RewardModel
critic: plaudit.Critic
rankings: list[plaudit.Ranking]
comparisons: list[plaudit.Comparisons]
prompts: list[plaudit.Prompt]
demonstrations: list[plaudit.Demonstration]
reward: plaudit.FunctionReward
renderer: plaudit.Renderer


def right() -> None:
    fitted = plaudit.dpo(policy, rankings, plaudit.Dpo(beta=0.2), out="dpo", seed=1, held_out=comparisons)
    assert_type(fitted.metrics, dict[str, float])
    plaudit.dpo(policy, comparisons, renderer=renderer, runtime=plaudit.Runtime(seed=1))
    plaudit.ppo(policy, reward, prompts, plaudit.Ppo(iterations=3), critic=critic, out="ppo", seed=1)
    plaudit.ppo(policy, reward, prompts, sampler=plaudit.NativeSampler(policy), demonstrations=demonstrations)
    plaudit.ppo(
        policy, reward, prompts, watch=lambda iteration: {"gold": 0.5}, renderer=renderer, runtime=None
    )
    plaudit.reward_model(judge, rankings, plaudit.RewardSettings(), schedule=plaudit.Sft(), held_out=rankings)
    plaudit.reward_model(
        judge, rankings, out="reward", seed=1, renderer=renderer, label="votes", runtime=None
    )
    assert_type(plaudit.read("a.jsonl", kind="prompts").records, list[plaudit.Prompt])
    plaudit.grpo(policy, plaudit.SumReward({"a": (reward, 1.0)}), prompts)

    assert_type(plaudit.sample("runs/pocket@sft", "What is a bird?", step=None, n=2, seed=1), list[str])
    plaudit.sample("runs/pocket", [plaudit.Message("user", "Hi")], temperature=0, max_new_tokens=9)
    assert_type(plaudit.check("a.jsonl", model="runs/pocket").ok, bool)


def wrong_dpo() -> None:
    plaudit.dpo(judge, rankings)  # type: ignore[arg-type]  # policy
    plaudit.dpo(policy, prompts)  # type: ignore[arg-type]  # preferences
    plaudit.dpo(policy, rankings, plaudit.Ppo())  # type: ignore[arg-type]  # settings
    plaudit.dpo(policy, rankings, out=1)  # type: ignore[arg-type]
    plaudit.dpo(policy, rankings, seed="1")  # type: ignore[arg-type]
    plaudit.dpo(policy, rankings, held_out=demonstrations)  # type: ignore[arg-type]
    plaudit.dpo(policy, rankings, renderer="chatml")  # type: ignore[arg-type]
    plaudit.dpo(policy, rankings, runtime="cpu")  # type: ignore[arg-type]
    plaudit.dpo(policy, rankings, beta=0.2)  # type: ignore[call-arg]


def wrong_ppo() -> None:
    plaudit.ppo(judge, reward, prompts)  # type: ignore[arg-type]  # policy
    plaudit.ppo(policy, judge, prompts)  # type: ignore[arg-type]  # reward
    plaudit.ppo(policy, reward, rankings)  # type: ignore[arg-type]  # prompts
    plaudit.ppo(policy, reward, prompts, plaudit.Grpo())  # type: ignore[arg-type]  # settings
    plaudit.ppo(policy, reward, prompts, critic=judge)  # type: ignore[arg-type]
    plaudit.ppo(policy, reward, prompts, sampler=policy)  # type: ignore[arg-type]
    plaudit.ppo(policy, reward, prompts, reference=policy)  # type: ignore[arg-type]
    plaudit.ppo(policy, reward, prompts, demonstrations=rankings)  # type: ignore[arg-type]
    plaudit.ppo(policy, reward, prompts, watch=lambda iteration: 0.5)  # type: ignore[arg-type,return-value]
    plaudit.ppo(policy, reward, prompts, truth=lambda samples: 0.5)  # type: ignore[arg-type,return-value]
    plaudit.ppo(policy, reward, prompts, out=1)  # type: ignore[arg-type]
    plaudit.ppo(policy, reward, prompts, seed="1")  # type: ignore[arg-type]
    plaudit.ppo(policy, reward, prompts, renderer="chatml")  # type: ignore[arg-type]
    plaudit.ppo(policy, reward, prompts, runtime="cpu")  # type: ignore[arg-type]
    plaudit.ppo(policy, reward, prompts, iterations=3)  # type: ignore[call-arg]


def wrong_reward_model() -> None:
    plaudit.reward_model(policy, rankings)  # type: ignore[arg-type]  # model
    plaudit.reward_model(judge, prompts)  # type: ignore[arg-type]  # preferences
    plaudit.reward_model(judge, rankings, plaudit.Sft())  # type: ignore[arg-type]  # settings
    plaudit.reward_model(judge, rankings, schedule=plaudit.Ppo())  # type: ignore[arg-type]
    plaudit.reward_model(judge, rankings, out=1)  # type: ignore[arg-type]
    plaudit.reward_model(judge, rankings, seed="1")  # type: ignore[arg-type]
    plaudit.reward_model(judge, rankings, held_out=prompts)  # type: ignore[arg-type]
    plaudit.reward_model(judge, rankings, renderer="chatml")  # type: ignore[arg-type]
    plaudit.reward_model(judge, rankings, label=1)  # type: ignore[arg-type]
    plaudit.reward_model(judge, rankings, runtime="cpu")  # type: ignore[arg-type]
    plaudit.reward_model(judge, rankings, epochs=3)  # type: ignore[call-arg]


def wrong_sample() -> None:
    plaudit.sample(policy, "Hi")  # type: ignore[arg-type]  # model
    plaudit.sample("runs/pocket", prompts)  # type: ignore[arg-type]  # prompt
    plaudit.sample("runs/pocket", "Hi", step=1)  # type: ignore[arg-type]
    plaudit.sample("runs/pocket", "Hi", n="2")  # type: ignore[arg-type]
    plaudit.sample("runs/pocket", "Hi", temperature="cold")  # type: ignore[arg-type]
    plaudit.sample("runs/pocket", "Hi", max_new_tokens=None)  # type: ignore[arg-type]
    plaudit.sample("runs/pocket", "Hi", seed="1")  # type: ignore[arg-type]
    plaudit.sample("runs/pocket", "Hi", top_p=0.9)  # type: ignore[call-arg]
