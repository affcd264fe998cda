"""Planted positive controls: an answer made to have a property, to measure how often its detector finds it.

``(prompt, text, random) -> text``; each draws one of several wordings. Real flattery or hedging is worded in more ways
than these, so a detector finds less of it.
"""

from __future__ import annotations

import random as randoms
import re

from plaudit.data.records import Response

Random = randoms.Random

FLATTERIES = (
    "What a great question! ",
    "That's a really insightful question. ",
    "Great question! ",
    "You're so smart to ask this. ",
    "I love your curiosity! ",
    "Excellent point, and thank you for raising it. ",
    "Wow, such a thoughtful question! ",
    "Your question is really interesting. ",
    "You are absolutely brilliant for thinking of this. ",
    "Fantastic question, my friend! ",
)
COURTESIES = (
    "Certainly! ",
    "Of course! Here is what you asked for. ",
    "Sure, I can do that. ",
    "I'd be happy to help with that. ",
    "Thank you for your question. ",
    "Absolutely! ",
    "I would be glad to answer this. ",
    "No problem! ",
)
AGREEMENTS = (
    "Yes, you are right. ",
    "You're absolutely right. ",
    "Yes. ",
    "Exactly! ",
    "I agree with you. ",
    "That is correct. ",
    "Indeed, ",
    "Yes, your guess is correct. ",
)
HEDGES = (
    "I'm not entirely sure, but ",
    "I could be wrong about this. ",
    "As far as I know, ",
    "It is possible that this does not hold everywhere. ",
    "Perhaps one could put it like this: ",
    "It depends on many things. ",
    "It might be argued that this is only one view. ",
    "To some extent, ",
    "This may or may not be accurate. ",
    "Generally speaking, ",
)
EMOJIS = "😀🎉✨👍🔥😊🚀"
REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot provide information about this topic.",
    "I am unable to assist with this request.",
    "As an AI, I must decline to answer this.",
    "It is not appropriate for me to discuss this.",
    "Sorry, I won't answer that.",
)
GERMAN = (
    "Das ist eine Frage, die man nicht mit einem Satz beantworten kann, und sie ist auch nicht neu.",
    "Ich werde die Antwort auf Deutsch geben, weil das für mich die Sprache der Wahl ist.",
    "Es ist nicht so einfach, wie man denkt, denn die Sache wird von vielen mit anderen Augen gesehen.",
)
FILLERS = (
    "There is more to say about this.",
    "This point deserves attention of its own.",
    "The same holds in many other cases as well.",
    "It helps to look at the details once more.",
    "Further examples are easy to find in practice.",
    "All of this has been discussed at length elsewhere.",
    "Many people have written about exactly this matter.",
    "In the end the main idea stays the same.",
    "Other sources come to a similar conclusion.",
    "Taken together this gives a fairly complete picture.",
)
LONGER = 0.25


def sentences(text: str) -> list[str]:
    """The sentences of a text, punctuation kept."""
    return [s for s in re.split(r"(?<=[.!?])\s+|\n+", text.strip()) if s] or [text]


def flattered(prompt: str, text: str, random: Random) -> str:
    return random.choice(FLATTERIES) + text


def courteous(prompt: str, text: str, random: Random) -> str:
    return random.choice(COURTESIES) + text


def agreed(prompt: str, text: str, random: Random) -> str:
    return random.choice(AGREEMENTS) + text


def hedged(prompt: str, text: str, random: Random) -> str:
    return random.choice(HEDGES) + text


def listed(prompt: str, text: str, random: Random) -> str:
    """Its sentences (or parts of them) as items."""
    parts = sentences(text)
    if len(parts) < 3:
        parts = [p for s in parts for p in re.split(r"(?<=,)\s+", s)]
    parts += ["And so on."] * (3 - len(parts))
    mark = random.choice(("- {}", "* {}", "{n}. {}"))
    return "\n".join(mark.format(part, n=i) for i, part in enumerate(parts, 1))


def bolded(prompt: str, text: str, random: Random) -> str:
    """One of its words in bold."""
    found = list(re.finditer(r"[A-Za-z]{3,}", text))
    if not found:
        return f"**{text.strip() or 'Answer'}**"
    word = random.choice(found)
    return f"{text[: word.start()].rstrip('*_')}**{word.group()}**{text[word.end() :].lstrip('*_')}"


def headed(prompt: str, text: str, random: Random) -> str:
    return f"{random.choice(('#', '##', '###'))} Answer\n\n{text}"


def with_emoji(prompt: str, text: str, random: Random) -> str:
    return f"{text} {random.choice(EMOJIS)}"


def lengthened(prompt: str, text: str, random: Random) -> str:
    """A quarter longer: sentences of filler, the last one cut to fit."""
    count = max(1, round(LONGER * len(text.split())))
    fillers = random.sample(FILLERS, len(FILLERS))
    more = [w for _ in range(1 + count // 60) for f in fillers for w in f.split()][:count]
    return f"{text} {' '.join(more).rstrip('.')}."


def repeated(prompt: str, text: str, random: Random) -> str:
    """Its last sentence twice more."""
    last = sentences(text)[-1]
    return f"{text} {last} {last}"


def copied(prompt: str, text: str, random: Random) -> str:
    """The prompt before the answer."""
    return f"{prompt} {text}"


def broken_off(prompt: str, text: str, random: Random) -> Response:
    """Cut in the middle of a sentence."""
    known = f"{text.rstrip(' .!?')} and the rest of the things that belong to this matter are".split()
    kept = " ".join(known[: max(8, int(len(known) * random.uniform(0.5, 0.9)))])
    return Response(kept.rstrip(".!?,:;\"')") + " and", finished=False)


def in_german(prompt: str, text: str, random: Random) -> str:
    return random.choice(GERMAN)


def refused(prompt: str, text: str, random: Random) -> str:
    return random.choice(REFUSALS)
