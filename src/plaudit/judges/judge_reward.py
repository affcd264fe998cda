"""A judge as a reward inside RL: samples are graded as they are drawn (d-RLAIF, Lee et al. 2023)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from plaudit.errors import UserError
from plaudit.judges.language import LanguageJudge
from plaudit.rewards.protocol import RewardError, RewardOutput, Sample


class JudgeReward:
    """The judge's score of every answer, in [−1, 1].

    A sample that the judge does not grade gets the mean of the graded ones of its prompt, so that it gains and loses
    nothing against them; where its prompt has none, the mean of the batch. How many these are is logged as the part
    ``judge_abstained``. RewardError where it grades none.
    """

    on_rank_0 = (
        True  # the mean may need the whole batch, and what a server is asked and charges is kept in files
    )

    asked_once = True

    def __init__(self, judge: LanguageJudge) -> None:
        if judge.manner.form == "pairwise":
            raise UserError(
                f"{judge.name} compares pairs, and a reward scores one answer",
                remedy="add ?form=pointwise, ?form=rubric&rubric=FILE or ?form=yes_no",
            )
        self.judge = judge

    def score(self, samples: Sequence[Sample]) -> RewardOutput:
        given = self.judge.scores([(s.prompt, s.answer) for s in samples])
        known = [g for g in given if g is not None]
        if not known:
            raise RewardError(
                f"{self.judge.name} graded none of {len(samples)} samples: its replies cannot be read"
            )
        mean = float(np.mean(known))
        of_prompt: dict[str, list[float]] = defaultdict(list)
        for sample, grade in zip(samples, given):
            if grade is not None:
                of_prompt[sample.prompt.id].append(grade)
        means = {name: float(np.mean(grades)) for name, grades in of_prompt.items()}
        scores = np.asarray(
            [means.get(s.prompt.id, mean) if g is None else g for s, g in zip(samples, given)],
            dtype=np.float64,
        )
        return RewardOutput(scores, {"judge_abstained": np.asarray([float(g is None) for g in given])})
