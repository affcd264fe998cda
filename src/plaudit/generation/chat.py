"""Chat models on this machine: the end of a run, its steps, or any other model that ``locate`` finds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plaudit.data.records import Message, content_id
from plaudit.errors import UserError
from plaudit.runs import RunFolder
from plaudit.runs.locate import Located, is_run, locate, step_names

if TYPE_CHECKING:
    from plaudit.runtime import Runtime

logger = logging.getLogger(__name__)

CUT = " …"  # behind an answer that the length limit ended


class LocalChatModel:
    """A saved policy that answers conversations (``plaudit.protocols.ChatModel``)."""

    def __init__(self, name: str, folder: str | Path, *, runtime: Runtime | None = None) -> None:
        from plaudit.data.rendering.renderer import Renderer
        from plaudit.models.policy import load_policy
        from plaudit.rollout.native import NativeSampler
        from plaudit.runtime import Runtime

        self.name, self.runtime = name, runtime or Runtime()
        policy = load_policy(folder)
        policy.model.to(self.runtime.device)
        self.positions: int | None = getattr(policy.model.config, "max_position_embeddings", None)
        self.renderer = Renderer(policy.tokenizer, max_length=self.positions)
        self.sampler = NativeSampler(policy)
        self._said: set[str] = set()

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

    def fits(self, conversation: Sequence[Message], max_new_tokens: int) -> bool:
        """Whether a conversation can be answered within the model's positions."""
        try:
            self.renderer.prompt(conversation, room=self._room(max_new_tokens))
        except UserError:
            return False
        return True

    def _room(self, max_new_tokens: int) -> int:
        """Half of the model's positions stay for the conversation."""
        return min(max_new_tokens, self.positions // 2) if self.positions else max_new_tokens

    def _say_once(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            logger.warning("%s: %s", self.name, what)

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
        """n answers to each conversation, and whether each is finished; they are independent of one another."""
        from plaudit.rollout.protocol import Request, SamplingSettings

        asked, max_new_tokens = max_new_tokens, self._room(max_new_tokens)
        if max_new_tokens < asked:
            self._say_once(
                f"answers have at most {max_new_tokens} tokens instead of {asked}: half of the model's "
                f"{self.positions} positions stay for the conversation"
            )
        if any(len(c) > 1 and self.renderer.loses_turns(c, room=max_new_tokens) for c in conversations):
            self._say_once("a conversation is too long for the model: its oldest turns are left out")
        requests = [
            Request(self.renderer.prompt(c, room=max_new_tokens), key=content_id(c), n=n)
            for c in conversations
        ]
        settings = SamplingSettings(max_new_tokens=max_new_tokens, temperature=temperature)
        with self.runtime.computing():
            drawn = self.sampler.sample(requests, settings, seed=seed, step=step)
        answers = [(self.renderer.decode(s.ids), s.finish != "length") for s in drawn]
        return [answers[at : at + n] for at in range(0, len(answers), n)]


class Conversation:
    """A conversation with one model: it sees what was said before, its own answers included."""

    def __init__(
        self,
        model: LocalChatModel,
        *,
        temperature: float = 0.7,
        max_new_tokens: int = 64,
        seed: int = 0,
    ) -> None:
        self.model, self.seed = model, seed
        self.temperature, self.max_new_tokens = temperature, max_new_tokens
        self.messages: list[Message] = []
        self.turn = 0

    def say(self, text: str) -> str:
        """The model's answer to the next user turn; `` …`` ends one that the length limit cut."""
        self.messages.append(Message("user", text))
        (answer,) = self.model.answer(
            tuple(self.messages),
            temperature=self.temperature,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
            step=self.turn,
        )
        self.messages.append(Message("assistant", answer.removesuffix(CUT)))
        self.turn += 1
        return answer

    def clear(self) -> None:
        """Forget what was said; the random numbers go on."""
        self.messages = []


def load_chat_model(model: str | Path, *, step: str | None = None) -> LocalChatModel:
    """The model of RUN (its end), RUN@STEP, or a model folder; ``step`` names another step of RUN."""
    (loaded,) = load_chat_models(locate_models(str(model), [step] if step else ()))
    return loaded


def sample(
    model: str | Path,
    prompt: str | Sequence[Message],
    *,
    step: str | None = None,
    n: int = 1,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
    seed: int = 0,
) -> list[str]:
    """``n`` answers of a model (RUN, RUN@STEP or a model folder) to one prompt, or to a whole conversation."""
    if not prompt:
        raise UserError("the prompt is empty")
    messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    for message in messages:
        if not isinstance(message, Message):
            raise UserError(
                f"a conversation is a sequence of Messages, and was given a {type(message).__name__}",
                remedy="[Message.of(row) for row in ROWS]",
            )
    return load_chat_model(model, step=step).answer(
        messages, temperature=temperature, max_new_tokens=max_new_tokens, n=n, seed=seed
    )


def load_chat_models(found: Sequence[Located]) -> list[LocalChatModel]:
    """The models that ``locate_models`` found, each under its full name."""
    return [LocalChatModel(one.name, one.source) for one in found]


def locate_models(source: str, steps: Sequence[str] = (), count: int = 1) -> list[Located]:
    """The policies that are named (``plaudit.runs.locate``); RUN is its end, two of it are its start and its end.

    ``steps`` names steps (or ``base``, ``start``, ``end``) of RUN instead. UserError where there is none.
    """
    if not (Path(source) / "run.json").exists():
        if count > 1 or steps:
            what = f"{source} is one step of a run" if is_run(source) else f"{source} is a single model"
            raise UserError(f"{what}; only a whole run has several", remedy="name the run's folder alone")
        return [locate(source)]
    if not steps and count == 1:
        return [locate(source)]
    chosen = list(steps) or (["start", "end"] if step_names(RunFolder(Path(source))) else [])
    found = {one.step: one for one in (locate(f"{source}@{name}") for name in chosen)}
    if len(found) < count:
        known = f"only {next(iter(found))!r} has a policy" if found else "no step has a policy yet"
        raise UserError(f"side by side needs two policies: {known}", remedy="add --step NAME")
    return list(found.values())
