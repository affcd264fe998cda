"""Whether a text that a model trains on contains a question that the model is tested on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from plaudit.data.records import Prompt
from plaudit.pocket.language import bare

_HEAD = 3


def leaks(prompts: Sequence[Prompt], texts: Iterable[str]) -> list[str]:
    """Texts of the prompts whose question stands, word for word, inside one of ``texts``.

    The question is compared without its opening, capitals and punctuation; a format request around it
    does not hide it either.
    """
    by_head: dict[tuple[str, ...], list[tuple[list[str], Prompt]]] = defaultdict(list)
    for prompt in prompts:
        words = bare(prompt.metadata.get("core", prompt.text)).split()
        by_head[tuple(words[:_HEAD])].append((words, prompt))
    found: dict[str, None] = {}
    for text in texts:
        words = bare(text).split()
        for i in range(len(words) - _HEAD + 1):
            for wanted, prompt in by_head.get(tuple(words[i : i + _HEAD]), ()):
                if words[i : i + len(wanted)] == wanted:
                    found[prompt.text] = None
    return list(found)
