"""A reward model as a judge: the order of its scores, or the probabilities that they imply."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from plaudit.data.records import Comparisons, Outcome, Preference, Prompt, Ranking, Response
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.judges.options import options_of
from plaudit.rewards import score_items
from plaudit.runtime import Runtime


class RewardJudge:
    """Ranks answers by a reward model's score; with ``soft``, σ(r_i − r_j) of every pair (Bradley–Terry)."""

    def __init__(
        self, model: Any, *, soft: bool = False, name: str = "reward", runtime: Runtime | None = None
    ) -> None:
        self.model, self.soft, self.name = model, soft, name
        # Ranks share the prompts, so each scores its own alone.
        self.runtime = (runtime or Runtime()).alone()
        self.renderer = Renderer(model.tokenizer, max_length=getattr(model, "max_positions", None))

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
        ids = [self.renderer.response_ids(prompt.messages, r) for r in responses]
        start = self.renderer.prompt(prompt.messages, room=max(map(len, ids)))
        item = TokenItem(start, tuple(Segment.of(i) for i in ids))
        pad = self.model.tokenizer.pad_token_id or 0
        return [float(s) for s in score_items(self.model, [item], pad_id=pad, runtime=self.runtime)]


def make(rest: str, options: Mapping[str, Any], context: Any) -> RewardJudge:
    """The judge of ``reward:STEP``, ``reward:PATH`` or ``reward:RUN@step``."""
    from plaudit.models.reward_model import load_reward_model

    model = load_reward_model(context.reward_folders(rest)[0] if context.has_reward(rest) else rest)
    model.to(context.device)
    return RewardJudge(
        model, soft=options_of("reward", options).soft, name=f"reward:{rest}", runtime=context.runtime
    )
