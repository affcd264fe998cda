"""Models to talk to: stages of a run, or a plain Hugging Face folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plaudit.data.records import Message, content_id
from plaudit.errors import UserError, suggest

# Stages whose model answers, the furthest first.
LAST_FIRST = ("ppo", "sft", "verdict", "pretrain", "base")
CUT = " …"  # behind an answer that the length limit ended


class Speaker:
    """A policy that answers conversations."""

    def __init__(self, name: str, folder: str | Path) -> None:
        from plaudit.data.rendering import Renderer
        from plaudit.models.policy import load_policy
        from plaudit.rollout.native import NativeSampler

        self.name = name
        policy = load_policy(folder)
        self.positions: int | None = getattr(policy.model.config, "max_position_embeddings", None)
        self.renderer = Renderer(policy.tokenizer, max_length=self.positions)
        self.sampler = NativeSampler(policy)

    def answer(
        self,
        messages: Sequence[Message],
        *,
        temperature: float,
        max_new_tokens: int,
        n: int = 1,
        seed: int = 0,
        step: int = 0,
    ) -> list[str]:
        """n answers; a conversation too long for the model loses its oldest turns."""
        (drawn,) = self.draw(
            [messages], temperature=temperature, max_new_tokens=max_new_tokens, n=n, seed=seed, step=step
        )
        return [text if finished else text + CUT for text, finished in drawn]

    def draw(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        temperature: float,
        max_new_tokens: int,
        n: int = 1,
        seed: int = 0,
        step: int = 0,
    ) -> list[list[tuple[str, bool]]]:
        """n answers to each conversation, and whether each came to its end; they do not depend on one another."""
        from plaudit.rollout.protocol import Request, SamplingSettings

        if self.positions:  # half of the model's positions stay for the conversation
            max_new_tokens = min(max_new_tokens, self.positions // 2)
        requests = [
            Request(self.renderer.prompt(c, room=max_new_tokens), key=content_id(c), n=n)
            for c in conversations
        ]
        settings = SamplingSettings(max_new_tokens=max_new_tokens, temperature=temperature)
        drawn = self.sampler.sample(requests, settings, seed=seed, step=step)
        answers = [(self.renderer.decode(s.ids), s.finish != "length") for s in drawn]
        return [answers[at : at + n] for at in range(0, len(answers), n)]


def speakers(source: str, stages: Sequence[str], count: int = 1) -> list[Speaker]:
    """The stages asked for, or the last ``count`` that have a policy; a model folder speaks for itself."""
    return [Speaker(name, folder) for name, folder in folders_of(source, stages, count)]


def folders_of(source: str, stages: Sequence[str], count: int = 1) -> list[tuple[str, Path]]:
    """The name and the folder of each model that ``speakers`` loads. UserError where there is none."""
    path = Path(source)
    if not (path / "run.json").exists():
        if path.exists() and not (path / "config.json").exists():
            raise UserError(
                f"{source} is neither a run nor a model: it holds no run.json and no config.json",
                remedy="name the folder of a run, such as runs/pocket, or a Hugging Face model folder",
            )
        if stages or count > 1:
            raise UserError(f"{source} is a single model; only a run has stages")
        return [(path.name or source, path)]
    there = [s for s in LAST_FIRST if (path / "stages" / s / "model" / "config.json").exists()]
    if not there:
        raise UserError(f"{source} has no trained policy yet", remedy=f"plaudit resume {source}")
    for stage in stages:
        if stage not in there:
            known = f"there are: {', '.join(reversed(there))}"
            raise UserError(
                f"{source} has no policy of a stage {stage!r}", remedy=suggest(stage, there) or known
            )
    chosen = list(stages) or there[:count][::-1]
    if len(chosen) < count:
        raise UserError(
            f"side by side needs two stages, and there is only {chosen[0]!r}", remedy="add --stage NAME"
        )
    return [(stage, path / "stages" / stage / "model") for stage in chosen]
