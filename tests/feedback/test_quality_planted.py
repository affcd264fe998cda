"""Simulated labelers with known faults: every statistic finds what was planted, within its interval."""

from __future__ import annotations

import numpy as np

from plaudit.feedback.judged import Answer, Judged


def project(
    seed,
    *,
    items=400,
    size=2,
    labelers=6,
    overlap=3,
    spread=1.0,
    strengths=None,
    position=None,
    length=None,
    tie=0.0,
    repeats=0.0,
    steadiness=None,
    stick=0.0,
):
    """Judgements by Bradley–Terry (pairs) or Plackett–Luce (rankings) with planted faults.

    The utility of an answer to a labeler is steadiness · (model's strength + spread · the answer's own) + position
    (for the one shown first) + length · ln words + Gumbel noise. ``stick``: how often a repeat repeats the verdict
    whatever is thought the second time.
    """
    rng = np.random.default_rng(seed)
    models = strengths or {"m0": 0.0, "m1": 0.0}
    names = [f"labeler{i:02d}" for i in range(labelers)]
    position, length, steadiness = position or {}, length or {}, steadiness or {}
    answers, judged, truth = {}, [], {}
    for i in range(items):
        who = rng.choice(list(models), size=size, replace=len(models) < size)
        ids = [f"i{i:05d}a{k}" for k in range(size)]
        words = np.exp(rng.normal(4.5, 0.6, size)).astype(int) + 5
        own = rng.normal(0, spread, size)
        for a, m, w in zip(ids, who, words):
            answers[a] = Answer(a, str(m), int(w))
        value = np.asarray([models[str(m)] for m in who]) + own
        truth[f"i{i:05d}"] = tuple((ids[k],) for k in np.argsort(-value))
        base = rng.permutation(size)
        for slot, l in enumerate(rng.permutation(labelers)[:overlap]):
            name = names[l]
            order = np.roll(base, -slot)

            def verdict(order):
                seen = steadiness.get(name, 1.0) * value + length.get(name, 0.0) * np.log(words)
                seen = seen + position.get(name, 0.0) * (np.arange(size) == order[0]) + rng.gumbel(size=size)
                if size == 2 and rng.random() < tie:
                    return ((ids[0], ids[1]),)
                return tuple((ids[k],) for k in np.argsort(-seen))

            groups = verdict(order)
            shown = tuple(ids[k] for k in order)
            key = f"j{i:05d}-{l}"
            judged.append(
                Judged(
                    key,
                    f"i{i:05d}",
                    name,
                    groups,
                    shown,
                    untouched=groups == tuple((a,) for a in shown),
                    active_ms=int(1000 * words.sum() / 4 * np.exp(rng.normal(0, 0.3))),
                    strength=int(rng.integers(1, 5)) if size == 2 and len(groups) == 2 else None,
                )
            )
            if rng.random() < repeats:
                again = order[::-1]
                second = groups if rng.random() < stick else verdict(again)
                judged.append(
                    Judged(
                        key + "r",
                        f"i{i:05d}",
                        name,
                        second,
                        tuple(ids[k] for k in again),
                        purpose="repeat",
                        round=2,
                    )
                )
    return judged, answers, truth
