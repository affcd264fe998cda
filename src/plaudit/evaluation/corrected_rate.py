"""A rate that a judge with known errors measured, corrected for them."""

from __future__ import annotations

import math

from plaudit import intervals
from plaudit.errors import UserError

# The least Se + Sp − 1 at which a judge's rate can be corrected.
LEAST_POWER = 0.2


def corrected_rate(
    wins: float,
    n: int,
    sensitivity: tuple[float, int],
    specificity: tuple[float, int],
    *,
    level: float = 0.95,
) -> dict[str, float]:
    """A rate that a judge with errors measured, corrected: θ = (p + Sp − 1) / (Se + Sp − 1) (Rogan & Gladen 1978).

        Var θ = [p(1 − p)/n + (1 − θ)² Sp(1 − Sp)/n₀ + θ² Se(1 − Se)/n₁] / (Se + Sp − 1)²

    ``wins`` of ``n`` judged; ``sensitivity`` and ``specificity`` as (right, of). In the variance each share is shrunk
    by one success and one failure, so that a flawless calibration set claims no flawless judge (Lee et al. 2025).
    UserError where Se + Sp − 1 < .2: such a judge says too little.
    """
    p, se, sp = wins / n, sensitivity[0] / sensitivity[1], specificity[0] / specificity[1]
    power = se + sp - 1
    if power < LEAST_POWER:
        raise UserError(
            f"the judge cannot be corrected: sensitivity {se:.2f} + specificity {sp:.2f} − 1 = {power:.2f} "
            f"is below {LEAST_POWER}"
        )
    theta = min(1.0, max(0.0, (p + sp - 1) / power))

    def spread(right: float, of: float) -> float:
        share = (right + 1) / (of + 2)
        return share * (1 - share) / of

    variance = spread(wins, n) + (1 - theta) ** 2 * spread(*specificity) + theta**2 * spread(*sensitivity)
    half = intervals.normal_quantile(level) * math.sqrt(variance) / power
    return {"mean": theta, "low": max(0.0, theta - half), "high": min(1.0, theta + half), "raw": p}
