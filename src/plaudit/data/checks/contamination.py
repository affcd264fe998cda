"""Contamination: evaluation prompts that also occur in training data, exactly or nearly."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.data.records import Prompt
from plaudit.errors import Problem

# Problems listed for one file; the rest is counted.
SHOWN = 20
# A character of a script that writes no spaces between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer), or a word.
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
# A user's turn inside a conversation is a prompt of its own from so many words on: "And then?" is none.
LEAST_WORDS = 4


@dataclass(frozen=True)
class Overlap:
    """An evaluation prompt that occurs in training: ``exact``, or a ``share`` of its n-grams."""

    prompt: Prompt
    share: float
    exact: bool


def overlaps(
    training: Iterable[Any], evaluation: Iterable[Any], *, n: int = 8, share: float = 0.6
) -> list[Overlap]:
    """Evaluation prompts that occur in training, sorted from the largest overlap to the smallest.

    ``exact``: the same words in the same order; case, punctuation and white space are ignored. Otherwise
    at least ``share`` of the prompt's distinct word n-grams occur in training texts; prompts of fewer
    than n words are only compared exactly. Of scripts without spaces, two characters count as a word.
    A record is compared by its prompt, a ``str`` as it is; exactly also by the beginnings of its conversation
    and by each user's turn. Memory grows only with the number of evaluation prompts.
    """
    prompts = list({p.id: p for p in map(_prompt, evaluation)}.values())
    whole: dict[tuple[str, ...], list[int]] = defaultdict(list)
    grams: list[set[tuple[str, ...]]] = []
    for i, prompt in enumerate(prompts):
        words = _words(_text(prompt))
        whole[words].append(i)
        grams.append(set(_grams(words, n)))
    wanted = set().union(*grams)
    same: set[int] = set()
    seen: set[tuple[str, ...]] = set()
    lengths = {len(words) for words in whole}
    for record in training:
        if isinstance(record, str):
            words = _words(record)
        else:
            *earlier, words = _beginnings(_prompt(record), lengths)
            same.update(i for part in earlier for i in whole.get(part, ()))
        same.update(whole.get(words, ()))
        seen.update(g for g in _grams(words, n) if g in wanted)
    found = [
        Overlap(prompt, len(grams[i] & seen) / len(grams[i]) if grams[i] else float(i in same), i in same)
        for i, prompt in enumerate(prompts)
    ]
    return sorted((o for o in found if o.exact or o.share >= share), key=lambda o: (-o.exact, -o.share))


def duplicate_problems(
    training: Iterable[Any], evaluation: Iterable[Any], *, training_file: str, evaluation_file: str
) -> list[Problem]:
    """One problem per evaluation prompt that the training file holds, exactly or nearly."""
    found = overlaps(training, evaluation)
    problems = [
        Problem(
            ("" if o.exact else f"{o.share:.0%} of ")
            + f"the prompt {_short(o.prompt.text)!r} is also in {training_file}",
            evaluation_file,
            field="prompt",
            remedy="remove it from the training file: a prompt that was trained on cannot test the model",
        )
        for o in found[:SHOWN]
    ]
    if len(found) > SHOWN:
        problems.append(Problem(f"… and {len(found) - SHOWN} more like these", evaluation_file))
    return problems


def _prompt(record: Any) -> Prompt:
    return record if isinstance(record, Prompt) else record.prompt


def _text(prompt: Prompt) -> str:
    return "\n".join(m.content for m in prompt.messages if m.role != "system")


def _beginnings(prompt: Prompt, lengths: Collection[int]) -> Iterator[tuple[str, ...]]:
    """The words of each user's turn and of the conversation up to it, if of these lengths; last of all of it."""
    words: tuple[str, ...] = ()
    for message in prompt.messages:
        said = _words(message.content) if message.role != "system" else ()
        words += said
        if message.role == "user" and len(said) < len(words) and _size(said) >= LEAST_WORDS:
            yield said
        if message.role == "user" and len(words) in lengths:
            yield words
    yield words


def _words(text: str) -> tuple[str, ...]:
    return tuple(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def _size(words: Sequence[str]) -> float:
    """The number of words, where a character of a script without spaces is half a word."""
    return sum(0.5 if _unspaced(word) else 1.0 for word in words)


def _unspaced(word: str) -> bool:
    return len(word) == 1 and word >= "\u0e00"


def _grams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    if 2 * sum(map(_unspaced, words)) > len(words):
        n *= 2
    return (tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"
