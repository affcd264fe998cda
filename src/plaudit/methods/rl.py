"""The RL loop, once: sample prompts → respond → reference log-probs → score → rewards with KL →
update → record → move the KL coefficient → show samples.

An algorithm (``methods/ppo.py``) brings an advantage estimator and a surrogate loss; everything else
is here.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from plaudit.config import KL_STEP
from plaudit.config import Online as RlSettings
from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.item import TokenItem
from plaudit.methods.on_policy import OWN, Recording, is_on_policy, minibatch_items, own_tokens
from plaudit.methods.rollout_metrics import describe
from plaudit.methods.rollouts import Rollouts, respond
from plaudit.methods.scores import CLIPPED, pay
from plaudit.methods.supervised import Supervised
from plaudit.models.adapters import has_adapter
from plaudit.models.compute import compute
from plaudit.models.dropout import switch_off
from plaudit.models.logprobs import log_probs
from plaudit.objectives import AdaptiveKL, FixedKL
from plaudit.progress import Progress
from plaudit.rewards import Reward
from plaudit.rollout.protocol import Sampler, SamplingSettings
from plaudit.runs import Stage
from plaudit.training import checkpoint
from plaudit.training.engine import Engine, Group, Method, schedule_factor, trainable
from plaudit.training.fit import batch_indices
from plaudit.training.memory import ENOUGH, checkpoint_layers, fit_memory
from plaudit.training.ranks import Ranks
from plaudit.training.sweep import per_token

logger = logging.getLogger(__name__)

# The share of clipped scores that is worth a warning.
MUCH = 0.1


class Algorithm(Method, Protocol):
    """An advantage estimator and a surrogate loss."""

    train_policy: bool

    def modules(self) -> dict[str, tuple[nn.Module, float]]: ...
    def warming_up(self, iteration: int) -> bool: ...
    def estimate(self, rollouts: Rollouts, kl_coefficient: float) -> dict[str, float]: ...


@dataclass
class RlResult:
    """How the loop ended: iterations done, why it stopped early if it did, and its last record."""

    iterations: int
    stopped: str | None
    metrics: dict[str, float]


def rl_loop(
    algorithm: Algorithm,
    *,
    policy: Any,
    reference: Callable[..., Any],
    reward: Reward,
    prompts: Sequence[Prompt],
    renderer: Renderer,
    sampler: Sampler,
    settings: RlSettings,
    stage: Stage,
    seed: int,
    ptx_items: Sequence[TokenItem] = (),
    watch: Callable[[int], Mapping[str, float]] | None = None,
    device: Any = "cpu",
    ranks: Ranks | None = None,
    label: str = "ppo",
) -> RlResult:
    """Improve ``policy`` in place by ``reward`` under a KL leash to ``reference``.

    ``reference(batch) -> TokenLogProbs`` is the frozen policy; ``watch(iteration)`` measures what
    training must not see (gold on validation prompts) and its numbers are recorded.
    """
    ranks = ranks or Ranks()
    loop = _Loop(
        algorithm, policy, reference, reward, renderer, sampler, settings, stage, seed, device, ranks
    )
    loop.prompts, loop.ptx_items = prompts, ptx_items
    return loop.run(watch, label)


class _Loop:
    def __init__(
        self,
        algorithm: Algorithm,
        policy: Any,
        reference: Callable[..., Any],
        reward: Reward,
        renderer: Renderer,
        sampler: Sampler,
        settings: RlSettings,
        stage: Stage,
        seed: int,
        device: Any,
        ranks: Ranks,
    ) -> None:
        self.algorithm, self.policy, self.reference, self.reward = algorithm, policy, reference, reward
        self.renderer, self.sampler, self.settings = renderer, sampler, settings
        self.stage, self.seed, self.device, self.ranks = stage, seed, device, ranks
        self.prompts: Sequence[Prompt] = ()
        self.ptx_items: Sequence[TokenItem] = ()
        self.iteration = 0
        self.warned = False
        kl = settings.kl
        self.kl_control: FixedKL | AdaptiveKL = (
            AdaptiveKL(kl.coefficient, target=kl.target, horizon=settings.kl_horizon, max_error=KL_STEP)
            if kl.controller == "adaptive"
            else FixedKL(kl.coefficient)
        )
        self.sampling = SamplingSettings(
            max_new_tokens=settings.max_new_tokens, temperature=settings.temperature
        )
        modules = algorithm.modules()
        self.modules = {name: module for name, (module, _) in modules.items()}
        self.engine = Engine(
            [Group(name, trainable(module), lr) for name, (module, lr) in modules.items()],
            # By iteration, not by optimiser step: an epoch that stops early must not slow the decay.
            schedule=lambda _: schedule_factor(
                settings.schedule, self.iteration, settings.iterations, settings.warmup, 0.0
            ),
            token_budget=settings.token_budget or ENOUGH,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_grad_norm,
            device=device,
            ranks=ranks,
        )
        self.ptx = Supervised(policy, name="ptx", coefficient=settings.ptx_coefficient)

    def run(self, watch: Callable[[int], Mapping[str, float]] | None, label: str) -> RlResult:
        s = self.settings
        state = checkpoint.resume(self.stage, self.modules, self.engine)
        self.iteration = state.get("step", 0)
        if state:
            self.kl_control.load(state["kl"])
        again = self._fit_memory()
        for module in self.modules.values():
            # The policy that is trained is the one that was sampled. (Transformers computes layers again in
            # training mode only.)
            switch_off(module, adapters=True)
            module.train(again)
        metrics: dict[str, float] = {}
        if watch and self.iteration == 0:
            self._record(0, dict(watch(0)))
        if s.kl.kl_max is not None and not state:
            self._save()  # the start is the first good checkpoint to fall back to
        with Progress(
            s.iterations, label, unit="iteration", start=self.iteration, quiet=not self.ranks.is_main
        ) as bar:
            while self.iteration < s.iterations:
                rollouts, metrics, clock = self._collect()
                if s.kl.kl_max is not None and metrics["objective/kl"] > s.kl.kl_max:
                    return self._stop(metrics)
                metrics |= self._train(rollouts, clock)
                self.kl_control.update(metrics["objective/kl"], len(rollouts.samples))
                self.iteration += 1
                done = self.iteration == s.iterations
                if watch and (done or self.iteration % s.evaluate_every == 0):
                    metrics |= watch(self.iteration)
                metrics |= {f"time/{name}": seconds for name, seconds in clock.items()}
                metrics |= self.engine.timers.take()
                for event in self.engine.events:
                    self.stage.event(**event)
                self.engine.events.clear()
                self._record(self.iteration, metrics)
                self._show(rollouts)
                if not done and (self.iteration % s.checkpoint_every == 0 or s.kl.kl_max is not None):
                    self._save()
                bar.update(
                    self.iteration,
                    score=metrics["objective/scores"],
                    kl=metrics["objective/kl"],
                    # Shown once it has acted.
                    clipped=metrics.get(CLIPPED) or None,
                )
        return RlResult(self.iteration, None, metrics)

    def _fit_memory(self) -> bool:
        """Choose the token budget for these prompts; whether layers are to be computed again."""
        if self.settings.token_budget is not None:
            if compute().checkpointing:
                for module in self.modules.values():
                    checkpoint_layers(module)
            return bool(compute().checkpointing)
        s = self.settings
        group = s.samples_per_prompt
        room = s.max_new_tokens
        lengths = [len(self.renderer.prompt(p.messages, room=room)) for p in self.prompts] or [1]
        usual = sum(lengths) // len(lengths) + s.max_new_tokens
        size = sum(p.numel() for p in self.policy.model.parameters())
        shared = self.algorithm.layout == "shared"
        answers = group * s.max_new_tokens
        chosen = fit_memory(
            self.modules,
            longest=answers + max(lengths) * (1 if shared else group),
            length=usual,
            share=answers / (answers + usual - s.max_new_tokens),
            # The reference where there is no adapter to switch off, and a reward model of the policy's size.
            beside=4.0 * size * (1 if has_adapter(self.policy.model) else 2),
        )
        self.engine.token_budget = chosen.token_budget
        return chosen.checkpointing

    def _collect(self) -> tuple[Rollouts, dict[str, float], dict[str, float]]:
        """Prompts → responses → log-probs of policy and reference → scores → advantages."""
        s = self.settings
        clock: dict[str, float] = {}
        began = time.perf_counter()
        chosen = batch_indices(
            self.iteration, items=len(self.prompts), batch_size=s.prompts_per_iteration, seed=self.seed
        )
        rollouts = respond(
            [self.prompts[i] for i in chosen],
            renderer=self.renderer,
            sampler=self.sampler,
            settings=self.sampling,
            samples_per_prompt=s.samples_per_prompt,
            seed=self.seed,
            step=self.iteration,
            ranks=self.ranks,
        )
        clock["rollout"] = time.perf_counter() - began
        began = time.perf_counter()
        # One update per rollout needs no log-probs of the policy's own: the training pass gives them.
        on_policy = is_on_policy(self.algorithm, s, self.kl_control.value)
        found = per_token(
            rollouts.items,
            self._reference_log_probs if on_policy else self._both_log_probs,
            pad_id=self.algorithm.pad_id,
            layout=self.algorithm.layout,
            token_budget=self.engine.token_budget,
            device=self.device,
            ranks=self.ranks,
        )
        names = ("reference_log_probs",) if on_policy else ("reference_log_probs", *OWN)
        rollouts.attach(**dict(zip(names, found)))
        paid = pay(rollouts, self.reward, s)
        self._warn_of_clipping(paid.get(CLIPPED, 0.0))
        metrics = paid | ({} if on_policy else self._describe(rollouts))
        metrics |= self.algorithm.estimate(rollouts, self.kl_control.value)
        clock["score"] = time.perf_counter() - began
        return rollouts, metrics, clock

    def _warn_of_clipping(self, share: float) -> None:
        """Once a run, where so much is cut that it decides what is learned."""
        if share > MUCH and not self.warned:
            self.warned = True
            logger.warning(
                "reward_clip cut %.0f %% of this iteration's scores: answers beyond it all count the same",
                100 * share,
            )
            self.stage.event(event="reward_clipped", iteration=self.iteration, share=share)

    def _reference_log_probs(self, batch: Any) -> list[torch.Tensor]:
        return [self.reference(batch, temperature=self.settings.temperature).log_prob]

    def _both_log_probs(self, batch: Any) -> list[torch.Tensor]:
        own = log_probs(self.policy.model, batch, temperature=self.settings.temperature, details=True)
        return [*self._reference_log_probs(batch), *own_tokens(own).values()]

    def _describe(self, rollouts: Rollouts) -> dict[str, float]:
        episodes = float((self.iteration + 1) * len(rollouts.samples))
        return {**describe(rollouts, self.kl_control.value), "elapsed/episodes": episodes}

    def _train(self, rollouts: Rollouts, clock: dict[str, float]) -> dict[str, float]:
        """Epochs of minibatches over the rollouts; stops when the policy has moved far enough."""
        s = self.settings
        began = time.perf_counter()
        warming = self.algorithm.warming_up(self.iteration)
        self.algorithm.train_policy = not warming
        recording = None if rollouts.knows(OWN[0]) else Recording(self.algorithm)
        items = rollouts.items
        size = minibatch_items(s)
        window: dict[str, list[float]] = defaultdict(list)
        epochs = 0
        for epoch in range(s.epochs):
            order = np.random.default_rng([self.seed, self.iteration, epoch]).permutation(len(items))
            moved: list[float] = []
            for start in range(0, len(items), size):
                work: list[tuple[Method, Sequence[TokenItem]]] = [
                    (recording or self.algorithm, [items[i] for i in order[start : start + size]])
                ]
                if s.ptx_coefficient and self.ptx_items and not warming:
                    work.append((self.ptx, self._ptx_batch()))
                step = self.engine.step(work, update=["critic"] if warming else None)
                if epoch == 0 and start == 0 and "policy/approxkl" in step:
                    window["policy/approxkl_first"].append(step["policy/approxkl"])
                for name, value in step.items():
                    window[name].append(value)
                moved.append(step.get("policy/approxkl", 0.0))
            epochs += 1
            if s.kl.epoch_target is not None and np.mean(moved) > 1.5 * s.kl.epoch_target:
                break
        clock["train"] = time.perf_counter() - began
        names = {"loss/policy": "policy/loss", "loss/value": "val/loss", "loss": "loss"}
        mean = {names.get(name, name): float(np.mean(v)) for name, v in window.items()}
        if recording is not None:
            recording.attach_to(rollouts, self.ranks)
            mean |= self._describe(rollouts)
        return {**mean, "epochs": float(epochs)}

    def _ptx_batch(self) -> list[TokenItem]:
        chosen = batch_indices(
            self.engine.steps,
            items=len(self.ptx_items),
            batch_size=self.settings.ptx_batch_size,
            seed=self.seed + 1,
        )
        return [self.ptx_items[i] for i in chosen]

    def _save(self) -> None:
        if self.ranks.is_main:
            keep = max(self.settings.keep_last, 2 if self.settings.kl.kl_max is not None else 1)
            checkpoint.save(
                self.stage,
                self.iteration,
                self.modules,
                self.engine,
                {"kl": self.kl_control.state()},
                keep_last=keep,
            )
        self.ranks.barrier()

    def _stop(self, metrics: dict[str, float]) -> RlResult:
        """The leash broke: go back to the last checkpoint whose KL was measured and within bounds.

        The weights sampled now are those of the newest checkpoint, so the good ones are one older.
        """
        limit = self.settings.kl.kl_max
        reason = f"objective/kl {metrics['objective/kl']:.2f} is above kl_max {limit}"
        steps = [step for step in self.stage.steps() if step < self.iteration]
        if steps:
            state = checkpoint.read(self.stage.checkpoint(steps[-1]), self.modules, None)
            self.iteration = int(state["step"])
            reason += f"; the policy of iteration {self.iteration} was kept"
            for step in self.stage.steps():
                if step > self.iteration and self.ranks.is_main:
                    shutil.rmtree(self.stage.checkpoint(step), ignore_errors=True)
        self._record(self.iteration, {**metrics, "stopped": 1.0})
        return RlResult(self.iteration, reason, metrics)

    def _record(self, iteration: int, metrics: Mapping[str, float]) -> None:
        if self.ranks.is_main:
            self.stage.append_metrics(iteration, metrics)

    def _show(self, rollouts: Rollouts) -> None:
        """Samples as score / kl / total, spread evenly over the ranking of scores."""
        if not self.ranks.is_main or not self.settings.show_samples:
            return
        order = np.argsort(-rollouts.scores, kind="stable")
        picks = np.unique(np.linspace(0, len(order) - 1, self.settings.show_samples).round().astype(int))
        kl = (rollouts.rows("old_log_probs") - rollouts.rows("reference_log_probs")).sum(1)
        rows = []
        for pick in order[picks]:
            sample, score, nats = rollouts.samples[pick], float(rollouts.scores[pick]), float(kl[pick])
            rows.append(
                {
                    "step": self.iteration,
                    "prompt": sample.prompt.text,
                    "response": sample.text,
                    "score": score,
                    "kl": nats,
                    "total": score - self.kl_control.value * nats,
                    "finish": sample.finish,
                }
            )
        self.stage.append_samples(rows)
