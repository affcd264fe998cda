"""Where rewards come from: reward models, ensembles of them, Python functions, weighted sums."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.errors import UserError
from plaudit.models.heads import comparable_scores
from plaudit.models.packing import layout_for
from plaudit.models.reward_model import RewardModel
from plaudit.registry import resolve
from plaudit.rewards.protocol import Reward, RewardOutput, Sample, asked_once, needs_rank_0
from plaudit.runtime import Runtime
from plaudit.training.sweep import per_response

logger = logging.getLogger(__name__)


def score_items(
    model: Any,
    items: Sequence[TokenItem],
    *,
    pad_id: int,
    token_budget: int = 16_384,
    runtime: Runtime | None = None,
) -> np.ndarray:
    """Comparable scores, not normalised, of every response of the items, in order: [R]."""
    runtime = runtime or Runtime()
    with runtime.computing():
        found = per_response(
            items,
            lambda batch: comparable_scores(model, batch),
            pad_id=pad_id,
            layout=layout_for(model.backbone),
            token_budget=token_budget,
            runtime=runtime,
        )
    return np.concatenate(found) if found else np.zeros(0)


def fewest(rewards: Sequence[Any]) -> int | None:
    """The longest sample, in the policy's tokens, that all of these rewards can score; None where none knows."""
    known = [n for reward in rewards if (n := getattr(reward, "max_positions", None)) is not None]
    return min(known, default=None)


class ModelReward:
    """The score of a reward model, normalized by the mean and std that were stored with it.

    With the policy's tokenizer the sampled ids are scored as they are; another tokenizer renders the
    conversation anew, exactly as in the reward model's own training.
    """

    def __init__(
        self,
        model: RewardModel,
        *,
        same_tokenizer: bool,
        normalisation: Literal["stored", "none"] = "stored",
        token_budget: int = 16_384,
        runtime: Runtime | None = None,
    ) -> None:
        if normalisation == "stored" and (model.mean is None or model.std is None):
            raise UserError(
                "the reward model stores no mean and std, so its scores cannot be normalized",
                remedy="train it with `plaudit reward`, which stores them, or set ppo.normalisation: none",
            )
        self.model = model
        longest = getattr(model, "max_positions", None)
        self.renderer = None if same_tokenizer else Renderer(model.tokenizer, max_length=longest)
        self.normalisation = normalisation
        self.cut = 0  # samples that were too long for the model
        self.token_budget = token_budget
        # Ranks share the samples (``checked``), so each scores its own alone.
        self.runtime = (runtime or Runtime()).alone()

    @property
    def max_positions(self) -> int | None:
        """The longest prompt + answer that can be scored, in the policy's tokens; None where nothing is known."""
        return self.model.max_positions if self.renderer is None else None

    def _encode(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        if self.renderer is None:
            return self._within(sample.prompt_ids, sample.ids)
        messages = sample.prompt.messages
        ids = self.renderer.response_ids(messages, sample.response)
        limit = self.renderer.max_length
        try:
            return self.renderer.prompt(messages, room=len(ids)), ids
        except UserError:
            # Not even the last turn fits whole: cut by tokens.
            self.renderer.max_length = None
            return self._within(self.renderer.prompt(messages), ids)
        finally:
            self.renderer.max_length = limit

    def _within(self, prompt: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Prompt and answer cut to the model's positions: the answer's end first, down to half of them."""
        limit = self.model.max_positions
        if limit is None or len(prompt) + len(ids) <= limit:
            return prompt, ids
        if not self.cut:
            logger.warning(
                "a sample of %d + %d tokens is longer than the reward model's %d positions: what does not fit of such "
                "answers and prompts is not scored",
                len(prompt),
                len(ids),
                limit,
            )
        self.cut += 1
        ids = ids[: max(limit - len(prompt), limit // 2)]
        return prompt[len(prompt) + len(ids) - limit :] if len(prompt) + len(ids) > limit else prompt, ids

    def _items(self, samples: Sequence[Sample]) -> list[TokenItem]:
        """Samples in order; neighbors with the same prompt are one item, whose prompt is computed once."""
        groups: list[tuple[np.ndarray, list[Segment]]] = []
        for prompt, ids in map(self._encode, samples):
            if groups and np.array_equal(groups[-1][0], prompt):
                groups[-1][1].append(Segment.of(ids))
            else:
                groups.append((prompt, [Segment.of(ids)]))
        return [TokenItem(prompt, tuple(segments)) for prompt, segments in groups]

    def score(self, samples: Sequence[Sample]) -> RewardOutput:
        items = self._items(samples)
        pad = self.model.tokenizer.pad_token_id
        raw = score_items(
            self.model, items, pad_id=pad or 0, token_budget=self.token_budget, runtime=self.runtime
        )
        return RewardOutput(self.paid(raw), normalized=self.normalisation == "stored")

    def paid(self, raw: np.ndarray) -> np.ndarray:
        """Raw scores as they are paid: normalized, or as they are."""
        if self.normalisation == "none":
            return raw
        mean, std = self.model.mean, self.model.std
        assert mean is not None and std is not None, "checked when this was made"
        found: np.ndarray = (raw - mean) / std
        return found


class EnsembleReward:
    """Several rewards on the same samples: their mean, their minimum, or less where they disagree.

        mean_minus_std: μ − λ·σ        mean_minus_variance: μ − λ·σ²,        μ and σ over the members

    λ is ``std_penalty``. The mean, the minimum (WCO) and the variance (UWO) are Coste et al. 2023's
    (arXiv:2310.02743); the deviation has the reward's own units, whatever its scale.
    """

    def __init__(
        self,
        members: Sequence[Reward],
        *,
        aggregate: Literal["mean", "min", "mean_minus_std", "mean_minus_variance"] = "mean",
        std_penalty: float = 1.0,
    ) -> None:
        self.members = list(members)
        self.aggregate = aggregate
        self.std_penalty = std_penalty

    @property
    def max_positions(self) -> int | None:
        """The longest sample that every member can score."""
        return fewest(self.members)

    @property
    def on_rank_0(self) -> bool:
        return needs_rank_0(*self.members)

    @property
    def asked_once(self) -> bool:
        return asked_once(*self.members)

    def score(self, samples: Sequence[Sample]) -> RewardOutput:
        outputs = [m.score(samples) for m in self.members]
        every = np.stack([output.scores for output in outputs])
        normalized = all(output.normalized for output in outputs)
        return RewardOutput(self.joined(every), {"ensemble_std": every.std(0)}, normalized)

    def joined(self, every: np.ndarray) -> np.ndarray:
        """One score a sample of the members' scores [K, R]."""
        mean, std = every.mean(0), every.std(0)
        if self.aggregate == "min":
            combined = every.min(0)
        elif self.aggregate == "mean_minus_std":
            combined = mean - self.std_penalty * std
        elif self.aggregate == "mean_minus_variance":
            combined = mean - self.std_penalty * std**2
        else:
            combined = mean
        found: np.ndarray = combined
        return found


class FunctionReward:
    """A Python function: sample → number."""

    def __init__(self, function: Callable[[Sample], float]) -> None:
        self.function = function

    @classmethod
    def by_path(cls, path: str) -> FunctionReward:
        """``package.module:function``; the current folder is searched too."""
        function = resolve(path, "reward_function")
        if not callable(function):
            raise UserError(f"reward_function {path!r} is not a function")
        _require_one_argument(path, function)
        return cls(function)

    def score(self, samples: Sequence[Sample]) -> RewardOutput:
        return RewardOutput(np.asarray([_number(self.function(s)) for s in samples], dtype=np.float64))


def _number(value: Any) -> float:
    """What a function gave as a float; TypeError that shows what is none."""
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"it returned {value!r}, which is no number")
    return float(value)


def _require_one_argument(path: str, function: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called with one sample; what has no signature is let pass."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(object())
    except TypeError as error:
        raise UserError(
            f"reward_function {path!r} has the signature {signature}, and is called with one sample ({error})",
            remedy="write def score(sample): … return a number; it reads sample.prompt.text, sample.answer and "
            "sample.prompt.metadata",
        ) from None


class SumReward:
    """A weighted sum of named rewards.

    Parts of its parts are passed on; of a name that several have, the largest of each sample.
    """

    def __init__(self, parts: Mapping[str, tuple[Reward, float]]) -> None:
        self.parts = dict(parts)

    @property
    def max_positions(self) -> int | None:
        """The longest sample that every part can score."""
        return fewest([reward for reward, _ in self.parts.values()])

    @property
    def on_rank_0(self) -> bool:
        return needs_rank_0(*(reward for reward, _ in self.parts.values()))

    @property
    def asked_once(self) -> bool:
        return asked_once(*(reward for reward, _ in self.parts.values()))

    def score(self, samples: Sequence[Sample]) -> RewardOutput:
        outputs = {name: reward.score(samples) for name, (reward, _) in self.parts.items()}
        total = sum(weight * outputs[name].scores for name, (_, weight) in self.parts.items())
        inner: dict[str, np.ndarray] = {}
        for output in outputs.values():
            for name, part in output.parts.items():
                inner[name] = np.maximum(inner[name], part) if name in inner else part
        scored = {name: output.scores for name, output in outputs.items()}
        return RewardOutput(np.asarray(total, dtype=np.float64), {**inner, **scored})
