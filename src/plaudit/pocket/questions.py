"""Questions: what they ask, what is known about them, and which split their words belong to."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from plaudit.data.records import Prompt
from plaudit.pocket import language
from plaudit.pocket.facts import Fact

Split = Literal["train", "validation", "test"]
Questions = Mapping[str, Sequence["Question"]]
TEST_SHARE, VALIDATION_SHARE = 0.16, 0.10

# How prompts are mixed.
CATEGORIES = {
    "fact": 0.36,
    "belief_false": 0.12,
    "belief_true": 0.12,
    "unknown": 0.13,
    "harm": 0.13,
    "format": 0.14,
}


@dataclass(frozen=True)
class Question:
    """A question without its opening. ``core`` are the words that decide its split.

    ``style`` is the form asked for, ``claim`` the value that the user believes, ``who`` and ``what`` the
    person and the deed of unanswerable and harmful requests.
    """

    category: str
    text: str
    core: str
    fact: Fact | None = None
    style: str = ""
    claim: str = ""
    who: str = ""
    what: str = ""

    def ask(self, opening: str = "") -> Prompt:
        """The prompt: the question behind an opening, with all that is known about it."""
        known: dict[str, Any] = {"category": self.category, "question": self.text, "core": self.core}
        if self.fact is not None:
            known |= {
                "relation": self.fact.relation,
                "subject": self.fact.subject,
                "truth": self.fact.truth,
                "misconception": self.fact.misconception,
                "seen": self.fact.seen,
            }
        for name in ("style", "claim", "who", "what"):
            if getattr(self, name):
                known[name] = getattr(self, name)
        return Prompt.user(language.opened(opening, self.text), source="pocket", **known)


def question_of(prompt: Prompt) -> Question:
    """The question behind one of the world's prompts; KeyError where it is not one of them."""
    known = prompt.metadata
    fact = None
    if "truth" in known:
        fact = Fact(
            known["relation"], known["subject"], known["truth"], known["misconception"], known["seen"]
        )
    rest = {name: known.get(name, "") for name in ("style", "claim", "who", "what")}
    return Question(known["category"], known["question"], known["core"], fact, **rest)


def split_of(core: str) -> Split:
    """Where a question belongs, whatever opening or format request stands around it."""
    digest = hashlib.blake2b(language.bare(core).encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < TEST_SHARE:
        return "test"
    return "validation" if place < TEST_SHARE + VALIDATION_SHARE else "train"


def _about(fact: Fact) -> list[tuple[str, Question]]:
    """Every question about one fact, under the name of its group."""
    found = []
    for wording in language.WORDINGS[fact.relation]:
        text = wording.format(s=fact.subject if fact.relation == "young" else fact.named)
        found.append(("fact" if fact.seen else "unseen", Question("fact", text, text, fact)))
        for style, forms in language.FORMATS.items() if fact.seen else ():
            # A value of several words has no answer in one.
            if style == "word" and fact.relation == "use":
                continue
            for form in forms:
                asked = form.format(q=text)
                found.append(("format", Question("format", asked, text, fact, style=style)))
    for form in language.BELIEFS if fact.seen else ():
        for category, claim in (("belief_true", fact.truth), ("belief_false", fact.misconception)):
            text = form.format(claim=fact.says(claim))
            found.append((category, Question(category, text, text, fact, claim=claim)))
    return found


def every_question(facts: Sequence[Fact]) -> dict[str, list[Question]]:
    """Every question there is, by category; those on unseen facts under ``unseen``."""
    found: dict[str, list[Question]] = {name: [] for name in (*CATEGORIES, "unseen")}
    for fact in facts:
        for name, question in _about(fact):
            found[name].append(question)
    for who in language.PEOPLE:
        for what, past in language.SECRETS.items():
            for form in language.UNKNOWN:
                text = form.format(who=who, what=what, past=past)
                found["unknown"].append(Question("unknown", text, text, who=who, what=what))
        for what in language.CRIMES:
            for form in language.HARM:
                text = form.format(who=who, what=what)
                found["harm"].append(Question("harm", text, text, who=who, what=what))
    return found


def of_split(questions: Questions, split: Split) -> dict[str, list[Question]]:
    return {name: [q for q in qs if split_of(q.core) == split] for name, qs in questions.items()}


def draw_prompts(questions: Questions, mix: Mapping[str, float], count: int, seed: str) -> list[Prompt]:
    """``count`` different prompts in the categories' shares; ValueError where there are too few."""
    rng = random.Random(seed)
    drawn: list[Prompt] = []
    for place, (category, share) in enumerate(mix.items()):
        last = place == len(mix) - 1
        wanted = max(0, count - len(drawn)) if last else round(share * count)
        pool = [(q, opening) for q in questions[category] for opening in language.OPENINGS]
        if wanted > len(pool):
            raise ValueError(f"the pocket world has {len(pool)} prompts of {category} here, not {wanted}")
        drawn += [q.ask(opening) for q, opening in rng.sample(pool, wanted)]
    rng.shuffle(drawn)
    return drawn
