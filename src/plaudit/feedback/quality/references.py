"""Values from the literature, shown beside a project's own for comparison; no rule depends on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """A published value, or the range that its stated error spans."""

    low: float
    high: float
    what: str
    source: str


INSTRUCT = "Ouyang et al. 2022 §3.4 (InstructGPT)"
SUMMARIZE = "Stiennon et al. 2020 appendix C.2"
HELPFUL = "Bai et al. 2022 §2.1 (Anthropic HH)"
ALPACA = "AlpacaEval, evaluators_leaderboard.csv"
MT_BENCH = "Zheng et al. 2023 (MT-bench)"

_AGREEMENT = (
    Reference(0.711, 0.741, "training labelers with each other, 72.6 ± 1.5 %", INSTRUCT),
    Reference(0.760, 0.786, "held-out labelers with each other, 77.3 ± 1.3 %", INSTRUCT),
    Reference(0.72, 0.72, "labelers with each other", SUMMARIZE),
    Reference(0.69, 0.77, "researchers with each other, 73 ± 4 %", SUMMARIZE),
    Reference(0.81, 0.81, "people with each other, first turn, without ties", MT_BENCH),
)
_EXPERTS = (
    Reference(0.75, 0.79, "labelers with researchers, 77 ± 2 %", SUMMARIZE),
    Reference(0.63, 0.63, "crowd workers with researchers, about 63 %", HELPFUL),
)

REFERENCES: Mapping[str, tuple[Reference, ...]] = {
    "agreement": _AGREEMENT,
    # κ = (A − ½) / ½: what these agreements amount to where both answers are chosen equally often.
    "kappa": tuple(
        Reference(round(2 * r.low - 1, 3), round(2 * r.high - 1, 3), f"{r.what}, as 2A − 1", r.source)
        for r in _AGREEMENT
    ),
    "agreement_with_ties": (
        Reference(0.567, 0.567, "two labelers, win, tie or lose, counted over 127 pairs", "Open-Instruct"),
    ),
    "gold_agreement": _EXPERTS,
    "longer_preferred": (
        Reference(0.636, 0.636, "people who choose between two answers", ALPACA),
        Reference(
            0.663, 0.663, "longer answer chosen in oasst_en_val", "RewardBench-style count over the set"
        ),
    ),
}


def span(measure: str) -> tuple[float, float] | None:
    """From the lowest to the highest published value of a measure."""
    known = REFERENCES.get(measure)
    return (min(r.low for r in known), max(r.high for r in known)) if known else None
