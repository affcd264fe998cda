"""Models to talk to: a stage of a run, or a plain Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plaudit.errors import UserError, suggest

LAST_FIRST = ("ppo", "sft", "verdict", "pretrain", "base")


class Speaker:
    """A policy that answers conversations."""

    def __init__(self, name: str, folder: str | Path) -> None:
        from plaudit.data.rendering import Renderer
        from plaudit.models.policy import load_policy
        from plaudit.rollout.native import NativeSampler

        self.name = name
        self.policy = load_policy(folder)
        positions = getattr(self.policy.model.config, "max_position_embeddings", None)
        self.positions = positions
        self.renderer = Renderer(self.policy.tokenizer, max_length=positions)
        self.sampler = NativeSampler(self.policy)

    def answer(
        self,
        messages: Any,
        *,
        temperature: float,
        max_new_tokens: int,
        n: int = 1,
        seed: int = 0,
        step: int = 0,
    ) -> list[str]:
        """n answers; what is too long for the model loses its oldest turns."""
        from plaudit.data.records import content_id
        from plaudit.rollout.protocol import Request, SamplingSettings

        ids = self.renderer.prompt(messages, room=max_new_tokens)
        settings = SamplingSettings(max_new_tokens=max_new_tokens, temperature=temperature)
        drawn = self.sampler.sample(
            [Request(ids, key=content_id(messages), n=n)], settings, seed=seed, step=step
        )
        return [self.renderer.decode(s.ids) + ("" if s.finish != "length" else " …") for s in drawn]


def speakers(source: str, stages: list[str], count: int = 1) -> list[Speaker]:
    """The stages asked for, or the last ``count`` that have a policy; a model folder speaks for itself."""
    path = Path(source)
    if not (path / "run.json").exists():
        if path.exists() and not (path / "config.json").exists():
            raise UserError(
                f"{source} is neither a run nor a model", remedy="it holds no run.json and no config.json"
            )
        return [Speaker(path.name or source, source)]
    there = [s for s in LAST_FIRST if (path / "stages" / s / "model" / "config.json").exists()]
    if not there:
        raise UserError(f"{source} has no trained policy yet", remedy=f"plaudit resume {source}")
    for stage in stages:
        if stage not in there:
            hint = suggest(stage, there) or f"there are: {', '.join(there)}"
            raise UserError(f"the run has no policy of stage {stage!r}", remedy=hint)
    chosen = stages or list(reversed(there[:count]))
    return [Speaker(s, path / "stages" / s / "model") for s in chosen]
