"""Confusable text: names that look like other names, and characters that reverse or hide text.

Look-alikes follow the idea of Unicode Technical Standard 39 ("Unicode security mechanisms"): two names are taken for
one where their skeletons are alike, and no word mixes scripts whose letters look like each other's.
"""

from __future__ import annotations

import functools
import re
import unicodedata

# Marks that turn the direction of text around, and so can make it read as something else than it is.
TURNING = {
    "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO",
    "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI",
}  # fmt: skip
# These move only what stands beside them; in answers, Arabic and Hebrew need them.
NUDGING = {"\u200e": "LRM", "\u200f": "RLM", "\u061c": "ALM"}
# Letters and marks that show nothing, beside those of the categories C (Unicode's default-ignorable ones).
UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_MARKS = str.maketrans({c: f"⟨{name}⟩" for c, name in (TURNING | NUDGING).items()})

# Scripts with letters that look like each other's. A word may be of one of them only.
ALIKE = ("LATIN", "CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE", "LISU", "DESERET")


def _table(pairs: str) -> dict[int, str]:
    return {ord(word[0]): word[1:] for word in pairs.split()}


LOOKS = (
    _table(
        "аa вb еe һh іi јj кk мm нh оo рp сc ѕs тt уy хx ԁd ԛq ԝw ѵv ѡw үy ԍg ӏl "
        "АA ВB ЕE ҺH ІI ЈJ КK МM НH ОO РP СC ЅS ТT УY ХX ԌG ԚQ ԜW ѴV ҮY ӀI З3 з3"
    )
    | _table(
        "αa βb γy εe ηn ιi κk νv οo ρp σo τt υu χx ωw ϲc ϳj ϝf "
        "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ϹC ͿJ ϜF"
    )
    | _table("օo ոn սu հh ցg յj զq ՕO ՍU ՏS ԼL Ꭺa Ᏼb Ꮯc Ꭰd Ꭼe Ꮐg Ꮋh Ꭻj Ꮶk Ꮮl Ꮇm Ꮲp Ꮢr Ꮪs Ꭲt Ꮩv Ꮃw Ꮓz Ꭵi")
    | _table(
        "ıi ȷj ɡg ɑa ɩi ɪi ʀr ʟl ɴn ʜh ᴀa ʙb ᴄc ᴅd ᴇe ɢg ᴊj ᴋk ᴍm ᴏo ᴘp ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz ƅb ǀl ǃ! ꓲI ꓳO"
    )
    | _table("0o 1l Il |l ‐- ‑- ‒- –- —- ―- −- ﹘- ﹣- ˗- ‘' ’' ʼ' ′' ‛' `' ´'")
)


@functools.lru_cache(maxsize=65_536)
def skeleton(name: str) -> str:
    """What all names that look like this one have in common."""
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", UNSEEN.sub("", name)))
    digits = "".join(str(d) if (d := unicodedata.decimal(c, -1)) >= 0 else c for c in plain)
    # Twice: a letter of another script may look like a capital I, which looks like a small l.
    shown = digits.translate(LOOKS).translate(LOOKS).casefold()
    return " ".join(shown.replace("rn", "m").replace("vv", "w").split())


def mixed_scripts(name: str) -> tuple[str, str] | None:
    """Two scripts with confusable letters in one word, such as Latin and Cyrillic; None if there are none."""
    for word in re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", name)):
        found = sorted({s for c in word for s in ALIKE if unicodedata.name(c, "").startswith(s)})
        if len(found) > 1:
            return found[0].capitalize(), found[1].capitalize()
    return None


def is_like_pseudonym(name: str) -> bool:
    """Whether a name looks like those by which reports and exports call labelers: labeler-001."""
    found = re.fullmatch(r"labell?er([\W_]*)([lo2-9]+)", skeleton(name))
    return found is not None and (len(found[2]) > 2 or found[1].strip() != "")


def marked(text: str) -> str:
    """Text for a page, its turning marks written out: ⟨RLO⟩. What is stored stays as it is."""
    return text.translate(_MARKS)
