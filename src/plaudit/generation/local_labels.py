"""Reads labels from a local policy: the log-probability that the reply begins with each label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.errors import UserError
from plaudit.generation.labels import TOO_LONG, LabelReply, LabelRequest

if TYPE_CHECKING:
    from plaudit.data.tokens.item import TokenItem
    from plaudit.runtime import Runtime

# What a label may look like at the start of a reply. Different beginnings are different events, so they add up.
VARIANTS = ("{}", " {}", "({}")
BUDGET = 8192  # tokens of one pass
TINY = 1e-30


class LocalLabels:
    """P(label) = Σ over its variants of Π P(token of the variant | prompt, what came before); exact."""

    def __init__(self, name: str, folder: str | Path, *, runtime: Runtime | None = None) -> None:
        from plaudit.data.rendering.renderer import Renderer
        from plaudit.models.policy import load_policy
        from plaudit.runtime import Runtime

        # One rank asks it alone: the others do not know the questions.
        self.name, self.runtime = name, (runtime or Runtime()).alone()
        self.policy = load_policy(folder)
        self.policy.model.to(self.runtime.device).eval()
        positions = getattr(self.policy.model.config, "max_position_embeddings", None)
        self.renderer = Renderer(self.policy.tokenizer, max_length=positions)

    def read(self, questions: Sequence[LabelRequest]) -> list[LabelReply]:
        """The readings of all questions; a question that is too long for the model is read as nothing, and says so."""
        from plaudit.models.logprobs import log_probs
        from plaudit.models.packing import layout_for
        from plaudit.training.sweep import per_response

        model = self.policy.model
        readings = [LabelReply(text=TOO_LONG) for _ in questions]
        items = [self._item(q) for q in questions]
        fitting = [i for i, item in enumerate(items) if item is not None]
        chosen = [item for item in items if item is not None]
        with self.runtime.computing():
            found = per_response(
                chosen,
                lambda batch: batch.sum_by_response(log_probs(model, batch).log_prob.double()),
                pad_id=self.policy.tokenizer.pad_token_id or 0,
                layout=layout_for(model),
                token_budget=BUDGET,
                runtime=self.runtime,
            )
        for i, item, sums in zip(fitting, chosen, found):
            ids = [tuple(r.ids.tolist()) for r in item.responses]
            readings[i] = _reading(ids, sums.tolist(), questions[i].labels)
        return readings

    def _item(self, question: LabelRequest) -> TokenItem | None:
        from plaudit.data.tokens.item import Segment, TokenItem

        variants = [self._ids(shape.format(label)) for label in question.labels for shape in VARIANTS]
        try:
            prompt = self.renderer.prompt(question.messages, room=max(map(len, variants)))
        except UserError:
            return None
        return TokenItem(prompt, tuple(Segment.of(ids) for ids in variants))

    def _ids(self, text: str) -> Any:
        import numpy as np

        return np.asarray(self.policy.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)


def _reading(ids: Sequence[tuple[int, ...]], sums: Sequence[float], labels: Sequence[str]) -> LabelReply:
    """Sums of token log-probs of the variants, those of one label side by side, as a reading.

    A variant whose tokens begin another label's ("1" and "10", where digits are tokens) holds its probability too,
    which is taken off.
    """
    width = len(VARIANTS)
    owner = [k // width for k in range(len(ids))]
    shares = [0.0] * len(labels)
    for k, (tokens, total) in enumerate(zip(ids, sums)):
        shares[owner[k]] += math.exp(total)
        for m, longer in enumerate(ids):
            if owner[m] != owner[k] and len(longer) > len(tokens) and longer[: len(tokens)] == tokens:
                shares[owner[k]] -= math.exp(sums[m])
    shares = [max(share, TINY) for share in shares]
    best = max(range(len(labels)), key=shares.__getitem__)
    return LabelReply(
        {label: math.log(share) for label, share in zip(labels, shares)}, min(1.0, sum(shares)), labels[best]
    )
