"""A reviser of the pocket world: it edits a draft by one principle, at a stated error rate, and adds no fact.

It stands in for a language model that criticizes and revises (Bai et al. 2022), so that Constitutional AI can be run
and measured without one. What it knows is the grammar of the world and whether a stated fact is true.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plaudit.errors import UserError
from plaudit.judges.constitution import read_constitution
from plaudit.judges.revision import Revision, RevisionTask
from plaudit.pocket.answers import REFUSAL
from plaudit.pocket.grammar import ParsedSentence, parse
from plaudit.pocket.questions import Question, question_of, styled
from plaudit.pocket.settings import ReviserOptions, check_reviser, options_for

Sentences = list[tuple[str, ParsedSentence]]
Edit = Callable[[Question, Sentences], "str | None"]
FINE = "nothing to mend."
NOT_KNOWN = "i do not know."


def _split(text: str, topic: str) -> Sentences:
    parts = [part.strip() for part in re.findall(r"[^.!?]*[.!?]+|[^.!?]+$", text) if part.strip()]
    return [(part, parse(part, topic)[0]) for part in parts]


def _without(kinds: set[str]) -> Edit:
    """Leaves out sentences of these kinds, as long as something is left."""

    def edit(question: Question, sentences: Sentences) -> str | None:
        kept = [text for text, said in sentences if said.kind not in kinds]
        # A question alone would be no answer.
        ends = bool(kept) and kept[-1].endswith((".", "!"))
        return " ".join(kept) if ends and len(kept) < len(sentences) else None

    return edit


def _declined(question: Question, sentences: Sentences) -> str | None:
    """A refusal in the place of help with harm."""
    return REFUSAL if any(said.kind == "advice" for _, said in sentences) else None


def _admitted(question: Question, sentences: Sentences) -> str | None:
    """What nobody could know is not made up."""
    return NOT_KNOWN if any(said.kind == "invention" for _, said in sentences) else None


def _true(question: Question, sentences: Sentences) -> str | None:
    """False statements are left out where anything else is said: the truth is not the reviser's to add."""
    kept = [text for text, said in sentences if said.kind != "statement" or said.true]
    told = any(said.kind == "statement" and said.true for _, said in sentences)
    return " ".join(kept) if told and len(kept) < len(sentences) else None


def _disagreed(question: Question, sentences: Sentences) -> str | None:
    """A yes to a mistaken belief becomes a no."""
    if question.category != "belief_false":
        return None
    agrees = any(said.verdict.removeprefix("so ") == "yes" for _, said in sentences)
    return "no." if agrees else None


def _in_form(question: Question, sentences: Sentences) -> str | None:
    """The first statement, in the form that was asked for."""
    fact = question.fact
    if not question.style or fact is None:
        return None
    stated = [said for _, said in sentences if said.states(fact)]
    if not stated:
        return None
    return styled(fact, stated[0].value, question.style)


def _fine(question: Question, sentences: Sentences) -> str | None:
    """Nobody in this world says anything that the principle is about."""
    return None


HARM = frozenset({"harm", "law", "self-harm", "children"})
EDITS: Mapping[str, tuple[Edit, str]] = {
    **dict.fromkeys(sorted(HARM), (_declined, "it helps with harm.")),
    "truth": (_true, "a statement in it is false."),
    "doubt": (_admitted, "it makes up what nobody could know."),
    "agreement": (_disagreed, "it agrees with a mistaken belief."),
    "flattery": (_without({"praise"}), "it flatters."),
    "need": (_without({"hedge"}), "it does not commit to what was asked."),
    "form": (_in_form, "it does not keep to the form that was asked for."),
    "brevity": (_without({"filler"}), "it says more than is needed."),
    "preaching": (_without({"filler"}), "it says more than is needed."),
    **dict.fromkeys(("privacy", "dignity", "refusal", "self"), (_fine, FINE)),
}


class RuleReviser:
    """Applies each principle's edit; in ``error`` of the cases it overlooks what the principle is about.

    Under a principle about harm an error also refuses a request that is harmless, as a model that is too careful does.
    """

    def __init__(self, settings: ReviserOptions, *, seed: int = 0) -> None:
        self.settings, self.seed = settings, seed
        self.name = f"pocket:reviser, error {settings.error:g}"

    def revise(self, drafts: Sequence[RevisionTask], *, seed: int, step: int) -> list[Revision]:
        return [self._one(draft, step) for draft in drafts]

    def _one(self, draft: RevisionTask, step: int) -> Revision:
        name, text = draft.rule.name, draft.text
        question = question_of(draft.prompt)
        edit, finding = EDITS[name]
        found = edit(question, _split(text, question.topic))
        if self._errs(draft, step):
            wrong = REFUSAL if name in HARM and question.category != "harm" else None
            return Revision(name, finding, wrong) if wrong else Revision(name, FINE, text)
        changed = found is not None and found != text
        return Revision(name, finding, str(found)) if changed else Revision(name, FINE, text)

    def _errs(self, draft: RevisionTask, step: int) -> bool:
        key = repr((self.seed, step, draft.prompt.id, draft.rule.name, draft.text)).encode()
        return (
            int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64 < self.settings.error
        )


def check(settings: Any, world: Any) -> None:
    """A constitution of which every principle has its edit; UserError before anything is trained."""
    check_reviser(settings.by.rest, settings.by.options, world)
    rules = read_constitution(settings.constitution).rules
    if unknown := [rule.name for rule in rules if rule.name not in EDITS]:
        raise UserError(
            f"pocket:reviser edits by rule and knows nothing of the principles {', '.join(map(repr, unknown))}",
            remedy=f"use those of plaudit's constitution ({', '.join(EDITS)}), or a model as the reviser",
        )


def make(rest: str, options: Mapping[str, Any], context: Any, settings: Any) -> RuleReviser:
    """The reviser of ``pocket:reviser``."""
    given = options_for("reviser", options)
    assert isinstance(given, ReviserOptions)
    return RuleReviser(given, seed=context.seed)
