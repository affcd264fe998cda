"""A reward model as a judge: the order of its scores, or the probabilities that they imply."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from plaudit.data.records import Comparisons, Outcome, Preference, Prompt, Ranking, Response
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.judges.made_of import of_model
from plaudit.judges.options import options_of
from plaudit.rewards import score_items
from plaudit.runs import RunFolder
from plaudit.runs.locate import locate, model_folders
from plaudit.runtime import Runtime


class RewardJudge:
    """Ranks answers by a reward model's score; with ``soft``, σ(r_i − r_j) of every pair (Bradley–Terry).

    Of an ensemble's members the mean score counts, each at unit spread by its stored std. ``made_of`` is a hash of the
    files of the models.
    """

    def __init__(
        self,
        model: Any,
        *others: Any,
        soft: bool = False,
        name: str = "reward",
        runtime: Runtime | None = None,
        made_of: str = "",
    ) -> None:
        self.models, self.soft, self.name, self.made_of = (model, *others), soft, name, made_of
        # Ranks share the prompts, so each scores its own alone.
        self.runtime = (runtime or Runtime()).alone()
        self.renderers = [
            Renderer(m.tokenizer, max_length=getattr(m, "max_positions", None)) for m in self.models
        ]

    def judge(self, prompt: Prompt, responses: Sequence[Response]) -> Preference:
        scores = self._scores(prompt, responses)
        if self.soft:
            outcomes = tuple(
                Outcome(i, j, 1 / (1 + math.exp(scores[j] - scores[i])), rater=self.name)
                for i, j in combinations(range(len(scores)), 2)
            )
            return Comparisons(prompt, tuple(responses), outcomes)
        groups = [
            tuple(i for i, s in enumerate(scores) if s == value)
            for value in sorted(set(scores), reverse=True)
        ]
        return Ranking(prompt, tuple(responses), tuple(groups), rater=self.name)

    def _scores(self, prompt: Prompt, responses: Sequence[Response]) -> list[float]:
        if len(self.models) == 1:
            return self._of_member(self.models[0], self.renderers[0], prompt, responses)
        every = [
            [score / (model.std or 1.0) for score in self._of_member(model, renderer, prompt, responses)]
            for model, renderer in zip(self.models, self.renderers)
        ]
        return [sum(own) / len(own) for own in zip(*every)]

    def _of_member(
        self, model: Any, renderer: Renderer, prompt: Prompt, responses: Sequence[Response]
    ) -> list[float]:
        ids = [renderer.response_ids(prompt.messages, r) for r in responses]
        start = renderer.prompt(prompt.messages, room=max(map(len, ids)))
        item = TokenItem(start, tuple(Segment.of(i) for i in ids))
        pad = model.tokenizer.pad_token_id or 0
        return [float(s) for s in score_items(model, [item], pad_id=pad, runtime=self.runtime)]


def make(rest: str, options: Mapping[str, Any], context: Any) -> RewardJudge:
    """The judge of ``reward:STEP``, ``reward:PATH`` or ``reward:RUN@step``."""
    from plaudit.models.reward_model import load_reward_model

    folders = context.reward_folders(rest) if context.has_reward(rest) else _saved(rest)
    models = [load_reward_model(folder) for folder in folders]
    for model in models:
        model.to(context.device)
    return RewardJudge(
        *models,
        soft=options_of("reward", options).soft,
        name=f"reward:{rest}",
        runtime=context.runtime,
        made_of=of_model(*folders),
    )


def _saved(spec: str) -> list[Path | str]:
    """The folders of a saved reward model: all members, where a run's step has several."""
    found = locate(spec, kind="reward model")
    if found.run is None:
        return [spec]
    return list(model_folders(RunFolder(found.run), str(found.step)))
