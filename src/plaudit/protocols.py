"""The interfaces between packages: a judge, a chat model, a world, a step.

``Sampler`` is in ``plaudit.rollout.protocol``, ``Reward`` in ``plaudit.rewards.protocol``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from plaudit.config.graph import Node
    from plaudit.data.records import Message, Preference, Prompt, Response
    from plaudit.runs import Stage


@runtime_checkable
class Judge(Protocol):
    """Compares K answers to one prompt: returns a ranking, or outcomes of pairs that may be soft (0 to 1)."""

    def judge(self, prompt: Prompt, responses: Sequence[Response]) -> Preference: ...


class ChatModel(Protocol):
    """Text in, text out: ``n`` answers to each conversation, and whether each came to its end by itself."""

    name: str

    def draw(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        temperature: float,
        max_new_tokens: int,
        n: int = 1,
        seed: int = 0,
        step: int = 0,
    ) -> list[list[tuple[str, bool]]]: ...


class SyntheticWorld(Protocol):
    """A synthetic world: records by role, the true quality of an answer, and the answers and pairs to evaluate with."""

    gold: Any

    def records(self, role: str) -> tuple[Sequence[Any], Sequence[Any]]:
        """Records for training and held out; texts of the role ``corpus``."""
        ...

    def prompts(self, part: str) -> Sequence[Prompt]:
        """Prompts of ``train``, ``validation`` or ``test``, which share no question."""
        ...

    def perfect(self, prompt: Prompt) -> str:
        """The answer that scores best."""
        ...

    def candidates(self, prompt: Prompt, rng: np.random.Generator) -> list[str]:
        """Scripted answers to rank beside a model's own."""
        ...

    def held_out_key(self, prompt: Prompt) -> str:
        """What a prompt is split by: prompts of one key are never on both sides."""
        ...

    def probes(self) -> Mapping[str, Sequence[Preference]]:
        """Sets of pairs that each ask one thing of a reward model."""
        ...


class StepFunction(Protocol):
    """The code of a kind of step: whatever it returns is recorded, and printed by no one."""

    def __call__(self, context: Any, step: Node, stage: Stage) -> Mapping[str, Any]: ...
