"""One measurement of plaudit; prints one JSON line. Started by run.py."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from work import NEW, rows, short_prompts, weights

from plaudit.config import KL, Cpo, Dpo, Grpo, Kto, OnlineDpo, Orpo, Ppo as PpoSettings, Rloo, Simpo
from plaudit.data.records import Prompt
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.methods.direct import DirectPreference
from plaudit.methods.kto import KTO, attach_mismatched_reference, with_mismatches
from plaudit.methods.online_dpo import OnlineDPO
from plaudit.methods.policy_gradient import GRPO, RLOO
from plaudit.methods.ppo import PPO
from plaudit.methods.reference_log_probs import frozen_reference, precompute
from plaudit.methods.reward_model import RewardModeling
from plaudit.methods.rl import RlLoop
from plaudit.methods.supervised import Supervised
from plaudit.models.critic import Critic
from plaudit.models.policy import load_policy
from plaudit.models.reward_model import RewardModel
from plaudit.rewards import ModelReward
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import Request, SamplingSettings
from plaudit.runs import Stage
from plaudit.runtime import Runtime, use_compute
from plaudit.training import TrainingMethod
from plaudit.training.engine import Engine, ParameterGroup, trainable
from plaudit.training.memory import keep_freed_memory, spare_libraries

WARM = 4


def items_of(policy: Any, answers: int) -> list[TokenItem]:
    encode = policy.tokenizer
    made = []
    for row in rows():
        prompt = np.asarray(encode(row["prompt"], add_special_tokens=False)["input_ids"])
        texts = row["answers"][:answers]
        ids = [[*encode(a, add_special_tokens=False)["input_ids"], encode.eos_token_id] for a in texts]
        left = itertools.combinations(range(answers), 2)
        outcomes = [SimpleNamespace(left=i, right=j, result=1.0, weight=1.0, strength=None) for i, j in left]
        made.append(
            TokenItem(
                prompt,
                tuple(Segment.of(i) for i in ids),
                extras={"weight": [1.0] * answers},
                payload=SimpleNamespace(responses=texts, outcomes=outcomes),
            )
        )
    return made


def train(
    method: TrainingMethod, module: Any, items: list[TokenItem], batch: int, seconds: float
) -> dict[str, float]:
    engine = Engine(
        [ParameterGroup("model", trainable(module), 1e-4)], schedule=lambda _: 1.0, token_budget=8192
    )
    module.train()
    batches: Iterator[list[TokenItem]] = (
        items[i : i + batch] for i in itertools.cycle(range(0, len(items) - batch, batch))
    )
    done = tokens = steps = 0
    start = time.perf_counter()
    for step, work in enumerate(batches):
        loss = engine.step([(method, work)])["loss"]
        assert np.isfinite(loss)
        if step < WARM:
            start = time.perf_counter()
            engine.timers.take()
            continue
        done, steps = done + len(work), steps + 1
        tokens += sum(item.slots for item in work)
        if time.perf_counter() - start >= seconds:
            break
    took = time.perf_counter() - start
    shares = {f"share/{name.removeprefix('time/')}": s / took for name, s in engine.timers.take().items()}
    return {"samples": done / took, "tokens": tokens / took, "steps": steps, **shares}


def sft(policy: Any, seconds: float, batch: int) -> dict[str, float]:
    return train(Supervised(policy), policy.model, items_of(policy, 1), batch, seconds)


def reward(policy: Any, seconds: float, batch: int, answers: int) -> dict[str, float]:
    model = RewardModel.from_policy(policy)
    return train(RewardModeling(model, pad_id=0), model, items_of(policy, answers), batch, seconds)


class Words:
    """What the RL loop asks of a renderer, for prompts that are token ids already."""

    def __init__(self, tokenizer: Any, prompts: list[list[int]]) -> None:
        self.tokenizer = tokenizer
        self.ids = {str(i): np.asarray(p) for i, p in enumerate(prompts)}

    def prompt(self, messages: Any, *, room: int = 0) -> np.ndarray:
        return self.ids[messages[0].content]

    def decode(self, ids: Any, *, keep_special: bool) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=not keep_special))


def preference(policy: Any, seconds: float, settings: Any, *, live: bool = False) -> dict[str, float]:
    items = items_of(policy, 2)
    reference = frozen_reference(policy) if live else None
    if isinstance(settings, Dpo) and not live:
        items = precompute(policy, items, Stage(Path(tempfile.mkdtemp())))
    return train(DirectPreference(policy, settings, reference=reference), policy.model, items, 8, seconds)


def kto(policy: Any, seconds: float, *, live: bool = False) -> dict[str, float]:
    settings = Kto()
    single = [
        replace(
            item,
            responses=(item.responses[i % 2],),
            key=str(i),
            extras={"weight": [1.0], "good": [float(i % 2 == 0)]},
        )
        for i, item in enumerate(items_of(policy, 2))
    ]
    items = with_mismatches(single, seed=0)
    reference = frozen_reference(policy) if live else None
    if not live:
        every = [*items, *(item.payload for item in items)]
        known = precompute(policy, every, Stage(Path(tempfile.mkdtemp())))
        items = attach_mismatched_reference(known[: len(items)], known[len(items) :])
    return train(KTO(policy, settings, reference=reference), policy.model, items, 16, seconds)


def reward_of(policy: Any) -> RewardModel:
    model = RewardModel.from_policy(policy, seed=1)
    model.mean, model.std = 0.0, 1.0
    return model


def online(
    policy: Any, seconds: float, make: Callable[[Any, RewardModel], Any], settings: Any
) -> dict[str, float]:
    """Iterations of the RL loop: episodes a second, and the share of its phases."""
    prompts = short_prompts(policy.tokenizer)
    model = reward_of(policy)
    batch = settings.prompts_per_iteration * settings.samples_per_prompt
    marks: list[float] = []

    class Enough(Exception):
        pass

    def watch(iteration: int) -> dict[str, float]:
        marks.append(time.perf_counter())
        if len(marks) > WARM + 1 and marks[-1] - marks[WARM] >= seconds:
            raise Enough
        return {}

    # Like the peer's random model, this one must not end early: both sides then do the same work.
    policy.model.lm_head.weight.data[1] = 0
    stage = Stage(Path(tempfile.mkdtemp()))
    with contextlib.suppress(Enough):
        RlLoop(
            make(policy, model),
            policy=policy,
            reference=frozen_reference(policy),
            reward=ModelReward(model, same_tokenizer=True, runtime=Runtime(policy.device)),
            prompts=[Prompt.user(str(i)) for i in range(len(prompts))],
            renderer=Words(policy.tokenizer, prompts),  # type: ignore[arg-type]
            sampler=NativeSampler(policy),
            settings=settings,
            stage=stage,
            watch=watch,
            runtime=Runtime(policy.device),
        ).run()
    took = marks[-1] - marks[WARM]
    count = len(marks) - 1 - WARM
    recorded = stage.metrics()[-count:]
    share = {
        f"share/{phase}": float(np.mean([r[f"time/{phase}"] for r in recorded])) * count / took
        for phase in ("rollout", "score", "train")
        if recorded and f"time/{phase}" in recorded[0]
    }
    per = np.mean([len(p) for p in prompts]) + NEW
    return {"samples": count * batch / took, "tokens": count * batch * per / took, "steps": count, **share}


LOOP = {
    "iterations": 10_000,
    "minibatch": 16,
    "lr": 1e-6,
    "max_new_tokens": NEW,
    "kl": KL(coefficient=0.05),
    "show_samples": 1,
    "checkpoint_every": 10_000,
    "evaluate_every": 1,
    "token_budget": 8192,
}


def ppo(policy: Any, seconds: float) -> dict[str, float]:
    settings = PpoSettings(**LOOP, prompts_per_iteration=16, epochs=4, value_lr=1e-6, critic_warmup=0)
    return online(policy, seconds, lambda p, m: PPO(p, Critic.from_reward_model(m), settings), settings)


GROUPS = {**LOOP, "prompts_per_iteration": 2, "samples_per_prompt": 8, "epochs": 1}


def grpo(policy: Any, seconds: float, samples: int) -> dict[str, float]:
    settings = Grpo(**GROUPS | {"samples_per_prompt": samples, "minibatch": 2 * samples})
    return online(policy, seconds, lambda p, _: GRPO(p, settings), settings)


# The peer knows two samples a prompt and one update on them.
DUELS = {**LOOP, "prompts_per_iteration": 8, "samples_per_prompt": 2, "epochs": 1, "pairs": "best_worst"}


def sampling(policy: Any, seconds: float, prompts: int, n: int) -> dict[str, float]:
    ids = short_prompts(policy.tokenizer)
    policy.model.lm_head.weight.data[1] = 0
    sampler, settings = NativeSampler(policy), SamplingSettings(48)
    done = calls = 0
    start = time.perf_counter()
    for call in itertools.count():
        requests = [
            Request(np.asarray(ids[(call * prompts + i) % len(ids)]), str(i), n) for i in range(prompts)
        ]
        drawn = sampler.sample(requests, settings, seed=0, step=call)
        if call < WARM:
            start = time.perf_counter()
            continue
        done, calls = done + sum(len(d.ids) for d in drawn), calls + 1
        if time.perf_counter() - start >= seconds:
            break
    took = time.perf_counter() - start
    return {"samples": done / took / 48, "tokens": done / took, "steps": calls}


ROWS: dict[str, Callable[..., dict[str, float]]] = {
    "sft": lambda p, s: sft(p, s, 16),
    "reward": lambda p, s: reward(p, s, 8, 2),
    "reward-k4": lambda p, s: reward(p, s, 4, 4),
    "ppo": ppo,
    "dpo": lambda p, s: preference(p, s, Dpo(), live=True),
    "dpo-precomputed": lambda p, s: preference(p, s, Dpo()),
    "ipo": lambda p, s: preference(p, s, Dpo(loss="ipo", length_normalised=True), live=True),
    "orpo": lambda p, s: preference(p, s, Orpo()),
    "simpo": lambda p, s: preference(p, s, Simpo()),
    "cpo": lambda p, s: preference(p, s, Cpo()),
    "kto": kto,
    "kto-live": lambda p, s: kto(p, s, live=True),
    "grpo": lambda p, s: grpo(p, s, 8),
    "rloo": lambda p, s: online(p, s, lambda q, _: RLOO(q, Rloo(**GROUPS)), Rloo(**GROUPS)),
    "online-dpo": lambda p, s: online(
        p, s, lambda q, _: OnlineDPO(q, OnlineDpo(**DUELS)), OnlineDpo(**DUELS)
    ),
    "sampling-64x1": lambda p, s: sampling(p, s, 64, 1),
    "sampling-8x8": lambda p, s: sampling(p, s, 8, 8),
    # Of plaudit alone: what more answers a prompt, or more data a step, cost.
    "sft-batch32": lambda p, s: sft(p, s, 32),
    "grpo-g4": lambda p, s: grpo(p, s, 4),
    "grpo-g16": lambda p, s: grpo(p, s, 16),
    "reward-k2-of-4": lambda p, s: reward(p, s, 4, 2),
    "reward-k3-of-4": lambda p, s: reward(p, s, 4, 3),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    spare_libraries()
    policy = load_policy(given.model)
    n = weights(policy.model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with use_compute(precision=given.precision):
        found = ROWS[given.row](policy, given.seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**found, "weights": n, "peak_mb": (peak - before) / 1024, "rss_mb": peak / 1024}))


if __name__ == "__main__":
    main()
