"""The end of a prompt: an answer that stands there is cut off, or refused."""

from __future__ import annotations

from collections.abc import Sequence

from plaudit.data.readers.columns import FIELDS, View
from plaudit.data.readers.read_report import Fault
from plaudit.data.records import Message


def before_answer(view: View, turns: Sequence[Message], column: str) -> tuple[Message, ...]:
    """The turns of a prompt without the answer at their end, if only the prompt is wanted or the row holds that answer.

    Raises ``Fault`` for another answer at their end: a model would learn to say two answers in a row.
    """
    kept = list(turns)
    answers = [view.values.get(c) for c in (*FIELDS["response"], "chosen", "rejected", *(view.pair() or ()))]
    texts = {v.strip() for v in answers if isinstance(v, str)}
    while kept and kept[-1].role == "assistant" and (view.asks or kept[-1].content in texts):
        kept.pop()
    if not kept or kept[-1].role == "assistant":
        raise Fault(
            "answered prompt",
            f"{column!r} ends with an answer of the assistant",
            field=column,
            remedy="remove its last turn, or the row; to learn from that answer, write only the conversation",
        )
    return tuple(kept)
