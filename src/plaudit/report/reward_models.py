"""The reward models of a run: how well each predicts rankings that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.audit.run import Run
from plaudit.display.calibration_chart import calibration
from plaudit.display.formatting import count, finite, number, of_n, percent, span, words
from plaudit.display.interval_figure import Estimated, interval_rows

PAIRS = {
    "fact": "Pairs that differ only in the fact",
    "belief": "Answers to beliefs that differ only in the fact",
    "verdict": "Pairs that differ only in the verdict",
    "unseen": "Facts it never saw",
}
SHARES: dict[str, Any] = {
    "format": percent,
    "spread": lambda value: span(value, as_percent=True),
    "domain": (0.0, 1.0),
    "reference": (0.5, "chance"),
    "bars": True,
}


def reward_models(run: Run) -> dict[str, Any] | None:
    """Every reward model that was judged, the last one first, and where there are several their accuracies."""
    models = evaluated(run)
    if not models:
        return None
    accuracies = [
        Estimated(run.step_title(name), "reward", _own(model), "accuracy", of_n(model.get("decided")))
        for name, model in models.items()
    ]
    parts = [{"title": run.step_title(name), **one_model(model)} for name, model in models.items()]
    judge = next((finite(run.stages[n].record.get("accuracy")) for n in run.steps if _is_proxy(run, n)), None)
    return {
        "models": parts[::-1],
        "all": interval_rows(accuracies, **SHARES) if len(models) > 1 else None,
        "judge": percent(judge, 1) if judge is not None else "",
    }


def evaluated(run: Run) -> dict[str, Mapping[str, Any]]:
    """What was measured of each reward model, by step."""
    return {str(n): m for n, m in run.mapping("reward_models").items() if isinstance(m, Mapping) and m}


def one_model(model: Mapping[str, Any]) -> dict[str, Any]:
    """Held-out accuracy beside its baselines, by kind of pair, and calibration."""
    longer, shorter = (finite(model.get(f"{side}_pairs")) for side in ("longer", "shorter"))
    unequal = None if longer is None or shorter is None else longer + shorter
    ceilings = [model.get("ceiling"), model.get("human_agreement")]
    main = [
        Estimated("Reward model", "reward", _own(model), "accuracy", of_n(model.get("decided"))),
        Estimated("Longer wins", "muted", model.get("longer_wins"), "longer_wins", of_n(unequal)),
        Estimated("Noise ceiling", "perfect", model.get("ceiling"), "ceiling"),
        Estimated(
            "Human agreement",
            "ink",
            model.get("human_agreement"),
            "human_agreement",
            of_n(model.get("human_pairs")),
            # How good a model can be is told by one of the two.
            missed=all(finite(value) is None for value in ceilings),
        ),
    ]
    pairs = model.get("pairs")
    kinds = [
        Estimated(PAIRS.get(str(k), words(str(k)).capitalize()), "reward", v)
        for k, v in (pairs.items() if isinstance(pairs, Mapping) else ())
    ]
    bins = _bins(model.get("bins"))
    return {
        "main": interval_rows(main, **SHARES),
        "kinds": interval_rows(kinds, **SHARES),
        "decided": count(model.get("decided")) if finite(model.get("decided")) is not None else "",
        "ece": number(model.get("ece"), 3),
        "ece_noise": number(model.get("ece_noise"), 3) if finite(model.get("ece_noise")) is not None else "",
        "calibration": calibration(bins) if bins else None,
        "bins": [(percent(p), percent(o), count(n)) for p, o, n in bins],
        "lean": _lean(model),
    }


def _lean(model: Mapping[str, Any]) -> dict[str, str] | None:
    """Accuracy where the longer and where the shorter answer was preferred, each with its number of pairs."""
    found = {}
    for side in ("longer", "shorter"):
        share, pairs = finite(model.get(f"when_{side}")), model.get(f"{side}_pairs")
        if share is None:
            return None
        found[side] = percent(share) + (f" of {count(pairs)}" if finite(pairs) is not None else "")
    return found


def _own(model: Mapping[str, Any]) -> dict[str, Any]:
    return {"mean": model.get("accuracy"), "low": model.get("low"), "high": model.get("high")}


def _bins(value: Any) -> list[tuple[float, float, int]]:
    rows = [b for b in value if isinstance(b, Mapping)] if isinstance(value, list) else []
    found = [[finite(b.get(k)) for k in ("predicted", "observed", "count")] for b in rows]
    return [(p, o, int(n)) for p, o, n in found if p is not None and o is not None and n is not None]


def _is_proxy(run: Run, step: str) -> bool:
    return bool(run.steps[step]["kind"] == "proxy") and step in run.stages
