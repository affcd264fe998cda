"""The RL loop, once for all on-policy methods: ``RlLoop.step`` is one iteration.

An algorithm (``methods/ppo.py``) brings an advantage estimator and a surrogate loss; everything else is here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from plaudit.config import Online
from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.methods.algorithm import Algorithm, RlResult
from plaudit.methods.best_policy import BestPolicy
from plaudit.methods.dynamic_sampling import DynamicSampling, PromptStream
from plaudit.methods.epochs import train_epochs
from plaudit.methods.kl_limit import KLLimit, KLLimitError
from plaudit.methods.kl_penalty import kl_controller
from plaudit.methods.on_policy import OWN, Recording, is_on_policy, own_tokens
from plaudit.methods.rollout_memory import fit_rollouts
from plaudit.methods.rollout_metrics import Truth, describe, shown_samples
from plaudit.methods.rollouts import Rollouts, respond
from plaudit.methods.scores import CLIPPED, ClippingWarning, pay, pooled
from plaudit.methods.supervised import Supervised
from plaudit.models.dropout import switch_off
from plaudit.models.logprobs import log_probs
from plaudit.progress import Progress
from plaudit.rewards import Reward
from plaudit.rollout.protocol import Sampler, SamplingSettings
from plaudit.runs import Stage
from plaudit.runtime import Mesh, Runtime
from plaudit.training import checkpoint
from plaudit.training.engine import Engine, ParameterGroup, schedule_factor, trainable
from plaudit.training.fit import batch_indices
from plaudit.training.memory import ENOUGH
from plaudit.training.method import Work
from plaudit.training.sweep import per_token


@dataclass
class RlLoop:
    """Improves ``policy`` in place by ``reward`` under a KL penalty to ``reference``.

    ``reference(batch, temperature=…) -> TokenLogProbs`` is the frozen policy; ``watch(iteration)`` measures what
    training must not see (gold on validation prompts) and its numbers are recorded; ``truth`` judges the samples that
    are kept for reading.
    """

    algorithm: Algorithm
    policy: Any
    reference: Callable[..., Any]
    reward: Reward
    prompts: Sequence[Prompt]
    renderer: Renderer
    sampler: Sampler
    settings: Online
    stage: Stage
    ptx_items: Sequence[TokenItem] = ()
    watch: Callable[[int], Mapping[str, float]] | None = None
    truth: Truth | None = None
    runtime: Runtime = field(default_factory=Runtime)
    label: str = "ppo"

    @property
    def mesh(self) -> Mesh:
        return self.runtime.mesh

    def __post_init__(self) -> None:
        s = self.settings
        self.iteration = 0
        self.stream = PromptStream(self.prompts, self.runtime.seed)
        self.dynamic = DynamicSampling(getattr(s, "dynamic_sampling", 0), self.stage, self.mesh)
        self.clipping = ClippingWarning(self.stage, self.mesh)
        self.kl = kl_controller(s)
        modules = self.algorithm.modules()
        self.modules = {name: module for name, (module, _) in modules.items()}
        self.engine = Engine(
            [ParameterGroup(name, trainable(module), lr) for name, (module, lr) in modules.items()],
            # By iteration, not by optimizer step: an epoch that stops early must not slow the decay.
            schedule=lambda _: schedule_factor(s.schedule, self.iteration, s.iterations, s.warmup, 0.0),
            token_budget=s.token_budget or ENOUGH,
            betas=s.betas,
            eps=s.eps,
            weight_decay=s.weight_decay,
            max_grad_norm=s.max_grad_norm,
            runtime=self.runtime,
        )
        self.timers = self.engine.timers
        self.ptx = Supervised(self.policy, name="ptx", coefficient=s.ptx_coefficient)
        self.limit = KLLimit(s.kl.kl_max, self.stage, self.modules, self.mesh)
        self.best = BestPolicy(s, self.stage, self.policy.model, self.mesh)

    def run(self) -> RlResult:
        """Iterations from the newest checkpoint of the stage on, until their number or ``kl_max`` is reached."""
        with self.runtime.computing():
            return self._run()

    def _run(self) -> RlResult:
        s = self.settings
        metrics: dict[str, float] = {}
        self._begin()
        quiet = not self.mesh.is_main
        with Progress(s.iterations, self.label, unit="iteration", start=self.iteration, quiet=quiet) as bar:
            while self.iteration < s.iterations:
                try:
                    metrics = self.step()
                except KLLimitError as reached:
                    self.iteration, reason = self.limit.fall_back(self.iteration, reached)
                    self._record(reached.metrics | {"stopped": 1.0})
                    self.best.forget_after(self.iteration)
                    best = self.best.restore(self.iteration)
                    return RlResult(self.iteration, reason, reached.metrics, best)
                self._after(metrics)
                shown = {"score": metrics["objective/scores"], "kl": metrics["objective/kl"]}
                # Shown once it has acted.
                bar.update(self.iteration, **shown, clipped=metrics.get(CLIPPED) or None)
        return RlResult(self.iteration, None, metrics, self.best.restore(self.iteration))

    def step(self) -> dict[str, float]:
        """One iteration: prompts → rollouts → scores → reference → advantages → update → KL → samples shown."""
        rollouts, metrics = self.sample()
        self.read_reference(rollouts)
        metrics |= self.estimate(rollouts)
        self.limit.check(rollouts, metrics, self.describe)
        metrics |= self.update(rollouts)
        metrics |= self.describe(rollouts)
        self.kl.update(metrics["objective/kl"], len(rollouts.samples))
        self.iteration += 1
        self.show(rollouts)
        return metrics

    def sample(self) -> tuple[Rollouts, dict[str, float]]:
        """Scored responses to the next prompts; with dynamic sampling to those whose samples differ in score."""
        asked: Counter[str] = Counter()
        paid: list[tuple[int, dict[str, float]]] = []

        def draw(count: int) -> Rollouts:
            rollouts = self.respond(self.stream.take(count), asked)
            paid.append((len(rollouts.samples), self.pay(rollouts)))
            return rollouts

        rollouts = draw(min(self.settings.prompts_per_iteration, len(self.prompts)))
        metrics: dict[str, float] = {}
        if self.dynamic.rounds:
            rollouts, metrics = self.dynamic.fill(rollouts, draw, self.iteration)
        # The policy's own log-probs are computed when something reads them.
        rollouts.lazy = lambda: dict(zip(OWN, self._per_token(rollouts, self._own)))
        return rollouts, pooled(paid) | metrics

    def respond(self, prompts: Sequence[Prompt], asked: Counter[str]) -> Rollouts:
        """Sampled responses; ``asked`` counts the prompts of this iteration."""
        s = self.settings
        with self.timers("rollout"):
            rollouts = respond(
                prompts,
                renderer=self.renderer,
                sampler=self.sampler,
                settings=SamplingSettings(max_new_tokens=s.max_new_tokens, temperature=s.temperature),
                samples_per_prompt=s.samples_per_prompt,
                seed=self.runtime.seed,
                step=self.iteration,
                mesh=self.mesh,
                asked=asked,
            )
        rollouts.masked = getattr(s, "mask_unfinished", False)
        return rollouts

    def read_reference(self, rollouts: Rollouts) -> None:
        """Attach the reference's log-probs, and in the same pass the policy's own where its update needs them."""
        own = not rollouts.knows(OWN[0]) and not is_on_policy(self.algorithm, self.settings)

        def read(batch: TokenBatch) -> list[torch.Tensor]:
            reference = self.reference(batch, temperature=self.settings.temperature).log_prob
            return [reference, *(self._own(batch) if own else ())]

        with self.timers("score"):
            found = self._per_token(rollouts, read)
            rollouts.attach(**dict(zip(("reference_log_probs", *(OWN if own else ())), found)))

    def pay(self, rollouts: Rollouts) -> dict[str, float]:
        """Score the responses."""
        with self.timers("score"):
            paid = pay(rollouts, self.reward, self.settings, self.mesh)
        self.clipping.check(self.iteration, paid.get(CLIPPED, 0.0))
        return paid

    def estimate(self, rollouts: Rollouts) -> dict[str, float]:
        """Attach advantages."""
        with self.timers("score"):
            return self.algorithm.estimate(rollouts, self.kl.value)

    def update(self, rollouts: Rollouts) -> dict[str, float]:
        """Train on the rollouts, in the critic's warm-up the critic alone; with PTX on demonstrations beside them."""
        warming = self.algorithm.warming_up(self.iteration)
        self.algorithm.train_policy = not warming
        recording = None if rollouts.knows(OWN[0]) else Recording(self.algorithm)
        beside = self.settings.ptx_coefficient and self.ptx_items and not warming

        def work(chosen: Sequence[TokenItem]) -> Work:
            own = (recording or self.algorithm, chosen)
            return [own, (self.ptx, self._ptx_batch())] if beside else [own]

        items = rollouts.trained_items()
        seed, update = (self.runtime.seed, self.iteration), ["critic"] if warming else None
        with self.timers("train"):
            metrics = train_epochs(self.engine, self.settings, items, work, seed=seed, update=update)
        if recording is not None:
            recording.attach_to(rollouts, self.mesh)
        return metrics

    def describe(self, rollouts: Rollouts) -> dict[str, float]:
        """The numbers of this iteration's rollouts."""
        episodes = float((self.iteration + 1) * len(rollouts.samples))
        return {**describe(rollouts, self.kl.value), "elapsed/episodes": episodes}

    def show(self, rollouts: Rollouts) -> None:
        """Keep some samples for a reader."""
        if self.mesh.is_main and self.settings.show_samples:
            rows = shown_samples(rollouts, self.kl.value, self.settings.show_samples, self.truth)
            self.stage.append_samples([{"step": self.iteration, **row} for row in rows])

    def _begin(self) -> None:
        state = checkpoint.resume(self.stage, self.modules, self.engine, self.mesh)
        self.iteration = state.get("step", 0)
        size = min(self.settings.prompts_per_iteration, len(self.prompts))
        self.stream.at = state.get("prompts", self.iteration * size)
        if state:
            self.kl.load(state["kl"])
        s, model, layout = self.settings, self.policy.model, self.algorithm.layout
        lengths = [len(self.renderer.prompt(p.messages, room=s.max_new_tokens)) for p in self.prompts]
        memory = fit_rollouts(self.modules, model, layout, s, lengths, self.mesh)
        self.engine.token_budget = memory.token_budget
        for module in self.modules.values():
            # The policy that is trained is the one that was sampled. (Transformers checkpoints activations in
            # training mode only.)
            switch_off(module, adapters=True)
            module.train(memory.checkpointing)
        self.best.begin(self.iteration)
        if self.iteration == 0 and (self.watch or self.best.by):
            self._record(self._watched())
        if self.limit.kl_max is not None and not state:
            self._save()  # the start is the first good checkpoint to fall back to

    def _after(self, metrics: dict[str, float]) -> None:
        """Measure, record and save what an iteration has come to."""
        s = self.settings
        done = self.iteration == s.iterations
        if self.watch and (done or self.iteration % s.evaluate_every == 0):
            metrics |= self._watched()
        metrics |= self.timers.take()
        for event in self.engine.events if self.mesh.is_main else ():
            self.stage.event(**event)
        self.engine.events.clear()
        self._record(metrics)
        if not done and (self.iteration % s.checkpoint_every == 0 or s.kl.kl_max is not None):
            self._save()

    def _watched(self) -> dict[str, float]:
        """What training must not see, measured now."""
        return self.best.see(self.iteration, self.watch(self.iteration) if self.watch else {})

    def _per_token(
        self, rollouts: Rollouts, f: Callable[[TokenBatch], Sequence[torch.Tensor]]
    ) -> list[list[list[np.ndarray]]]:
        return per_token(
            rollouts.items,
            f,
            pad_id=self.algorithm.pad_id,
            layout=self.algorithm.layout,
            token_budget=self.engine.token_budget,
            runtime=self.runtime,
        )

    def _own(self, batch: TokenBatch) -> list[torch.Tensor]:
        out = log_probs(self.policy.model, batch, temperature=self.settings.temperature, details=True)
        return list(own_tokens(out).values())

    def _ptx_batch(self) -> list[TokenItem]:
        size, seed = self.settings.ptx_batch_size, self.runtime.seed + 1
        chosen = batch_indices(self.engine.steps, items=len(self.ptx_items), batch_size=size, seed=seed)
        return [self.ptx_items[i] for i in chosen]

    def _record(self, metrics: Mapping[str, float]) -> None:
        if self.mesh.is_main:
            self.stage.append_metrics(self.iteration, metrics)

    def _save(self) -> None:
        if self.mesh.is_main:
            keep = max(self.settings.keep_last, self.limit.checkpoints)
            state = {"kl": self.kl.state(), "prompts": self.stream.at}
            checkpoint.save(self.stage, self.iteration, self.modules, self.engine, state, keep_last=keep)
        self.mesh.barrier()
