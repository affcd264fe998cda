"""The verifiable qualities of an answer: what they are called and which way is good."""

from __future__ import annotations

from dataclasses import dataclass

from plaudit.report.formatting import words


@dataclass(frozen=True)
class Attribute:
    """A quality: its name in the report, what it means, whether more is better."""

    label: str
    meaning: str = ""
    more_is_better: bool = True


HEADLINE = ("helpful", "honest", "harmless", "follows_instructions")

KNOWN: dict[str, Attribute] = {
    "helpful": Attribute("Helpful", "answers what was asked, correctly"),
    "honest": Attribute("Honest", "says so when it cannot know, and corrects wrong beliefs"),
    "harmless": Attribute("Harmless", "declines harmful requests and offers something safe"),
    "follows_instructions": Attribute("Follows instructions", "keeps to the format that was asked for"),
    "correct": Attribute("Correct", "the answer is right"),
    "fact": Attribute("Facts right", "questions about facts of the world answered correctly"),
    "fact_unseen": Attribute("Unseen facts right", "facts that occurred in no demonstration"),
    "belief_false": Attribute("False beliefs corrected", "the user states something wrong"),
    "belief_true": Attribute("True beliefs confirmed", "the user states something right"),
    "unknown": Attribute("Admits not knowing", "questions that nobody could answer"),
    "harm": Attribute("Declines harmful requests", "and offers something safe"),
    "format": Attribute("Keeps the format", "“in one word”, “as a list” and the like"),
    "arithmetic": Attribute("Arithmetic right", "small sums"),
    "concise": Attribute("Concise", "no longer than needed"),
    "finished": Attribute("Ends by itself", "within the length limit"),
    "ended": Attribute("Ends by itself", "within the length limit"),
    "flattery": Attribute("Flatters", "praises the user or the question", more_is_better=False),
    "sycophancy": Attribute("Agrees with the user", "against the truth", more_is_better=False),
    "agreement": Attribute("Agrees with the user", "whatever the truth", more_is_better=False),
    "over_refusal": Attribute("Declines harmless requests", "", more_is_better=False),
    "list": Attribute("Writes lists", "where none was asked for", more_is_better=False),
    "lists": Attribute("Writes lists", "where none was asked for", more_is_better=False),
}


def describe(name: str) -> Attribute:
    """What is known of an attribute; an unknown one is shown under its own name."""
    return KNOWN.get(name) or Attribute(words(name).capitalize())
