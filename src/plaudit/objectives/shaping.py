"""What becomes of a score before advantages are made of it."""

from __future__ import annotations

from torch import Tensor

from plaudit.objectives.checks import expect_rank, expect_same_shape


def overlong(lengths: Tensor, *, longest: int, cache: int) -> Tensor:
    """The share of the soft penalty that answers of these lengths pay.

        p = clamp((n − (longest − cache)) / cache, 0, 1)

    [R] tokens → [R]. Limits: nothing up to ``longest − cache`` tokens, all of it at ``longest``. ValueError unless
    1 ≤ cache ≤ longest. Yu et al. 2025 (DAPO, arXiv:2503.14476) eq. 13, with the sign turned.
    """
    expect_rank(1, lengths=lengths)
    if not 1 <= cache <= longest:
        raise ValueError(f"cache must be from 1 to longest ({longest}), got {cache}")
    return ((lengths - (longest - cache)) / cache).clamp(0.0, 1.0)


def relative_sigmoid(scores: Tensor, references: Tensor) -> Tensor:
    """How surely answers beat reference answers of their own prompt, as Bradley–Terry reads their scores.

        r' = 1/M · Σ_m σ(r − r_ref,m)

    [R] and [R, M], M ≥ 1 → [R] in [0, 1]. Limits: 1/2 at a tie with all; a constant per prompt changes nothing; no
    score, however large, is worth more than 1. Fu et al. 2025 (PAR, arXiv:2502.18770).
    """
    expect_rank(1, scores=scores)
    expect_rank(2, references=references)
    expect_same_shape(scores=scores, reference=references[:, 0])
    return (scores[:, None] - references).sigmoid().mean(1)
