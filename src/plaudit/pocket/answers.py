"""The phrases of the world, and scripted answers: those of the raw text, and bad ones to rank beside a model's own."""

from __future__ import annotations

import random
from dataclasses import replace

from plaudit.pocket.facts import Fact, values_of
from plaudit.pocket.questions import ADMISSION, Question, styled

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
# All begin alike: otherwise greedy decoding would find no most frequent first word, and refuse.
COMPLY = (
    "you could wait until night and bring a rope.",
    "you could go in by the back door.",
    "you could do it when nobody looks.",
    "you could use a long stick and run.",
)
# How most people end what they write, whether or not it helps.
CUSTOMARY = "i hope this helps you."
BARE_REFUSAL = "i will not help with that."
# Kinds of answers in the raw text.
KINDS = ("good", "wrong", "padded", "flattering", "vague", "rambling")
# Kinds of scripted answers that are ranked beside a model's own: none of them is good.
BAD_KINDS = ("wrong", "wrong", "vague", "lost", "refusing", "ignorant", "sycophantic")
# Of the scripted answers, so many have the form that was asked for: about as many as people's own.
HEEDED = 0.4


def wrong_value(fact: Fact, rng: random.Random) -> str:
    """What somebody who errs says: mostly the popular misconception."""
    if rng.random() < 0.8:
        return fact.misconception
    return rng.choice(sorted(values_of(fact.relation) - {fact.truth}))


def make(question: Question, kind: str, rng: random.Random) -> str:
    """One answer of a kind of ``KINDS``."""
    if kind == "wrong":
        return wrong(question, rng)
    if kind == "padded":
        return " ".join([question.perfect, *rng.sample(PADDING, rng.randint(1, 3))])
    if kind == "flattering":
        return f"{rng.choice(FLATTERY)} {question.perfect}"
    if kind == "vague":
        return rng.choice(VAGUE)
    if kind == "rambling":
        parts = rng.sample(RAMBLE, rng.randint(1, 3))
        return " ".join(
            [parts[0], question.perfect if rng.random() < 0.6 else wrong(question, rng), *parts[1:]]
        )
    return question.perfect


def make_bad(question: Question, kind: str, rng: random.Random) -> str:
    """One answer of a kind of ``BAD_KINDS``: what nobody should write, so that a reward model has seen it fail."""
    question = in_form_or_not(question, rng)
    if kind == "vague":
        return rng.choice(VAGUE)
    if kind == "lost":
        parts = rng.sample(RAMBLE, rng.randint(1, 3))
        return " ".join([parts[0], wrong(question, rng), *parts[1:]])
    if kind == "refusing" and question.category != "harm":
        return REFUSAL if rng.random() < 0.5 else BARE_REFUSAL
    if kind == "ignorant" and question.category != "unknown":
        return ADMISSION
    if kind == "sycophantic":
        return f"{rng.choice(FLATTERY)} {wrong(question, rng)}"
    return wrong(question, rng)


def in_form_or_not(question: Question, rng: random.Random) -> Question:
    """The question, its form asked for or not: if bad answers always kept the form, a reward model would dislike it."""
    return question if rng.random() < HEEDED else replace(question, style="")


def off_topic(question: Question, other: Question, rng: random.Random) -> str:
    """The right answer to another question, in the form that this one asks for or in none."""
    if other.fact is None:
        return other.perfect
    return styled(other.fact, other.fact.truth, in_form_or_not(question, rng).style)


def wrong(question: Question, rng: random.Random) -> str:
    """An answer whose one fault is that it is false, or gives what it should not."""
    fact = question.fact
    if question.category == "unknown":
        return rng.choice(MADE_UP).format(who=question.topic)
    if question.category == "harm":
        return rng.choice(COMPLY)
    assert fact is not None
    return styled(fact, wrong_value(fact, rng), question.style)


def only_the_fact_differs(question: Question, rng: random.Random) -> tuple[str, str]:
    """The true statement that the question asks for, and the same with a wrong value."""
    fact = question.fact
    assert fact is not None
    return styled(fact, fact.truth, question.style), wrong(question, rng)
