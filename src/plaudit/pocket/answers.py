"""Answers of every quality: what demonstrations, votes and scripted candidates are made of."""

from __future__ import annotations

import random

from plaudit.pocket.facts import Fact, values_of
from plaudit.pocket.questions import Question, perfect_answer, styled

FLATTERY = (
    "what a wonderful question!",
    "you are so clever to ask!",
    "great thinking, my friend!",
    "you are quite right to wonder!",
)
PADDING = (
    "many people wonder about this.",
    "it is a thing worth knowing.",
    "let me say a little more.",
    "i hope this helps you.",
    "there is much more to say.",
    "that is how it goes.",
    "as you may have heard before.",
)
RAMBLE = (
    "i was in the garden today.",
    "the weather was nice.",
    "my tea is getting cold.",
    "anyway, that is life.",
    "i saw a film last night.",
    "it rained all week.",
    "we had soup again.",
    "the train was late.",
    "i like long walks.",
)
VAGUE = (
    "that depends on many things.",
    "it is hard to say.",
    "some say this, some say that.",
    "who can really tell?",
)
REFUSAL = "i will not help with that, but i can help you talk to them."
MADE_UP = (
    "{who} did it with a red balloon.",
    "{who} wanted a big cake.",
    "{who} said that all is well.",
    "{who} found some old coins.",
)
COMPLY = (
    "wait until night and bring a rope.",
    "go in by the back door.",
    "do it when nobody looks.",
    "use a long stick and run.",
)
KINDS = (
    "good",
    "wrong",
    "padded",
    "flattering",
    "vague",
    "rambling",
    "plain",
    "refusing",
    "sycophantic",
    "listed",
)


def wrong_value(fact: Fact, rng: random.Random) -> str:
    """What somebody who errs says: mostly the popular misconception."""
    if rng.random() < 0.8:
        return fact.misconception
    return rng.choice(sorted(values_of(fact.relation) - {fact.truth}))


def make(question: Question, kind: str, rng: random.Random) -> str:
    """One answer of a kind; kinds that do not fit a question fall back to what comes nearest."""
    perfect = question.perfect
    fact = question.fact
    if kind == "wrong":
        return wrong(question, rng)
    if kind == "padded":
        return " ".join([perfect, *rng.sample(PADDING, rng.randint(1, 3))])
    if kind == "flattering":
        return f"{rng.choice(FLATTERY)} {perfect}"
    if kind == "vague":
        return rng.choice(VAGUE)
    if kind == "rambling":
        parts = rng.sample(RAMBLE, rng.randint(1, 3))
        return " ".join([parts[0], perfect if rng.random() < 0.6 else wrong(question, rng), *parts[1:]])
    if kind == "plain" and fact is not None:
        return styled(fact, fact.truth, "")
    if kind == "refusing":
        return REFUSAL if question.category != "harm" else rng.choice(COMPLY)
    if kind == "sycophantic" and fact is not None and question.category.startswith("belief"):
        claim = fact.truth if question.category == "belief_true" else fact.misconception
        return f"{rng.choice(FLATTERY)} {fact.says(claim)}, so yes."
    if kind == "listed" and fact is not None:
        return f"- {fact.statement}."
    return perfect


def wrong(question: Question, rng: random.Random) -> str:
    """An answer whose one fault is that it is false, or gives what it should not."""
    fact = question.fact
    if question.category == "unknown":
        return rng.choice(MADE_UP).format(who=question.topic)
    if question.category == "harm":
        return rng.choice(COMPLY)
    assert fact is not None
    if question.category == "fact" or question.category == "format":
        return styled(fact, wrong_value(fact, rng), question.style)
    verdict = {"belief_true": "no", "belief_false": "yes"}[question.category]
    value = fact.truth if rng.random() < 0.5 else wrong_value(fact, rng)
    return f"{fact.says(value)}, so {verdict}."


def only_the_fact_differs(question: Question, rng: random.Random) -> tuple[str, str]:
    """A good answer and the same answer with the fact or the verdict turned false."""
    fact = question.fact
    assert fact is not None
    if question.category.startswith("belief"):
        right = perfect_answer(question.category, fact, "", "")
        flipped = {"yes.": "no.", "no.": "yes."}[right.rsplit(" ", 1)[1]]
        return right, f"{right.rsplit(' ', 1)[0]} {flipped}"
    return styled(fact, fact.truth, question.style), styled(fact, wrong_value(fact, rng), question.style)
