"""The keyword arguments that the functions of several methods share, as types: ``dpo(policy, records, seed=1)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from plaudit.data.records import Demonstration, Preference
from plaudit.data.rendering.renderer import Renderer
from plaudit.models.logprobs import TokenLogProbs
from plaudit.rewards import Sample
from plaudit.rollout.protocol import Sampler
from plaudit.runs import Stage
from plaudit.runtime import Runtime


class SharedOptions(TypedDict, total=False):
    """``out``: folder for metrics and checkpoints (default: a temporary one); the same call on it resumes.

    ``runtime``: device, ranks, precision (default: one process on the CPU, fp32); ``seed``: instead of the runtime's.
    ``renderer``: how records become tokens (default: the policy's chat template, at its longest length).
    """

    out: str | Path | Stage | None
    seed: int | None
    renderer: Renderer | None
    runtime: Runtime | None


class PreferenceOptions(SharedOptions, total=False):
    """``held_out``: preferences on which the loss and the accuracy are measured, never trained on."""

    held_out: Sequence[Preference]


class OnlineOptions(SharedOptions, total=False):
    """``sampler``: draws the answers (default: ``NativeSampler``); ``reference``: the frozen policy's log-probs.

    ``demonstrations`` feed the PTX term where ``ptx_coefficient`` is not 0; ``watch(iteration)`` returns numbers to
    record that training must not see (``keep_best`` reads ``gold``, or ``second`` for another judge); ``truth`` judges
    the samples that are kept for reading, by gold or a second judge: ``{"gold": [S]}``.
    """

    sampler: Sampler | None
    reference: Callable[..., TokenLogProbs] | None
    demonstrations: Sequence[Demonstration]
    watch: Callable[[int], Mapping[str, float]] | None
    truth: Callable[[Sequence[Sample]], Mapping[str, Sequence[float]]] | None
