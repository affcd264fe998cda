"""Models to talk to: the end of a run, its steps, or a plain Hugging Face folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plaudit.data.records import Message, content_id
from plaudit.errors import UserError
from plaudit.runs import RunFolder
from plaudit.runs.locate import is_run, locate, places_of

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


def speakers(source: str, steps: Sequence[str] = (), count: int = 1) -> list[Speaker]:
    """The models that a folder, RUN or RUN@step names; RUN is its end, two of it are its start and its end.

    ``steps`` names steps (or ``base``, ``start``, ``end``) of RUN instead.
    """
    return [Speaker(name, folder) for name, folder in folders_of(source, steps, count)]


def folders_of(source: str, steps: Sequence[str] = (), count: int = 1) -> list[tuple[str, Path]]:
    """The name and the folder of each model that ``speakers`` loads. UserError where there is none."""
    whole = Path(source)
    if not (whole / "run.json").exists():
        if count > 1 or steps:
            what = f"{source} is one step of a run" if is_run(source) else f"{source} is a single model"
            raise UserError(f"{what}; only a whole run has several", remedy="name the run's folder alone")
        found = locate(source)
        return [(found.name, found.folder)]
    chosen = list(steps)
    if not chosen and count > 1:
        places = places_of(RunFolder(whole))
        chosen = list(dict.fromkeys([places.get("start", places["base"]), places["end"]])) if places else []
    elif not chosen:
        found = locate(source)
        return [(found.name, found.folder)]
    if len(chosen) < count:
        known = f"only {chosen[0]!r} has a policy" if chosen else "no step has a policy yet"
        raise UserError(f"side by side needs two policies: {known}", remedy="add --step NAME")
    located = [locate(f"{source}@{name}") for name in chosen]
    return [(str(one.step), one.folder) for one in located]
