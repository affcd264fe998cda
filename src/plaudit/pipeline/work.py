"""What a step does, for plans: in words, in tokens, and in models in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from plaudit.advice.costs import Amount


@dataclass(frozen=True)
class Work:
    """``amount`` of computing, ``trained`` and ``frozen`` models in memory.

    ``references`` of the frozen ones are the trained model without its adapters, where it has some.
    ``longest`` tokens of one item and ``usual`` tokens of a sequence; ``step`` slots that are trained on between two
    updates; ``budget`` where the recipe sets one.
    """

    words: str
    amount: Amount = field(default_factory=Amount)
    trained: int = 0
    frozen: int = 1
    references: int = 0
    longest: int = 1
    usual: int = 64
    step: int = 2**30
    share: float = 1.0
    budget: int | None = None
