"""What judges the answers of an evaluation: the truth of a synthetic world, on real data a proxy, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from plaudit.config.graph import PROXY
from plaudit.data.records import Response
from plaudit.models.policy import Policy
from plaudit.models.reward_model import load_reward_model
from plaudit.models.tokenizers import same_tokenizer
from plaudit.pipeline.context import Context
from plaudit.rewards import ModelReward, Sample, checked
from plaudit.runtime import Mesh


@dataclass(frozen=True)
class Judged:
    """Scores of answers [P], and the shares of their attributes where the judge knows any."""

    scores: np.ndarray
    attributes: Mapping[str, Any] = field(default_factory=dict)


class AnswerJudge(Protocol):
    """Scores answers to held-out prompts. ``perfect`` judges the best answers, None where none are known."""

    name: str

    def judge(self, samples: Sequence[Sample]) -> Judged: ...

    def perfect(self, prompts: Sequence[Any]) -> Judged | None: ...


class GoldJudge:
    """The ground truth of a synthetic world."""

    name = "gold"

    def __init__(self, world: Any, mesh: Mesh) -> None:
        self.world, self.mesh = world, mesh

    def judge(self, samples: Sequence[Sample]) -> Judged:
        return self._judged([s.prompt for s in samples], [s.response for s in samples])

    def perfect(self, prompts: Sequence[Any]) -> Judged:
        return self._judged(prompts, [Response(self.world.perfect(p)) for p in prompts])

    def _judged(self, prompts: Sequence[Any], responses: Sequence[Any]) -> Judged:
        gold = self.world.gold
        rows = self.mesh.map(lambda pair: gold.judge(*pair), list(zip(prompts, responses, strict=True)))
        return Judged(np.asarray([row.score for row in rows]), gold.summarize(prompts, rows))


class ProxyJudge:
    """A reward model that shares no prompt and no seed with the one that was trained on."""

    name = "proxy"

    def __init__(self, context: Context, policy: Policy) -> None:
        model = load_reward_model(context.folder.stage(PROXY).model).to(context.device)
        self.reward = ModelReward(
            model,
            same_tokenizer=same_tokenizer(model.tokenizer, policy.tokenizer),
            normalisation="none",
            runtime=context.runtime,
        )
        self.mesh = context.mesh

    def judge(self, samples: Sequence[Sample]) -> Judged:
        return Judged(checked(self.reward, samples, self.mesh).scores)

    def perfect(self, prompts: Sequence[Any]) -> None:
        return None


def answer_judge(context: Context, policy: Policy) -> AnswerJudge | None:
    """The judge of an evaluation; ``policy`` is one whose answers it judges. None where the recipe has none."""
    if context.gold is not None:
        return GoldJudge(context.world, context.mesh)
    return ProxyJudge(context, policy) if PROXY in context.graph.nodes else None
