"""Answers in another language than the prompt: by script, and by the commonest words of languages in Latin script."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

from plaudit.audit.detectors.texts import words
from plaudit.data.records import Response

COMMON = {
    "English": "the of and to in is that it for was on are with as his they at be this have from you not by what "
    "a an do does how when where why who which can will your my about tell me",
    "German": "der die das und ist nicht ein eine zu den mit auf für sich des dem auch wie wird ich sie werden sind",
    "French": "le la les des est et une dans que qui pour pas sur au avec ce il du vous nous sont elle mais cette",
    "Spanish": "el los las es una del que por con para no se como pero su más este muy son está lo también fue",
    "Italian": "il gli della che è una per non sono con del si più anche nel questo come alla ma dei le ed essere",
    "Portuguese": "o os as é uma do da em não que para com se dos mais como mas foi ao ele seu sua são também",
    "Dutch": "de het een en van is dat niet op te zijn voor met die aan er om ook als dan maar bij uit naar wordt",
}
SETS = {name: frozenset(text.split()) for name, text in COMMON.items()}
FEWEST = 2  # common words
LETTERS = 3
CLEAR = 1.5  # times as many as those of the next language


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "")
    script = name.split(" ")[0]
    return "CJK" if script in ("CJK", "HIRAGANA", "KATAKANA") else script


def language_of(text: str) -> str:
    """The language (of seven in Latin script) or script of most of a text; empty where too little shows it."""
    letters = [c for c in text if c.isalpha()]
    if len(letters) < LETTERS:
        return ""
    script, count = Counter(map(_script, letters)).most_common(1)[0]
    if script != "LATIN":
        return script if count > len(letters) / 2 else ""
    found = words(text)
    hits = sorted(((sum(w in known for w in found), name) for name, known in SETS.items()), reverse=True)
    (best, name), (second, _) = hits[0], hits[1]
    return name if best >= FEWEST and best >= CLEAR * second else ""


def language_switch(prompt: str, response: Response) -> float:
    """1 where prompt and answer are clearly in two languages."""
    asked, answered = language_of(prompt), language_of(response.text)
    return float(bool(asked) and bool(answered) and asked != answered)
