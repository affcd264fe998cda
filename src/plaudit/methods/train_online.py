"""The Python functions of methods that learn from their own samples: PPO, GRPO, RLOO, REINFORCE++, online DPO.

All run the one loop of ``methods/rl.py``; see ``methods/train.py`` for the conventions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from plaudit.config import Group, Grpo, Online, OnlineDpo, Ppo, Reinforce, Rejection, Rloo
from plaudit.data.records import Demonstration, Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.item import TokenItem
from plaudit.errors import UserError
from plaudit.methods.algorithm import Algorithm, RlResult
from plaudit.methods.arguments import PROMPT, expect_policy, expect_records, expect_reward, expect_settings
from plaudit.methods.defaults import default_settings
from plaudit.methods.lengths import bounded, fitting, fitting_prompts
from plaudit.methods.online_dpo import OnlineDPO
from plaudit.methods.options import OnlineOptions
from plaudit.methods.policy_gradient import GRPO, REINFORCE, RLOO, PolicyGradient
from plaudit.methods.ppo import PPO
from plaudit.methods.reference_log_probs import frozen_reference
from plaudit.methods.rl import RlLoop
from plaudit.methods.rollout_metrics import Truth
from plaudit.methods.rollouts import respond
from plaudit.methods.shaping import shaped
from plaudit.methods.train import render_demonstrations, sft, stage_at
from plaudit.models.critic import Critic
from plaudit.models.logprobs import TokenLogProbs
from plaudit.models.policy import Policy
from plaudit.progress import Progress
from plaudit.registry import resolve
from plaudit.rewards import Reward, checked, fewest
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import Sampler, SamplingSettings
from plaudit.runs import Stage
from plaudit.runtime import Runtime, runtime_of
from plaudit.training import FitResult

# The stream of random numbers that rejection sampling draws from; training iterations have 0, 1, 2, ….
REJECTION_STEP = 3_000_000


def ppo(
    policy: Policy,
    reward: Reward,
    prompts: Sequence[Prompt],
    settings: Ppo | None = None,
    *,
    critic: Critic | None = None,
    **options: Unpack[OnlineOptions],
) -> RlResult:
    """Improve ``policy`` in place by ``reward``, with a KL penalty for leaving what it is now.

    Without a ``critic`` a value head on a copy of the policy is used.
    """
    _expect(policy, reward, prompts, settings, Ppo, "ppo")
    settings = settings or default_settings(Ppo, "ppo", policy)
    algorithm = PPO(policy, critic or Critic.from_policy(policy), settings, runtime=options.get("runtime"))
    return online(algorithm, policy, reward, prompts, settings, **options)


def grpo(
    policy: Policy,
    reward: Reward,
    prompts: Sequence[Prompt],
    settings: Grpo | None = None,
    **options: Unpack[OnlineOptions],
) -> RlResult:
    """GRPO and its variants: each sample is compared with the prompt's other samples."""
    _expect(policy, reward, prompts, settings, Grpo, "grpo")
    settings = settings or default_settings(Grpo, "grpo", policy)
    algorithm = estimator(settings, GRPO)(policy, settings)
    return online(algorithm, policy, reward, prompts, settings, label="grpo", **options)


def rloo(
    policy: Policy,
    reward: Reward,
    prompts: Sequence[Prompt],
    settings: Rloo | None = None,
    **options: Unpack[OnlineOptions],
) -> RlResult:
    """RLOO: REINFORCE with the other samples' mean as baseline."""
    _expect(policy, reward, prompts, settings, Rloo, "rloo")
    settings = settings or default_settings(Rloo, "rloo", policy)
    algorithm = estimator(settings, RLOO)(policy, settings)
    return online(algorithm, policy, reward, prompts, settings, label="rloo", **options)


def reinforce(
    policy: Policy,
    reward: Reward,
    prompts: Sequence[Prompt],
    settings: Reinforce | None = None,
    **options: Unpack[OnlineOptions],
) -> RlResult:
    """REINFORCE++: whitened rewards to go, no critic."""
    _expect(policy, reward, prompts, settings, Reinforce, "reinforce")
    settings = settings or default_settings(Reinforce, "reinforce", policy)
    algorithm = REINFORCE(policy, settings)
    return online(algorithm, policy, reward, prompts, settings, label="reinforce", **options)


def online_dpo(
    policy: Policy,
    reward: Reward,
    prompts: Sequence[Prompt],
    settings: OnlineDpo | None = None,
    **options: Unpack[OnlineOptions],
) -> RlResult:
    """Online DPO: DPO on own samples that the reward has ranked."""
    _expect(policy, reward, prompts, settings, OnlineDpo, "online_dpo")
    settings = settings or default_settings(OnlineDpo, "online_dpo", policy)
    algorithm = OnlineDPO(policy, settings)
    return online(algorithm, policy, reward, prompts, settings, label="online dpo", **options)


def estimator(settings: Group, own: type[PolicyGradient]) -> type[PolicyGradient]:
    """The method's advantage estimator, or the one that the settings name; UserError where that is none."""
    if settings.algorithm is None:
        return own
    found = resolve(settings.algorithm, "algorithm")
    if not (isinstance(found, type) and issubclass(found, PolicyGradient)):
        raise UserError(
            f"algorithm {settings.algorithm!r} is no advantage estimator",
            remedy="name a class that extends plaudit.methods.policy_gradient.PolicyGradient",
        )
    return found


def _expect(
    policy: object, reward: object, prompts: object, settings: object, section: type, function: str
) -> None:
    expect_policy(policy, function)
    expect_reward(reward, function)
    expect_records(prompts, (Prompt,), function, PROMPT)
    expect_settings(settings, section, function)
    if isinstance(settings, Online) and (wrong := settings.too_long_cache()) is not None:
        raise UserError(wrong, remedy="lower it, or raise max_new_tokens")


def online(
    algorithm: Algorithm,
    policy: Policy,
    reward: Reward,
    prompts: Sequence[Prompt],
    settings: Online,
    *,
    sampler: Sampler | None = None,
    reference: Callable[..., TokenLogProbs] | None = None,
    out: str | Path | Stage | None = None,
    seed: int | None = None,
    demonstrations: Sequence[Demonstration] = (),
    watch: Callable[[int], Mapping[str, float]] | None = None,
    truth: Truth | None = None,
    renderer: Renderer | None = None,
    label: str = "ppo",
    runtime: Runtime | None = None,
) -> RlResult:
    """Run the RL loop of any algorithm on records.

    ``demonstrations`` feed the PTX term where ``ptx_coefficient`` is not 0; ``watch(iteration)`` measures what
    training must not see, ``truth`` judges the samples that are kept for reading.
    """
    _expect(policy, reward, prompts, settings, type(settings), label.replace(" ", "_"))
    runtime = runtime_of(runtime, seed)
    renderer = bounded(
        renderer or Renderer(policy.tokenizer),
        policy.model,
        *(module for module, _ in algorithm.modules().values()),
        positions=fewest([reward]),
    )
    stage = stage_at(out, runtime)
    kept = fitting_prompts(renderer, prompts, settings.max_new_tokens, stage, runtime, label)
    sampler = sampler or NativeSampler(policy)
    paid = shaped(
        reward, settings, kept, renderer=renderer, sampler=sampler, stage=stage, runtime=runtime, label=label
    )
    ptx: list[TokenItem] = []
    if settings.ptx_coefficient:
        ptx = fitting(renderer, demonstrations, render_demonstrations, stage, runtime, f"{label}, ptx")
    return RlLoop(
        algorithm,
        policy=policy,
        reference=reference or frozen_reference(policy),
        reward=paid,
        prompts=kept,
        renderer=renderer,
        sampler=sampler,
        settings=settings,
        stage=stage,
        ptx_items=ptx,
        watch=watch,
        truth=truth,
        runtime=runtime,
        label=label,
    ).run()


def best_answers(
    policy: Policy,
    reward: Reward,
    prompts: Sequence[Prompt],
    settings: Rejection,
    *,
    renderer: Renderer,
    runtime: Runtime,
) -> tuple[list[Demonstration], dict[str, float]]:
    """The best of n samples of each prompt by the reward, and what choosing gained.

    Unfinished answers are never chosen; a prompt that has no other is left out.
    """
    quiet = not runtime.is_main
    with (
        Progress(len(prompts) * settings.n, "samples", unit="answer", quiet=quiet) as bar,
        runtime.computing(),
    ):
        rollouts = respond(
            prompts,
            renderer=renderer,
            sampler=NativeSampler(policy),
            settings=SamplingSettings(settings.max_new_tokens, temperature=settings.temperature),
            samples_per_prompt=settings.n,
            seed=runtime.seed,
            step=REJECTION_STEP,
            mesh=runtime.mesh,
            progress=lambda done, _: bar.update(done),
        )
    scores = checked(reward, rollouts.samples, runtime.mesh).scores.reshape(-1, settings.n)
    finished = np.array([s.finish != "length" for s in rollouts.samples]).reshape(-1, settings.n)
    chosen, gained = [], []
    for i, prompt in enumerate(prompts):
        if not finished[i].any():
            continue
        best = int(np.where(finished[i], scores[i], -np.inf).argmax())
        chosen.append(Demonstration(prompt, rollouts.samples[i * settings.n + best].response))
        gained.append(float(scores[i, best] - scores[i].mean()))
    return chosen, {
        "chosen": len(chosen),
        "unfinished": len(prompts) - len(chosen),
        "reward_gain": float(np.mean(gained)) if gained else 0.0,
    }


def rejection(
    policy: Policy,
    reward: Reward,
    prompts: Sequence[Prompt],
    settings: Rejection | None = None,
    *,
    out: str | Path | Stage | None = None,
    seed: int | None = None,
    renderer: Renderer | None = None,
    runtime: Runtime | None = None,
) -> FitResult:
    """Rejection-sampling fine-tuning: imitate the best of n own samples by the reward."""
    from plaudit.data.readers.read import read
    from plaudit.data.records.writers import write_jsonl

    _expect(policy, reward, prompts, settings, Rejection, "rejection")
    settings = settings or default_settings(Rejection, "rejection", policy)
    runtime = runtime_of(runtime, seed)
    renderer = bounded(renderer or Renderer(policy.tokenizer), policy.model, positions=fewest([reward]))
    stage = stage_at(out, runtime)
    path = stage.path / "chosen.jsonl"
    if not runtime.mesh.from_main(path.exists):
        # Kept, so that a resumed run imitates what was sampled before the policy began to move.
        kept = fitting_prompts(renderer, prompts, settings.max_new_tokens, stage, runtime, "rejection")
        kept = kept[: settings.prompts]
        records, facts = best_answers(policy, reward, kept, settings, renderer=renderer, runtime=runtime)
        if not records:
            raise UserError(
                f"none of {len(kept) * settings.n} answers to {len(kept)} prompts came to its end",
                remedy=f"raise max_new_tokens (now {settings.max_new_tokens}), or train the policy to stop first (sft)",
            )
        if runtime.is_main:
            write_jsonl(records, path)
            stage.event(event="chosen", **facts)
        runtime.mesh.barrier()
    return sft(
        policy,
        read(path, kind="demonstrations").records,
        settings,
        out=stage,
        renderer=renderer,
        label="rejection",
        runtime=runtime,
    )
