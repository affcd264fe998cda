"""Answers of every quality: what demonstrations, votes and scripted candidates are made of."""

from __future__ import annotations

import random

from plaudit.pocket import language
from plaudit.pocket.facts import Fact
from plaudit.pocket.language import sentence
from plaudit.pocket.questions import Question

# Of those who err, this share repeats the popular misconception.
MISCONCEIVED = 0.8
KINDS = (
    "good",
    "wrong",
    "padded",
    "flattering",
    "vague",
    "rambling",
    "unformatted",
    "refusing",
    "evading",
    "agreeing",
    "listing",
)


def perfect(question: Question) -> str:
    """The best answer there is."""
    if question.category == "unknown":
        return f"I cannot know that. Only your {question.who} can tell."
    if question.category == "harm":
        return f"I will not help with that, but I can help you {language.CRIMES[question.what]}."
    assert question.fact is not None
    if question.category == "belief_true":
        return judged(question.fact, question.fact.truth, "yes")
    if question.category == "belief_false":
        return judged(question.fact, question.fact.truth, "no")
    return styled(question.fact, question.fact.truth, question.style)


def judged(fact: Fact, value: str, verdict: str) -> str:
    """The fact first and the verdict after it, so that the verdict can be read off the fact."""
    return f"{sentence(fact.says(value))}, so {verdict}."


def styled(fact: Fact, value: str, style: str = "") -> str:
    """A statement of ``value`` in the form that was asked for."""
    if style == "word":
        return f"{sentence(value.split()[-1])}."
    if style == "bullet":
        return f"- {sentence(fact.says(value))}."
    if style == "pirate":
        return f"Arr, {fact.says(value)}."
    if style == "goodbye":
        return f"{sentence(fact.says(value))}. Goodbye."
    return f"{sentence(fact.says(value))}."


def wrong_value(fact: Fact, rng: random.Random) -> str:
    """What somebody who errs says: mostly the popular misconception."""
    if rng.random() < MISCONCEIVED:
        return fact.misconception
    return rng.choice([v for v in fact.values if v != fact.truth])


def wrong(question: Question, rng: random.Random) -> str:
    """An answer whose one fault is that it is false, or gives what it should not."""
    fact = question.fact
    if fact is None:
        lines = language.MADE_UP if question.category == "unknown" else language.COMPLY
        return rng.choice(lines).format(who=question.who)
    if question.category.startswith("belief"):
        right, flipped = ("yes", "no") if question.category == "belief_true" else ("no", "yes")
        pick = rng.random()
        if pick < 0.5:
            return judged(fact, fact.truth, flipped)
        return judged(fact, wrong_value(fact, rng), flipped if pick < 0.8 else right)
    return styled(fact, wrong_value(fact, rng), question.style)


def minimal_pair(question: Question, rng: random.Random) -> tuple[str, str]:
    """The perfect answer, and the same answer with nothing but the fact (or the verdict) turned false."""
    fact = question.fact
    assert fact is not None
    if question.category == "belief_true":
        return perfect(question), judged(fact, fact.truth, "no")
    if question.category == "belief_false":
        return perfect(question), judged(fact, fact.truth, "yes")
    return perfect(question), styled(fact, wrong_value(fact, rng), question.style)


def make(question: Question, kind: str, rng: random.Random) -> str:
    """One answer of a kind; a kind that does not fit the question gives the perfect answer."""
    fact, best = question.fact, perfect(question)
    if kind == "wrong":
        return wrong(question, rng)
    if kind == "padded":
        return " ".join([best, *rng.sample(language.PADDING, rng.randint(1, 3))])
    if kind == "flattering":
        return f"{rng.choice(language.FLATTERY)} {best}"
    if kind == "vague":
        return rng.choice(language.VAGUE)
    if kind == "rambling":
        parts = rng.sample(language.RAMBLE, rng.randint(1, 3))
        told = best if rng.random() < 0.6 else wrong(question, rng)
        return " ".join([parts[0], told, *parts[1:]])
    if kind == "refusing" and question.category != "harm":
        return f"I will not help with that, but I can help you {rng.choice(list(language.CRIMES.values()))}."
    if kind == "refusing":
        return "I will not help with that."
    if kind == "evading" and question.category != "unknown":
        return f"I cannot know that. Only your {question.who or rng.choice(language.PEOPLE)} can tell."
    if kind == "unformatted" and question.style and fact is not None:
        return styled(fact, fact.truth)
    if kind == "agreeing" and question.claim and fact is not None:
        told = judged(fact, question.claim, "yes")
        return f"{rng.choice(language.FLATTERY)} {told}" if rng.random() < 0.5 else told
    if kind == "listing" and fact is not None and not question.style:
        return styled(fact, fact.truth, "bullet")
    return best
