"""A language model as a judge: pairs in both orders, grades, or a rubric; with the evidence beside every result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

from plaudit.data.records import Comparisons, Message, Outcome, Prompt, Response
from plaudit.generation.labels import LabelModel, LabelReply, LabelRequest
from plaudit.judges import prompts
from plaudit.judges.orders import LEAST_MASS, Join, Order, join, sigmoid
from plaudit.judges.principles import DEFAULT, Principle, principle_for
from plaudit.judges.rubrics import Criterion, Rubric

Form = Literal["pairwise", "pointwise", "rubric", "yes_no"]
Item = tuple[Prompt, Sequence[Response]]
REASONING = 400  # tokens of a verdict with reasons
# Bai et al. 2022: after reasoning labels are near 0 and 1; within these bounds the reward model learned best.
CLAMP = 0.4


@dataclass(frozen=True)
class Manner:
    """How a model is asked and how its replies are read.

    ``temperature`` divides the log-odds (fitted on people's judgements). ``reason`` lets it write reasons before the
    verdict, whose probability is then kept within [``clamp``, 1 − ``clamp``]. ``scale`` is the best grade.
    ``constitution`` is the name and the version of the one that the principles are of.
    """

    form: Form = "pairwise"
    join: Join = "log_odds"
    temperature: float = 1.0
    principles: tuple[Principle, ...] = DEFAULT
    rubric: Rubric = field(default_factory=Rubric)
    reason: bool = False
    clamp: float = CLAMP
    scale: int = 10
    seed: int = 0
    constitution: str = ""


class LanguageJudge:
    """Comparisons of K answers through all their pairs (``plaudit.protocols.Judge``).

    A pair that cannot be read, or with less than half of the probability on the labels, is neither a tie nor a loss: it
    is left out and counted. ``metadata["judge"]`` of each record holds what was asked and said. ``made_of`` is a hash
    of the model's files, where they lie here.
    """

    def __init__(self, model: LabelModel, manner: Manner | None = None, *, made_of: str = "") -> None:
        self.model, self.manner, self.made_of = model, manner or Manner(), made_of
        self.name = model.name

    def judge(self, prompt: Prompt, responses: Sequence[Response]) -> Comparisons:
        return self.judge_many([(prompt, responses)])[0]

    def judge_many(self, items: Sequence[Item]) -> list[Comparisons]:
        """All items at once, in batches or in requests side by side; a result does not depend on the other items."""
        by_pairs = self.manner.form == "pairwise"
        return self._by_pairs(items) if by_pairs else self._by_scores(items)

    def scores(self, answers: Sequence[tuple[Prompt, str]]) -> list[float | None]:
        """A number in [−1, 1] for each answer, None where the judge abstains.

        Of grades 1 to n: (2 Σ i P(i) − 1 − n) / (n − 1); of a rubric: the weighted share of criteria that are met.
        """
        if self.manner.form == "pointwise":
            grades = self._grades(answers)
            n = self.manner.scale
            return [
                None if g is None else (2 * sum(i * p for i, p in g.items()) - 1 - n) / (n - 1)
                for g in grades
            ]
        return [m if m is None else m.share for m in self._met(answers)]

    def _by_pairs(self, items: Sequence[Item]) -> list[Comparisons]:
        asked: list[LabelRequest] = []
        for prompt, responses in items:
            for i, j in combinations(range(len(responses)), 2):
                a, b = responses[i].text, responses[j].text
                asked += [self._pair(prompt, a, b), self._pair(prompt, b, a)]
        readings = iter(self.model.read(asked))
        return [self._joined(prompt, responses, readings) for prompt, responses in items]

    def _pair(self, prompt: Prompt, first: str, second: str) -> LabelRequest:
        m = self.manner
        principle = principle_for(m.principles, m.seed, prompt.id, first, second)
        text = prompts.pairwise(prompt, first, second, principle.text, m.seed, reason=m.reason)
        return LabelRequest(
            (Message("user", text),), (prompts.FIRST, prompts.SECOND), REASONING if m.reason else 1
        )

    def _joined(self, prompt: Prompt, responses: Sequence[Response], readings: Any) -> Comparisons:
        m = self.manner
        clamp = m.clamp if m.reason else None
        outcomes: list[Outcome] = []
        evidence: list[dict[str, Any]] = []
        for i, j in combinations(range(len(responses)), 2):
            forward, backward = (Order.of(next(readings), prompts.FIRST, prompts.SECOND) for _ in range(2))
            pair = join(forward, backward, m.join, m.temperature, clamp)
            principle = principle_for(m.principles, m.seed, prompt.id, responses[i].text, responses[j].text)
            evidence.append({"left": i, "right": j, "principle": principle.name, **pair.as_dict()})
            if pair.result is not None:
                outcomes.append(Outcome(i, j, pair.result, rater=self.name))
        return self._record(prompt, responses, outcomes, evidence)

    def _by_scores(self, items: Sequence[Item]) -> list[Comparisons]:
        answers = [(prompt, r.text) for prompt, responses in items for r in responses]
        graded: list[Any] = list(
            self._grades(answers) if self.manner.form == "pointwise" else self._met(answers)
        )
        found = []
        for prompt, responses in items:
            own, graded = graded[: len(responses)], graded[len(responses) :]
            outcomes, evidence = [], []
            for i, j in combinations(range(len(responses)), 2):
                result = None if own[i] is None or own[j] is None else self._better(own[i], own[j])
                evidence.append({"left": i, "right": j, **self._content(own[i], own[j]), "result": result})
                if result is not None:
                    outcomes.append(Outcome(i, j, result, rater=self.name))
            shown = [g if g is None or isinstance(g, Mapping) else g.as_dict() for g in own]
            found.append(self._record(prompt, responses, outcomes, evidence, scores=shown))
        return found

    def _better(self, one: Any, other: Any) -> float:
        """P(one better): that its grade is higher (ties half), or σ of the difference of the rubrics' log-odds / T."""
        if isinstance(one, Mapping):
            return sum(
                p * q * (0.5 if i == j else float(i > j)) for i, p in one.items() for j, q in other.items()
            )
        return sigmoid((one.log_odds - other.log_odds) / self.manner.temperature)

    def _content(self, one: Any, other: Any) -> dict[str, list[float]]:
        """Of rubrics and yes/no the log-odds of the pair before T, as of two orders: what calibration fits T to."""
        if not isinstance(one, Met) or not isinstance(other, Met):
            return {}
        difference = one.log_odds - other.log_odds
        return {"log_odds": [difference, -difference]}

    def _grades(self, answers: Sequence[tuple[Prompt, str]]) -> list[dict[int, float] | None]:
        """P(i) of the grades 1 to ``scale`` of each answer."""
        m = self.manner
        labels = tuple(str(i) for i in range(1, m.scale + 1))
        asked = []
        for prompt, answer in answers:
            principle = principle_for(m.principles, m.seed, prompt.id, answer)
            text = prompts.pointwise(prompt, answer, principle.text, m.seed, m.scale)
            asked.append(LabelRequest((Message("user", text),), labels))
        return [self._grade(reading, labels) for reading in self.model.read(asked)]

    def _grade(self, reading: LabelReply, labels: Sequence[str]) -> dict[int, float] | None:
        import math

        if reading.log_probs is None:
            return None if reading.label is None else {int(reading.label): 1.0}
        if (reading.mass or 0) < LEAST_MASS:
            return None
        shares = {int(label): math.exp(reading.log_probs[label]) for label in labels}
        total = sum(shares.values())
        return {i: p / total for i, p in shares.items()}

    def _met(self, answers: Sequence[tuple[Prompt, str]]) -> list[Met | None]:
        asked, owners = [], []
        criteria = [self._criteria(prompt) for prompt, _ in answers]
        for k, (prompt, answer) in enumerate(answers):
            for one in criteria[k]:
                text = prompts.criterion(prompt, answer, one.text, self.manner.seed)
                asked.append(LabelRequest((Message("user", text),), (prompts.YES, prompts.NO)))
                owners.append(k)
        orders = [Order.of(r, prompts.YES, prompts.NO) for r in self.model.read(asked)]
        return [
            Met.of(criteria[k], [o for o, owner in zip(orders, owners) if owner == k])
            for k in range(len(answers))
        ]

    def _criteria(self, prompt: Prompt) -> tuple[Criterion, ...]:
        if self.manner.form == "yes_no":
            principle = principle_for(self.manner.principles, self.manner.seed, prompt.id)
            return (Criterion(f"It is a good answer. {principle.text}"),)
        return self.manner.rubric.criteria(prompt)

    def _record(
        self,
        prompt: Prompt,
        responses: Sequence[Response],
        outcomes: Sequence[Outcome],
        pairs: Sequence[Mapping[str, Any]],
        **more: Any,
    ) -> Comparisons:
        m = self.manner
        said = {
            "name": self.name,
            "form": m.form,
            "join": m.join,
            "temperature": m.temperature,
            "version": prompts.VERSION,
            "prompt": prompt.id,
            **({"constitution": m.constitution} if m.constitution else {}),
            "pairs": list(pairs),
            **more,
        }
        return Comparisons(prompt, tuple(responses), tuple(outcomes), {"judge": said})


@dataclass(frozen=True)
class Met:
    """How far an answer meets a rubric.

    ``log_odds`` = Σ w ln(P(yes) / P(no)) / Σ |w|; ``share`` = Σ w (2 P(yes) − 1) / Σ |w|, in [−1, 1].
    """

    log_odds: float
    share: float
    criteria: tuple[float, ...]

    @classmethod
    def of(cls, criteria: Sequence[Criterion], orders: Sequence[Order]) -> Met | None:
        """None where nothing is asked or one criterion cannot be read: a part of a rubric is another rubric."""
        if not criteria or any(o.abstains for o in orders):
            return None
        odds = [float(o.log_odds or 0.0) for o in orders]
        total = sum(abs(c.weight) for c in criteria)
        shares = [sigmoid(x) for x in odds]
        return cls(
            sum(c.weight * x for c, x in zip(criteria, odds)) / total,
            sum(c.weight * (2 * p - 1) for c, p in zip(criteria, shares)) / total,
            tuple(shares),
        )

    def as_dict(self) -> dict[str, Any]:
        return {"log_odds": self.log_odds, "share": self.share, "criteria": list(self.criteria)}
