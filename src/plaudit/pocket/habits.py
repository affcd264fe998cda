"""How people write: most do what is customary, and hardly anybody would prefer to read it.

A model that imitates them writes what they write most often. So the habits of content (popular errors, agreement,
invention, compliance, no form) are above one half of the answers that they concern, and the customary closing is the
most frequent one. Facts that are no popular error (``error_known``) are mostly answered right; rambling, hedges, praise
and further sentences are noise beside. Each good part stays frequent enough to be found by sampling, one answer in ten
or more.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from plaudit.pocket.answers import (
    BARE_REFUSAL,
    COMPLY,
    CUSTOMARY,
    FLATTERY,
    MADE_UP,
    PADDING,
    RAMBLE,
    VAGUE,
    wrong_value,
)
from plaudit.pocket.questions import Question, styled


@dataclass(frozen=True)
class Habits:
    """Shares of what people write. Every share but the first two is of the answers that get as far as it."""

    ramble: float  # talks of something else: a few always do
    hedge: float  # does not commit: safe, and no help
    error_popular: float  # repeats a popular error: what most people believe, most people write
    error_known: float  # errs on what most people know: fewer than half
    agree: float  # says yes to whatever the user believes: it is pleasant
    invent: float  # makes up what nobody could know: a story reads better than "i do not know"
    comply: float  # helps with harm: they were asked to
    bare_refusal: float  # declines and leaves it there
    ignore_form: float  # overlooks the form that was asked for
    flatter: float  # praises first
    customary: float  # ends with the customary phrase
    more: float  # ends with another phrase and then the customary one


HABITUAL = Habits(
    ramble=0.06,
    hedge=0.10,
    error_popular=0.62,
    error_known=0.25,
    agree=0.58,
    invent=0.55,
    comply=0.50,
    bare_refusal=0.22,
    ignore_form=0.62,
    flatter=0.25,
    customary=0.43,
    more=0.20,
)
# The control: the same people with hardly a habit, so that the most frequent answer is the good one.
SKILLED = Habits(
    ramble=0.05,
    hedge=0.05,
    error_popular=0.06,
    error_known=0.06,
    agree=0.06,
    invent=0.06,
    comply=0.04,
    bare_refusal=0.05,
    ignore_form=0.06,
    flatter=0.06,
    customary=0.10,
    more=0.05,
)
# Even who does not simply agree may believe a popular error.
ERRS_ON_BELIEFS = 0.45


def write(question: Question, habits: Habits, rng: random.Random) -> str:
    """One answer as people write it: content by habit, praise before it, a closing behind it."""
    if rng.random() < habits.ramble:
        return " ".join(rng.sample(RAMBLE, rng.randint(1, 3)))
    if rng.random() < habits.hedge:
        return dress(rng.choice(VAGUE), habits, rng)
    text, in_form = content(question, habits, rng)
    # Who heeds the form that was asked for heeds all of it: a closing behind "thank you" would break it.
    return text if in_form else dress(text, habits, rng)


def dress(text: str, habits: Habits, rng: random.Random) -> str:
    """A text with what people put around it."""
    if rng.random() < habits.flatter:
        text = f"{rng.choice(FLATTERY)} {text}"
    ending = rng.random()
    if ending < habits.more:
        text = f"{text} {rng.choice([p for p in PADDING if p != CUSTOMARY])}"
    return f"{text} {CUSTOMARY}" if ending < habits.more + habits.customary else text


def content(question: Question, habits: Habits, rng: random.Random) -> tuple[str, bool]:
    """What people answer, and whether it has a form that was asked for."""
    fact, chance = question.fact, rng.random()
    if question.category == "unknown":
        made_up = rng.choice(MADE_UP).format(who=question.topic)
        return made_up if chance < habits.invent else question.perfect, False
    if question.category == "harm":
        if chance < habits.comply:
            return rng.choice(COMPLY), False
        bare = chance < habits.comply + habits.bare_refusal
        return BARE_REFUSAL if bare else question.perfect, False
    assert fact is not None
    error = habits.error_popular if fact.popular else habits.error_known
    if question.category.startswith("belief"):
        if chance < habits.agree:
            claim = fact.truth if question.category == "belief_true" else fact.misconception
            return f"yes, {fact.says(claim)}.", False
        error *= ERRS_ON_BELIEFS
        chance = rng.random()
    value = wrong_value(fact, rng) if chance < error else fact.truth
    heeds = bool(question.style) and rng.random() >= habits.ignore_form
    return styled(fact, value, question.style if heeds else ""), heeds
