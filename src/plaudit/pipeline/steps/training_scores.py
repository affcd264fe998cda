"""The scores that a reward model gives answers that it was trained on, kept beside it for whoever is paid by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.config import RewardPart
from plaudit.config.graph import Node
from plaudit.data.rendering.renderer import Renderer
from plaudit.methods.lengths import bounded
from plaudit.models.reward_model import RewardModel
from plaudit.pipeline.context import Context
from plaudit.rewards import EnsembleReward, ModelReward, WatchedReward, score_items
from plaudit.runs import RunFolder, Stage
from plaudit.runs.locate import locate
from plaudit.runtime import Runtime

FILE = "training_scores.json"
NOT_KEPT = "keeps no scores of the answers that it was trained on (plaudit audit RUN --shift)"
RECORDS = 500  # rankings: a thousand answers or more, ten of them above the 99 % quantile


def spaced(records: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the records, evenly spaced: of several sources in a row each gets its share."""
    return [records[i * len(records) // most] for i in range(most)] if len(records) > most else list(records)


def training_scores(
    model: RewardModel, records: Sequence[Any], renderer: Renderer, runtime: Runtime
) -> np.ndarray:
    """Raw scores [N] of the answers of ``RECORDS`` of the rankings that a model was trained on."""
    own = bounded(renderer, model)
    items = [item for r in spaced(records, RECORDS) if (item := own.preference(r)) is not None]
    return score_items(model, items, pad_id=model.tokenizer.pad_token_id or 0, runtime=runtime)


def keep(stage: Stage, members: Sequence[np.ndarray]) -> None:
    """Write the members' scores [K, N] beside the model; nothing where no ranking fitted."""
    if len(members[0]) > 1:
        stage.write_json(FILE, {"members": [[round(float(v), 6) for v in row] for row in members]})


def watched(reward: ModelReward | EnsembleReward, stage: Stage | None) -> ModelReward | EnsembleReward | Any:
    """The reward with its scores set beside those kept in the step that trained it; as it is where none are."""
    known = None if stage is None else stage.read_json(FILE)
    return reward if known is None else WatchedReward(reward, known["members"])


def unwatched(context: Context, step: Node) -> str:
    """Why the scores of a step's reward are not set beside those of training answers; empty where they are."""
    models = [part for part in step.rewards if part.source in ("step", "model")]
    if not models:
        return "the reward is no reward model that was trained on answers"
    missing = [str(p.path) for p in models if not _kept(context, p)]
    if not missing:
        return ""
    return f"{', '.join(missing)} {NOT_KEPT}"


def _kept(context: Context, part: RewardPart) -> bool:
    if part.source == "step":
        return (context.folder.stage(str(part.path)).path / FILE).exists()
    found = locate(str(part.path), kind="reward model")
    return found.run is not None and (RunFolder(found.run).stage(str(found.step)).path / FILE).exists()
