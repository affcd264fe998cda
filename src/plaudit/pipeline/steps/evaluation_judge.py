"""What judges the answers of an evaluation: a synthetic world's truth, on real data a proxy, a judge, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from plaudit.config.graph import Node, resolved, teachers
from plaudit.config.sections import JudgeSpec
from plaudit.data.baselines import pair_shares
from plaudit.data.records import Response
from plaudit.errors import UserError
from plaudit.evaluation.judged_win_rate import judged_win_rate, settled
from plaudit.judges.work import judge_into, place_of
from plaudit.models.policy import Policy
from plaudit.models.reward_model import load_reward_model
from plaudit.models.tokenizers import same_tokenizer
from plaudit.pipeline.context import Context
from plaudit.pipeline.judging import identity, spent_of
from plaudit.pipeline.steps.judged import checked_judge
from plaudit.registry import PROXY
from plaudit.rewards import ModelReward, Sample, checked
from plaudit.runs import Stage
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


class PairJudge:
    """The judge that a recipe names: it compares two answers to the same prompt, in both orders."""

    def __init__(self, context: Context, step: Node, stage: Stage, spec: JudgeSpec) -> None:
        self.context, self.stage, self.spec, self.name = context, stage, spec, spec.judge
        self.judge, self.told = checked_judge(context, step, stage, spec)

    def shares(self, samples: Sequence[Sample], against: Sequence[Sample]) -> np.ndarray:
        """[P] who wins (1, 0; a tie is one half) of each prompt's two answers, NaN where the judge abstains."""
        pairs = [(a.prompt, (a.response, b.response)) for a, b in zip(samples, against, strict=True)]
        differ = [i for i, (_, (a, b)) in enumerate(pairs) if a.text != b.text]
        spec = identity(self.judge, self.spec)
        folder = place_of(self.stage.path / "judge" / "answers", spec)

        def asked() -> list[Any]:
            return judge_into(folder, self.judge, [pairs[i] for i in differ], spec=spec, label="evaluate")

        found = np.full(len(pairs), 0.5)
        for i, record in zip(differ, self.context.mesh.from_main(asked)):
            found[i] = settled(pair_shares(record.comparisons()).get((0, 1), np.nan))
        if differ and np.isnan(found[differ]).all():
            raise UserError(f"{self.name} decided nothing: all {len(differ)} pairs are without a verdict")
        return found

    def win_rate(self, samples: Sequence[Sample], against: Sequence[Sample]) -> dict[str, Any]:
        """Raw and at equal length (``judged_win_rate``)."""
        longer = [len(a.answer) - len(b.answer) for a, b in zip(samples, against, strict=True)]
        return judged_win_rate(self.shares(samples, against), longer, [s.prompt.id for s in samples])

    def perfect(self, prompts: Sequence[Any]) -> Judged | None:
        return None

    def record(self) -> dict[str, Any]:
        """How it stands against people, what it cost, and whether the run also learned from it."""
        own = {
            "spec": self.name,
            "also_taught": resolved(self.name) in teachers(self.context.graph.nodes.values()),
        }
        return {**own, **{k: v for k, v in self.told.items() if k != "judge"}, "spent": spent_of(self.judge)}


def answer_judge(context: Context, policy: Policy) -> AnswerJudge | None:
    """What scores single answers; ``policy`` is one whose answers it judges. None where the recipe has none."""
    if context.gold is not None:
        return GoldJudge(context.world, context.mesh)
    return ProxyJudge(context, policy) if PROXY in context.graph.nodes else None
