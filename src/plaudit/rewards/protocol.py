"""The reward interface: one finite number per sample; otherwise the run stops and shows the sample."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from plaudit.data.records import Prompt, Response
from plaudit.errors import PlauditError, UserError, Waiting
from plaudit.runtime import Mesh


@dataclass(frozen=True)
class Sample:
    """One answer of the policy as a reward sees it.

    ``ids`` are the response's tokens, special ones included; ``text`` is their text with special tokens,
    ``answer`` without; ``finish`` says whether the length limit cut it.
    """

    prompt: Prompt
    prompt_ids: np.ndarray
    ids: np.ndarray
    text: str
    answer: str
    finish: Literal["end", "stop", "length"]

    @property
    def response(self) -> Response:
        return Response(self.answer, finished=self.finish != "length")


@dataclass
class RewardOutput:
    """Scores [R], the named parts they were made of, and whether stored numbers brought them to mean 0, deviation 1."""

    scores: np.ndarray
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    normalized: bool = False


class Reward(Protocol):
    """Anything that scores samples.

    One with ``on_rank_0 = True`` is given all samples of a batch by one process, because scores depend on one another
    or because it keeps files; any other one is given whole prompts' samples, by each rank its own. One with
    ``asked_once = True`` costs money or much time: where it fails, no sample is scored again to find the one at fault.
    """

    def score(self, samples: Sequence[Sample]) -> RewardOutput: ...


REMEDY = "mend the reward and run the same command again: what was done is kept"


class RewardError(UserError):
    """A reward raised or gave a number that is not finite; it never becomes 0."""


def checked(reward: Reward, samples: Sequence[Sample], mesh: Mesh | None = None) -> RewardOutput:
    """``reward.score`` with the sample shown where it fails; ranks share the samples, whole prompts each.

    Every sample is scored once in all: on rank 0 where the reward asks for that.
    """
    if mesh is None or mesh.world == 1:
        return _checked(reward, samples)
    if needs_rank_0(reward):
        return mesh.from_main(lambda: _checked(reward, samples))
    cuts = _cuts(samples, mesh.world)
    runs = [samples[a:b] for a, b in pairwise(cuts)]
    found = mesh.map(lambda run: _checked(reward, run) if run else None, runs)
    parts = [part for part in found if part is not None]
    return RewardOutput(
        np.concatenate([part.scores for part in parts]) if parts else np.zeros(0),
        {name: np.concatenate([part.parts[name] for part in parts]) for name in parts[0].parts}
        if parts
        else {},
        bool(parts) and all(part.normalized for part in parts),
    )


def needs_rank_0(*rewards: Reward) -> bool:
    """Whether one of these rewards is to be asked by rank 0 alone."""
    return any(getattr(reward, "on_rank_0", False) for reward in rewards)


def asked_once(*rewards: Reward) -> bool:
    """Whether one of these rewards is never to be asked twice about a sample."""
    return any(getattr(reward, "asked_once", False) for reward in rewards)


def _cuts(samples: Sequence[Sample], world: int) -> list[int]:
    """Where a list is cut into ``world`` runs of nearly equal length that leave no prompt's samples apart."""
    ends = [i for i in range(len(samples)) if not i or samples[i].prompt.id != samples[i - 1].prompt.id]
    ends.append(len(samples))
    return [min(ends, key=lambda end: abs(end - len(samples) * part / world)) for part in range(world + 1)]


def _checked(reward: Reward, samples: Sequence[Sample]) -> RewardOutput:
    try:
        output = reward.score(samples)
    except Waiting:
        raise
    except (Exception, SystemExit) as error:
        once = asked_once(reward)
        if once and isinstance(error, PlauditError):
            raise  # it says itself what went wrong, and its kind decides the exit code
        culprit = None if once else _first_failing(reward, samples)
        raise RewardError(
            f"the reward failed{_place(error)}: {error!r}{_show(culprit)}", remedy=REMEDY
        ) from error
    scores = np.asarray(output.scores, dtype=np.float64)
    if scores.shape != (len(samples),):
        raise RewardError(
            f"the reward returned {scores.shape} scores for {len(samples)} samples", remedy=REMEDY
        )
    if not np.isfinite(scores).all():
        where = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise RewardError(f"the reward of a sample is {scores[where]}{_show(samples[where])}", remedy=REMEDY)
    return RewardOutput(scores, output.parts, output.normalized)


def _first_failing(reward: Reward, samples: Sequence[Sample]) -> Sample | None:
    for sample in samples:
        try:
            reward.score([sample])
        except (Exception, SystemExit):
            return sample
    return None


def _place(error: BaseException) -> str:
    """The file and line that raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _show(sample: Sample | None) -> str:
    if sample is None:
        return ""
    return f"\n  prompt:   {sample.prompt.text!r}\n  response: {sample.text!r}"
