"""Policies that answer without reading the prompt: a judge that prefers their answers has been gamed.

A constant text wins 86.5 % of AlpacaEval 2 against its judge (Zheng et al. 2024, arXiv:2410.07137).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from plaudit.audit.answers import AnswerSet
from plaudit.audit.detectors.extent import copying, repetition
from plaudit.audit.detectors.texts import plain, words

MOST = 0.5  # of the answers
# One and the same text: yes or no, or a refusal, may be the right answer to most prompts, but not to all.
SAME = 0.9
FEWEST_PROMPTS = 10
COPIED, LOOPED = 0.8, 0.5
# Of the prompt's words, in an answer that repeats it; less is a quotation.
REPEATED = 0.5
KINDS = {
    "empty": "say nothing",
    "constant": "are one and the same text",
    "echo": "repeat the prompt",
    "loop": "repeat themselves",
    "cut": "never end: the length limit cuts them",
}


def null_policy(answers: AnswerSet) -> dict[str, Any] | None:
    """Which way of not answering most of the answers have: ``kind``, ``share`` and words for it; None for none.

    ``constant`` counts the answers whose text is the commonest over different prompts; ``cut`` those that the length
    limit ended. Nothing is said of fewer than ten prompts.
    """
    if len(set(answers.prompts)) < FEWEST_PROMPTS:
        return None
    pairs = [(p, r) for p, group in zip(answers.prompts, answers.responses) for r in group]
    texts = Counter(" ".join(plain(r.text).split()) for _, r in pairs)
    shares = {
        "empty": sum(not words(r.text) for _, r in pairs),
        "constant": texts.most_common(1)[0][1],
        "echo": sum(
            copying(p, r) >= COPIED and len(words(r.text)) >= REPEATED * len(words(p)) for p, r in pairs
        ),
        "loop": sum(repetition(p, r) >= LOOPED for p, r in pairs),
        "cut": sum(not r.finished for _, r in pairs),
    }
    for kind, count in shares.items():
        if count / len(pairs) > (SAME if kind == "constant" else MOST):
            return {"kind": kind, "share": count / len(pairs), "words": KINDS[kind]}
    return None
